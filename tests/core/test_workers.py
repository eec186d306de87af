"""Who works, on how much at once, and when: what a window decides from the times that it has measured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.backends.task import Task
from loadax_core.observe.recorder import WATCHED
from loadax_core.plan.steps import Step
from loadax_core.run import policy as pacing
from loadax_core.run import window as workers
from loadax_core.run import worker as workbench
from loadax_core.run.policy import Pace
from loadax_core.run.slot import Slot, Unit
from loadax_core.run.window import QUIET_SECONDS, Window


class Gathered:
    """Rows that are gathered."""

    def __init__(self, rows: int, seconds: float = 0.0) -> None:
        self.rows, self.seconds = rows, seconds
        # Which thread gathered, by the first row.
        self.readers: dict[int, int] = {}

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Any:
        return np.int64(row)

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.readers[int(rows[0])] = threading.get_ident()
        if self.seconds:
            threading.Event().wait(self.seconds)
        out = alloc((len(rows),), np.dtype(np.int64))
        out[:] = rows
        return out


def window_of(batches: Any) -> Window:
    window = batches._source
    assert isinstance(window, Window)
    return window


def wait_until_idle(window: Window) -> None:
    """From here on, only the caller changes what is on its way."""
    for slot in list(window._slots):
        assert slot.ready.acquire(timeout=60)
        slot.ready.release()


@pytest.mark.parametrize(
    ("first", "later", "cores", "loading"),
    [
        (0.0, 0.0, 1, 1),
        (0.0, 0.0, 2, 1),
        (0.0, 0.0, 3, 2),
        (0.0, 0.0, 16, 4),
        # The memory of the first ones is new.
        (0.02, 0.0015, 2, 1),
        (0.0, 0.0025, 2, 4),
        (0.02, 0.0025, 2, 4),
        (0.1, 0.1, 2, 4),
    ],
)
def test_the_caller_counts_as_a_worker_where_batches_are_quick(
    first: float, later: float, cores: int, loading: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the seconds of each of the first batches, and of the later ones."""
    monkeypatch.setattr(workers, "cores", lambda: cores)
    learnt: list[None] = []

    def learn(pace: Pace, *_: object) -> None:
        learnt.append(None)
        pace.row = (first if len(learnt) <= 4 else later) / 4

    # The machine may be busy with other things while this runs.
    monkeypatch.setattr(Pace, "learn", learn)
    dataset = Gathered(4000)
    with iter(DataLoader().batch_size(4).workers(4).prefetch(8).build(dataset)) as batches:
        assert [int(batch[0]) for batch in islice(batches, 200)] == list(range(0, 800, 4))
        window = window_of(batches)
        assert window._admitted == loading
        # Whether the others were started depends on when it was looked at the first times.
        assert first != later or len(window._threads) == loading
        resting = [thread.ident for thread in window._threads[loading:]]
        late = [reader for row, reader in dataset.readers.items() if row >= 400]
        assert all(late.count(one or 0) <= 1 for one in resting), "one that waited for work does that, and rests"


