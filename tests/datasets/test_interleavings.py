"""What threads share: a read gives the same, wherever another thread comes in between.

Datasets keep what they computed (blocks of orders, indexes, caches). A thread that is preempted between a look at it
and the decision that follows must not see another order than a single thread does.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import loadax_datasets
import numpy as np
import pytest
from loadax_core import DataLoader, aligned_empty
from loadax_core.testing import check_same
from loadax_datasets import ArrayDataset, BaseDataset, InMemoryDataset, RangeDataset, TokenDataset
from loadax_datasets.forks import ForkLock
from loadax_datasets.orders.block_order import BlockOrder
from loadax_datasets.orders.permutation import BLOCK, Permutation

HERE = str(Path(loadax_datasets.__file__).parent)


def interrupted(call: Callable[[], Any], other: Callable[[], Any], place: int) -> tuple[Any, bool]:
    """Calls `call`, and in the middle of it `other` in another thread.

    Places where this thread holds a lock do not count: the other thread would wait until it is released.

    Args:
        call: Runs in this thread.
        other: Runs in another one.
        place: Before which line of the package, as `call` comes by them, counted from 0.

    Returns:
        What `call` returned, and whether it came by the place.
    """
    seen = 0
    beside: list[threading.Thread] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        if event == "line" and not _holds_lock(frame):
            if seen == place:
                sys.settrace(None)
                beside.append(threading.Thread(target=other))
                beside[0].start()
                beside[0].join()
            seen += 1
        return None if beside else trace

    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(None)
    return result, bool(beside)


def _holds_lock(frame: FrameType | None) -> bool:
    """Whether a method on the stack belongs to an object whose lock is taken."""
    while frame is not None:
        lock = getattr(frame.f_locals.get("self"), "_lock", None)
        if isinstance(lock, ForkLock):
            lock = lock.held()
        if lock is not None and lock.locked():
            return True
        frame = frame.f_back
    return False


def check_everywhere(make: Callable[[], Any], call: Callable[[Any], Any], other: Callable[[Any], Any]) -> int:
    """Interrupts `call` of a new object at every place; returns how many places there are."""
    expected = call(make())
    place, reached = 0, True
    while reached:
        shared = make()
        result, reached = interrupted(lambda s=shared: call(s), lambda s=shared: other(s), place)
        check_same(result, expected, f"what a thread reads that is interrupted at place {place}")
        check_same(call(shared), expected, f"what is read after an interruption at place {place}")
        place += 1
    return place


class Twice(Permutation):
    """Decides by a second look, as orders once did: a block that came in between is not read from."""

    def at(self, row: int) -> int:
        if any(index == 0 for index, _ in self._blocks):
            return super().at(row)
        return -1 if self._blocks else super().at(row)


def test_a_second_look_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "HERE", str(Path(__file__).parent))
    with pytest.raises(AssertionError, match="is interrupted at place"):
        check_everywhere(lambda: Twice(1000, seed=1), lambda order: order.at(5), lambda order: order(range(1000)))


@pytest.mark.parametrize("length", [100, 1 << 14, (1 << 14) + 1, BLOCK + 10])
def test_an_order_follows_from_its_length(length: int) -> None:
    def all_rows(order: Permutation) -> Any:
        return order(range(min(length, BLOCK)))

    whole = Permutation(length, seed=3)(np.arange(length))
    reads: list[Callable[[Permutation], Any]] = [
        lambda order: order.at(5),
        lambda order: order(np.array([5, 7, length - 1])),
        lambda order: order(range(5, 9)),
    ]
    for read in reads:
        assert check_everywhere(lambda: Permutation(length, seed=3), read, all_rows) > 5
    assert Permutation(length, seed=3).at(5) == whole[5]


def test_a_block_order_is_the_same() -> None:
    check_everywhere(
        lambda: BlockOrder(1000, 1, 0, 8, 4), lambda order: order.at(37), lambda order: order(np.arange(1000))
    )


def add_noise(x: Any, rng: np.random.Generator) -> Any:
    return x + rng.integers(1000)


def is_third(x: int) -> bool:
    return x % 3 == 0


def double(x: Any) -> Any:
    return x * 2


numbers, others = RangeDataset(4000), RangeDataset(9000, 12_000)
arrays = ArrayDataset({"x": np.arange(8000, dtype=np.float32).reshape(4000, 2), "y": np.arange(4000)})
weights = np.arange(4000) % 7

DATASETS: dict[str, Callable[[], BaseDataset[Any]]] = {
    "arrays": lambda: arrays,
    "tokens": lambda: TokenDataset(np.arange(8 * 4000 + 1), 8),
    "in memory": lambda: InMemoryDataset(list(range(4000))),
    "shuffle": lambda: numbers.shuffle(seed=1),
    "long shuffle": lambda: RangeDataset(70_000).shuffle(seed=1).frozen()[64_000:68_000],
    "shuffle of a shuffle": lambda: numbers.shuffle(seed=1).shuffle(seed=1),
    "block shuffle": lambda: numbers.shuffle(seed=1, block=16, window=4),
    "slice": lambda: numbers[3000:10:-1].shuffle(seed=1),
    "select": lambda: numbers.select(list(range(0, 4000, 3))).shuffle(seed=1),
    "frozen": lambda: numbers.shuffle(seed=1).frozen(2)[3000:10:-1],
    "split": lambda: numbers.random_split([0.5, 0.5], seed=1)[1],
    "sample": lambda: numbers.sample(3000, seed=1),
    "sample with replacement": lambda: numbers.sample(3000, seed=1, replace=True),
    "weighted sample": lambda: numbers.sample(3000, seed=1, weights=weights),
    "weighted sample with replacement": lambda: numbers.sample(3000, seed=1, replace=True, weights=weights),
    "repeat": lambda: numbers.shuffle(seed=1).repeat(2),
    "pad": lambda: numbers.shuffle(seed=1).pad_to_multiple(64),
    "concat": lambda: numbers.shuffle(seed=1) + others.shuffle(seed=1),
    "zip": lambda: numbers.shuffle(seed=1).zip(arrays.shuffle(seed=2)),
    "mix": lambda: numbers.shuffle(seed=1).mix(others.shuffle(seed=1), weights=[2, 1], seed=1),
    "mix of all": lambda: numbers.shuffle(seed=1).mix(RangeDataset(150).shuffle(seed=1), seed=1, until="all"),
    "map": lambda: numbers.shuffle(seed=1).map(double),
    "vectorized map": lambda: numbers.shuffle(seed=1).map(double, vectorized=True),
    "random map": lambda: numbers.shuffle(seed=1).random_map(add_noise, seed=1),
    "cast": lambda: arrays.cast({"x": np.float16}).shuffle(seed=1),
    "filter": lambda: numbers.filter(is_third).shuffle(seed=1),
    "cache": lambda: numbers.map(double).cache().shuffle(seed=1),
    "retry": lambda: numbers.retry(2).shuffle(seed=1),
    "tolerate": lambda: numbers.map(fail_at_1300).tolerate(1, on=FailingError).shuffle(seed=1),
}


def read_three_ways(dataset: BaseDataset[Any]) -> Any:
    few = np.array([1000, 3, 997])
    gathered = None if dataset.gather is None else dataset.gather(few, aligned_empty)
    return dataset[-1], dataset.read_many(few.tolist()), gathered


def read_much(dataset: BaseDataset[Any]) -> None:
    rows = np.arange(0, len(dataset), 7)
    dataset.read_many(rows.tolist())
    if dataset.gather is not None:
        dataset.gather(rows, aligned_empty)


@pytest.mark.parametrize("name", DATASETS)
def test_reads_of_every_dataset_are_the_same(name: str) -> None:
    assert check_everywhere(DATASETS[name], read_three_ways, read_much) > 1


@contextmanager
def hasty_threads() -> Generator[None, None, None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def batches_of(dataset: BaseDataset[Any], workers: int) -> list[Any]:
    """The batches of two epochs."""
    loader = DataLoader().batch_size(97).epochs(2)
    loader = loader.workers(workers).prefetch(8) if workers else loader
    return list(loader.build(dataset))


@pytest.mark.parametrize("name", DATASETS)
def test_loaders_give_what_one_thread_gives(name: str) -> None:
    expected = batches_of(DATASETS[name](), workers=0)
    with hasty_threads():
        for _ in range(3):
            check_same(batches_of(DATASETS[name](), workers=4), expected, "batches of 4 workers")


class FailingError(Exception):
    """An error of the dataset's own."""


