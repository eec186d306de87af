"""Who works, on how much at once, and when: what a window decides from the times that it has measured."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, workers
from loadax_core.plan import Step
from loadax_core.recorder import WATCHED
from loadax_core.slots import Slot, Unit
from loadax_core.tasks import Done
from loadax_core.workers import QUIET_SECONDS, Window


class Gathered:
    """Rows that are gathered, and know by whom."""

    def __init__(self, rows: int, seconds: float = 0.0) -> None:
        self.rows, self.seconds = rows, seconds
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Any:
        return np.int64(row)

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.threads.add(threading.current_thread().name)
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


@pytest.mark.parametrize(("cores", "running"), [(1, 1), (2, 1), (3, 2), (16, 4)])
def test_the_caller_counts_as_a_worker_where_batches_are_quick(
    cores: int, running: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "cores", lambda: cores)

    def learn(window: Window, *_: object) -> None:
        window._pace = 1e-6

    # The machine may be busy with other things while this runs.
    monkeypatch.setattr(Window, "_learn", learn)
    dataset = Gathered(4000)
    with iter(DataLoader().batch_size(4).workers(4).prefetch(8).build(dataset)) as batches:
        assert [int(batch[0]) for batch in batches] == list(range(0, 4000, 4))
    assert {name for name in dataset.threads if name.startswith("loadax")} <= {f"loadax-{i}" for i in range(running)}


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


def test_one_slow_reading_hardly_changes_what_is_expected() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).build(Gathered(10))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        fetch = window._fetches.base
        window._pace = 1e-4
        for seconds, expected in ((1.0, 1.05e-4), (1.0, 1.1025e-4), (0.0, 0.882e-4)):
            window._learn(fetch, Done([np.zeros(1)], reading=seconds), 1)
            assert window._pace == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ahead", "pace", "size"),
    [
        (2, 2e-3, 1),  # a millisecond or more, to be divided among all workers
        (2, 1e-4, 8),  # a millisecond would be 10, which would leave two for a fourth part
        (64, 2e-3, 32),  # each worker can have four batches
        (16, 2e-3, 8),
        (64, 0.02, 5),  # a tenth of a second
        (64, 1.0, 1),
    ],
)
def test_units_of_items_grow_with_what_is_on_its_way(ahead: int, pace: float, size: int) -> None:
    with iter(DataLoader().batch_size(32).workers(16).prefetch(2).build(range(320))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        window._pace, window._ahead = pace, ahead
        assert window._unit_rows(window._fetches.base, 32) == size


def brief(window: Window) -> bool:
    """Whether a window that has loaded some batches leaves most of the next ones unwatched."""
    window._pace = window._batching = 0.0
    window._learn(window._fetches.base, Done([np.zeros(1)]), 1)
    return window._brief


def test_brief_units_are_watched_now_and_then() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        assert brief(window)
        helper = window._helper
        assert [helper.skips() for _ in range(2 * WATCHED)] == ([True] * (WATCHED - 1) + [False]) * 2
        with batches.timeline():
            assert not any(helper.skips() for _ in range(32))
        batches._recorder.annotate = lambda *_, **__: nullcontext()
        assert not any(helper.skips() for _ in range(32))


def test_units_are_watched_if_they_may_take_too_long() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).timeout(60).build(range(100))) as batches:
        next(batches)
        wait_until_idle(window_of(batches))
        assert not brief(window_of(batches))


def test_an_error_in_a_unit_that_is_not_watched_is_relayed_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "BRIEF_SECONDS", 60.0)

    class Broken:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int) -> int:
            if row == 77:
                raise KeyError("bad")
            return row

    with iter(DataLoader().batch_size(2).workers(1).prefetch(2).build(Broken())) as batches:
        assert [next(batches).tolist() for _ in range(38)] == [[row, row + 1] for row in range(0, 76, 2)]
        assert window_of(batches)._brief
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
        for part in (Unit(slot, 1, 2), Unit(slot, 0, 1)):
            assert not slot.done
            window._brief = True
            window.run(part, window._helper)
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
    monkeypatch.setattr(workers, "sleep", slept.append)
    with iter(DataLoader().batch_size(1).workers(1).prefetch(4).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        slept.clear()

        def quiet(last: float, ready: int) -> bool:
            window._filled = perf_counter() - last
            window._published = window._taken + ready
            window._keep_quiet()
            window.wait_quietly()
            long = [seconds for seconds in slept if not 0 < seconds <= QUIET_SECONDS]
            assert not long
            return bool(slept) and slept.pop() > 0

        assert quiet(last=1.0, ready=1)
        assert not quiet(last=1.0, ready=0), "it is going to wait"
        assert not quiet(last=QUIET_SECONDS, ready=2), "it asks again soon"
        assert quiet(last=5 * QUIET_SECONDS, ready=2)