def test_workers_that_rest_are_called_when_batches_are_slow_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    seconds = [0.1]

    def learn(pace: Pace, *_: object) -> None:
        pace.row = seconds[0] / 4

    monkeypatch.setattr(Pace, "learn", learn)
    rests, meet = threading.Event(), threading.Event()
    rest = Window.rest

    def noted(window: Window, number: int) -> None:
        if number >= window._admitted:
            rests.set()
        rest(window, number)

    monkeypatch.setattr(Window, "rest", noted)
    # Each waits for the other, so that two must be there.
    both = threading.Barrier(2, timeout=20)

    class Meeting(Gathered):
        def gather(self, rows: Any, alloc: Any) -> Any:
            # Long enough to be noticed, after which it is learnt how long they take.
            time.sleep(0.001 if seconds[0] else 0.0)
            if meet.is_set():
                try:
                    both.wait()
                except threading.BrokenBarrierError:
                    assert not meet.is_set(), "one worker has waited for the other in vain"
            return super().gather(rows, alloc)

    with iter(DataLoader().batch_size(4).workers(2).prefetch(8).build(Meeting(40_000))) as batches:

        def draw_until(done: Callable[[], bool]) -> None:
            for _ in islice(batches, 2000):
                if done():
                    return
            raise AssertionError("2,000 batches have not been enough")

        draw_until(lambda: len(window_of(batches)._threads) == 2)
        seconds[0] = 0.0
        draw_until(rests.is_set)
        seconds[0] = 0.1
        draw_until(lambda: window_of(batches)._admitted == 2)
        meet.set()
        assert len(list(islice(batches, 100))) == 100
        meet.clear()
        both.abort()


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_all_workers_run_where_batches_are_slow_or_watched(
    timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    dataset = Gathered(200, seconds=0.0 if timeout else 0.01)
    with iter(DataLoader().batch_size(4).workers(4).prefetch(8).timeout(timeout).build(dataset)) as batches:
        for _ in zip(range(20), batches, strict=False):
            pass
        assert [thread.name for thread in window_of(batches)._threads] == [f"loadax-{i}" for i in range(4)]


def test_a_window_with_plenty_is_filled_up_by_the_quarter() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(16).build(range(1000))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        ahead: list[int] = []
        for _ in range(4):
            next(batches)
            ahead.append(window._ahead)
        assert ahead == [15, 14, 13, 16]


def test_a_window_that_runs_short_is_filled_up_at_once() -> None:
    allowed = threading.Semaphore(0)

    class Held:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int) -> int:
            assert allowed.acquire(timeout=60)
            return row

    # With a timeout, the caller does not help: here it might be held itself.
    with iter(DataLoader().batch_size(1).workers(1).prefetch(16).timeout(60).build(Held())) as batches:
        for _ in range(3):
            allowed.release()
            next(batches)
            assert window_of(batches)._ahead == 16
        allowed.release(100)


def test_brief_units_are_watched_now_and_then() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        helper = window.bench.helper
        assert [helper.skips() for _ in range(2 * WATCHED)] == ([True] * (WATCHED - 1) + [False]) * 2
        with batches.timeline():
            assert not any(helper.skips() for _ in range(32))
        batches._recorder.annotate = lambda *_, **__: nullcontext()
        assert not any(helper.skips() for _ in range(32))


def test_units_are_watched_if_they_may_take_too_long() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).timeout(60).build(range(100))) as batches:
        next(batches)
        wait_until_idle(window_of(batches))
        window_of(batches)._pace.row = 0.0
        next(batches)
        wait_until_idle(window_of(batches))
        assert not window_of(batches)._pace.brief


def test_an_error_in_a_unit_that_is_not_watched_is_relayed_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    # The machine may be busy with other things while this runs.
    for module in (pacing, workbench):
        monkeypatch.setattr(module, "BRIEF_SECONDS", 60.0)

    class Broken:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int) -> int:
            if row == 77:
                raise KeyError("bad")
            return row

    with iter(DataLoader().batch_size(2).workers(1).prefetch(2).build(Broken())) as batches:
        assert [next(batches).tolist() for _ in range(38)] == [[row, row + 1] for row in range(0, 76, 2)]
        assert window_of(batches)._pace.brief
        with pytest.raises(KeyError, match="bad") as raised:
            next(batches)
        notes = raised.value.__notes__
        assert notes == ["loadax: raised by row 77", "loadax: while reading the batch of epoch 0, step 38"]


