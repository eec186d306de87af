from __future__ import annotations

import threading
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader
from loadax_core.observe.lane import Sums
from loadax_core.run.turnout import PATIENCE_SECONDS, Turnout
from loadax_core.run.window import Window


@dataclass
class Simulated:
    """Threads that load rows, each of which sleeps for a while and then needs the interpreter, or a core of its own."""

    turnout: Turnout
    sleeps: float
    computes: float
    holds: bool = True
    wanted: float = 1.0
    now: float = 100.0
    rows: float = 0.0
    busy: float = 0.0
    cpu: float = 0.0
    alone: float = 0.0
    switches: int = 0

    def run(self, seconds: float) -> None:
        """Lets time pass, in which a thread is wanted for a share of it."""
        end = self.now + seconds
        while self.now < end:
            threads, passes = self.turnout.admitted, 0.01
            cores = 1.0 if self.holds else 2.0
            # Threads that hand the lock to each other lose time by it.
            lost = 1.2 if self.holds and threads > 1 else 1.0
            rate = min(threads / (self.sleeps + self.computes), cores / (lost * self.computes)) * self.wanted
            self.now += passes
            self.rows += rate * passes
            self.busy += threads * passes * self.wanted
            self.cpu += rate * passes * self.computes * lost
            self.alone += passes * (threads == 1)
            if self.now >= self.turnout.look_from:
                self.turnout.look(self.now, Sums(int(self.rows), self.busy, self.cpu))
                self.switches += self.turnout.admitted != threads


def test_one_thread_takes_over_where_the_interpreter_is_all_they_need() -> None:
    threads = Simulated(Turnout(4), sleeps=0.0, computes=2e-4)
    threads.run(1)
    assert threads.turnout.admitted == 1
    threads.run(600)
    # All are tried again, ever more rarely.
    assert 10 < threads.switches < 40
    assert threads.alone / 600 > 0.98


@pytest.mark.parametrize(
    ("sleeps", "computes", "holds", "wanted"),
    [
        (2e-3, 0.0001e-3, True, 1.0),  # waits for a disk
        (0.0, 1e-3, False, 1.0),  # decodes images
        (0.0, 1e-3, True, 0.3),  # has nothing to do most of the time
    ],
)
def test_threads_that_share_the_work_are_left_alone(sleeps: float, computes: float, holds: bool, wanted: float) -> None:
    threads = Simulated(Turnout(2), sleeps, computes, holds, wanted)
    threads.run(120)
    assert threads.switches == 0


def test_a_trial_that_fails_is_short_and_repeated_rarely() -> None:
    threads = Simulated(Turnout(16), sleeps=2e-3, computes=1.5e-4)
    threads.run(600)
    assert threads.turnout.admitted == 16
    assert 10 < threads.switches < 40
    assert threads.alone / 600 < 0.01


def test_all_threads_come_back_when_the_work_is_another() -> None:
    threads = Simulated(Turnout(4), sleeps=0.0, computes=2e-4)
    threads.run(300)
    assert threads.turnout.admitted == 1
    # Now it waits, which shows in its CPU time, so that the next trial is not far.
    threads.sleeps = 2e-3
    threads.run(2 * PATIENCE_SECONDS[0])
    assert threads.turnout.admitted == 4
    # What lets other threads run does not show.
    threads.sleeps = 0.0
    threads.run(300)
    assert threads.turnout.admitted == 1
    threads.holds = False
    threads.run(2 * PATIENCE_SECONDS[1])
    assert threads.turnout.admitted == 4


class Rows:
    """Rows whose readers are noted; some are held until a test lets them go."""

    def __init__(self) -> None:
        self.readers: set[str] = set()
        self.entered, self.held = threading.Event(), threading.Event()
        self.hold: set[int] = set()

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, row: int) -> Any:
        self.readers.add(threading.current_thread().name)
        if row in self.hold:
            self.entered.set()
            assert self.held.wait(20)
        threading.Event().wait(1e-4)
        return np.int64(row)


def window_of(batches: Any) -> Window:
    window = batches._source
    assert isinstance(window, Window)
    return window


def test_a_worker_that_is_not_admitted_rests_until_it_is_or_the_run_ends() -> None:
    rows = Rows()
    expected = iter(range(10_000))
    # It is looked at when work is given out, which is at least for each quarter of the window.
    few = 3
    with iter(DataLoader(list[int]).batch_size(4).workers(3).prefetch(6).build(rows)) as batches:

        def draw(count: int) -> set[str]:
            rows.readers.clear()
            for _ in range(count):
                assert next(batches) == [next(expected) for _ in range(4)]
            return set(rows.readers)

        assert draw(60) == {"loadax-0", "loadax-1", "loadax-2"}
        window = window_of(batches)
        turnout = window._turnout
        assert turnout is not None
        turnout.look_from = perf_counter() + 60
        turnout.admitted = 1
        window._admit(1)
        draw(30)
        assert draw(60) == {"loadax-0"}
        # The next look begins to watch the one that is left, and no trial is due.
        turnout.look_from, turnout._began, turnout._tried = 0.0, None, perf_counter() + 60
        draw(few)
        assert batches.stats().alone
        assert "3 threads, one of which loads, busy" in str(batches.stats())
        # The next look finds that all are better, and wakes them. It is shown all that was ever done, since the one may
        # not have loaded anything after the look before.
        turnout._before = Sums(0, 0.0, 0.0)
        turnout.look_from, turnout._known, turnout._began = 0.0, 1e9, perf_counter()
        draw(few)
        assert turnout.admitted == 3
        assert not batches.stats().alone
        turnout.look_from = perf_counter() + 60
        assert draw(60) == {"loadax-0", "loadax-1", "loadax-2"}
        turnout.admitted = 1
        window._admit(1)
        draw(30)
        threads = list(window._threads)
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    with pytest.raises(ClosedError):
        next(batches)


@pytest.mark.parametrize(
    "builder",
    [DataLoader().workers(2), DataLoader(list[Any]).workers(2, kind="process"), DataLoader(list[Any]).workers(1)],
)
def test_gathers_processes_and_single_workers_are_let_be(builder: Any) -> None:
    with iter(builder.build(np.arange(10))) as batches:
        next(batches)
        assert window_of(batches)._turnout is None
