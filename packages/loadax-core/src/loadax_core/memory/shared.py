"""An object that any number of worker processes open, whose large arrays exist once for all of them."""

from __future__ import annotations

import os
import pickle
import threading
from typing import Any

import numpy as np

from ..protocols import Array
from .maps import anonymous_file, closed_with, map_file
from .pickled import dumps_with_modules
from .pool import ALIGNMENT
from .segments import LEAST_SHARED


class Shared:
    """An object that any number of processes open; its large buffers exist once for all of them. Thread-safe.

    Args:
        value: Anything that can be pickled.

    Attributes:
        modules: The names of the modules that opening it imports.

    Raises:
        Exception: Whatever pickling raises.
    """

    def __init__(self, value: Any) -> None:
        self._large: list[Array] = []
        self._nbytes = 0
        self._places: list[tuple[int, int]] = []
        self._fd: int | None = None
        self._owner: Array | None = None
        # One for each process: a fork may happen while another thread holds the lock.
        self._locks: dict[int, threading.Lock] = {}

        def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < LEAST_SHARED:
                return True
            self._large.append(np.frombuffer(raw, np.uint8))
            self._places.append((self._nbytes, raw.nbytes))
            self._nbytes += -(-raw.nbytes // ALIGNMENT) * ALIGNMENT
            return False

        self._body, self.modules = dumps_with_modules(value, keep_in_band)

    def description(self) -> tuple[bytes, list[tuple[int, int]], int]:
        """What `open_shared` needs beside the file."""
        return self._body, self._places, self._nbytes

    def fd(self) -> int:
        """The file with the large buffers, written when it is first asked for. It stays open as long as this object.

        Raises:
            OSError: If there is no room for it, or the process may not open another file.
        """
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._fd is None:
                fd = anonymous_file(self._nbytes)
                self._owner = closed_with(fd)
                if self._nbytes:
                    memory = map_file(fd, self._nbytes)
                    for (start, nbytes), view in zip(self._places, self._large, strict=True):
                        memory[start : start + nbytes] = view
                self._fd, self._large = fd, []
            return self._fd


def open_shared(body: bytes, places: list[tuple[int, int]], nbytes: int, fd: int) -> Any:
    """The object that a `Shared` was made of; its large arrays are this process's own as soon as it writes to them.

    Args:
        body: See `Shared.description`.
        places: See `Shared.description`.
        nbytes: See `Shared.description`.
        fd: The file with the large buffers; it is closed.

    Raises:
        Exception: Whatever unpickling raises.
    """
    try:
        memory = map_file(fd, nbytes, private=True) if nbytes else np.empty(0, np.uint8)
    finally:
        os.close(fd)
    return pickle.loads(body, buffers=[memory[start : start + size] for start, size in places])
