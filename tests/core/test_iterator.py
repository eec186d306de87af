from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader
from loadax_core.testing import check_loader, check_same

WORKERS = [(0, 0), (1, 0), (1, 1), (1, 3), (2, 0), (3, 2), (4, 8)]


def values(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


class Watched:
    """Integers whose reads are seen by the test, and can be held back by it."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.read: set[int] = set()
        self.changed = threading.Condition()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        with self.changed:
            self.read.add(row)
            self.changed.notify_all()
        return row

    def wait_for(self, rows: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.read) >= rows, timeout=20)


class Meeting:
    """Slow rows that can only be read together: each read waits until `parties` of them are under way."""

    def __init__(self, rows: int, parties: int) -> None:
        self.rows = rows
        self.barrier = threading.Barrier(parties, timeout=20)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        threading.Event().wait(0.002)
        self.barrier.wait()
        return row


@pytest.mark.parametrize(("workers", "prefetch"), WORKERS)
@pytest.mark.parametrize("items", ["gathered", "read"])
def test_order_and_contract_hold_for_any_workers(workers: int, prefetch: int, items: str) -> None:
    dataset: Any = np.arange(23) if items == "gathered" else list(range(23))
    builder = DataLoader().batch_size(5).workers(workers).prefetch(prefetch).epochs(2)
    loader = builder.build(dataset)
    assert values(loader) == [list(range(i, min(i + 5, 23))) for _ in range(2) for i in range(0, 23, 5)]
    check_loader(loader)


def test_iterators_of_one_loader_are_independent() -> None:
    loader = DataLoader().batch_size(2).workers(2).build(range(8))
    with iter(loader) as a, iter(loader) as b:
        assert [next(a).tolist(), next(a).tolist()] == [[0, 1], [2, 3]]
        assert next(b).tolist() == [0, 1]
        assert values(a) == [[4, 5], [6, 7]]
        assert values(b) == [[2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_prefetch_keeps_exactly_that_many_batches_ready(prefetch: int) -> None:
    dataset = Watched(20)
    with iter(DataLoader(list[int]).batch_size(2).workers(2).prefetch(prefetch).build(dataset)) as batches:
        for step in range(10):
            next(batches)
            dataset.wait_for(min(20, 2 * (step + 1 + prefetch)))
            assert max(dataset.read) < 2 * (step + 1 + prefetch)


def test_workers_share_the_items_of_one_batch() -> None:
    loader = DataLoader(list[int]).batch_size(4).workers(4).prefetch(0).build(Meeting(12, 4))
    assert list(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_workers_load_several_batches_at_once() -> None:
    loader = DataLoader(list[int]).workers(3).prefetch(2).build(Meeting(3, 3))
    assert list(loader) == [[0], [1], [2]]


def test_two_workers_need_half_the_time_of_one() -> None:
    class Slow(Watched):
        def __getitem__(self, row: int) -> int:
            threading.Event().wait(0.04)
            return row

    def seconds(workers: int) -> float:
        with iter(DataLoader().batch_size(2).workers(workers).build(Slow(10))) as batches:
            assert values(batches) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
            return batches.stats().elapsed

    assert seconds(2) < 0.65 * seconds(1)


def test_prefetch_without_a_number_fills_its_memory_budget() -> None:
    def ready(megabytes: int) -> int:
        rows = np.zeros((100, megabytes, 2**20), np.uint8)[:, :, :1]
        dataset = Watched(100)

        def batcher(items: list[int]) -> Any:
            # As large as the budget sees it, without the memory: a view of one byte.
            return np.broadcast_to(rows[items[0], 0], (megabytes * 2**20,))

        with iter(DataLoader(batcher).prefetch().build(dataset)) as batches:
            next(batches)
            expected = 1 + min(max(2, 64 // megabytes), 64)
            dataset.wait_for(expected)
            # It is filled up again by the quarter.
            used = max(1, (expected - 1) // 4)
            for _ in range(used):
                next(batches)
            dataset.wait_for(expected + used)
            return len(dataset.read) - 1 - used

    assert [ready(size) for size in (64, 8, 1)] == [2, 8, 64]


def test_the_caller_does_not_help_with_batches_that_take_long() -> None:
    def batcher(items: list[int]) -> str:
        threading.Event().wait(0.005)
        return threading.current_thread().name

    batches = iter(DataLoader(batcher).workers(2).prefetch(4).build(range(20)))
    assert {name.split("-")[0] for name in batches} == {"loadax"}


def test_epochs_run_on_and_can_be_viewed_one_by_one() -> None:
    class Rotating(Watched):
        def at_epoch(self, epoch: int) -> Any:
            return [(row + epoch) % self.rows for row in range(self.rows)]

    for workers in (0, 2):
        builder = DataLoader().batch_size(3).workers(workers)
        epochs = [[[0, 1, 2], [3]], [[1, 2, 3], [0]], [[2, 3, 0], [1]]]
        stream = [batch for epoch in epochs for batch in epoch]
        assert values(builder.epochs(3).build(Rotating(4))) == stream
        one = builder.build(Rotating(4))
        assert [values(one.epoch(e)) for e in range(3)] == epochs
        assert values(one) == values(one) == epochs[0]
        endless = iter(builder.epochs(None).build(Rotating(4)))
        assert [next(endless).tolist() for _ in range(6)] == stream


def test_wrong_epochs_are_refused() -> None:
    loader = DataLoader().build([1])
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        loader.epoch(-1)
    with pytest.raises(TypeError, match="epoch must be an integer"):
        loader.epoch(1.0)  # pyright: ignore[reportArgumentType]


def test_an_empty_dataset_has_no_batches() -> None:
    for workers in (0, 2):
        assert list(DataLoader().workers(workers).build([])) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_a_closed_iterator_says_so(workers: int) -> None:
    with iter(DataLoader().workers(workers).build(range(9))) as batches:
        next(batches)
    batches.close()
    with pytest.raises(ClosedError, match=r"closed; iter\(loader\) starts a new one"):
        next(batches)
    with pytest.raises(ClosedError):
        batches.set_state(batches.get_state())
    assert batches.get_state()["row"] == 1
    assert batches.stats().batches == 1
    assert "closed" in repr(batches)


@pytest.mark.parametrize("workers", [0, 3])
def test_threads_that_share_an_iterator_get_each_batch_once(workers: int) -> None:
    with iter(DataLoader(list[int]).batch_size(3).workers(workers).build(range(600))) as batches:
        taken: list[list[int]] = []
        threads = [threading.Thread(target=lambda: taken.extend(batches)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(taken) == [[i, i + 1, i + 2] for i in range(0, 600, 3)]


@pytest.mark.parametrize("workers", [0, 2])
def test_stats_count_what_was_yielded(workers: int) -> None:
    with iter(DataLoader().batch_size(4).workers(workers).build(list(range(10)))) as batches:
        assert batches.stats().wait_share == batches.stats().rows_per_second == 0
        assert len(list(batches)) == 3
        stats = batches.stats()
    assert (stats.batches, stats.rows) == (3, 10)
    assert 0 < stats.waited <= stats.elapsed
    assert min(stats.reading, stats.batching) > 0
    assert str(stats).startswith("3 batches, 10 rows in ")


def test_a_run_that_is_longer_than_a_length_can_say() -> None:
    loader = DataLoader().epochs(10**9).build(range(10**12))
    with pytest.raises(OverflowError, match=f"cannot return {10**21}, the number of batches of this run; see loader"):
        len(loader)
    batches = iter(loader)
    assert batches.__length_hint__() == sys.maxsize
    assert (next(batches), batches.steps_left) == ([0], 10**21 - 1)


def test_length_hint_is_what_is_left() -> None:
    batches = iter(DataLoader().batch_size(4).epochs(2).build(range(10)))
    assert batches.__length_hint__() == 6
    next(batches)
    assert batches.__length_hint__() == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_not_shared(workers: int) -> None:
    """Writing into a batch, and holding all of them, changes no other."""
    loader = DataLoader().batch_size(3).workers(workers).build(np.arange(30.0))
    held: list[Any] = []
    for batch in loader:
        held.append(batch)
        batch += 100
    check_same(np.concatenate(held), np.arange(30.0) + 100)


def test_the_epoch_of_the_next_batch() -> None:
    batches = iter(DataLoader().batch_size(2).epochs(2).build(range(4)))
    epochs: list[int] = []
    while batches.steps_left:
        epochs.append(batches.epoch)
        next(batches)
    assert (epochs, batches.epoch) == ([0, 0, 1, 1], 2)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_iterator_cannot_be_doubled(workers: int, double: Callable[[Any], Any]) -> None:
    batches = iter(DataLoader().workers(workers).build(range(4)))
    next(batches)
    with pytest.raises(TypeError, match=r"neither copied nor pickled; keep its get_state\(\)"):
        double(batches)
