"""Forks: in the child, only the thread that forked goes on.

- A lock that another thread of the parent held would stay locked for ever, so locks are made anew: `ForkLock`, and
  `renew_after_fork` for what a lock guards.
- A library whose own threads are gone would wait for them for ever, or crash, so its use is refused:
  `check_threads_of`.
- A library has locks that cannot be made anew. A fork waits until no other thread is in it: `not_while_forking`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """An object that has locks. It can be weakly referenced, and compares by identity."""

    def renew_locks(self) -> None:
        """Makes the locks anew, and drops what a thread may have left half done. Runs in the child, alone."""
        ...


_OBJECTS: WeakSet[Renewed] = WeakSet()


def renew_after_fork(thing: Renewed) -> None:
    """Has `thing.renew_locks` called in every process that is forked from this one, as long as `thing` lives."""
    _OBJECTS.add(thing)


class ForkLock:
    """A lock that is open in a forked child, in a copy, and when it is unpickled."""

    def __init__(self) -> None:
        self.renew_locks()
        renew_after_fork(self)

    def renew_locks(self) -> None:
        """Makes the lock anew."""
        self._lock = threading.Lock()

    def held(self) -> threading.Lock:
        """The lock, for a `with` statement."""
        return self._lock

    def __reduce__(self) -> tuple[type[ForkLock], tuple[()]]:
        return ForkLock, ()


_USED: set[str] = set()
_LOST: set[str] = set()


def check_threads_of(library: str) -> None:
    """To be called before each use of a library whose threads do not survive a fork.

    Args:
        library: Its name.

    Raises:
        RuntimeError: If the library was used in the process that this one was forked from.
    """
    if library in _LOST:
        raise RuntimeError(
            f"{library} cannot be used in this process, which os.fork made: {library} had been used before, and its "
            "threads are not in the child, so that reading would hang or crash; start processes by "
            'multiprocessing.get_context("spawn"), or let the loader start them, by .workers(n, kind="process")'
        )
    _USED.add(library)


class _Gate:
    """Keeps forks and calls of a library apart: a fork waits for the calls that run, and calls wait for the fork.

    A thread's own calls do not keep it from forking, as a signal handler may do in between.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: dict[int, int] = {}
        self._forking: int | None = None

    def enter(self) -> None:
        """Counts a call of this thread."""
        me = threading.get_ident()
        with self._changed:
            # A call within a call would wait for a fork that waits for the outer one.
            while self._forking not in (None, me) and me not in self._inside:
                self._changed.wait()
            self._inside[me] = self._inside.get(me, 0) + 1

    def leave(self) -> None:
        """Ends a call."""
        me = threading.get_ident()
        with self._changed:
            self._inside[me] -= 1
            if not self._inside[me]:
                del self._inside[me]
            self._changed.notify_all()

    def close(self) -> None:
        """Waits until no other thread is in a call, and keeps new ones out."""
        me = threading.get_ident()
        with self._changed:
            while self._forking not in (None, me):
                self._changed.wait()
            self._forking = me
            while self._inside.keys() - {me}:
                self._changed.wait()

    def open(self) -> None:
        """Lets calls in again."""
        with self._changed:
            self._forking = None
            self._changed.notify_all()

    def renew(self) -> None:
        """Makes the lock anew in a forked child, where only the calls of the thread that forked go on."""
        self._changed = threading.Condition()
        self._inside = {ident: calls for ident, calls in self._inside.items() if ident == threading.get_ident()}
        self._forking = None


_GATE = _Gate()


@contextmanager
def not_while_forking() -> Generator[None]:
    """Keeps other threads from forking until the block ends. Blocks must be short, and run no user's code."""
    _GATE.enter()
    try:
        yield
    finally:
        _GATE.leave()


def _in_child() -> None:
    _GATE.renew()
    _LOST.update(_USED)
    for thing in list(_OBJECTS):
        thing.renew_locks()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_GATE.close, after_in_parent=_GATE.open, after_in_child=_in_child)
