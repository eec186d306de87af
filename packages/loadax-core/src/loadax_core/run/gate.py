"""One thread at a time, at little cost for the only one that comes.

`threading.Lock` costs next to nothing in a tight loop. Beside a training step, which has pushed its code and that of
the C library out of the processor's caches, taking and releasing one takes a good part of all the time that `next`
does. Lists are in use everywhere, and so still there.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class Gate:
    """A lock, which `run` holds, or a caller for whom each microsecond counts, who does in line what `run` does.

    The lines are such that an interrupt finds it taken or released, at whichever instruction it comes. Signal handlers
    run when a function has been called or is entered. So nothing is called between the `del` that takes the lock and
    the `try` that releases it, nor between the release and the call of those that wait.

    Attributes:
        free: Holds one entry while nobody has the lock. To delete it is to take the lock, to add it is to release it.
        waiting: An entry for each thread that waits.
        calls: Wakes one of them for each entry.
    """

    __slots__ = ("calls", "free", "waiting")

    def __init__(self) -> None:
        self.free = [None]
        self.waiting: dict[object, None] = {}
        self.calls: SimpleQueue[None] = SimpleQueue()

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, which is called while no other thread is inside."""
        while True:
            try:
                del self.free[0]
                break
            except IndexError:
                self.wait()
        try:
            return work()
        finally:
            try:
                self.free.append(None)
            finally:
                if self.waiting:
                    self.calls.put(None)

    def wait(self) -> None:
        """Returns when the lock may be free; whoever has waited tries again."""
        me = object()
        self.waiting[me] = None
        try:
            # Whoever releases it first adds the entry, and then looks for those that wait.
            if not self.free:
                self.calls.get()
        finally:
            del self.waiting[me]
            # An interrupt may keep this thread from coming.
            if self.free and self.waiting:
                self.calls.put(None)
