"""ShuffledDataset and SlicedDataset; the orders themselves are tested with the permutation."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import aligned_empty
from loadax_datasets import ArrayDataset, BaseDataset, InMemoryDataset, RangeDataset, ShuffledDataset, SlicedDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def test_shuffle(check_dataset: CheckDataset) -> None:
    rows = ShuffledDataset(RangeDataset(50), seed=7)
    expected = [rows[i] for i in range(50)]
    assert sorted(expected) == list(range(50))
    assert expected != list(range(50))
    check_dataset(rows, expected, gathers=True)
    check_dataset(RangeDataset(50).shuffle(7), expected, gathers=True)
    check_dataset(InMemoryDataset(list("abc")).shuffle(), list(InMemoryDataset(list("abc")).shuffle(0)), gathers=False)
    check_dataset(RangeDataset(0).shuffle(), [], gathers=True)
    check_dataset(RangeDataset(1).shuffle(), [0], gathers=True)


def test_leaves_of_one_row_stay_together() -> None:
    rows = ArrayDataset({"x": np.arange(100), "y": -np.arange(100)}).shuffle(3)
    assert rows.gather is not None
    batch = rows.gather(np.arange(100), aligned_empty)
    assert (batch["x"] == -batch["y"]).all()
    assert (batch["x"] != np.arange(100)).any()


def test_every_epoch_has_its_own_order() -> None:
    rows = RangeDataset(1000).shuffle(42)
    epochs = [tuple(rows.at_epoch(e)) for e in range(10)]
    assert len(set(epochs)) == 10
    assert epochs[0] == tuple(rows)
    assert tuple(RangeDataset(1000).shuffle(43)) not in epochs


def test_epochs_reach_through_every_transform() -> None:
    rows = RangeDataset(100).shuffle(1).map(str)[10:]
    assert list(rows.at_epoch(1)) == [str(i) for i in RangeDataset(100).shuffle(1).at_epoch(1)][10:]
    plain = RangeDataset(100).map(str)[10:]
    assert plain.at_epoch(1) is plain


def test_a_new_epoch_reads_nothing() -> None:
    def fail(x: int) -> int:
        raise AssertionError("a row was read")

    RangeDataset(10**9).map(fail).shuffle(1).at_epoch(7)


def test_shuffles_may_be_stacked() -> None:
    rows = RangeDataset(1000).shuffle(1).shuffle(1)
    assert sorted(rows) == list(range(1000))
    assert list(rows) != list(RangeDataset(1000).shuffle(1))


@given(
    n=st.integers(0, 60), start=st.integers(-70, 70), stop=st.integers(-70, 70), step=st.sampled_from([1, 2, 5, -1, -3])
)
def test_a_slice_then_a_shuffle_stays_inside_the_slice(n: int, start: int, stop: int, step: int) -> None:
    expected = list(range(n))[start:stop:step]
    part = RangeDataset(n)[start:stop:step]
    assert list(part) == expected
    assert sorted(part.shuffle(5)) == sorted(expected)
    assert list(RangeDataset(n).shuffle(5)[start:stop:step]) == list(RangeDataset(n).shuffle(5))[start:stop:step]


def test_slice(check_dataset: CheckDataset) -> None:
    rows = RangeDataset(20)
    check_dataset(rows[5:15], list(range(5, 15)), gathers=True)
    check_dataset(rows[::-3], list(range(20))[::-3], gathers=True)
    check_dataset(rows[7:3], [], gathers=True)
    check_dataset(SlicedDataset(["a", "b", "c"], slice(1, None)), ["b", "c"], gathers=False)
    check_dataset(rows[5:15][2:-2][::2], [7, 9, 11], gathers=True)


def test_fingerprints_tell_orders_apart() -> None:
    rows = RangeDataset(10)
    fingerprints = [
        d.fingerprint()
        for d in (rows, rows.shuffle(), rows.shuffle(1), rows[:10], rows[1:], rows.shuffle()[:10], rows[:10].shuffle())
    ]
    for i, one in enumerate(fingerprints):
        assert all(one != other for other in fingerprints[i + 1 :])
    assert rows.shuffle(1).map(str).fingerprint() == RangeDataset(5, 15).shuffle(1).fingerprint()


def test_an_error_names_the_row_of_the_source() -> None:
    def fail(x: int) -> int:
        raise OSError(f"cannot read {x}")

    rows = RangeDataset(100).map(fail).shuffle(3)[10:]
    with pytest.raises(OSError, match="cannot read") as caught:
        rows[7]
    source_row = RangeDataset(100).shuffle(3)[17]
    assert str(caught.value) == f"cannot read {source_row}"
    assert caught.value.__notes__ == [
        f"row 17 of this shuffle is row {source_row} of its source",
        "row 7 of this slice is row 17 of its source",
    ]


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)])
def test_bad_seeds(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed must be"):
        ShuffledDataset([1, 2], seed)


def test_bad_epochs() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        RangeDataset(3).shuffle().at_epoch(-1)
    with pytest.raises(TypeError, match="epoch must be an integer"):
        RangeDataset(3).shuffle().at_epoch(1.5)  # pyright: ignore[reportArgumentType]
