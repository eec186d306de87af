"""Files without a name, and the memory that they are mapped to."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from functools import partial
from typing import Any, cast

import numpy as np

from ..protocols import Array

MAP_FIXED = 0x10
"""The same number on Linux and macOS, but for processors that NumPy does not run on."""


def anonymous_file(nbytes: int) -> int:
    """A file without a name, in memory where the platform can do that; returns its descriptor.

    Raises:
        OSError: If the process may not open another file, or there is no room for it.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("loadax")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, nbytes)
    except BaseException:
        os.close(fd)
        raise
    return fd


def map_file(fd: int, nbytes: int, *, private: bool = False) -> Array:
    """The bytes of a file, as an array. It needs the descriptor no more, which may be closed.

    Args:
        fd: The file.
        nbytes: How many bytes it has, at least 1.
        private: Whether what is written to the array is seen only in it, and not by all who map the file.

    Returns:
        Array of shape `(nbytes,)`, writable.

    Raises:
        OSError: If the system has no room for another mapping.
    """
    # All of what is shared is about to be filled, or has been.
    flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    try:
        if sys.version_info >= (3, 13):
            return np.frombuffer(mmap.mmap(fd, nbytes, flags, trackfd=False), np.uint8)
        return _map_without_descriptor(fd, nbytes, flags)
    except OSError as error:
        raise OSError(
            error.errno or 0,
            f"cannot map {nbytes} bytes of memory that a worker process shares: {error.strerror}; hold fewer batches, "
            "or raise the limit (ulimit -v; sysctl vm.max_map_count)",
        ) from error


def _map_without_descriptor(fd: int, nbytes: int, flags: int) -> Array:
    """Maps a file to memory whose owner is Python's `mmap`, which would keep a duplicate of the descriptor by itself.

    `mmap` reserves the addresses, and frees them at its end. The file is then mapped in their place.
    """
    try:
        import ctypes  # noqa: PLC0415
    except ImportError:
        # Python may have been built without it. Then each mapping keeps a descriptor.
        return np.frombuffer(mmap.mmap(fd, nbytes, flags), np.uint8)

    array = np.frombuffer(mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    address = array.__array_interface__["data"][0]
    libc: Any = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong
    ]  # fmt: skip
    got = libc.mmap(address, nbytes, mmap.PROT_READ | mmap.PROT_WRITE, flags | MAP_FIXED, fd, 0)
    if got != address:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return array


def closed_with(fd: int) -> Array:
    """Makes an object that owns a descriptor: it is closed when the object is gone, without running Python code.

    The object is an array that holds the true owner, for the reason that `Lease` gives.
    """
    owner = np.empty((), object)
    owner[()] = _Owner(fd)
    return owner


class _Owner:
    __slots__ = ("__weakref__", "_closer")

    def __init__(self, fd: int) -> None:
        self._closer = closer = _Closer(self, cast("Any", os.close))
        # `os.close` gets the closer, and calls its `__index__` for the descriptor. A `partial` runs no Python code.
        closer.__index__ = partial(int, fd)


class _Closer(weakref.ref[_Owner]):
    __slots__ = ("__index__",)
    __index__: Any
