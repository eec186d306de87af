"""Memory that a worker process fills with arrays for its parent, so that they cross without being copied or pickled.

A segment is an anonymous file, mapped by both. It never has a name, so nothing is left behind however a process ends:
the kernel frees it with the last mapping. The worker makes segments, fills them with arrays, and sends their
descriptors. The parent sees the arrays through a lease (`mapped`). When the lease ends, it tells the worker, which may
then fill the segment again.
"""

from __future__ import annotations

import math
import mmap
import os
import pickle
import threading
from bisect import bisect_right, insort
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols import Array
from .lease import Lease, Loan
from .maps import anonymous_file, map_file
from .pickled import dumps
from .pool import ALIGNMENT, MOST_IDLE, aligned_empty

LEAST_SHARED = 1 << 16
"""Bytes; what is smaller is sent faster than it is shared."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An object taken apart, for another process.

    Attributes:
        body: The object pickled, without its large buffers.
        buffers: Where these are: segment, offset and number of bytes of each.
        made: The segments that the receiver does not know yet, each with its number of bytes.
        dropped: The segments that it need not know any more.
    """

    body: bytes
    buffers: list[tuple[int, int, int]]
    made: list[tuple[int, int]]
    dropped: list[int]


class _Segment:
    """One segment, as the process that fills it sees it.

    Attributes:
        number: Its name in messages.
        memory: Its bytes.
        start: Its address.
        here: Whether this process has an array in it.
        there: The number of messages whose arrays in it the receiver can still see. An array may be sent several times.
    """

    __slots__ = ("here", "memory", "number", "start", "there")

    def __init__(self, number: int, memory: Array) -> None:
        self.number = number
        self.memory = memory
        self.start: int = memory.__array_interface__["data"][0]
        self.here = False
        self.there = 0


class Segments:
    """The worker's side: an `Alloc` whose arrays can be sent without a copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = count()
        # All segments by their addresses, and these addresses sorted; the segments that nobody sees, the longest idle
        # first; and all by their numbers.
        self._all: dict[int, _Segment] = {}
        self._starts: list[int] = []
        self._idle: dict[int, _Segment] = {}
        self._numbered: dict[int, _Segment] = {}
        # The segments in which no array lies here any more. Leases end in any thread, at any instruction; a deque's
        # `append` and `popleft` are atomic.
        self._ended: deque[Loan] = deque()
        self._fds: list[int] = []
        self._made: list[tuple[int, int]] = []
        self._dropped: list[int] = []

    def __call__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, /) -> Array:
        """An uninitialised, C-contiguous array of `shape` and `dtype`, aligned to 64 bytes."""
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < LEAST_SHARED or dtype.hasobject:
            return aligned_empty(shape, dtype)
        with self._lock:
            array = self._take(nbytes)
        return array[:nbytes].view(dtype).reshape(shape)

    def pack(self, value: Any) -> tuple[Packed, list[int]]:
        """Takes an object apart. Large arrays that lie in segments stay there; others are copied into one, together.

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

        body = dumps(value, keep_in_band)
        with self._lock:
            places = self._places(large)
            # Only once nothing can fail: a message that is not sent is never released.
            for segment in {segment.number: segment for segment, _ in places}.values():
                segment.there += 1
            buffers = [
                (segment.number, offset, view.nbytes) for (segment, offset), view in zip(places, large, strict=True)
            ]
            return Packed(body, buffers, self._made, self._dropped), self._fds

    def sent(self) -> None:
        """The receiver has the new segments."""
        with self._lock:
            fds, self._fds, self._made, self._dropped = self._fds, [], [], []
        for fd in fds:
            os.close(fd)

    def release(self, numbers: list[int]) -> None:
        """The receiver can no longer see these segments, each in the arrays of one message."""
        with self._lock:
            for number in numbers:
                segment = self._numbered[number]
                segment.there -= 1
                self._note_idle(segment)

    def _places(self, views: list[Array]) -> list[tuple[_Segment, int]]:
        """In which segment bytes lie, and at which offset; they are copied into one if they lie in none."""
        places = [self._find(view.__array_interface__["data"][0]) for view in views]
        strange = [i for i, place in enumerate(places) if place is None]
        sizes = [-(-views[i].nbytes // ALIGNMENT) * ALIGNMENT for i in strange]
        if strange:
            whole, offset = self._take(sum(sizes)), 0
            segment = self._all[whole.__array_interface__["data"][0]]
            for i, size in zip(strange, sizes, strict=True):
                whole[offset : offset + views[i].nbytes] = views[i]
                places[i] = segment, offset
                offset += size
        return [place for place in places if place is not None]

    def _find(self, address: int) -> tuple[_Segment, int] | None:
        i = bisect_right(self._starts, address) - 1
        if i < 0:
            return None
        segment = self._all[self._starts[i]]
        offset = address - segment.start
        return (segment, offset) if offset < segment.memory.nbytes else None

    def _take(self, nbytes: int) -> Array:
        """The memory of the smallest idle segment that is large enough, or of a new one.

        Of several that are equally large, the one that was used last is taken: more of it is in the processor's cache.
        """
        with suppress(IndexError):
            while True:
                segment = self._ended.popleft().what
                segment.here = False
                self._note_idle(segment)
        large = [segment for segment in reversed(self._idle.values()) if segment.memory.nbytes >= nbytes]
        segment = min(large, key=lambda segment: segment.memory.nbytes, default=None) or self._make(nbytes)
        self._idle.pop(segment.number, None)
        segment.here = True
        return np.asarray(Lease(segment.memory.__array_interface__, self._ended.append, segment))

    def _note_idle(self, segment: _Segment) -> None:
        if not segment.here and not segment.there:
            self._idle[segment.number] = segment

    def _make(self, nbytes: int) -> _Segment:
        """A new segment, a little larger than asked for, so that batches that differ in length can share it in turn."""
        self._make_room()
        step = max(mmap.PAGESIZE, 1 << max(0, nbytes.bit_length() - 4))
        capacity = -(-nbytes // step) * step
        fd = anonymous_file(capacity)
        try:
            segment = _Segment(next(self._count), map_file(fd, capacity))
        except BaseException:
            os.close(fd)
            raise
        self._all[segment.start] = self._numbered[segment.number] = segment
        insort(self._starts, segment.start)
        self._fds.append(fd)
        self._made.append((segment.number, capacity))
        return segment

    def _make_room(self) -> None:
        """Before memory is added, drops idle segments as far as they are too much, the longest idle first."""
        excess = sum(segment.memory.nbytes for segment in self._idle.values()) - MOST_IDLE
        for segment in list(self._idle.values()):
            if excess <= 0:
                break
            excess -= segment.memory.nbytes
            del self._idle[segment.number], self._all[segment.start], self._numbered[segment.number]
            self._starts.remove(segment.start)
            self._dropped.append(segment.number)
