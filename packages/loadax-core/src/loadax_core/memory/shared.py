"""Memory that a worker process and its parent share, so that arrays cross without being copied or pickled.

A segment is an anonymous file, mapped by both. It never has a name, so nothing is left behind however a process ends:
the kernel frees it with the last mapping. The worker makes segments, fills them with arrays, and sends their file
descriptors; the parent sees the arrays through a lease, and when the lease dies, tells the worker that it may fill the
segment again.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import pickle
import tempfile
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols import Array
from .pool import ALIGNMENT, MOST_IDLE, Memory, Pin, aligned_empty

LEAST_SHARED = 1 << 16
"""Bytes; what is smaller is sent faster than it is shared."""

POPULATE: int = getattr(mmap, "MAP_POPULATE", 0)


@dataclass(frozen=True, slots=True)
class Packed:
    """An object taken apart, for another process.

    Attributes:
        body: The object pickled, without its large buffers.
        buffers: Where those are: segment, offset and number of bytes of each.
        made: The segments that the receiver does not know yet, each with its number of bytes.
        dropped: The segments that it need not know any more.
    """

    body: bytes
    buffers: list[tuple[int, int, int]]
    made: list[tuple[int, int]]
    dropped: list[int]


def anonymous_file(nbytes: int) -> int:
    """A file without a name, in memory where the platform can do that; returns its descriptor."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("loadax")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, nbytes)
    return fd


def shared_bytes(fd: int, nbytes: int) -> Array:
    """The bytes of a file, as an array that everyone who maps the file shares."""
    return np.frombuffer(mmap.mmap(fd, nbytes, mmap.MAP_SHARED | POPULATE), np.uint8)


class _Segment:
    """One segment, as the process that fills it sees it.

    Attributes:
        number: What it is called by both.
        memory: Its bytes.
        here: Whether an array lies in it here.
        there: How many messages with arrays in it the receiver can still see: what was sent may be sent again.
    """

    __slots__ = ("here", "memory", "number", "there")

    def __init__(self, number: int, memory: Array) -> None:
        self.number = number
        self.memory = memory
        self.here = False
        self.there = 0

    @property
    def idle(self) -> bool:
        """Whether nobody can see it, here or there."""
        return not self.here and not self.there


class _Hold:
    """Keeps a segment from being filled again while an array here lies in it."""

    __slots__ = ("__array_interface__", "_segment")

    def __init__(self, segment: _Segment) -> None:
        self.__array_interface__ = segment.memory.__array_interface__
        self._segment = segment

    def __del__(self) -> None:
        self._segment.here = False


