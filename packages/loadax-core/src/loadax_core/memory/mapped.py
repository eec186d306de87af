"""Memory that worker processes have filled, as their parent sees it; see `segments`."""

from __future__ import annotations

import os
import pickle
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np

from ..protocols import Array
from .lease import Lease, Loan
from .maps import map_file
from .pool import Memory, Pin
from .segments import Packed


class Mapped:
    """The parent's side: opens what a worker has packed.

    Args:
        pin: Prepares memory that is used again; see `Pool`.
    """

    def __init__(self, pin: Pin | None = None) -> None:
        self._pin = pin
        self._memory: dict[int, Memory] = {}
        # Leases end in any thread, at any instruction; `append` and `popleft` are atomic.
        self._ended: deque[Loan] = deque()

    def add(self, packed: Packed, fds: list[int]) -> None:
        """Maps the new segments of a message, and lets go of those that were dropped.

        Args:
            packed: What the worker sent.
            fds: The file descriptors that came with it; they are closed.

        Raises:
            OSError: If a segment cannot be mapped. No message of this worker can be unpacked after that.
        """
        try:
            for (number, nbytes), fd in zip(packed.made, fds, strict=True):
                memory = map_file(fd, nbytes)
                self._memory[number] = Memory(memory, memory.__array_interface__, self._pin)
        finally:
            for fd in fds:
                os.close(fd)
        for number in packed.dropped:
            del self._memory[number]

    def unpack(self, packed: Packed) -> Any:
        """The object of a message that was added; its large arrays lie in shared memory, leased."""
        made = {number for number, _ in packed.made}
        leases: dict[int, Array] = {}
        for number, _, _ in packed.buffers:
            if number not in leases:
                memory = self._memory[number]
                if number not in made:
                    memory.again()
                leases[number] = np.asarray(Lease(memory.interface, self._ended.append, (number, memory)))
        buffers = [leases[number][offset : offset + nbytes] for number, offset, nbytes in packed.buffers]
        return pickle.loads(packed.body, buffers=buffers)

    def ended(self) -> list[int]:
        """The segments that nobody here can see any more, since the last call."""
        numbers: list[int] = []
        with suppress(IndexError):
            while True:
                number, _ = self._ended.popleft().what
                numbers.append(number)
        return numbers
