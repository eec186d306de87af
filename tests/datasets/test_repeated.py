"""repeat and pad_to_multiple."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import aligned_empty
from loadax_datasets import ArrayDataset, BaseDataset, InMemoryDataset, RangeDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def test_repeat(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(3).repeat(3), [0, 1, 2] * 3, gathers=True)
    check_dataset(InMemoryDataset(["a"]).repeat(2), ["a", "a"], gathers=False)
    check_dataset(RangeDataset(3).repeat(0), [], gathers=True)
    check_dataset(RangeDataset(0).repeat(3), [], gathers=True)
    shuffled = RangeDataset(20).shuffle(seed=1)
    check_dataset(shuffled.repeat(2), list(shuffled) * 2, gathers=True)
    assert RangeDataset(3).repeat(2).fingerprint() == {"repeat": 2, "source": {"rows": 3}}
    assert repr(RangeDataset(3).repeat(2)).startswith("RepeatedDataset(times=2)\n")


@pytest.mark.parametrize(
    ("times", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), (2**62, ValueError)]
)
def test_bad_repeats(times: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"times|more than len\(\)"):
        RangeDataset(3).repeat(times)


def test_pad(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(3).pad_to_multiple(2), [(0, True), (1, True), (2, True), (0, False)], gathers=True)
    check_dataset(RangeDataset(4).pad_to_multiple(2), [(i, True) for i in range(4)], gathers=True)
    check_dataset(RangeDataset(1).pad_to_multiple(3), [(0, True), (0, False), (0, False)], gathers=True)
    check_dataset(RangeDataset(0).pad_to_multiple(3), [], gathers=True)
    check_dataset(InMemoryDataset(["a"]).pad_to_multiple(2), [("a", True), ("a", False)], gathers=False)


@given(length=st.integers(0, 40), multiple=st.integers(1, 50))
def test_padding_adds_what_is_missing_and_no_more(length: int, multiple: int) -> None:
    rows = RangeDataset(length).pad_to_multiple(multiple)
    assert len(rows) % multiple == 0
    assert 0 <= len(rows) - length < multiple
    assert [item for item, real in rows if real] == list(range(length))


def test_padding_in_a_batch() -> None:
    rows = ArrayDataset({"x": np.arange(3.0)}).pad_to_multiple(4)
    assert rows.gather is not None
    batch, real = rows.gather(np.arange(4), aligned_empty)
    assert batch["x"].tolist() == [0.0, 1.0, 2.0, 0.0]
    assert real.tolist() == [True, True, True, False]
    assert real.dtype == bool
    assert batch["x"][real].mean() == 1.0


def test_padding_keeps_what_is_below() -> None:
    rows = RangeDataset(10).shuffle(seed=1).pad_to_multiple(4)
    assert [item for item, real in rows.at_epoch(1) if real] == list(RangeDataset(10).shuffle(seed=1).at_epoch(1))
    assert rows.fingerprint() == {"pad_to_multiple": 4, "source": {"shuffle": 1, "source": {"rows": 10}}}
    assert repr(rows).startswith("PaddedDataset(multiple=4)\n")


@pytest.mark.parametrize(
    ("multiple", "error"), [(0, ValueError), (-2, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_bad_multiples(multiple: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="multiple must be"):
        RangeDataset(3).pad_to_multiple(multiple)
