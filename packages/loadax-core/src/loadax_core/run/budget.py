"""The memory limit of `prefetch()` without a number, for batches whose sizes are not known before they are loaded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from .policy import AUTO_BYTES, AUTO_DEPTHS, Policy
from .slot import Unit


class Budget:
    """Holds units back while the batches that are ready, or being loaded, fill the memory.

    A batch's size is known only once it is loaded. So few batches are loaded at a time: one more than there are
    workers. Units are released in the order of the steps. While fewer than two batches are ready or being loaded, the
    next one is always released, so that waiting for the oldest batch cannot deadlock.

    Args:
        release: Puts a unit into the workers' queue.
        policy: Knows the size of a large batch.
        workers: How many workers load.
    """

    def __init__(self, release: Callable[[Unit], None], policy: Policy, workers: int) -> None:
        self._release = release
        self._policy = policy
        self._most_loading = workers + 1
        self._held: deque[Sequence[Unit]] = deque()
        self._lock = threading.Lock()
        # Batches that are being loaded, those that are ready, and the bytes of these.
        self._loading = self._ready = self._bytes = 0

    def add(self, units: Sequence[Unit]) -> None:
        """Adds the units of one batch."""
        with self._lock:
            self._held.append(units)
            self._let_go()

    def loaded(self, nbytes: int) -> None:
        """Notes that a batch of this size is ready."""
        with self._lock:
            self._loading -= 1
            self._ready += 1
            self._bytes += nbytes
            self._let_go()

    def taken(self, nbytes: int) -> None:
        """Notes that the consumer has a batch of this size."""
        with self._lock:
            self._ready -= 1
            self._bytes -= nbytes
            self._let_go()

    def _let_go(self) -> None:
        while self._held and self._fits():
            self._loading += 1
            for unit in self._held.popleft():
                self._release(unit)

    def _fits(self) -> bool:
        if self._ready + self._loading < AUTO_DEPTHS[0]:
            return True
        expected = self._bytes + (self._loading + 1) * self._policy.nbytes
        return self._loading < self._most_loading and expected <= AUTO_BYTES
