"""Batches that are read in parts are what they would be if they were read as one."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, StackError, join_batches
from loadax_core.testing import check_same


class Unlike:
    """Gathers whose parts differ, in a slow way, so that batches are read in parts."""

    def __init__(self, gather: Callable[[Any], Any]) -> None:
        self.gather_rows = gather

    def __len__(self) -> int:
        return 120

    def __getitem__(self, row: int) -> Any:
        raise NotImplementedError

    def gather(self, rows: Any, alloc: Any) -> Any:
        sleep(1e-3 * len(rows))
        return self.gather_rows(rows)


def strings(rows: Any) -> Any:
    return np.array([str(row) for row in rows.tolist()])


def integers(rows: Any) -> Any:
    return rows.astype(np.int32 if rows[-1] < 100 else np.int64)


def names(rows: Any) -> Any:
    return {"a": rows, "b": -rows} if rows[-1] < 100 else {"b": -rows, "a": rows}


def masked(rows: Any) -> Any:
    return np.ma.array(rows, mask=rows % 3 == 0)


def nothing(rows: Any) -> Any:
    return {"none": None}


@pytest.mark.parametrize("gather", [strings, integers, names, masked, nothing])
def test_parts_that_are_not_alike_become_what_the_whole_would_be(gather: Any) -> None:
    builder, dataset = DataLoader().batch_size(40), Unlike(gather)
    expected = list(builder.build(dataset))
    # After the first batch it is known how long they take.
    for batch, same in zip(builder.workers(4).prefetch(1).build(dataset), expected, strict=True):
        if gather is masked:
            check_same(batch.mask, same.mask, "masks")
        if gather is names:
            # Their order may be that of another part.
            batch, same = sorted(batch.items()), sorted(same.items())
        check_same(batch, same, "a batch of parts")


def test_parts_that_do_not_fit_are_refused_as_the_whole_is() -> None:
    def gather(rows: Any) -> Any:
        known = int((rows < 100).sum())
        parts, places = [rows[:known].astype(np.int32), rows[known:]], [slice(0, known), slice(known, len(rows))]
        return join_batches(parts, places, np.empty) if 0 < known < len(rows) else parts[not known]

    builder, dataset = DataLoader().batch_size(40), Unlike(gather)
    for workers in (0, 4):
        batches = iter(builder.workers(workers).prefetch(min(1, workers)).build(dataset))
        assert len(next(batches)) == len(next(batches)) == 40
        with pytest.raises(StackError, match="item 0 has dtype int32 but item 20 has dtype int64") as caught:
            next(batches)
        assert caught.value.__notes__[0] == "loadax: item 0 is row 80, item 20 is row 100"
