"""One thread at a time, at little cost for the only one that comes.

`threading.Lock` costs next to nothing in a tight loop. Beside a training step, which has pushed its code and that of
the C library out of the processor's caches, taking and releasing one takes 12 us: as long as half of all that `next`
does. Lists are in use everywhere, and take 2.
"""

from __future__ import annotations

from queue import SimpleQueue
from types import TracebackType


class Gate:
    """A lock, as a context manager or, where each microsecond counts, in line.

    In line, `__enter__` and `__exit__` are written out. Between the `del` that takes the lock and the `try` whose end
    releases it, no signal handler can run, since no function is called there.

    Attributes:
        free: Holds one entry while nobody has the lock. To delete it is to take the lock, to add it is to release it.
        waiting: An entry for each thread that waits.
    """

    __slots__ = ("_calls", "free", "waiting")

    def __init__(self) -> None:
        self.free = [None]
        self.waiting: list[None] = []
        self._calls: SimpleQueue[None] = SimpleQueue()

    def wait(self) -> None:
        """Returns when the lock may be free; whoever has waited tries again."""
        self.waiting.append(None)
        try:
            # Whoever releases it first adds the entry, and then looks for those that wait.
            if not self.free:
                self._calls.get()
        finally:
            self.waiting.pop()
            # An interrupt may keep this thread from coming.
            if self.free and self.waiting:
                self.call()

    def call(self) -> None:
        """Calls one that waits; to be done after a release if there is any."""
        self._calls.put(None)

    def __enter__(self) -> None:
        while True:
            try:
                del self.free[0]
                return
            except IndexError:
                self.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.free.append(None)
        if self.waiting:
            self.call()
