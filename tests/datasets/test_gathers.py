"""Gathers of datasets that read others: every way through them gives the same batch, in memory of the loader."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import StackBatcher, aligned_empty, take_rows, tree
from loadax_core.testing import check_same
from loadax_datasets import ArrayDataset, BaseDataset, ConcatenatedDataset, TokenDataset


class Pair(NamedTuple):
    x: Any
    y: Any


def arrays(rows: int, start: int) -> Pair:
    numbers = np.arange(start, start + rows)
    return Pair(numbers[:, None] * np.ones(3, np.float32), {"y": numbers.astype(">i4"), "z": (numbers, None)})


def strided(rows: int, start: int) -> Pair:
    pair = arrays(2 * rows, start)
    return Pair(pair.x[::2, ::-1], {"y": pair.y["y"][::2], "z": (pair.y["z"][0][::-2], None)})


KINDS: dict[str, Callable[[int, int], BaseDataset[Any]]] = {
    "arrays": lambda n, start: ArrayDataset(arrays(n, start)),
    "strided": lambda n, start: ArrayDataset(strided(n, start)),
    "shuffled": lambda n, start: ArrayDataset(arrays(n, start)).shuffle(seed=start),
    "joined": lambda n, start: ArrayDataset(arrays(n // 2, start)) + ArrayDataset(strided(n - n // 2, start)),
    "mixed": lambda n, start: ArrayDataset(arrays(n + 1, start)).mix(ArrayDataset(strided(n + 1, start)))[:n],
    # Nobody knows what its batches look like before it is read.
    "mapped": lambda n, start: ArrayDataset(arrays(n, start)).map(lambda batch: batch, vectorized=True),
}


def check_gathers(dataset: BaseDataset[Any], rows: list[int]) -> None:
    """Checks that a gather is the stack of the items, and lies in memory that was asked for."""
    asked: list[Any] = []

    def alloc(shape: tuple[int, ...], dtype: Any, /) -> Any:
        asked.append(aligned_empty(shape, dtype))
        return asked[-1]

    assert dataset.gather is not None
    expected = StackBatcher()([dataset[row] for row in rows])
    batch = dataset.gather(np.array(rows, np.int64), alloc)
    check_same(batch, expected, f"a gather of {rows}")
    assert all(any(leaf is array for array in asked) for _, leaf in tree.leaves(batch))
    check_same(list(dataset.read_many(rows)), [dataset[row] for row in rows], f"items of {rows}")


@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4),
    lengths=st.lists(st.integers(0, 9), min_size=4, max_size=4),
    data=st.data(),
)
def test_concatenations(kinds: list[str], lengths: list[int], data: st.DataObject) -> None:
    parts = [KINDS[kind](n, 100 * i) for i, (kind, n) in enumerate(zip(kinds, lengths, strict=False))]
    rows = ConcatenatedDataset[Any](*parts)
    if not len(rows):
        return
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
    check_gathers(rows, wanted)
    start = data.draw(st.integers(0, len(rows) - 1))
    stop = data.draw(st.integers(start + 1, len(rows)))
    check_gathers(rows, list(range(start, stop)))
    stacked = StackBatcher()([rows[row] for row in range(start, stop)])
    check_same(rows.gather_range(range(start, stop), aligned_empty), stacked, "a gather of neighbours")


@given(
    kinds=st.lists(st.sampled_from(sorted(set(KINDS) - {"mixed"})), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    weights=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    until=st.sampled_from(["first", "all"]),
    data=st.data(),
)
def test_mixtures(kinds: list[str], lengths: list[int], weights: list[int], until: Any, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loadax_datasets.orders.alternation.WINDOW", 16)
        parts = [KINDS[kind](n, 100 * i) for i, (kind, n) in enumerate(zip(kinds, lengths, strict=False))]
        rows = (
            parts[0].mix(*parts[1:], weights=weights[: len(parts)], until=until).at_epoch(data.draw(st.integers(0, 2)))
        )
        if not len(rows):
            return
        wanted = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=20))
        check_gathers(rows, wanted)
        start = data.draw(st.integers(0, len(rows) - 1))
        stop = data.draw(st.integers(start + 1, len(rows)))
        check_gathers(rows, list(range(start, stop)))
        stacked = StackBatcher()([rows[row] for row in range(start, stop)])
        check_same(rows.gather_range(range(start, stop), aligned_empty), stacked, "a gather of neighbours")
        nested = rows.shuffle(seed=1) + rows
        check_gathers(nested, [row % len(nested) for row in wanted])
        check_same(list(pickle.loads(pickle.dumps(rows))) if "mapped" not in kinds else list(rows), list(rows))


@pytest.mark.parametrize("stride", [1, 3, 4, 7])
@pytest.mark.parametrize("targets", [True, False])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_windows_of_tokens(stride: int, targets: bool, dtype: str) -> None:
    tokens = np.arange(100, dtype=dtype)
    windows = TokenDataset(tokens, 4, stride=stride, targets=targets)
    check_gathers(windows, [0, 5, len(windows) - 1, 5])
    check_gathers(windows, list(range(2, 9)))
    check_gathers(windows + windows.shuffle(seed=1), [1, len(windows) + 1, 3, 2 * len(windows) - 1])
    check_gathers(windows.mix(windows, weights=[2, 1]), list(range(10)))
    whole = StackBatcher()(list(windows))
    check_same(windows.gather_range(range(len(windows)), aligned_empty), whole)
    check_same(pickle.loads(pickle.dumps(windows)).gather(np.arange(len(windows)), aligned_empty), whole)


def test_a_gather_of_tokens_makes_no_temporary_copy() -> None:
    windows = TokenDataset(np.zeros(1 << 22, np.uint16), 1 << 14)
    rows = np.arange(255)[::-1]
    out = {"tokens": np.empty((255, 1 << 14), np.uint16), "targets": np.empty((255, 1 << 14), np.uint16)}
    memory = iter(out.values())
    tracemalloc.start()
    windows.gather(rows, lambda shape, dtype: next(memory))
    assert tracemalloc.get_traced_memory()[1] < 100_000, "a batch has 8 MB"
    tracemalloc.stop()


@pytest.mark.parametrize("read", ["gather", "fill"])
def test_an_array_that_is_not_aligned_is_not_copied_as_a_whole(read: str) -> None:
    """`take` copies such an array before it takes a row of it."""
    array = np.frombuffer(bytes(8_000_001), np.uint8)[1:].view(np.float64)
    array = np.frombuffer(array.data, np.float64) if array.flags.aligned else array
    rows = ArrayDataset[Any](array[1:]) + ArrayDataset[Any](np.zeros(3)) if read == "fill" else ArrayDataset[Any](array)
    assert not array.flags.aligned
    wanted = np.array([7, len(rows) - 1, 3])
    tracemalloc.start()
    assert rows.gather is not None
    rows.gather(wanted, aligned_empty)
    take_rows(array, wanted - 3, aligned_empty)
    assert tracemalloc.get_traced_memory()[1] < 100_000, "the array has 8 MB"
    tracemalloc.stop()


def test_a_subclass_that_reads_another_way_is_not_passed_by() -> None:
    """The short cut of a concatenation writes rows straight from arrays, which knows nothing of a subclass."""

    class Negative(ArrayDataset[Any]):
        def read(self, row: int) -> Any:
            return -super().read(row)

    class Halved(ArrayDataset[Any]):
        @property
        def gather(self) -> Any:
            return self._halved

        def _halved(self, rows: Any, alloc: Any) -> Any:
            return self._take(rows, alloc) // 2

    one, two = np.arange(4), np.arange(10, 14)
    negative = Negative(one) + ArrayDataset[Any](two)
    assert negative.gather is None
    assert list(negative) == [0, -1, -2, -3, 10, 11, 12, 13]
    halved = Halved(one) + ArrayDataset[Any](two)
    assert halved.gather is not None
    assert halved.gather(np.array([3, 4]), aligned_empty).tolist() == [1, 10]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(10).astype("M8[ns]"),
        np.arange(20).astype("m8[s]").reshape(10, 2),
        np.array([f"word {i}" for i in range(10)]),
        np.array([[b"a", b"bcd"]] * 10),
        np.zeros((10, 2, 3, 4), np.complex64) + np.arange(10)[:, None, None, None],
        np.full((10, 3), np.nan, np.float16),
        np.zeros((10, 0)),
        np.zeros(10, [("a", "i4"), ("b", "f8", (2,))]),
        np.ones((10, 1), bool),
    ],
    ids=lambda array: f"{array.dtype} {array.shape[1:]}",
)
def test_arrays_of_every_dtype_are_joined(array: Any) -> None:
    part = ArrayDataset[Any](array)
    check_gathers(part + part.shuffle(seed=1), [0, 19, 5, 12, 3])
    check_gathers(part.mix(part, seed=1), list(range(1, 9)))


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_of_one_token(stride: int) -> None:
    windows = TokenDataset(np.arange(20, dtype=np.uint16), 1, stride=stride)
    check_gathers(windows, [3, 0, len(windows) - 1])
    check_gathers(windows + windows, [3, len(windows) + 1, 0])


class Growing(ArrayDataset[Any]):
    """Rows that are computed from epoch 1 on, and so have no arrays to copy from."""

    def at_epoch(self, epoch: int, /) -> BaseDataset[Any]:
        return self.map(lambda batch: batch + epoch, vectorized=True) if epoch else self


@pytest.mark.parametrize("until", ["first", "all"])
def test_a_source_may_be_of_another_kind_in_another_epoch(until: Any) -> None:
    growing, plain = Growing(np.arange(6)), ArrayDataset[Any](np.arange(100, 140))
    mixture = growing.mix(plain, until=until)
    joined = growing + plain
    for epoch in (0, 1, 2):
        check_gathers(mixture.at_epoch(epoch), list(range(len(mixture))))
        check_gathers(joined.at_epoch(epoch), [0, 7, 3, 30])
