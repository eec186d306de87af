"""The dataset of each epoch, opened ahead of time: `at_epoch` may take seconds, and training need not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

from ..errors import copied
from .fetch import Fetch

KEPT = 4
"""Epochs that stay open: the next one, the current one, and those before it whose last batches are still being loaded.
"""

QUICK_SECONDS = 1e-3
"""An epoch that opens in less than this is not opened ahead of time: a thread takes some 0.1 ms to start."""


class Epochs:
    """The fetch of each epoch. Thread-safe; each epoch is opened once, by the thread that first asks for it.

    Whoever enters an epoch has the next one opened in a thread of its own, so that no worker and no caller waits for
    it when it is its turn. Where that would call no function of the user's, and this epoch was quick to open, the next
    one is opened when it is its turn. An error of `at_epoch` is kept for the batch that needs the epoch.

    Args:
        base: Reads the dataset as it was given to `build`.
        call: Calls a function in the context that users' functions run in; see `run.threads`.
    """

    def __init__(self, base: Fetch, call: Callable[[Callable[[], None]], None] = lambda work: work()) -> None:
        self.base = base
        self._call = call
        self._entries: dict[int, _Entry] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def enter(self, epoch: int, following: int | None = None) -> Fetch:
        """The fetch of an epoch that batches are being loaded of.

        Args:
            epoch: The epoch, counted from 0.
            following: The epoch to be opened ahead of time; None if there is none.

        Raises:
            BaseException: Whatever the dataset's `at_epoch` raises.
        """
        entry = self._entry(epoch)
        fetch = entry.open()
        if following is not None and following not in self._entries and self._is_slow(entry, fetch):
            self._open_ahead(following)
        return fetch

    def start(self) -> None:
        """Opens epochs ahead of time from now on, also after a `stop`."""
        self._stopped = False

    def stop(self) -> None:
        """Opens nothing ahead of time from now on. Takes no lock, as a signal handler may call it."""
        self._stopped = True

    def join(self, deadline: float) -> bool:
        """Waits until no epoch is being opened, or `deadline`, a value of `perf_counter`; returns which it was."""
        for thread in list(self._threads):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - perf_counter()))
        return not any(thread.is_alive() for thread in self._threads)

    def _is_slow(self, entry: _Entry, fetch: Fetch) -> bool:
        """Whether the epoch after this one may take long to open.

        Epoch 0 does not tell: it often is the dataset itself, and has been prepared when that was made.
        """
        if entry.epoch == 0:
            return self.base.changes_with_epoch
        if fetch.dataset is self.base.dataset:
            return False
        return self.base.calls_user_code or entry.seconds > QUICK_SECONDS

    def _entry(self, epoch: int) -> _Entry:
        with self._lock:
            entry = self._entries.get(epoch)
            if entry is None or entry.failed:
                entry = self._add(epoch)
            return entry

    def _add(self, epoch: int) -> _Entry:
        """A new entry; what was entered the longest ago goes."""
        entry = self._entries[epoch] = _Entry(self.base, epoch)
        while len(self._entries) > KEPT:
            del self._entries[next(iter(self._entries))]
        return entry

    def _open_ahead(self, epoch: int) -> None:
        with self._lock:
            if self._stopped or epoch in self._entries:
                return
            entry = self._add(epoch)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(
                target=self._call, args=(entry.open_quietly,), name=f"loadax-epoch-{epoch}", daemon=True
            )
            self._threads.append(thread)
            # Where no thread can be started, the epoch is opened when it is needed.
            with suppress(RuntimeError):
                thread.start()


class _Entry:
    """One epoch: opened by one thread, while all others that need it wait.

    Attributes:
        epoch: Its number.
        failed: Whether its error has been raised, so that the next one who needs the epoch tries again.
        seconds: How long it took to open.
    """

    def __init__(self, base: Fetch, epoch: int) -> None:
        self._base, self.epoch = base, epoch
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._fetch: Fetch | None = None
        self._error: BaseException | None = None
        self.failed = False

    def open(self) -> Fetch:
        with self._lock:
            if self._fetch is None and self._error is None:
                self._open()
            if self._error is not None:
                self.failed = True
                # Whoever waits for the lock gets an error of its own, to which no other step adds notes.
                error, self._error = self._error, copied(self._error)
                try:
                    raise error
                finally:
                    # Its traceback has this frame.
                    del error
            assert self._fetch is not None, "an epoch is open, or has an error"
            return self._fetch

    def open_quietly(self) -> None:
        """Opens the epoch ahead of time; an error is for whoever needs it."""
        with self._lock:
            if self._fetch is None and self._error is None:
                self._open()

    def _open(self) -> None:
        began = perf_counter()
        try:
            self._fetch = self._base.at_epoch(self.epoch)
        except BaseException as error:
            self._error = error
        self.seconds = perf_counter() - began
