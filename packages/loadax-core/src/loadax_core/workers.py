"""The batches on their way: loaded by a pool of threads, ahead of the consumer.

This is the only module that knows about threads. What holds at all times:

1.  *One producer of work.* Only the consumer, inside `Window.take`, adds slots (batches to be loaded) and puts their
    units of work into the queue, in the order of the steps. The oldest slot that is not done is therefore always being
    worked on, or next in the queue, and waiting for it cannot deadlock.
2.  *No worker waits for another.* A slot may be split into several units. Whichever worker completes the last one also
    batches, places and publishes the slot.
3.  *Published once.* A slot's outcome is written before `done` is set and `ready` is released, all under the window's
    lock; after that nobody writes to it.
4.  *Bounded.* At most `depth` batches are loaded or loading beyond the one that the consumer holds. The first call,
    when it holds none, starts one more.
5.  *The lowest failing row wins.* If several units of a slot fail, the error of the first rows is reported, whichever
    came first in time, and it is reported at its step, after all earlier batches.
6.  *Stopping takes no lock and does not wait.* `stop` may be called by the garbage collector, in any thread, at any
    instruction, so it only sets a flag and puts one None per worker into the queue (`SimpleQueue.put` is reentrant).
7.  *Nothing keeps the consumer alive.* Workers refer to the window, never to the iterator that owns it, so that an
    abandoned iterator is collected, and its finalizer stops the window.
8.  *Workers are daemons*, so that a read that never returns cannot keep the interpreter from exiting. At exit, every
    open window is stopped and given a moment to leave foreign code.
"""

from __future__ import annotations

import atexit
import sys
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Iterator
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import numpy as np

from . import tree
from .errors import ClosedError
from .fetch import Epochs, Fetch, relayed
from .plan import Step
from .protocols import Rows
from .stats import Clock

UNIT_SECONDS = 1e-3
"""How much work a unit should hold: handing one over between threads costs some 0.05 ms."""

AUTO_BYTES = 64 * 2**20
AUTO_DEPTHS = (2, 64)
"""A prefetch depth that is left open fills this much memory with batches, within these depths."""

CLOSE_SECONDS = 0.1
EXIT_SECONDS = 0.5
"""How long closing and interpreter exit wait for busy workers; a read cannot be interrupted."""


NO_ROWS = np.empty(0, np.int64)


class Activity:
    """What one worker is doing, for a consumer that wonders why it waits."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.step: Step | None = None
        self.row: int | None = None
        self.doing = ""
        self.since = 0.0

    def begin(self, doing: str, step: Step) -> float:
        """Notes that a stage of `step` begins; returns the time."""
        self.doing, self.row, self.step = doing, None, step
        self.since = perf_counter()
        return self.since

    def watch(self, row: int) -> None:
        """Notes that the read of `row` begins."""
        self.row = row
        self.since = perf_counter()

    def describe(self, timeout: float) -> str:
        """What an error says about a worker that has been at it for longer than `timeout` seconds."""
        what = self.doing if self.row is None else f"{self.doing} row {self.row}"
        frame = sys._current_frames().get(self.thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        stack = "".join(traceback.format_stack(frame)) if frame else "  (it has just gone on)"
        return f"{what} ({self.step}) has taken longer than the timeout of {timeout} s; the worker stands at:\n{stack}"


class Slot:
    """One batch on its way."""

    __slots__ = (
        "batch",
        "done",
        "error",
        "failures",
        "fetch",
        "missing",
        "nbytes",
        "parts",
        "ready",
        "rows",
        "step",
    )

    def __init__(self, step: Step, fetch: Fetch, rows: Rows) -> None:
        self.step = step
        self.fetch = fetch
        self.rows = rows
        self.parts: dict[int, Any] = {}
        self.failures: dict[int, BaseException] = {}
        self.missing = 0
        self.batch: Any = None
        self.nbytes = 0
        self.error: BaseException | None = None
        self.done = False
        self.ready = threading.Lock()
        self.ready.acquire()

    def join_parts(self) -> Any:
        """The host batch, once all units are read."""
        parts = [self.parts[start] for start in sorted(self.parts)]
        if self.fetch.gathers:
            return parts[0]
        return self.fetch.batch([item for part in parts for item in part], self.rows)

    def publish(self, batch: Any = None, error: BaseException | None = None) -> None:
        """Hands the outcome to the consumer; only the first call counts, and the caller holds the window's lock."""
        if not self.done:
            self.batch, self.error = batch, error
            self.parts.clear()
            self.done = True
            self.ready.release()


