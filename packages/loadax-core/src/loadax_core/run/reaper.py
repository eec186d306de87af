"""Stops the background work of iterators that were dropped, say by `break`, without a `close`.

The callback of a weak reference runs wherever the garbage collector does. If it is written in Python, an interrupt
(Ctrl-C) that arrives in it is printed and lost. So the callback is `SimpleQueue.put`, which is not, and a thread of its
own does the rest: interrupts are for the main thread. The thread runs as long as there is anything to watch.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeAlias

Key: TypeAlias = "weakref.ref[Any]"


class Reaper:
    """Calls a function for each object that is watched, once nothing refers to the object any more."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Key | None] = SimpleQueue()
        self._calls: dict[Key, Callable[[], object]] = {}
        self._renew()

    def watch(self, owner: object, call: Callable[[], object]) -> Key:
        """Has `call` called when `owner` is collected, unless `forget` comes first.

        Args:
            owner: Any object that can be weakly referenced.
            call: Called in another thread; must not refer to the owner.

        Returns:
            What `forget` takes.
        """
        key = weakref.ref(owner, self._queue.put)
        with self._lock:
            self._calls[key] = call
            if not self._runs:
                self._thread = threading.Thread(target=self._run, name="loadax-reaper", daemon=True)
                self._thread.start()
                self._runs = True
        return key

    def forget(self, key: Key) -> None:
        """Watches an object no more."""
        with self._lock:
            if self._calls.pop(key, None) is not None and not self._calls:
                # The thread may end.
                self._queue.put(None)

    def settle(self, seconds: float) -> None:
        """Waits for the thread, if it is about to end, but no longer than `seconds`."""
        thread = self._thread
        if thread is not None and not self._calls and thread is not threading.current_thread():
            thread.join(seconds)

    def _run(self) -> None:
        with self._lock:
            # An interrupt while it started has hidden it from `watch`, which may have started another one since.
            if self._runs and self._thread is not threading.current_thread():
                return
            self._runs, self._thread = bool(self._calls), threading.current_thread()
            if not self._runs:
                return
        while True:
            key = self._queue.get()
            with self._lock:
                call = None if key is None else self._calls.pop(key, None)
                self._runs = bool(self._calls)
                ends = not self._runs
            if call is not None:
                call()
            if ends:
                return

    def _renew(self) -> None:
        """In a process that was forked, the thread is not there, and what it watched belongs to the parent."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._runs = False
        self._calls.clear()


REAPER = Reaper()

# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=REAPER._renew)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
