"""SelectedDataset: rows by number, and by mask."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_datasets import ArrayDataset, BaseDataset, RangeDataset, SelectedDataset

LETTERS = ["a", "b", "c", "d"]


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


@pytest.mark.parametrize("rows", [[3, 0, 0, -2], np.array([3, 0, 0, -2], np.int8), np.array([3, 0, 0, 2], np.uint64)])
def test_rows_come_in_the_order_of_their_numbers(check_dataset: CheckDataset, rows: Any) -> None:
    check_dataset(SelectedDataset(LETTERS, rows), ["d", "a", "a", "c"], gathers=False)
    check_dataset(RangeDataset(4).select(rows), [np.int64(n) for n in (3, 0, 0, 2)], gathers=True)


def test_a_mask_and_no_row_at_all(check_dataset: CheckDataset) -> None:
    check_dataset(SelectedDataset(LETTERS, [True, False, False, True]), ["a", "d"], gathers=False)
    check_dataset(SelectedDataset(LETTERS, []), [], gathers=False)


def test_the_numbers_are_copied() -> None:
    rows = np.array([1, 2])
    selected = RangeDataset(4).select(rows)
    rows[:] = 0
    assert list(selected) == [1, 2]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([4], IndexError, "row 4 is out of range for 4 rows"),
        ([0, -5], IndexError, "row -5 is out of range"),
        ([0.0], TypeError, "rows must be integers or a mask of bools, got dtype float64"),
        (["a"], TypeError, "got dtype <U1"),
        ([[1]], ValueError, r"rows must be of shape \(n,\), got \(1, 1\)"),
        (np.ma.masked_array([0, 1], [False, True]), ValueError, "rows is a masked array, whose mask would be lost"),
        (np.ma.masked_array([True] * 4, [True] * 4), ValueError, r"rows is a masked array.*; fill it with \.filled"),
        ([True], ValueError, "a mask must have one entry for each of the 4 rows; got 1"),
    ],
)
def test_what_is_no_choice_of_rows_is_refused(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SelectedDataset(LETTERS, rows)


def test_fingerprints_tell_selections_apart() -> None:
    rows = ArrayDataset(np.arange(4))
    prints = [rows.select(which).fingerprint() for which in ([0, 1], [1, 0], [0, 1, 1])]
    assert prints[0] != prints[1] != prints[2]
    assert rows.select([0, 1]).fingerprint() == prints[0]
    assert repr(rows.select([1])).startswith("SelectedDataset(1 of 4 rows)\n└─ ")


@pytest.mark.parametrize("rows", ["12", {1, 2}, 3, (i for i in range(2))])
def test_what_is_no_list_of_rows_is_refused(rows: Any) -> None:
    with pytest.raises(TypeError, match="rows must be a list or an array of row numbers, or a mask of bools, got "):
        RangeDataset(9).select(rows)


def test_an_empty_mask_is_a_mask() -> None:
    with pytest.raises(ValueError, match="a mask must have one entry for each of the 5 rows; got 0"):
        RangeDataset(5).select(np.zeros(0, bool))
    assert len(RangeDataset(5).select([])) == 0