class Window:
    """Loads up to `depth` batches ahead of the consumer, with a pool of threads, and hands them over in order."""

    def __init__(
        self,
        fetch: Fetch,
        steps: Iterator[Step],
        clock: Clock,
        workers: int,
        depth: int | None,
        timeout: float | None,
    ) -> None:
        self._fetches = Epochs(fetch)
        self._steps = steps
        self._clock = clock
        self._workers = workers
        self._depth = AUTO_DEPTHS[0] if depth is None else depth
        self._auto = depth is None
        self._timeout = timeout
        self._slots: deque[Slot] = deque()
        self.units: SimpleQueue[tuple[Slot, int, int] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.activities: list[Activity] = []
        self._lock = threading.Lock()
        self._seconds_per_row: float | None = None
        self.stopped = False

    def take(self) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Raises:
            TimeoutError: If a read takes longer than the timeout.
            ClosedError: If the window is closed by another thread meanwhile.
            BaseException: Whatever was raised while loading this batch.
        """
        slots = self._slots
        self._fill(max(1, self._depth) if self._threads else self._depth + 1)
        if not slots:
            return None
        slot = slots[0]
        if not slot.done:
            self._wait(slot)
        if slot.error is not None:
            raise slot.error
        if self._auto:
            self._auto = False
            least, most = AUTO_DEPTHS
            self._depth = min(max(least, AUTO_BYTES // max(1, slot.nbytes)), most)
        slots.popleft()
        self._fill(self._depth)
        return slot.step, slot.batch

    def stop(self) -> None:
        """Ends all background work without waiting for it. Rule 6 applies."""
        self.stopped = True
        self._slots = deque()
        # One for each worker, started or not: a consumer in another thread may be about to start them.
        for _ in range(self._workers):
            self.units.put(None)

    def close(self) -> None:
        """Stops, wakes a consumer that waits in another thread, and waits a moment for the workers to end."""
        slots = self._slots
        self.stop()
        with self._lock:
            for slot in slots:
                slot.publish(error=ClosedError("the iterator was closed while a batch was awaited"))
        self.join(perf_counter() + CLOSE_SECONDS)

    def join(self, deadline: float) -> None:
        """Waits for the workers until `deadline`, a value of `perf_counter`."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - perf_counter()))

    def _fill(self, limit: int) -> None:
        """Adds slots until `limit` are on their way or the steps are at their end."""
        while len(self._slots) < limit and not self.stopped:
            step = next(self._steps, None)
            if step is None:
                return
            try:
                fetch = self._fetches[step.epoch]
                slot = Slot(step, fetch, fetch.rows(step))
            except Exception as error:
                # It belongs to this step, and earlier batches are still to be handed out.
                slot = Slot(step, self._fetches.base, NO_ROWS)
                slot.publish(error=relayed(error, "preparing", step))
            self._slots.append(slot)
            size = self._unit_size(slot)
            starts = range(0, len(slot.rows), size)
            slot.missing = len(starts)
            for start in starts:
                self.units.put((slot, start, start + size))
            self._start_threads()

    def _unit_size(self, slot: Slot) -> int:
        """How many rows of a slot a worker reads in one go."""
        rows = len(slot.rows)
        if slot.fetch.gathers or rows == 1:
            return rows
        if self._seconds_per_row is None:
            return -(-rows // self._workers)
        return max(1, min(rows, round(UNIT_SECONDS / max(self._seconds_per_row, 1e-9))))

    def _start_threads(self) -> None:
        if self._threads:
            return
        OPEN.add(self)
        # Registered anew each time, so that it runs before the exit handlers of everything imported so far, JAX's among
        # them.
        atexit.unregister(stop_all)
        atexit.register(stop_all)
        for i in range(self._workers):
            thread = threading.Thread(target=work, args=(self,), name=f"loadax-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _wait(self, slot: Slot) -> None:
        """Waits until the slot is done, or a stage of it has taken longer than the timeout."""
        if self._timeout is None:
            slot.ready.acquire()
            return
        patience = self._timeout
        while not slot.ready.acquire(timeout=max(0.0, patience)):
            busy = [activity for activity in self.activities if activity.step is slot.step]
            oldest = min(busy, key=lambda activity: activity.since, default=None)
            patience = self._timeout - (perf_counter() - oldest.since if oldest else 0.0)
            if oldest and patience <= 0:
                raise TimeoutError(oldest.describe(self._timeout))

    def run(self, unit: tuple[Slot, int, int], activity: Activity) -> None:
        """Reads one unit of a slot and, if that completes the slot, finishes it. In a worker."""
        slot, start, stop = unit
        fetch, rows, step = slot.fetch, slot.rows[start:stop], slot.step
        began = activity.begin("reading", step)
        part, failure = None, None
        try:
            part = fetch.gather(rows) if fetch.gathers else fetch.read(rows, activity.watch)
        except BaseException as error:
            failure = relayed(error, "reading", step)
        seconds = perf_counter() - began
        with self._lock:
            self._clock.reading += seconds
            per_row = seconds / len(rows)
            average = self._seconds_per_row
            self._seconds_per_row = per_row if average is None else 0.8 * average + 0.2 * per_row
            slot.parts[start] = part
            if failure is not None:
                slot.failures[start] = failure
            slot.missing -= 1
            last = slot.missing == 0
        if last:
            self._finish(slot, activity)
        activity.step = None

    def _finish(self, slot: Slot, activity: Activity) -> None:
        """Batches, places and publishes a slot whose units are all read."""
        batch, error = None, None
        batching = placing = 0.0
        nbytes = 0
        if slot.failures:
            error = slot.failures[min(slot.failures)]
        else:
            try:
                began = activity.begin("batching", slot.step)
                batch = slot.join_parts()
                if self._auto:
                    nbytes = sum(getattr(leaf, "nbytes", 0) for _, leaf in tree.leaves(batch))
                placed = activity.begin("placing", slot.step)
                batching = placed - began
                batch = slot.fetch.place(batch)
                placing = perf_counter() - placed
            except BaseException as failure:
                error = relayed(failure, activity.doing, slot.step)
        with self._lock:
            self._clock.batching += batching
            self._clock.placing += placing
            slot.nbytes = nbytes
            slot.publish(batch, error)


def work(window: Window) -> None:
    """The life of a worker thread."""
    activity = Activity()
    window.activities.append(activity)
    while (unit := window.units.get()) is not None and not window.stopped:
        window.run(unit, activity)
        # While it waits for work, a worker must not keep the last batch alive.
        del unit


OPEN: weakref.WeakSet[Window] = weakref.WeakSet()
"""The windows whose workers may still run, for interpreter exit."""


def stop_all() -> None:
    """Stops every window at interpreter exit, and gives workers a moment to leave code that must not be torn down."""
    windows = list(OPEN)
    for window in windows:
        window.stop()
    deadline = perf_counter() + EXIT_SECONDS
    for window in windows:
        window.join(deadline)
