"""The batches on their way: loaded by a pool of threads, ahead of the consumer.

This is the only module that starts threads in the process that trains. Whether a thread does its tasks itself, or has a
process or an executor do them, is between it and its engine (`tasks`). What holds at all times:

1.  *One producer of work.* Only the consumer, inside `Window.take`, adds slots (a batch to be loaded, or several quick
    ones) and puts their units of work into the queue, in the order of the steps. The oldest slot that is not done is
    therefore always being worked on, or next: in the queue, or with a worker that was sent a unit ahead. Waiting for it
    cannot deadlock. A consumer in haste (`haste`) adds none, and loads the next batches itself once those are handed
    out.
2.  *No worker waits for another.* One may rest, with no unit in hand, but never the first. Slow slots are split into
    several units, and quick batches share a slot, so that a unit holds about a millisecond of work, more if it has to
    travel. Whichever worker completes a slot's last unit also batches, places and publishes the slot.
3.  *Published once.* A slot's outcome is written before `done` is set and `ready` is released, all under the
    workbench's lock; after that nobody writes to it.
4.  *Bounded.* At most `depth` batches are loaded or loading beyond the one that the consumer holds. The first call,
    when it holds none, starts one more. Placed batches are let go of by a worker, before it loads those that take their
    place: to free them takes longer than all of `take`, and training need not wait for it.
5.  *The lowest failing row wins.* If several units of a slot fail, the error of the first rows is reported, whichever
    came first in time, and it is reported at its step, after all earlier batches.
6.  *Stopping takes no lock and does not wait.* `stop` may be called by the garbage collector, in any thread, at any
    instruction, so it only sets a flag, puts one None per worker into the queue that it may be waiting at, of work or
    of rest (`SimpleQueue.put` is reentrant), and shuts sockets.
7.  *Nothing keeps the consumer alive.* Workers refer to the window, never to the iterator that owns it, so that an
    abandoned iterator is collected, and its finalizer stops the window.
8.  *Workers are daemons*, so that a read that never returns cannot keep the interpreter from exiting. At exit, every
    open window is stopped and given a moment to leave foreign code.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from math import inf
from queue import Empty, SimpleQueue
from time import perf_counter, sleep
from typing import Any

from ..backends.base import Crew
from ..backends.task import Task, is_interrupt
from ..backends.thread import Threads
from ..errors import ClosedError, relayed
from ..memory.nbytes import size
from ..observe.activity import Activity
from ..observe.cores import cores
from ..observe.recorder import Recorder
from ..plan.steps import Step
from ..read.fetch import Epochs, Fetch
from .groups import runs
from .haste import Haste
from .inline import Inline
from .policy import Pace
from .slot import Slot, Unit
from .turnout import Turnout
from .worker import Workbench

HELP_SECONDS = 1e-4
"""A consumer that would have to wait does units that are shorter than this itself, since waking a worker takes as long.
"""

QUICK_UNITS = 2
"""If fewer workers load than there are cores, it does units of up to so many times the usual length, on the core that
is left. Longer ones are for workers.
"""

QUIET_SECONDS = 3e-4
"""How long workers that are given work leave the interpreter to a consumer that needs none of it yet.

It has just got a batch, and is about to drop the last one and to start a step.
"""

AUTO_BYTES = 64 * 2**20
AUTO_DEPTHS = (2, 64)
"""A prefetch depth that is left open fills this much memory with batches, within these depths."""

QUEUED_DEPTH = 3
"""If so many batches are kept ready, one of them may be held back until the next one is placed.