def fail_at_1300(x: int) -> int:
    if x == 1300:
        raise FailingError(f"no item {x}")
    return x


def outcome_of(dataset: BaseDataset[Any], workers: int) -> tuple[list[Any], list[str], str]:
    """The batches up to an error, its notes, and what it says."""
    loader = DataLoader().batch_size(97).epochs(2)
    loader = loader.workers(workers).prefetch(8) if workers else loader
    batches: list[Any] = []
    with iter(loader.build(dataset)) as iterator, pytest.raises(FailingError) as caught:
        batches.extend(iterator)
    return batches, getattr(caught.value, "__notes__", []), str(caught.value)


ERRORS: dict[str, Callable[[], BaseDataset[Any]]] = {
    "shuffle": lambda: numbers.map(fail_at_1300).shuffle(seed=1),
    "map of a shuffle": lambda: numbers.shuffle(seed=1).map(fail_at_1300),
    "sample": lambda: numbers.map(fail_at_1300).sample(4000, seed=1),
    "concat": lambda: others.shuffle(seed=1) + numbers.map(fail_at_1300).shuffle(seed=1),
    "mix": lambda: numbers.map(fail_at_1300).shuffle(seed=1).mix(others, weights=[5, 1], seed=1, until="all"),
    "cache": lambda: numbers.map(fail_at_1300).cache().shuffle(seed=1),
    "retry": lambda: numbers.map(fail_at_1300).retry(2, on=(FailingError,), backoff=0).shuffle(seed=1),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_loaders_are_what_one_thread_gives(name: str) -> None:
    batches, notes, message = outcome_of(ERRORS[name](), workers=0)
    assert "no item 1300" in message
    with hasty_threads():
        for _ in range(2):
            again, others, text = outcome_of(ERRORS[name](), workers=4)
            check_same(again, batches, "batches before the error")
            assert (others, text) == (notes, message)