def test_parts_of_a_batch_that_are_not_watched_are_joined() -> None:
    with iter(DataLoader().batch_size(2).workers(1).prefetch(2).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        slot = Slot((Step(0, 9, 18, 20),), window._fetches.base, range(18, 20))
        slot.missing = 2
        for start in (1, 0):
            assert not slot.done
            window._pace.brief = True
            window.bench.run(Unit(slot, start, Task(0, slot.rows[start : start + 1], 1, False)), window.bench.helper)
        assert [batch.tolist() for batch in slot.batches] == [[18, 19]]


def test_a_window_that_is_stopped_while_it_is_filled_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    with iter(DataLoader().batch_size(1).workers(4).prefetch(2).build(Gathered(100))) as batches:
        next(batches)
        window = window_of(batches)
        before = list(window._threads)
        # As by another thread that closes the iterator, between the slot that is added and the workers for it.
        window.stop()
        window._start_threads()
        assert window._threads == before


def test_workers_leave_the_interpreter_to_a_caller_that_is_in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = perf_counter()
    # No time passes: the machine may be busy with other things while this runs.
    monkeypatch.setattr(workers, "perf_counter", lambda: now)
    monkeypatch.setattr(workers, "sleep", slept.append)
    with iter(DataLoader().batch_size(1).workers(1).prefetch(4).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        slept.clear()

        def quiet(last: float, ready: int) -> bool:
            window._filled = now - last
            window.bench.published = window._taken + 1 + ready
            next(batches)
            wait_until_idle(window)
            window.wait_quietly()
            assert all(seconds == pytest.approx(QUIET_SECONDS, rel=1e-3) for seconds in slept)
            return bool(slept) and bool([slept.pop() for _ in list(slept)])

        assert quiet(last=1.0, ready=1)
        assert not quiet(last=1.0, ready=0), "it is going to wait"
        assert not quiet(last=-inf, ready=1), "it has just waited"
        assert not quiet(last=QUIET_SECONDS, ready=2), "it asks again soon"
        assert quiet(last=5 * QUIET_SECONDS, ready=2)


class Queued:
    """A strategy that places as on a GPU; each read takes a while, so that a caller comes too early."""

    queued = True

    def __init__(self) -> None:
        self.placed: list[int] = []

    def local_rows(self, batch_size: int) -> Any:
        return np.arange(batch_size)

    def distribute_global_batch(self, batch: Any) -> int:
        self.placed.append(int(batch[0]))
        return int(batch[0])


class Late:
    """Items that take 5 ms, and row 5 longer, or not at all.

    Args:
        seconds: How long row 5 takes; None for an error.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 8

    def __getitem__(self, row: int) -> Any:
        if row == 5 and self.seconds is None:
            raise ValueError("row 5")
        threading.Event().wait(5e-3 if row != 5 or self.seconds is None else self.seconds)
        return np.int64(row)


def placed_when_handed_out(depth: int | None) -> list[int]:
    """How many batches had been placed when each was handed out."""
    place = Queued()
    loader = DataLoader().workers(1).prefetch(depth, to_device=True).shard(place).build(Late(5e-3))
    counts: list[int] = []
    for row in loader:
        assert row == len(counts)
        counts.append(len(place.placed))
    return counts


def test_a_batch_for_a_queued_device_is_handed_out_when_the_next_one_is_placed() -> None:
    for depth in (3, 4, None):
        counts = placed_when_handed_out(depth)
        # The first is wanted at once, and the last has none after it.
        assert counts[0] == 1
        assert all(count >= step + 2 for step, count in enumerate(counts[1:-1], 1)), counts
        assert counts[-1] == 8


def test_where_few_are_kept_ready_each_is_handed_out_at_once() -> None:
    counts = placed_when_handed_out(2)
    assert sum(count == step + 1 for step, count in enumerate(counts)) > 4, counts


def test_what_is_wrong_with_the_next_batch_comes_with_it() -> None:
    failing = iter(DataLoader().prefetch(3, to_device=True).shard(Queued()).build(Late(None)))
    assert [next(failing) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="row 5"):
        next(failing)
    late = iter(DataLoader().prefetch(3, to_device=True).timeout(0.2).shard(Queued()).build(Late(0.7)))
    assert [next(late) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(TimeoutError, match="row 5"):
        next(late)
