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
    check_dataset(RangeDataset(50).shuffle(seed=7), expected, gathers=True)
    check_dataset(
        InMemoryDataset(list("abc")).shuffle(), list(InMemoryDataset(list("abc")).shuffle(seed=0)), gathers=False
    )
    check_dataset(RangeDataset(0).shuffle(), [], gathers=True)
    check_dataset(RangeDataset(1).shuffle(), [0], gathers=True)


def test_leaves_of_one_row_stay_together() -> None:
    rows = ArrayDataset({"x": np.arange(100), "y": -np.arange(100)}).shuffle(seed=3)
    assert rows.gather is not None
    batch = rows.gather(np.arange(100), aligned_empty)
    assert (batch["x"] == -batch["y"]).all()
    assert (batch["x"] != np.arange(100)).any()


def test_every_epoch_has_its_own_order() -> None:
    rows = RangeDataset(1000).shuffle(seed=42)
    epochs = [tuple(rows.at_epoch(e)) for e in range(10)]
    assert len(set(epochs)) == 10
    assert epochs[0] == tuple(rows)
    assert tuple(RangeDataset(1000).shuffle(seed=43)) not in epochs


def test_epochs_reach_through_every_transform() -> None:
    rows = RangeDataset(100).shuffle(seed=1).map(str)[10:]
    assert list(rows.at_epoch(1)) == [str(i) for i in RangeDataset(100).shuffle(seed=1).at_epoch(1)][10:]
    plain = RangeDataset(100).map(str)[10:]
    assert plain.at_epoch(1) is plain


def test_a_new_epoch_reads_nothing() -> None:
    def fail(x: int) -> int:
        raise AssertionError("a row was read")

    RangeDataset(10**9).map(fail).shuffle(seed=1).at_epoch(7)


def test_shuffles_may_be_stacked() -> None:
    rows = RangeDataset(1000).shuffle(seed=1).shuffle(seed=1)
    assert sorted(rows) == list(range(1000))
    assert list(rows) != list(RangeDataset(1000).shuffle(seed=1))


def test_what_a_first_shuffle_gives_stays_the_same() -> None:
    rows = RangeDataset(8)
    assert list(rows.shuffle(seed=7)) == [0, 3, 6, 5, 7, 2, 1, 4]
    assert list(rows.sample(8).shuffle(seed=7).at_epoch(1)) == [
        rows.sample(8).at_epoch(1)[i] for i in (3, 4, 2, 7, 6, 5, 0, 1)
    ]
    assert list(RangeDataset(12).shuffle(seed=7, block=2, window=3)) == [3, 9, 5, 8, 4, 2, 7, 1, 10, 11, 6, 0]


@pytest.mark.parametrize("options", [{}, {"block": 1}, {"block": 2}], ids=str)
def test_two_shuffles_with_one_seed_give_every_order(options: Any) -> None:
    rows = RangeDataset(2).shuffle(**options).map(int).shuffle(**options)
    assert {tuple(rows.at_epoch(epoch)) for epoch in range(40)} == {(0, 1), (1, 0)}


@pytest.mark.parametrize("options", [{}, {"block": 10}], ids=str)
def test_a_row_is_no_more_likely_to_come_back_by_a_second_shuffle(options: Any) -> None:
    rows = RangeDataset(1000).shuffle(seed=3, **options).shuffle(seed=3, **options)
    orders = [np.array(rows.at_epoch(epoch).read_many(list(range(1000)))) for epoch in range(200)]
    fixed = np.mean([(order == np.arange(1000)).sum() for order in orders])
    assert 0.7 < fixed < 1.3, "2 if the second did what the first does"


def test_the_number_of_shuffles_before_is_in_the_fingerprint() -> None:
    rows = RangeDataset(9).shuffle(seed=1)
    assert "before" not in rows.fingerprint()
    other = RangeDataset(9).zip(RangeDataset(9).shuffle().shuffle())
    assert [d.shuffle(seed=1).fingerprint()["before"] for d in (rows, rows[1:].repeat(2), other)] == [1, 1, 2]


@given(
    n=st.integers(0, 60), start=st.integers(-70, 70), stop=st.integers(-70, 70), step=st.sampled_from([1, 2, 5, -1, -3])
)
def test_a_slice_then_a_shuffle_stays_inside_the_slice(n: int, start: int, stop: int, step: int) -> None:
    expected = list(range(n))[start:stop:step]
    part = RangeDataset(n)[start:stop:step]
    assert list(part) == expected
    assert sorted(part.shuffle(seed=5)) == sorted(expected)
    assert (
        list(RangeDataset(n).shuffle(seed=5)[start:stop:step]) == list(RangeDataset(n).shuffle(seed=5))[start:stop:step]
    )


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
        for d in (
            rows,
            rows.shuffle(),
            rows.shuffle(seed=1),
            rows[:10],
            rows[1:],
            rows.shuffle()[:10],
            rows[:10].shuffle(),
        )
    ]
    for i, one in enumerate(fingerprints):
        assert all(one != other for other in fingerprints[i + 1 :])
    assert rows.shuffle(seed=1).map(str).fingerprint() == RangeDataset(5, 15).shuffle(seed=1).fingerprint()


def test_an_error_names_the_row_of_the_source() -> None:
    def fail(x: int) -> int:
        raise OSError(f"cannot read {x}")

    rows = RangeDataset(100).map(fail).shuffle(seed=3)[10:]
    with pytest.raises(OSError, match="cannot read") as caught:
        rows[7]
    source_row = RangeDataset(100).shuffle(seed=3)[17]
    assert str(caught.value) == f"cannot read {source_row}"
    assert caught.value.__notes__ == [
        f"row 17 of this shuffle is row {source_row} of its source",
        "row 7 of this slice is row 17 of its source",
    ]


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)])
def test_bad_seeds(seed: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed must be"):
        ShuffledDataset([1, 2], seed=seed)


def test_bad_epochs() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        RangeDataset(3).shuffle().at_epoch(-1)
    with pytest.raises(TypeError, match="epoch must be an integer"):
        RangeDataset(3).shuffle().at_epoch(1.5)  # pyright: ignore[reportArgumentType]
