from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.backends.task import Done
from loadax_core.backends.thread import Threads
from loadax_core.read.fetch import Fetch
from loadax_core.run.policy import BRIEF_SECONDS, Pace


def pace_of(workers: int, *, gathers: bool = False, watched: bool = False) -> Pace:
    return Pace(Threads(), workers, gathers=gathers, watched=watched)


def fetch_of(dataset: Any) -> Fetch:
    return DataLoader().build(dataset)._run.fetch


ITEMS, ROWS = fetch_of(range(10)), fetch_of(np.arange(10))
"""Reads items, and gathers rows."""


def test_one_slow_reading_hardly_changes_what_is_expected() -> None:
    pace = pace_of(1, gathers=True)
    assert pace.expected(1) == math.inf
    pace.row = 1e-4
    for seconds, expected in ((1.0, 1.05e-4), (1.0, 1.1025e-4), (0.0, 0.882e-4)):
        pace.learn(ROWS, Done([np.zeros(1)], reading=seconds), 1)
        assert pace.row == pytest.approx(expected)
    assert pace.expected(10) == pytest.approx(0.882e-3)


def test_the_batcher_counts() -> None:
    pace = pace_of(1)
    pace.learn(ITEMS, Done([[0]], reading=2e-6), 2)
    assert pace.expected(2) == math.inf, "it has not been called, as for the first part of a batch"
    pace.learn(ITEMS, Done([[0]], reading=2e-6, batching=1e-3), 2)
    assert pace.expected(2) == pytest.approx(1.002e-3)


@pytest.mark.parametrize(
    ("ahead", "row", "size"),
    [
        (2, 2e-3, 1),  # a millisecond or more, to be divided among all workers
        (2, 1e-4, 8),  # a millisecond would be 10, which would leave two for a fourth part
        (64, 2e-3, 32),  # each worker can have four batches
        (16, 2e-3, 8),
        (64, 0.02, 5),  # a tenth of a second
        (64, 1.0, 1),
        (64, None, 2),  # nothing is known
    ],
)
def test_units_of_items_grow_with_what_is_on_its_way(ahead: int, row: float | None, size: int) -> None:
    pace = pace_of(16)
    pace.row = row
    assert pace.unit_rows(32, gathers=False, ahead=ahead, depth=2) == size


@pytest.mark.parametrize(
    ("most", "row", "size"),
    [(64, 1e-6, 32), (64, 1e-3, 8), (0, 1e-3, 32), (None, None, 32)],
)
def test_slow_gathers_are_cut_into_as_many_parts_as_keep_workers_busy(
    most: int | None, row: float | None, size: int
) -> None:
    pace = pace_of(8, gathers=True)
    pace.row, pace.most = row, most
    assert pace.unit_rows(32, gathers=True, ahead=2, depth=2) == size


@pytest.mark.parametrize(
    ("row", "limit", "most", "size"),
    [
        (1e-5, 64, 100, 8),  # a millisecond
        (1e-9, 64, 100, 16),  # a quarter of what may be on its way
        (1e-9, 64, 6, 4),  # what stays in the cache
        (1e-2, 64, 100, 1),
        (1e-9, 64, 0, 1),  # cannot be cut
        (None, 64, None, 1),
    ],
)
def test_quick_batches_share_a_slot(row: float | None, limit: int, most: int | None, size: int) -> None:
    pace = pace_of(2, gathers=True)
    pace.row, pace.most = row, most
    assert pace.group_size(10, limit) == size


def test_units_are_brief_until_one_is_not() -> None:
    pace = pace_of(2, gathers=True)
    pace.learn(ROWS, Done([np.zeros(1)], reading=0.5 * BRIEF_SECONDS), 4)
    assert pace.brief
    for _ in range(20):
        pace.learn(ROWS, Done([np.zeros(1)], reading=2 * BRIEF_SECONDS), 4)
    assert not pace.brief
    watched = pace_of(2, gathers=True, watched=True)
    watched.learn(ROWS, Done([np.zeros(1)], reading=0.0), 4)
    assert not watched.brief
