"""Loading that begins before the first `next`."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import elsewhere
import pytest
from loadax_core import ClosedError, DataLoader
from loadax_core.backends import process
from loadax_core.run.reaper import REAPER
from loadax_core.run.threads import Team
from loadax_core.testing import check_no_threads


class Watched:
    """Integers whose reads are seen by the test; those from row `held` on wait until it lets them go."""

    def __init__(self, rows: int, held: int | None = None) -> None:
        self.rows, self.held = rows, held
        self.read: list[int] = []
        self.changed = threading.Condition()
        self.go_on = threading.Event()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        with self.changed:
            self.read.append(row)
            self.changed.notify_all()
        if self.held is not None and row >= self.held:
            assert self.go_on.wait(20)
        return row

    def wait_for(self, reads: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.read) >= reads, timeout=20)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < deadline
        threading.Event().wait(0.001)


def is_idle(batches: Any) -> bool:
    """Whether all that was begun is loaded."""
    return all(slot.done for slot in list(batches._source._slots))


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_exactly_the_prefetched_batches_are_loaded_before_the_first_next(prefetch: int) -> None:
    dataset = Watched(20)
    batches: Any = iter(DataLoader(list[int]).batch_size(2).workers(2).prefetch(prefetch).build(dataset))
    with batches:
        assert batches.start() is batches
        dataset.wait_for(2 * prefetch)
        until(lambda: is_idle(batches))
        assert sorted(dataset.read) == list(range(2 * prefetch))
        # The caller holds a batch from here on, so that one more is on its way.
        assert next(batches) == [0, 1]
        dataset.wait_for(2 * (1 + prefetch))
        until(lambda: is_idle(batches))
        assert sorted(dataset.read) == list(range(2 * (1 + prefetch)))
        assert list(batches) == [[row, row + 1] for row in range(2, 20, 2)]
    assert sorted(dataset.read) == list(range(20)), "no row is read twice"


def test_the_first_next_begins_one_more_batch_while_it_waits() -> None:
    dataset = Watched(9, held=0)
    with iter(DataLoader(list[int]).workers(3).prefetch(2).build(dataset)).start() as batches:
        dataset.wait_for(2)
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(next(batches)))
        thread.start()
        dataset.wait_for(3)
        assert sorted(dataset.read) == [0, 1, 2]
        dataset.go_on.set()
        thread.join(20)
        assert first == [[0]]


def test_processes_and_executors_load_before_the_first_next(tmp_path: Path) -> None:
    with iter(DataLoader(list[int]).workers(2, kind="process").build(elsewhere.Noted(9, tmp_path))).start() as batches:
        until(lambda: {file.name for file in tmp_path.iterdir()} == {"0", "1"})
        assert list(batches) == [[row] for row in range(9)]
    dataset = Watched(9)
    with ThreadPoolExecutor(2) as pool, iter(DataLoader(list[int]).workers(pool).build(dataset)).start() as batches:
        dataset.wait_for(2)
        assert list(batches) == [[row] for row in range(9)]


def test_loading_begins_at_the_restored_position() -> None:
    dataset = Watched(9)
    batches = iter(DataLoader(list[int]).workers(1).prefetch(2).epochs(2).build(dataset))
    batches.set_state({**batches.get_state(), "epoch": 1, "row": 4})
    before = batches.get_state()
    with batches.start():
        dataset.wait_for(2)
        assert dataset.read == [4, 5]
        assert batches.get_state() == before, "what is loaded has not been yielded"
        batches.set_state({**before, "row": 7})
        batches.start()
        dataset.wait_for(4)
        assert dataset.read[2:] == [7, 8]
        assert list(batches) == [[7], [8]]


def test_starting_again_changes_nothing() -> None:
    dataset = Watched(9)
    batches: Any = iter(DataLoader(list[int]).workers(2).prefetch(2).build(dataset))
    with batches:
        source, threads = batches.start()._source, threading.active_count()
        assert batches.start()._source is source
        assert next(batches) == [0]
        assert batches.start()._source is source
        assert threading.active_count() == threads
        assert list(batches) == [[row] for row in range(1, 9)]
        batches.start()
        assert list(batches) == []
    assert sorted(dataset.read) == list(range(9))


def test_a_start_beside_next_waits_for_it_and_starts_nothing_twice() -> None:
    dataset = Watched(3, held=0)
    with iter(DataLoader(list[int]).workers(1).prefetch(0).build(dataset)) as batches:
        first: list[Any] = []
        asking = threading.Thread(target=lambda: first.append(next(batches)))
        asking.start()
        dataset.wait_for(1)
        starting = threading.Thread(target=batches.start)
        starting.start()
        dataset.go_on.set()
        for thread in (asking, starting):
            thread.join(20)
            assert not thread.is_alive()
        assert first == [[0]]
        assert list(batches) == [[1], [2]]
    assert dataset.read == [0, 1, 2]


def test_without_workers_nothing_is_loaded_ahead() -> None:
    dataset = Watched(3)
    with iter(DataLoader(list[int]).workers(0).build(dataset)).start() as batches:
        assert dataset.read == []
        assert list(batches) == [[0], [1], [2]]
        assert batches.stats().ready == ()


@pytest.mark.parametrize("begun", [False, True])
def test_an_iterator_that_is_closed_starts_nothing(begun: bool) -> None:
    before = threading.active_count()
    dataset = Watched(9, held=1)
    batches = iter(DataLoader(list[int]).workers(2).prefetch(4).build(dataset))
    if begun:
        batches.start()
        dataset.wait_for(2)
        dataset.go_on.set()
    batches.close()
    check_no_threads(before)
    with pytest.raises(ClosedError, match="closed"):
        batches.start()
    check_no_threads(before)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_close_between_the_start_and_the_first_next_leaves_nobody_waiting(prefetch: int) -> None:
    batches: Any = iter(DataLoader(list[int]).workers(1).prefetch(prefetch).build(Watched(9))).start()
    window = batches._source
    # As if another thread closed the iterator when `next` had looked at it already.
    batches.close()
    with pytest.raises(ClosedError):
        window.take()


def test_an_iterator_that_is_dropped_before_its_first_batch_leaves_no_thread() -> None:
    before = threading.active_count()
    dataset = Watched(9)
    batches = iter(DataLoader(list[int]).workers(2).prefetch(4).build(dataset)).start()
    dataset.wait_for(4)
    assert threading.active_count() > before
    del batches
    gc.collect()
    check_no_threads(before)


class Abort(BaseException):
    """An error of a row that is no `Exception`."""


@pytest.mark.parametrize("kind", [OSError, Abort])
def test_errors_arrive_at_the_first_next(kind: type[BaseException]) -> None:
    class Failing(Watched):
        def at_epoch(self, epoch: int) -> Failing:
            opened.set()
            raise kind("no such epoch")

    opened = threading.Event()
    with iter(DataLoader(list[int]).workers(1).epochs(2).build(Failing(3))).start() as batches:
        assert opened.wait(20)
        for _ in range(2):
            with pytest.raises(kind, match="no such epoch"):
                next(batches)
            # Nothing is loaded before `set_state`.
            batches.start()
        batches.set_state(batches.get_state())
        opened.clear()
        batches.start()
        assert opened.wait(20)


def test_workers_that_cannot_be_set_up_are_an_error_of_the_first_next(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = DataLoader(list[int]).workers(1, kind="process").build(elsewhere.Numbers(3))

    def refuse(setting: str) -> Any:
        raise TypeError(f"{setting} cannot send a setting")

    with monkeypatch.context() as patched, iter(loader) as batches:
        patched.setattr(process, "jax_settings", refuse)
        batches.start()
        with pytest.raises(TypeError, match="cannot send a setting"):
            next(batches)
        patched.undo()
        assert list(batches) == [[0], [1], [2]]


def test_a_thread_that_cannot_be_started_is_an_error_of_the_next_and_no_deadlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(team: Team, count: int) -> None:
        raise RuntimeError("can't start new thread")

    with iter(DataLoader(list[int]).workers(2).build(range(3))) as batches:
        with monkeypatch.context() as patched:
            patched.setattr(Team, "start", refuse)
            batches.start()
            for _ in range(2):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    next(batches)
        assert list(batches) == [[0], [1], [2]]


def test_an_interrupt_while_starting_is_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(team: Team, count: int) -> None:
        raise KeyboardInterrupt

    with iter(DataLoader(list[int]).workers(2).build(range(3))) as batches:
        with monkeypatch.context() as patched:
            patched.setattr(Team, "start", interrupt)
            with pytest.raises(KeyboardInterrupt):
                batches.start()
        assert list(batches) == [[0], [1], [2]]


def test_a_dataset_that_starts_its_own_iterator_is_an_error_and_no_deadlock() -> None:
    class Asking(Watched):
        def __getitem__(self, row: int) -> int:
            batches.start()
            return row

    batches = iter(DataLoader(list[int]).build(Asking(3)))
    with pytest.raises(RuntimeError, match=r"start\(\) of this iterator was called while this thread is inside"):
        next(batches)


def test_statistics_begin_with_the_first_next() -> None:
    dataset = Watched(9, held=0)
    batches: Any = iter(DataLoader(list[int]).workers(1).prefetch(2).build(dataset))
    with batches.start():
        dataset.wait_for(1)
        # As if compilation took this long.
        time.sleep(0.2)
        dataset.go_on.set()
        until(lambda: is_idle(batches))
        assert batches.stats().elapsed == batches.stats().waited == 0
        for taken in range(9):
            assert next(batches) == [taken]
            until(lambda: is_idle(batches))
        stats = batches.stats()
    assert stats.first_busy >= 0.2, "which workers did meanwhile"
    assert stats.elapsed < stats.first_busy
    assert stats.first_wait < 0.5 * stats.first_busy
    # The first batch, too, was ready when it was asked for; at the end, fewer are left to be ready.
    assert stats.ready == (0, 1, 8)
    assert stats.busy_share < 1


def test_an_interrupt_before_the_workers_start_leaves_no_source_without_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = threading.active_count()
    watch, interrupts = REAPER.watch, [KeyboardInterrupt()]

    def watched(owner: object, call: Callable[[], object]) -> Any:
        # Ctrl-C, while the thread that watches for dropped iterators starts.
        if interrupts:
            raise interrupts.pop()
        return watch(owner, call)

    monkeypatch.setattr(REAPER, "watch", watched)
    with iter(DataLoader().workers(2).batch_size(2).build(range(6))) as batches:
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        assert batches._source is None
        assert [batch.tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5]]
    check_no_threads(before)
