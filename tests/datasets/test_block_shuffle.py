"""ShuffledDataset with blocks."""

import pickle
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_datasets import BaseDataset, InMemoryDataset, RangeDataset
from loadax_datasets.orders.block_order import BlockOrder


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def test_block_shuffle(check_dataset: CheckDataset) -> None:
    rows = RangeDataset(50).shuffle(seed=7, block=6, window=3)
    expected = [rows[i] for i in range(50)]
    check_dataset(rows, expected, gathers=True)
    check_dataset(RangeDataset(0).shuffle(seed=7, block=6), [], gathers=True)
    letters = InMemoryDataset(list("abcdef")).shuffle(seed=1, block=2, window=2)
    check_dataset(letters, list(letters), gathers=False)


@given(
    length=st.integers(0, 300),
    block=st.integers(1, 80),
    window=st.integers(1, 9),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 9),
)
def test_every_row_comes_once_and_stays_in_its_window(
    length: int, block: int, window: int, seed: int, epoch: int
) -> None:
    order = BlockOrder(length, seed, epoch, block, window)
    values = order(np.arange(length)).tolist()
    assert sorted(values) == list(range(length))
    assert [BlockOrder(length, seed, epoch, block, window).at(row) for row in range(0, length, 7)] == values[::7]
    blocks = -(-length // block)
    seen: list[set[int]] = []
    start = 0
    while start < length:
        # The rows of a window are those of its blocks: all of them, and no others.
        members: set[int] = set()
        size = 0
        while start + size < length and (len(members) < window or values[start + size] // block in members):
            members.add(values[start + size] // block)
            size += 1
        full = sum(min(block, length - member * block) for member in members)
        assert size == full
        seen.append(members)
        start += size
    assert sum(len(members) for members in seen) == blocks
    assert all(len(members) == window for members in seen[:-1])


def test_a_short_last_block_may_come_anywhere() -> None:
    places = {int(np.flatnonzero(BlockOrder(41, seed, 0, 10, 1)(np.arange(41)) == 40)[0]) // 10 for seed in range(60)}
    assert places == {0, 1, 2, 3, 4}


def test_blocks_and_rows_are_both_shuffled() -> None:
    values = RangeDataset(10_000).shuffle(seed=3, block=100, window=4)
    blocks = [values[i] // 100 for i in range(0, 10_000, 400)]
    assert blocks != sorted(blocks)
    first = [values[i] for i in range(400)]
    assert len({value // 100 for value in first}) == 4
    assert len({value // 100 for value in first[:40]}) == 4, "the blocks of a window are mixed"
    steps = np.diff(first)
    assert (steps > 0).mean() < 0.6


def test_windows_and_epochs_have_orders_of_their_own() -> None:
    rows = RangeDataset(8000).shuffle(seed=3, block=100, window=4)
    insides = {tuple(rows[w * 400 + i] % 100 for i in range(20)) for w in range(20)}
    assert len(insides) == 20
    epochs = {tuple(rows.at_epoch(e).take(50)) for e in range(10)}
    assert len(epochs) == 10
    assert tuple(rows.take(50)) in epochs
    assert tuple(RangeDataset(8000).shuffle(seed=4, block=100, window=4).take(50)) not in epochs


def test_reading_in_turn_touches_few_blocks_at_a_time() -> None:
    values = np.array(list(RangeDataset(20_000).shuffle(seed=1, block=50, window=8)))
    for start in range(0, 20_000, 400):
        assert len(np.unique(values[start : start + 400] // 50)) == 8


@pytest.mark.parametrize(("block", "window"), [(1000, 10**18), (10, 10**30), (10**30, 1), (10**18, 10**18)])
def test_blocks_and_windows_may_be_larger_than_all_rows(block: int, window: int) -> None:
    rows = RangeDataset(50).shuffle(seed=1, block=block, window=window)
    assert list(rows) == list(RangeDataset(50).shuffle(seed=1, block=min(block, 50), window=min(window, 50)))
    assert sorted(rows) == list(range(50))


def test_the_last_block_must_end_before_the_last_number() -> None:
    with pytest.raises(ValueError, match=rf"blocks of 1000 rows .* {2**63 - 1} rows.* beyond 2\*\*63; take fewer rows"):
        RangeDataset(2**63 - 1).shuffle(seed=1, block=1000)
    rows = RangeDataset(2**63 - 1).shuffle(seed=1, block=7**2)  # a divisor: the last block is full
    assert 0 <= rows[-1] < 2**63 - 1
    rows = RangeDataset(2**63 - 1001).shuffle(seed=1, block=1000)
    assert len({rows[i] for i in (0, 1, 2**40, -1)}) == 4


def test_memory_is_constant() -> None:
    rows = RangeDataset(2**62).shuffle(seed=1, block=1000)
    assert len({rows[i] for i in (0, 1, 2**40, 2**62 - 1)}) == 4
    assert len(pickle.dumps(rows)) < 2000


def test_fingerprints_and_repr_show_the_blocks() -> None:
    rows = RangeDataset(100)
    prints = [
        d.fingerprint()
        for d in (
            rows.shuffle(seed=1),
            rows.shuffle(seed=1, block=5),
            rows.shuffle(seed=1, block=5, window=2),
            rows.shuffle(seed=1, block=6),
        )
    ]
    assert all(a != b for i, a in enumerate(prints) for b in prints[i + 1 :])
    assert repr(rows.shuffle(seed=1, block=5)).startswith("ShuffledDataset(seed=1, block=5, window=16)\n")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"block": 0}, ValueError, "block must be at least 1, got 0"),
        ({"block": 2.5}, TypeError, "block must be an integer"),
        ({"block": 4, "window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"block": True}, TypeError, "block must be an integer"),
    ],
)
def test_bad_blocks(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeDataset(9).shuffle(seed=0, **options)


def test_a_window_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="window=2 counts blocks; give block="):
        RangeDataset(9).shuffle(seed=1, window=2)
