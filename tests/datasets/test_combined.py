"""Concatenation and zip."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, StackBatcher, StackError, aligned_empty
from loadax_core.testing import check_same
from loadax_datasets import ArrayDataset, BaseDataset, ConcatenatedDataset, InMemoryDataset, RangeDataset, ZippedDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


class Pair(NamedTuple):
    x: Any
    y: Any


class Riap(NamedTuple):
    y: Any
    x: Any


def outcome_of(make: Callable[[list[int]], Any], order: list[int]) -> Any:
    """A batch, or where which of its items differ."""
    try:
        return make(order)
    except StackError as error:
        return str(error).split(": ")[0], error.items


def take(rows: BaseDataset[Any], order: list[int]) -> Any:
    assert rows.gather is not None
    return rows.gather(np.array(order), aligned_empty)


def test_concatenation(check_dataset: CheckDataset) -> None:
    parts = [RangeDataset(3), RangeDataset(0), RangeDataset(10, 14), RangeDataset(0)]
    expected = [0, 1, 2, 10, 11, 12, 13]
    check_dataset(ConcatenatedDataset(*parts), expected, gathers=True)
    check_dataset(RangeDataset(3) + RangeDataset(10, 14), expected, gathers=True)
    check_dataset(RangeDataset(3).concat(RangeDataset(0), range(10, 14)), expected, gathers=False)
    check_dataset(RangeDataset(0) + RangeDataset(0), [], gathers=True)
    check_dataset(RangeDataset(2) + ["a"], [0, 1, "a"], gathers=False)


def test_hundreds_may_be_joined_one_after_the_other(check_dataset: CheckDataset) -> None:
    rows: BaseDataset[int] = RangeDataset(2)
    for i in range(1, 500):
        rows = rows + RangeDataset(2 * i, 2 * i + 2)
    assert len(rows.sources) == 500
    check_dataset(rows, list(range(1000)), gathers=True)
    assert next(iter(DataLoader().batch_size(1000).build(rows))).tolist() == list(range(1000))


def test_a_subclass_of_a_concatenation_is_one_part() -> None:
    class Squared(ConcatenatedDataset[int]):
        def read(self, row: int) -> int:
            return super().read(row) ** 2

    assert list(Squared([1, 2], [3]) + [4]) == [1, 4, 9, 4]


def test_concatenation_of_trees(check_dataset: CheckDataset) -> None:
    def part(n: int, start: int) -> dict[str, Any]:
        return {
            "x": np.arange(start, start + 2 * n, dtype=np.uint8).reshape(n, 2),
            "y": [Pair(np.arange(n), np.ones(n))],
        }

    first, second = part(3, 0), part(4, 100)
    rows = ArrayDataset(first) + ArrayDataset(second)
    check_dataset(rows, [*ArrayDataset(first), *ArrayDataset(second)], gathers=True)
    check_dataset(rows.shuffle(seed=1), list(rows.shuffle(seed=1)), gathers=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": np.zeros(3), "b": np.ones(3)}, {"b": np.ones(3), "a": np.zeros(3)}),
        ({"a": np.zeros(3), "b": None}, {"a": None, "b": np.ones(3)}),
        (Pair(np.zeros(3), np.ones(3)), (np.zeros(3), np.ones(3))),
        (Pair(np.zeros(3), np.ones(3)), Riap(np.ones(3), np.zeros(3))),
    ],
)
def test_a_gather_joins_what_has_the_same_name_or_is_refused_as_the_stack_of_items_is(first: Any, second: Any) -> None:
    rows = ArrayDataset(first) + ArrayDataset(second)
    for order in ([0, 3, 1, 4], [5, 2, 4]):
        stacked = outcome_of(lambda order: StackBatcher()([rows[i] for i in order]), order)
        check_same(outcome_of(lambda order: take(rows, order), order), stacked, "the gather")


@given(lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_every_row_of_every_part_has_its_place(lengths: list[int]) -> None:
    parts = [[(i, row) for row in range(n)] for i, n in enumerate(lengths)]
    rows = ConcatenatedDataset(*parts)
    assert list(rows) == [item for part in parts for item in part]


@pytest.mark.parametrize(
    "other",
    [
        {"x": np.zeros((2, 3))},
        {"x": np.zeros((2, 2), np.float32)},
        {"y": np.zeros((2, 2))},
        [np.zeros((2, 2))],
    ],
    ids=["shape", "dtype", "key", "container"],
)
def test_parts_that_differ_cannot_be_stacked(other: Any) -> None:
    rows = ArrayDataset({"x": np.zeros((2, 2))}) + ArrayDataset(other)
    assert rows.gather is not None
    assert rows.gather(np.array([2, 3]), aligned_empty) is not None, "each part by itself can be"
    with pytest.raises(StackError, match="cannot stack") as caught:
        rows.gather(np.array([0, 1, 2]), aligned_empty)
    assert caught.value.items == (0, 2)


@pytest.mark.parametrize("method", ["concat", "mix", "zip"])
def test_a_list_of_datasets_is_not_taken_for_one(method: str) -> None:
    rows = RangeDataset(3)
    with pytest.raises(TypeError, match=r"a list of datasets would be one dataset, .* concat\(\*datasets\)"):
        getattr(rows, method)([RangeDataset(4), RangeDataset(5)])
    assert list(rows.concat([[1], [2]])) == [0, 1, 2, [1], [2]], "a list of lists is a dataset"


def test_rows_of_one_part_that_cannot_be_stacked_are_named() -> None:
    def same(items: list[Any]) -> list[Any]:
        return items

    good = InMemoryDataset([np.zeros(2)] * 10).map(same, vectorized=True)
    ragged = InMemoryDataset([np.zeros(2)] * 5 + [np.zeros(3)] * 5).map(same, vectorized=True)
    with pytest.raises(StackError) as caught:
        next(iter(DataLoader().batch_size(20).build(good + ragged)))
    assert "item 0 has shape (2,) but item 5 has shape (3,)" in str(caught.value)
    assert "items 0 and 5 of source 1 are items 10 and 15 of the batch" in caught.value.__notes__
    assert "loadax: item 10 is row 10, item 15 is row 15" in caught.value.__notes__


def test_epochs_reach_every_part() -> None:
    rows = RangeDataset(50).shuffle(seed=1) + RangeDataset(50, 100)
    assert sorted(rows.at_epoch(1)) == list(range(100))
    assert list(rows.at_epoch(1))[:50] == list(RangeDataset(50).shuffle(seed=1).at_epoch(1))
    assert list(rows.at_epoch(1))[50:] == list(range(50, 100))
    plain = RangeDataset(2) + RangeDataset(3)
    assert plain.at_epoch(1) is plain
    zipped = RangeDataset(50).shuffle(seed=1).zip(RangeDataset(50))
    assert [x for x, _ in zipped.at_epoch(2)] == list(RangeDataset(50).shuffle(seed=1).at_epoch(2))


def test_an_error_names_the_part() -> None:
    def fail(x: int) -> int:
        raise OSError("broken")

    rows = RangeDataset(3) + RangeDataset(5).map(fail)
    with pytest.raises(OSError, match="broken") as caught:
        rows[4]
    assert caught.value.__notes__ == ["row 4 of this ConcatenatedDataset is row 1 of its source 1"]


def test_zip(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(3).zip(["a", "b", "c"]), [(0, "a"), (1, "b"), (2, "c")], gathers=False)
    arrays = ArrayDataset({"x": np.arange(3.0)})
    expected = [(i, {"x": np.float64(i)}, 9 - i) for i in range(3)]
    check_dataset(RangeDataset(3).zip(arrays, RangeDataset(9, 6, -1)), expected, gathers=True)
    check_dataset(ZippedDataset([1, 2]), [(1,), (2,)], gathers=False)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have the same length, got \[3, 4, 2\]; cut them with .take\(2\)"):
        RangeDataset(3).zip(RangeDataset(4), [1, 2])


def test_nothing_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match="ConcatenatedDataset needs at least one dataset"):
        ConcatenatedDataset()
    with pytest.raises(ValueError, match="ZippedDataset needs at least one dataset"):
        ZippedDataset()
    with pytest.raises(TypeError, match="int does not have"):
        RangeDataset(3).concat(5)  # pyright: ignore[reportArgumentType]


def test_more_rows_than_can_be_counted_are_refused() -> None:
    half = RangeDataset(2**62)
    with pytest.raises(ValueError, match="more than len"):
        half.concat(half)
    assert len(half + RangeDataset(2**62 - 1)) == 2**63 - 1


def test_repr_shows_every_source() -> None:
    rows = (RangeDataset(2).map(str) + RangeDataset(3).map(str)).zip(InMemoryDataset([1, 2, 3, 4, 5]))
    assert repr(rows).splitlines() == [
        "ZippedDataset(5 rows)",
        "├─ ConcatenatedDataset(5 rows)",
        "│  ├─ MappedDataset(str)",
        "│  │  └─ RangeDataset(0, 2)",
        "│  └─ MappedDataset(str)",
        "│     └─ RangeDataset(0, 3)",
        "└─ InMemoryDataset(5 items)",
    ]


def test_fingerprints() -> None:
    a, b = RangeDataset(3), RangeDataset(4)
    assert (a + b).fingerprint() == {"concat": [{"rows": 3}, {"rows": 4}]}
    assert a.zip(a).fingerprint() == {"zip": [{"rows": 3}, {"rows": 3}]}