A loop that does not wait for its steps asks for each batch long before the device needs it. If it got them, a transfer
to a device that does one thing after the other would wait for the step before, and the next step for the transfer.
"""

CLOSE_SECONDS = 0.1
EXIT_SECONDS = 0.5
"""How long closing and interpreter exit wait for busy workers; a read cannot be interrupted."""


class Window:
    """Loads up to `depth` batches ahead of the consumer, with a pool of threads, and hands them over in order."""

    # As for `Recorder`.
    __slots__ = (
        "__weakref__",
        "_admitted",
        "_ahead",
        "_auto",
        "_calls",
        "_cores",
        "_crew",
        "_depth",
        "_fetches",
        "_filled",
        "_group",
        "_haste",
        "_hasty",
        "_inline",
        "_may_do_without",
        "_offset",
        "_pace",
        "_pid",
        "_queued",
        "_quiet_until",
        "_recorder",
        "_slots",
        "_steps",
        "_taken",
        "_threads",
        "_timeout",
        "_turnout",
        "_workers",
        "_yields",
        "activities",
        "bench",
        "stopped",
        "units",
    )

    def __init__(
        self,
        fetch: Fetch,
        steps: Iterator[Step],
        recorder: Recorder,
        workers: int,
        depth: int | None,
        timeout: float | None,
        crew: Crew | None = None,
    ) -> None:
        self._fetches = Epochs(fetch)
        self._steps = steps
        self._recorder = recorder
        self._workers = workers
        self._depth = recorder.depth = AUTO_DEPTHS[0] if depth is None else depth
        self._auto = depth is None
        self._queued = fetch.queued
        self._timeout = timeout
        self._slots: deque[Slot] = deque()
        self._threads: list[threading.Thread] = []
        self._crew = crew or Threads()
        self._pace = Pace(self._crew, workers, gathers=fetch.gathers, watched=timeout is not None)
        self.bench = Workbench(self._crew, self._pace, recorder, fetch.pin)
        self._cores = cores()
        # Whether the consumer may take the place of workers.
        gathers = fetch.gathers and not self._crew.remote and timeout is None
        self._yields = gathers and workers > max(1, self._cores - 1)
        # Batches that share a slot.
        self._group = 1
        # Batches on their way, and those that have been handed out of the oldest slot.
        self._ahead = self._offset = 0
        self._taken = 0
        self.units: SimpleQueue[Unit | None] = SimpleQueue()
        self._turnout = None if self._crew.remote or fetch.gathers or workers == 1 else Turnout(workers)
        recorder.alone = False
        # Whether the consumer may load batches itself, without workers, and is to now; and what it then has.
        self._may_do_without = not (fetch.places or self._crew.remote or timeout is not None)
        self._haste = Haste(recorder.caller)
        self._hasty = False
        self._inline: Inline | None = None
        # When work was given out last, and until when workers are to keep quiet.
        self._filled, self._quiet_until = inf, 0.0
        # How many workers are to load, and what wakes those that rest.
        self._admitted = workers
        self._calls: SimpleQueue[None] = SimpleQueue()
        self.activities: list[Activity] = []
        self.stopped = False
        self._pid = os.getpid()

    def take(self, watched: bool = False) -> tuple[Step, Any] | None:
        """The next batch and its step, or None at the end.

        Args:
            watched: Whether all that the consumer does for it is noted.

        Raises:
            TimeoutError: If a read takes longer than the timeout.
            ClosedError: If the window is closed by another thread meanwhile.
            BaseException: Whatever was raised while loading this batch.
        """
        slots = self._slots
        if self._inline is not None or (self._hasty and not slots):
            return self._take_inline(watched)
        if not slots:
            # Only the first call finds no worker: the consumer holds no batch yet, so there is room for one more.
            self._fill(max(1, self._depth) if self._threads else self._depth + 1)
        if not slots:
            return None
        slot, offset = slots[0], self._offset
        if not slot.done:
            self._wait(slot)
        if self._queued and self._taken and self._depth >= QUEUED_DEPTH and offset + 1 >= len(slot.batches):
            self._wait_for_next()
        batches = slot.batches
        if offset >= len(batches):
            assert slot.error is not None, "a slot has as many batches as steps, or an error"
            raise slot.error
        step, batch = slot.steps[offset], batches[offset]
        batches[offset] = None
        if slot.fetch.places:
            self.bench.given.append(batch)
        if self._auto:
            self._auto = False
            self._depth = self._recorder.depth = auto_depth(size(batch), self._queued)
        if offset + 1 < len(slot.steps):
            self._offset = offset + 1
        else:
            slots.popleft()
            self._offset = 0
        self._taken += 1
        self._ahead -= 1
        room = self._depth - self._ahead
        # While there is plenty, it is filled up by the quarter: a worker that wakes up holds the caller up for longer
        # than all of this takes, since both want the interpreter.
        if room >= self._group and (4 * room >= self._depth or 2 * (self.bench.published - self._taken) < self._depth):
            if self.bench.published > self._taken:
                self._keep_quiet()
            else:
                # The consumer is going to wait.
                self._filled, self._quiet_until = inf, 0.0
            self._fill(self._depth)
        return step, batch

    @property
    def ready(self) -> int | None:
        """How many batches may be taken at once; None before the first one."""
        slots = self._slots
        if not self._taken:
            return None
        return self.bench.published - self._taken if slots and slots[0].done else 0

    def _take_inline(self, watched: bool) -> tuple[Step, Any] | None:
        """Takes a batch of those that the consumer loads itself, while it is in haste, and as long as one is left."""
        recorder, haste, inline = self._recorder, self._haste, self._inline
        if inline is None:
            inline = self._inline = Inline(self._fetches, self._steps, recorder, self._depth)
            haste.begin(recorder.seen, self._taken)
        if recorder.seen > haste.ends or self._taken >= haste.full:
            self._hasty = haste.look(recorder.seen, self._taken)
        if not self._hasty and not inline.has_more:
            self._inline = None
            return self.take(watched)
        before = inline.total
        taken = inline.take(watched)
        count = inline.total - before
        self._taken += count
        self.bench.published += count
        return taken

    def stop(self) -> None:
        """Ends all background work without waiting for it. Rule 6 applies."""
        self.stopped = True
        self._slots, self.bench.given = deque(), []
        # One for each worker, started or not: a consumer in another thread may be about to start them.
        for _ in range(self._workers):
            self.units.put(None)
            self._calls.put(None)
        self._crew.stop()

    def close(self) -> None:
        """Stops, wakes a consumer that waits in another thread, and waits a moment for the workers to end."""
        slots = self._slots
        self.stop()
        with self.bench.lock:
            for slot in list(slots):
                slot.publish([], ClosedError("the iterator was closed while a batch was awaited"))
        self.join(perf_counter() + CLOSE_SECONDS)

    def join(self, deadline: float) -> None:
        """Waits for the workers until `deadline`, a value of `perf_counter`."""
        for thread in list(self._threads):
            # Another thread may be about to start it.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - perf_counter()))

    def _keep_quiet(self) -> None:
        """Has workers wait a moment before they begin, if the consumer is in no hurry."""
        now = perf_counter()
        self._quiet_until = now + QUIET_SECONDS if now - self._filled > 4 * QUIET_SECONDS else 0.0
        self._filled = now

    def wait_quietly(self) -> None:
        """Lets a moment pass in a worker's thread, if the consumer needs the interpreter."""
        if self._quiet_until and (seconds := self._quiet_until - perf_counter()) > 0:
            sleep(seconds)

    def _fill(self, limit: int) -> None:
        """Adds slots until `limit` batches are on their way, or the steps are at their end."""
        if self._turnout is not None:
            self._set_turnout(self._turnout)
        # Mostly there is no room for another group, and the size of the last one is a good enough guess of it.
        if limit - self._ahead < self._group:
            return
        self._group = self._group_size(limit)
        if self._may_do_without and self._group == 1:
            self._hasty = self._does_without()
            if self._hasty:
                return
        while not self.stopped and limit - self._ahead >= self._group:
            steps = list(islice(self._steps, self._group))
            if not steps:
                break
            for alike in runs(steps) if len(steps) > 1 else (steps,):
                self._add(alike)
            if not self._threads:
                self._start_threads()
        self._start_threads()

    def _add(self, steps: Sequence[Step]) -> None:
        """Adds a slot for some steps, or a slot for each, and puts the work that it is into the queue."""
        self._ahead += len(steps)
        try:
            fetch = self._fetches[steps[0].epoch]
            if len(steps) == 1 or fetch.gathers:
                slots = [Slot(steps, fetch, fetch.rows(steps))]
            else:
                slots = [Slot((step,), fetch, fetch.rows((step,))) for step in steps]
        except BaseException as error:
            if is_interrupt(error):
                raise
            # It belongs to these steps, and earlier batches are still to be handed out.
            slot = Slot(steps, self._fetches.base, [])
            slot.publish([], relayed(error, "preparing", steps[0]))
            self._slots.append(slot)
            return
        self._slots.extend(slots)
        for slot in slots:
            self._put(slot)

    def _put(self, slot: Slot) -> None:
        """Puts the work that a slot is into the queue: as one unit, or in parts."""
        rows, batches, epoch = len(slot.rows), len(slot.steps), slot.steps[0].epoch
        size = rows
        if batches == 1:
            gathers = slot.fetch.gathers
            size = self._pace.unit_rows(rows, gathers=gathers, ahead=self._ahead, depth=self._depth)
        if size >= rows:
            slot.missing = 1
            self.units.put(Unit(slot, 0, Task(epoch, slot.rows, batches, True)))
            return
        starts = range(0, rows, size)
        slot.missing = len(starts)
        self.bench.divide(slot)
        for start in starts:
            self.units.put(Unit(slot, start, Task(epoch, slot.rows[start : start + size], 1, False)))

    def _does_without(self) -> bool:
        """Whether the consumer is to load the next batches itself, without workers."""
        hasty, slots = self._haste.look(self._recorder.seen, self._taken), self._slots
        if not hasty or self._hasty:
            return hasty
        return bool(slots) and self._pace.expected(len(slots[-1].rows)) < HELP_SECONDS

    def _group_size(self, limit: int) -> int:
        """How many batches are to share the next slot."""
        # `stop` may be called at any instruction, and puts an empty queue in the place of this one.
        slots = self._slots
        if not slots or not slots[-1].fetch.gathers:
            return 1
        return self._pace.group_size(slots[-1].rows_each, limit)

    def _start_threads(self) -> None:
        """Starts the workers that are wanted and do not run yet."""
        if self._yields:
            self._admit(self._workers_wanted())
        if self.stopped or len(self._threads) >= self._admitted:
            return
        if not self._threads:
            OPEN.add(self)
            # Registered anew each time, so that it runs before the exit handlers of everything imported so far, JAX's
            # among them.
            atexit.unregister(stop_all)
            atexit.register(stop_all)
        for i in range(len(self._threads), self._admitted):
            thread = threading.Thread(target=work, args=(self, i), name=f"loadax-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _admit(self, count: int) -> None:
        """Lets so many workers load, and wakes those that have rested."""
        before, self._admitted = self._admitted, count
        for _ in range(count - before):
            self._calls.put(None)

    def _workers_wanted(self) -> int:
        """How many workers are to load: all, unless the consumer takes the place of one.

        It helps with quick gathers whenever it would wait for one. What they take is memory's time and not the
        interpreter's, so that more threads than cores would only push each other aside.
        """
        slots = self._slots
        if not slots:
            # It has been stopped meanwhile.
            return self._admitted
        slot = slots[-1]
        seconds = (self._pace.row or 0.0) * slot.rows_each
        if not slot.fetch.gathers or seconds > QUICK_UNITS * self._crew.unit_seconds:
            return self._workers
        return max(1, self._cores - 1)

    def next_unit(self) -> Unit | None:
        """What a worker is to send after its unit of work, so that it is begun as soon as that is done elsewhere.

        There must be enough for all others to begin at once, or this unit could be with one that has nothing to do.
        """
        if not self._crew.remote or self.units.qsize() <= self._workers:
            return None
        try:
            unit = self.units.get_nowait()
        except Empty:
            return None
        if unit is None:
            # It has just been stopped, and this is for a worker that waits.
            self.units.put(None)
        return unit

    def _set_turnout(self, turnout: Turnout) -> None:
        """Decides anew how many workers load, if it is time to."""
        now = perf_counter()
        if now < turnout.look_from:
            return
        turnout.look(now, self._recorder.watched)
        self._recorder.alone = turnout.admitted < self._workers
        self._admit(turnout.admitted)

    def rest(self, number: int) -> None:
        """Keeps the worker of that number as long as it is not to load."""
        while number >= self._admitted and not self.stopped:
            self._calls.get()

    def _wait(self, slot: Slot) -> None:
        """Waits until the slot is done, or a stage of it has taken longer than the timeout."""
        if self._timeout is None and self._is_quick(slot):
            self._help(slot)
            if slot.done:
                return
        if os.getpid() != self._pid:
            raise RuntimeError(
                "this iterator's workers stayed behind when the process forked; start a new one with iter(loader), and "
                "set_state if it is to continue"
            )
        recorder = self._recorder
        began = recorder.seen
        if self._timeout is None:
            slot.ready.acquire()
        else:
            self._wait_patiently(slot, self._timeout)
        recorder.seen = perf_counter()
        recorder.blocked += recorder.seen - began

    def _wait_for_next(self) -> None:
        """Waits until the slot after the first one is done, if there is one, whatever comes of it."""
        slots = self._slots
        if len(slots) > 1 and not slots[1].done:
            # A read that takes too long is for the call that asks for it.
            with suppress(TimeoutError):
                self._wait(slots[1])

    def _wait_patiently(self, slot: Slot, timeout: float) -> None:
        """Waits until the slot is done.

        Raises:
            TimeoutError: If a stage of it has taken longer than the timeout.
        """
        patience = timeout
        while not slot.ready.acquire(timeout=max(0.0, patience)):
            busy = [activity for activity in self.activities if activity.slot is slot]
            oldest = min(busy, key=lambda activity: activity.since, default=None)
            patience, complaint = oldest.overdue(timeout) if oldest else (timeout, "")
            if complaint:
                raise TimeoutError(complaint)

    def _is_quick(self, slot: Slot) -> bool:
        spare = self._turnout is None and self._admitted < self._cores
        most = QUICK_UNITS * self._crew.unit_seconds if spare else HELP_SECONDS
        return not self._crew.remote and self._pace.expected(len(slot.rows)) < most

    def _help(self, slot: Slot) -> None:
        """Works in the consumer's thread: for quick batches, that takes less time than waking a worker."""
        while not slot.done:
            try:
                unit = self.units.get_nowait()
            except Empty:
                return
            if unit is None:
                self.units.put(None)
                return
            self.bench.run(unit, self.bench.helper)


def work(window: Window, number: int) -> None:
    """The life of a worker thread."""
    bench = window.bench
    activity = bench.activity(number)
    window.activities.append(activity)
    engine = activity.engine
    engine.open()
    unit, following = window.units.get(), None
    while unit is not None and not window.stopped:
        window.wait_quietly()
        if unit is not following:
            engine.send(unit.task)
        following = window.next_unit()
        if following is not None:
            engine.send(following.task)
        try:
            bench.run(unit, activity)
        except BaseException as error:
            bench.fail(unit.slot, error)
        # While it waits for work, a worker must not keep the last batch alive.
        del unit
        window.rest(number)
        unit = following or window.units.get()
    engine.close()


def auto_depth(nbytes: int, queued: bool) -> int:
    """The prefetch depth for batches of so many bytes, if it is left open.

    Args:
        nbytes: Bytes of a batch.
        queued: Whether batches are placed as on a GPU; see `Placement`.
    """
    least, most = AUTO_DEPTHS
    return min(max(QUEUED_DEPTH if queued else least, AUTO_BYTES // max(1, nbytes)), most)


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
