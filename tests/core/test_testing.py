"""The contract checks catch what they are for."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.testing import check_dataset, check_loader, check_no_threads, check_same


class Good:
    """Rows of an array, in every way that they may be read."""

    def __init__(self, rows: int = 10) -> None:
        self.values = np.arange(rows, dtype=np.float32) * 2

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        return self.values[row]

    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self[row] for row in rows]

    def gather(self, rows: Any, alloc: Any) -> Any:
        if rows.dtype.kind not in "iu":
            raise TypeError
        if rows.min() < 0 or rows.max() >= len(self):
            raise IndexError
        return self.values[rows]

    def at_epoch(self, epoch: int) -> Good:
        return self

    def fingerprint(self) -> dict[str, Any]:
        return {"rows": len(self)}


class Unrepeatable(Good):
    calls = itertools.count()

    def __getitem__(self, row: int) -> Any:
        return np.float32(next(self.calls))


class WrongItems(Good):
    def __getitems__(self, rows: list[int]) -> list[Any]:
        return [self[row] for row in sorted(rows)]


class WrongDtype(Good):
    def gather(self, rows: Any, alloc: Any) -> Any:
        return super().gather(rows, alloc).astype(np.float64)


class WrapsNegativeRows(Good):
    def gather(self, rows: Any, alloc: Any) -> Any:
        return self.values[rows]


class WithRanges(Good):
    def gather_range(self, rows: range, alloc: Any) -> Any:
        return self.gather(np.array(self.read_range(rows), np.int64) // 2, alloc)

    def read_range(self, rows: range) -> Any:
        return [self[row] for row in self.checked(rows)]

    def checked(self, rows: range) -> range:
        if rows.start < 0 or rows.stop > len(self):
            raise IndexError
        return rows


class WrongRangeOfItems(WithRanges):
    def read_range(self, rows: range) -> Any:
        return super().read_range(rows)[::-1]


class WrongRange(WithRanges):
    def gather_range(self, rows: range, alloc: Any) -> Any:
        return super().gather_range(self.checked(rows), alloc) + 1


class AnyRange(WithRanges):
    def checked(self, rows: range) -> range:
        return range(max(0, rows.start), min(rows.stop, len(self)))


class Unpicklable(Good):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class ForgetsEpochZero(Good):
    def at_epoch(self, epoch: int) -> Good:
        other = ForgetsEpochZero()
        other.values = self.values + epoch
        return other


class GrowsWithTheEpoch(Good):
    def at_epoch(self, epoch: int) -> Good:
        return GrowsWithTheEpoch(10 + epoch)


class TupleFingerprint(Good):
    def fingerprint(self) -> dict[str, Any]:
        return {"shape": (1, 2)}


def test_what_is_no_dataset_and_no_loader_is_refused() -> None:
    class NoLength:
        def __getitem__(self, row: int) -> int:
            return row

    loader = DataLoader().build(Good())
    datasets: list[tuple[Any, str]] = [
        (Good, r"Good is a class; give a dataset, such as Good\(\.\.\.\)"),
        (NoLength(), r" has no len\(\)"),
        ({"x": np.zeros(3)}, "has keys, not rows"),
        (loader, "check_loader checks a loader"),
    ]
    for wrong, message in datasets:
        with pytest.raises(TypeError, match=message):
            check_dataset(wrong)
    loaders: list[Any] = [Good(), DataLoader(), iter(loader)]
    for wrong in loaders:
        with pytest.raises(TypeError, match="check_loader takes what build returned, got "):
            check_loader(wrong)


def test_a_gather_that_no_loader_calls_is_found() -> None:
    class NoMemory:
        """Its `gather` takes the rows alone, as that of another library does."""

        def __len__(self) -> int:
            return 3

        def __getitem__(self, row: int) -> int:
            return row

        def gather(self, rows: Any) -> Any:
            return rows

    class NoMemoryHere(NoMemory):
        rowwise = True

    check_dataset(NoMemory(), pickled=False)
    with pytest.raises(AssertionError, match=r"gather does not take \(rows, alloc\), so no loader calls it"):
        check_dataset(NoMemoryHere(), pickled=False)


def test_a_good_dataset_passes() -> None:
    check_dataset(Good())
    check_dataset(Good(0))
    check_dataset([{"a": 1, "b": "x"}] * 3)
    check_dataset(np.arange(5))
    check_dataset(Good(), rows=[3, 1])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Unrepeatable(), "a second read's items differ"),
        (WrongItems(), "items of __getitems__ differ"),
        (WrongDtype(), "gathered rows and stacked items differ at batch: dtype float64 is not float32"),
        (WrapsNegativeRows(), r"gather accepts the rows array\(\[-1\]\) of 10; it must raise IndexError"),
        (WrongRangeOfItems(), r"items of read_range of range\(0, 10\) differ"),
        (WrongRange(), r"gather_range of range\(0, 10\) and gather differ"),
        (AnyRange(), r"read_range accepts range\(-1, 1\) of 10 rows; it must raise IndexError"),
        (ForgetsEpochZero(), "epoch 0, asked for directly and by way of epoch 1, differ"),
        (GrowsWithTheEpoch(), "epoch 1 has 11 rows, not 10"),
        (TupleFingerprint(), r"fingerprint\(\) does not survive JSON"),
    ],
)
def test_a_broken_dataset_is_caught(dataset: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_dataset(dataset)


def test_a_good_dataset_with_ranges_passes() -> None:
    check_dataset(WithRanges())
    check_loader(DataLoader().batch_size(3).workers(2).epochs(2).build(WithRanges()))


def test_an_unpicklable_dataset_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"cannot be pickled, .*: cannot pickle .*; if only .* pickled=False"):
        check_dataset(Unpicklable())
    check_dataset(Unpicklable(), pickled=False)


def test_a_good_loader_passes() -> None:
    check_loader(DataLoader().batch_size(3).workers(2).epochs(2).build(Good()))


def test_a_good_loader_passes_whose_executor_starts_threads_as_it_goes() -> None:
    with ThreadPoolExecutor(3) as executor:
        check_loader(DataLoader().batch_size(3).workers(executor).build(Good()))


def test_a_loader_that_reuses_memory_is_caught() -> None:
    memory = np.zeros(2)

    def batcher(items: list[Any]) -> Any:
        memory[:] = items
        return memory

    with pytest.raises(AssertionError, match="differ at batch"):
        check_loader(DataLoader(batcher).batch_size(2).build(Good()))


def test_a_loader_that_does_not_repeat_itself_is_caught() -> None:
    with pytest.raises(AssertionError, match="a second run's batches differ"):
        check_loader(DataLoader(list[Any]).batch_size(2).build(Unrepeatable()))


def test_a_thread_that_stays_is_caught() -> None:
    before, end = threading.active_count(), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    try:
        with pytest.raises(AssertionError, match="forgotten"):
            check_no_threads(before, seconds=0.01)
    finally:
        end.set()
        thread.join()


@dataclass
class Named:
    name: str = field(metadata={"static": True})
    value: int


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        ({"a": 1}, {"b": 1}, r"differ in structure at batch: \["),
        ([(1,)], [[1]], r"differ in structure at batch\[0\]: a tuple is not a list"),
        ({"a": None}, {}, "differ in structure"),
        ({"a": []}, {"a": None}, r"differ in structure at batch\['a'\]: a list is not a NoneType"),
        ({0: 1}, [1], "a dict is not a list"),
        (1, [1], "an? int is not a list"),
        (Named("x", 1), Named("y", 1), "the static fields {'name': 'x'} are not {'name': 'y'}"),
        ([np.zeros(2)], [np.zeros(3)], r"batch\[0\]: shape \(2,\) is not \(3,\)"),
        (np.zeros(1), -np.zeros(1), "differ at batch"),
        (np.array(["a"], object), np.array(["b"], object), "differ at batch"),
    ],
)
def test_trees_that_differ_in_any_bit_are_told_apart(got: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_same(got, expected)


def test_equal_trees_are_equal() -> None:
    check_same({"a": [np.array([np.nan]), "x", None]}, {"a": [np.array([np.nan]), "x", None]})


class Rotated:
    """Rows whose order depends on an argument, of which the fingerprint may say nothing."""

    def __init__(self, start: int, *, told: bool) -> None:
        self.start, self.told = start, told

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> int:
        return (self.start + range(10)[row]) % 10

    def fingerprint(self) -> dict[str, Any]:
        return {"start": self.start} if self.told else {}


def test_a_fingerprint_tells_another_order_apart() -> None:
    check_dataset(Rotated(1, told=True), other=Rotated(2, told=True))
    check_dataset(Rotated(1, told=False))
    with pytest.raises(AssertionError, match=r"same fingerprint, \{'rows': 10\}, .* define Rotated.fingerprint\(\)"):
        check_dataset(Rotated(1, told=False), other=Rotated(2, told=False))
