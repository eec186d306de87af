"""Memory-mapped arrays that are pickled as a reference to their file instead of as its contents."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .fingerprints import sample
from .folders import shown

MAP_FIXED = 0x10
"""The same number on Linux and macOS, but for processors that NumPy does not run on."""


class MappedArray:
    """The place of an array's elements in a file. It is pickled in place of a memory-mapped array.

    The file must not change after that. Worker processes check its size and its time, so a copy on another machine must
    keep the time (`cp -p`, `rsync -t`).

    Args:
        array: The array, whose shape, strides and dtype are kept.
        mapped: The array that made the mapping, of which `array` is a view.

    Raises:
        FileNotFoundError: If the file is gone.
        ValueError: If the file is shorter than it was.
    """

    def __init__(self, array: npt.NDArray[Any], mapped: Any) -> None:
        self.path, self.start, self.nbytes = Path(mapped.filename), mapped.offset, mapped.nbytes
        self.offset = _address(array) - _address(mapped)
        self.shape, self.strides, self.dtype = array.shape, array.strides, array.dtype
        if mapped.mode != "r":
            # A later write would change the time of the file.
            mapped.flush()
        self.found = self._find()
        # The file may have been replaced since it was mapped.
        self.content = _sample(mapped.ravel(order="K").view(np.uint8))

    def open(self) -> npt.NDArray[Any]:
        """Maps the file again, read-only.

        Returns:
            An array of the same elements.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If the file is shorter than it was, was written since, or is another one.
        """
        found = self._find()
        buffer = np.memmap(self.path, np.uint8, "r", self.start, (self.nbytes,))
        if found != self.found or _sample(buffer) != self.content:
            raise ValueError(
                f"{shown(self.path)} has changed: its size, time or content is not that of the {self.found[0]} bytes "
                "that were mapped; make the dataset anew"
            )
        return np.ndarray(self.shape, self.dtype, buffer, self.offset, self.strides)

    def _find(self) -> tuple[int, int]:
        """The size and the time of the file, checked: reading a mapping beyond the end of its file ends the process."""
        found = self.path.stat()
        if found.st_size < self.start + self.nbytes:
            raise ValueError(
                f"{shown(self.path)} has shrunk: {found.st_size} bytes, mapped were {self.start + self.nbytes}; "
                "make it again"
            )
        return found.st_size, found.st_mtime_ns


def reference(array: npt.NDArray[Any]) -> npt.NDArray[Any] | MappedArray:
    """Returns what to pickle for an array.

    Args:
        array: Any array.

    Returns:
        A reference to a file, if the array or the array that it is a view of is mapped from it; otherwise the array
        itself. An array that is mapped copy-on-write is returned itself, too, as it may differ from the file.

    Raises:
        FileNotFoundError: If the file is gone.
        ValueError: If the file is shorter than it was.
    """
    root: Any = array
    while root is not None:
        # Only the array that made the mapping has the right offset in the file. Its views inherit that number.
        if isinstance(root, np.memmap) and isinstance(root.base, mmap.mmap):
            mapped = cast("Any", root)
            if mapped.filename is None or mapped.mode == "c" or not _lies_within(array, mapped):
                break
            return MappedArray(array, mapped)
        # NumPy's stride tricks put an object that is no array between an array and the array that it is a view of.
        root = getattr(cast("Any", root), "base", None)
    return array


def opened(given: npt.NDArray[Any] | MappedArray) -> npt.NDArray[Any]:
    """The array that `reference` was called with, in a process that has unpickled what it returned."""
    return given.open() if isinstance(given, MappedArray) else given


def map_file(path: Path, nbytes: int) -> npt.NDArray[np.uint8]:
    """Maps a file, read-only and without a descriptor, so that any number of files can be mapped.

    Args:
        path: The file.
        nbytes: How many bytes it has, at least 1.

    Returns:
        Array of shape `(nbytes,)`.

    Raises:
        OSError: If there is no such file, or the system has no room for another mapping.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if sys.version_info >= (3, 13):
            return np.frombuffer(mmap.mmap(fd, nbytes, mmap.MAP_SHARED, mmap.PROT_READ, trackfd=False), np.uint8)
        return _map_without_descriptor(fd, nbytes)
    except OSError as error:
        raise OSError(
            error.errno or 0,
            f"cannot map {shown(path)}: {error.strerror}; raise the limit (ulimit -v; sysctl vm.max_map_count), or "
            "write fewer and larger files",
        ) from error
    finally:
        os.close(fd)


def _map_without_descriptor(fd: int, nbytes: int) -> npt.NDArray[np.uint8]:
    """Maps a file to memory whose owner is Python's `mmap`, which would keep a duplicate of the descriptor by itself.

    `mmap` reserves the addresses, and frees them at its end. The file is then mapped in their place.
    """
    try:
        import ctypes  # noqa: PLC0415
    except ImportError:
        # Python may have been built without it. Then each mapping keeps a descriptor.
        return np.frombuffer(mmap.mmap(fd, nbytes, mmap.MAP_SHARED, mmap.PROT_READ), np.uint8)

    reserved = mmap.mmap(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
    array = np.frombuffer(reserved, np.uint8)
    address = _address(array)
    libc: Any = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_longlong
    ]  # fmt: skip
    if libc.mmap(address, nbytes, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, fd, 0) != address:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return array


def _lies_within(array: npt.NDArray[Any], mapped: npt.NDArray[Any]) -> bool:
    """Whether all elements of `array` are in the memory of `mapped`, which has no gaps."""
    if not array.size:
        return True
    steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    start = _address(array) - _address(mapped)
    first, last = (start + sum(kind(step, 0) for step in steps) for kind in (min, max))
    return first >= 0 and last + array.itemsize <= mapped.nbytes


def _sample(data: npt.NDArray[np.uint8]) -> str:
    return sample(len(data), lambda start, stop: data[start:stop].tobytes())


def _address(array: npt.NDArray[Any]) -> int:
    return array.__array_interface__["data"][0]