class Segments:
    """The worker's side: an `Alloc` whose arrays can be sent without a copy."""

    def __init__(self) -> None:
        self._all: dict[int, _Segment] = {}
        self._count = count()
        self._fds: list[int] = []
        self._made: list[tuple[int, int]] = []
        self._dropped: list[int] = []

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < LEAST_SHARED or dtype.hasobject:
            return aligned_empty(shape, dtype)
        return self._bytes(nbytes)[:nbytes].view(dtype).reshape(shape)

    def pack(self, value: Any) -> tuple[Packed, list[int]]:
        """Takes an object apart; its large arrays stay where they are, or are copied into a segment.

        Args:
            value: Anything that can be pickled.

        Returns:
            What to send, and the file descriptors of the segments that are new to the receiver. `sent` closes them.
        """
        large: list[Array] = []

        def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < LEAST_SHARED:
                return True
            large.append(np.frombuffer(raw, np.uint8))
            return False

        body = pickle.dumps(value, protocol=5, buffer_callback=keep_in_band)
        sending: set[int] = set()
        buffers = [self._place(view, sending) for view in large]
        return Packed(body, buffers, self._made, self._dropped), self._fds

    def sent(self) -> None:
        """The receiver has the new segments."""
        for fd in self._fds:
            os.close(fd)
        self._fds, self._made, self._dropped = [], [], []

    def release(self, numbers: list[int]) -> None:
        """The receiver can no longer see these segments, each in the arrays of one message."""
        for number in numbers:
            self._all[number].there -= 1

    def _place(self, view: Array, sending: set[int]) -> tuple[int, int, int]:
        """Where the bytes lie, in a segment that is noted to be sent, once for each message."""
        address = view.__array_interface__["data"][0]
        for segment in self._all.values():
            offset = address - segment.memory.__array_interface__["data"][0]
            if 0 <= offset < segment.memory.nbytes:
                segment.there += segment.number not in sending
                sending.add(segment.number)
                return segment.number, offset, view.nbytes
        copy = self._bytes(view.nbytes)[: view.nbytes]
        copy[:] = view
        return self._place(copy, sending)

    def _bytes(self, nbytes: int) -> Array:
        """The memory of the smallest idle segment that is large enough, or of a new one."""
        idle = [segment for segment in self._all.values() if segment.idle]
        large = [segment for segment in idle if segment.memory.nbytes >= nbytes]
        segment = min(large, key=lambda segment: segment.memory.nbytes, default=None)
        if segment is None:
            self._make_room(idle)
            # A little more than asked for, so that batches that differ in length can use each other's memory.
            step = max(mmap.PAGESIZE, 1 << max(0, nbytes.bit_length() - 4))
            capacity = -(-nbytes // step) * step
            fd = anonymous_file(capacity)
            segment = _Segment(next(self._count), shared_bytes(fd, capacity))
            self._all[segment.number] = segment
            self._fds.append(fd)
            self._made.append((segment.number, capacity))
        segment.here = True
        return np.asarray(_Hold(segment))

    def _make_room(self, idle: list[_Segment]) -> None:
        """Before memory is added, drops idle segments, as far as they are too much; the first that were made first."""
        excess = sum(segment.memory.nbytes for segment in idle) - MOST_IDLE
        for segment in idle:
            if excess <= 0:
                break
            excess -= segment.memory.nbytes
            del self._all[segment.number]
            self._dropped.append(segment.number)


class _Lease:
    """Lets the worker fill a segment again once nothing made from this memory lives any more."""

    __slots__ = ("__array_interface__", "_ended", "_memory", "_number")

    def __init__(self, number: int, memory: Memory, ended: deque[int]) -> None:
        self.__array_interface__ = memory.interface
        self._number = number
        self._memory = memory
        self._ended = ended

    def __del__(self) -> None:
        self._ended.append(self._number)


class Mapped:
    """The parent's side: opens what a worker has packed.

    Args:
        pin: Prepares memory that is used again; see `Pool`.
    """

    def __init__(self, pin: Pin | None = None) -> None:
        self._pin = pin
        self._memory: dict[int, Memory] = {}
        # Leases end in any thread, at any instruction; `append` and `popleft` are atomic.
        self._ended: deque[int] = deque()

    def unpack(self, packed: Packed, fds: list[int]) -> Any:
        """The object; its large arrays lie in shared memory, leased.

        Args:
            packed: What the worker sent.
            fds: The file descriptors that came with it; they are closed.
        """
        for (number, nbytes), fd in zip(packed.made, fds, strict=True):
            memory = shared_bytes(fd, nbytes)
            self._memory[number] = Memory(memory, memory.__array_interface__, self._pin)
            os.close(fd)
        for number in packed.dropped:
            del self._memory[number]
        made = {number for number, _ in packed.made}
        leases: dict[int, Array] = {}
        for number, _, _ in packed.buffers:
            if number not in leases:
                memory = self._memory[number]
                if number not in made:
                    memory.again()
                leases[number] = np.asarray(_Lease(number, memory, self._ended))
        buffers = [leases[number][offset : offset + nbytes] for number, offset, nbytes in packed.buffers]
        return pickle.loads(packed.body, buffers=buffers)

    def ended(self) -> list[int]:
        """The segments that nobody here can see any more, since the last call."""
        numbers: list[int] = []
        with contextlib.suppress(IndexError):
            while True:
                numbers.append(self._ended.popleft())
        return numbers


class Shared:
    """An object that any number of processes open; its large buffers exist once for all of them.

    Args:
        value: Anything that can be pickled.

    Raises:
        Exception: Whatever pickling raises.
    """

    def __init__(self, value: Any) -> None:
        self._large: list[Array] = []
        self._nbytes = 0
        self._places: list[tuple[int, int]] = []
        self._fd: int | None = None
        self._lock = threading.Lock()

        def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes < LEAST_SHARED:
                return True
            self._large.append(np.frombuffer(raw, np.uint8))
            self._places.append((self._nbytes, raw.nbytes))
            self._nbytes += -(-raw.nbytes // ALIGNMENT) * ALIGNMENT
            return False

        self.body = pickle.dumps(value, protocol=5, buffer_callback=keep_in_band)

    def description(self) -> tuple[bytes, list[tuple[int, int]], int]:
        """What `open_shared` needs beside the file."""
        return self.body, self._places, self._nbytes

    def fd(self) -> int:
        """The file with the large buffers, written when it is first asked for. It stays open as long as this object."""
        with self._lock:
            if self._fd is None:
                fd = anonymous_file(self._nbytes)
                weakref.finalize(self, os.close, fd)
                if self._nbytes:
                    memory = shared_bytes(fd, self._nbytes)
                    for (start, nbytes), view in zip(self._places, self._large, strict=True):
                        memory[start : start + nbytes] = view
                self._fd, self._large = fd, []
            return self._fd


def open_shared(body: bytes, places: list[tuple[int, int]], nbytes: int, fd: int) -> Any:
    """The object that a `Shared` was made of; its large arrays are this process's own as soon as it writes to them.

    Args:
        body: See `Shared.description`.
        places: See there.
        nbytes: See there.
        fd: The file with the large buffers; it is closed.
    """
    memory = np.empty(0, np.uint8)
    if nbytes:
        memory = np.frombuffer(mmap.mmap(fd, nbytes, mmap.MAP_PRIVATE), np.uint8)
    os.close(fd)
    return pickle.loads(body, buffers=[memory[start : start + size] for start, size in places])
