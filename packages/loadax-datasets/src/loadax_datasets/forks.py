"""Forks: in the child, only the thread that forked goes on.

A lock that another thread of the parent held would stay locked for ever, so locks are made anew. A library with threads
of its own would wait for them for ever, or crash, so its use is refused.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """What has locks. It must be weakly referenced, and compare by identity."""

    def renew_locks(self) -> None:
        """Makes the locks anew, and drops what a thread may have left half done. Runs in the child, alone."""
        ...


_OBJECTS: WeakSet[Renewed] = WeakSet()


def renew_after_fork(thing: Renewed) -> None:
    """Has `thing.renew_locks` called in every process that is forked from this one, as long as `thing` lives."""
    _OBJECTS.add(thing)


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


def _renew_all() -> None:
    _LOST.update(_USED)
    for thing in list(_OBJECTS):
        thing.renew_locks()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
