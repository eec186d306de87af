"""SplitDataset: every row in one part, the same one always."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_datasets import BaseDataset, InMemoryDataset, RangeDataset, SplitDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def test_a_part_is_a_dataset(check_dataset: CheckDataset) -> None:
    first, second = RangeDataset(20).random_split([0.6, 0.4], seed=3)
    check_dataset(first, [np.int64(row) for row in first], gathers=True)
    check_dataset(second, [np.int64(row) for row in second], gathers=True)
    letters = InMemoryDataset(list("abcde")).random_split([2, 3])[1]
    check_dataset(letters, list(letters), gathers=False)


@given(
    n=st.integers(1, 200) | st.just(20_000),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    seed=st.integers(0, 2**70),
    data=st.data(),
)
def test_each_row_is_in_one_part(n: int, cuts: list[float], seed: int, data: st.DataObject) -> None:
    ends = [0, *sorted(round(cut * n) for cut in cuts), n]
    lengths = np.diff(ends).tolist()
    parts = RangeDataset(n).random_split(lengths, seed=seed)
    assert [len(part) for part in parts] == lengths
    rows = [int(row) for part in parts for row in part]
    assert sorted(rows) == list(range(n))
    some = data.draw(st.lists(st.sampled_from(range(n)), max_size=5))
    joined = parts[0].concat(*parts[1:])
    assert [int(joined[row]) for row in some] == [rows[row] for row in some]


@pytest.mark.parametrize(
    ("parts", "rows", "lengths"),
    [
        ([0.8, 0.1, 0.1], 10, [8, 1, 1]),
        ([0.8, 0.1, 0.1], 1_281_167, [1_024_934, 128_116, 128_117]),
        ([1 / 3, 1 / 3, 1 / 3], 10**15, [333_333_333_333_333, 333_333_333_333_334, 333_333_333_333_333]),
        ((0.9, 0.1), 60_000, [54_000, 6_000]),
        ([1.0], 5, [5]),
        ([1 + 5e-10, 0.0], 10**12, [10**12, 0]),
        ([0.0, 1.0], 5, [0, 5]),
        ([5, 0], 5, [5, 0]),
        ([0], 0, [0]),
        (np.array([0.5, 0.5], np.float32), 8, [4, 4]),
        ([np.float32(0.5), Fraction(1, 2)], 8, [4, 4]),
        (np.array([3, 5]), 8, [3, 5]),
        ([2**62, 2**62 - 1], 2**63 - 1, [2**62, 2**62 - 1]),
    ],
)
def test_fractions_and_numbers_of_rows(parts: Any, rows: int, lengths: list[int]) -> None:
    assert [len(part) for part in RangeDataset(rows).random_split(parts)] == lengths


def test_the_split_is_random_and_follows_from_the_seed() -> None:
    """Of 500 rows, a random half has 250 in common with another, with a standard deviation of 5.6."""
    halves = [set(map(int, RangeDataset(500).random_split([0.5, 0.5], seed=seed)[0])) for seed in (0, 0, 1)]
    assert halves[0] == halves[1]
    assert 215 < 250 + len(halves[0] & halves[2]) - 125 < 285
    shuffled = [int(row) for row in RangeDataset(500).shuffle(seed=0)]
    assert set(shuffled[:250]) != halves[0], "a shuffle of the same seed has another order"


def test_it_is_the_same_in_every_epoch_and_for_every_kind_of_source() -> None:
    part = RangeDataset(50).random_split([0.5, 0.5], seed=1)[0]
    assert part.at_epoch(3) is part
    assert [part[row] for row in range(25)] == list(SplitDataset(range(50), [25, 25], 0, seed=1))


def test_fingerprints_tell_parts_apart() -> None:
    rows = RangeDataset(10)
    prints = [part.fingerprint() for part in (*rows.random_split([5, 5]), *rows.random_split([4, 6]))]
    prints += [part.fingerprint() for part in rows.random_split([5, 5], seed=1)]
    assert all(prints.count(one) == 1 for one in prints)
    assert rows.random_split([0.5, 0.5])[0].fingerprint() == prints[0], "the lengths count, not how they were given"


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([0.9, 0.2], ValueError, r"fractions that sum to 1, or whole numbers that sum to 10.*got \[0.9, 0.2\].*to 1.1"),
        ([9, 2], ValueError, r"whole numbers that sum to 10, as there are rows; got \[9, 2\], which sum to 11"),
        ([9, 0.1], ValueError, "which sum to 9.1"),
        ([], ValueError, r"got \[\], which sum to 0"),
        ([1.5, -0.5], ValueError, "no part may be less than 0, got -0.5"),
        ([float("nan"), 1.0], ValueError, "no part may be less than 0, got nan"),
        ([0.99, 0.01], ValueError, "a part of 0.01 has none of the 10 rows; make it larger, or leave it out"),
        (0.9, TypeError, r"parts must be a list, such as \[0.9, 0.1\], got 0.9"),
        ("ab", TypeError, "parts must be a list"),
        ({0.9, 0.1}, TypeError, "parts must be a list"),
        (["9", "1"], TypeError, "parts must be fractions or numbers of rows, got '9'"),
        ([True], TypeError, "parts must be fractions or numbers of rows, got True"),
        (np.eye(2), TypeError, r"parts must be fractions or numbers of rows, got \[1.0, 0.0\]"),
    ],
)
def test_what_is_no_list_of_parts_is_refused(parts: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeDataset(10).random_split(parts)


def test_other_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"part must be in range\(2\), as there are parts; got 2"):
        SplitDataset(range(4), [2, 2], 2)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        RangeDataset(4).random_split([2, 2], seed=-1)
    with pytest.raises(ValueError, match="random_split needs rows that are the same in every epoch"):
        RangeDataset(4).shuffle().random_split([2, 2])
