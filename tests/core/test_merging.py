"""Batches that are read in parts are what they would be if they were read as one."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, StackError, join_batches, tree
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


@pytest.mark.parametrize("other", [(np.arange(2), np.arange(2)), [np.arange(2), np.arange(2)], {"x": np.arange(2)}])
@pytest.mark.parametrize(("first", "kind"), [(np.ones((3, 2), np.int64), "ndarray"), (np.arange(3), "int64")])
def test_a_container_is_not_joined_to_an_array(other: Any, first: Any, kind: str) -> None:
    # Two pairs of rows, taken for an array, have the shape of two rows of pairs.
    message = f"cannot stack batch: item 0 has type {kind} but item 3 has type {type(other).__name__}; make"
    with pytest.raises(StackError, match=message) as caught:
        join_batches([first, other], [slice(0, 3), slice(3, 5)], np.empty)
    assert caught.value.items == (0, 3)


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


class Slow(Unlike):
    """Gathers in a slow way, so that batches are read in parts.

    Args:
        make: Makes what is gathered, of row numbers and `alloc`.
    """

    rowwise = True

    def __init__(self, make: Callable[[Any, Any], Any]) -> None:
        self.make = make
        self.made: list[Any] = []

    def gather(self, rows: Any, alloc: Any) -> Any:
        sleep(1e-3 * len(rows))
        made = self.make(np.asarray(rows), alloc)
        self.made.append((len(rows), made))
        return made


def filled(rows: Any, alloc: Any, dtype: Any = np.int64) -> Any:
    out = alloc((len(rows), 3), np.dtype(dtype))
    out[:] = rows[:, None]
    return out


def two(rows: Any, alloc: Any) -> Any:
    """Two leaves, by way of memory that is not returned, and some that has other rows."""
    assert len(alloc((len(rows) + 1, 3), np.dtype(np.int64))) == len(rows) + 1
    filled(-rows, alloc)
    return {"x": filled(rows, alloc, np.float32), "y": filled(rows, alloc)}


def other_order(rows: Any, alloc: Any) -> Any:
    """Asks for memory in an order, and of dtypes, that depend on the rows."""
    if rows[0] % 8:
        return {"x": filled(rows, alloc), "y": filled(rows, alloc)}
    y = filled(rows, alloc)
    filled(-rows, alloc, np.float32)
    return {"x": filled(rows, alloc), "y": y}


@pytest.mark.parametrize(("make", "joined"), [(filled, True), (two, True), (other_order, False)])
def test_parts_are_gathered_where_they_belong(make: Any, joined: bool) -> None:
    dataset = Slow(make)
    loader = DataLoader().batch_size(20).workers(4).prefetch(2).epochs(3).build(dataset)
    batches = list(loader)
    whole = make(np.arange(120), np.empty)
    check_same(batches[:6], [tree_slice(whole, i) for i in range(6)])
    check_same(batches[12:], batches[:6])
    parts = [made for rows, made in dataset.made if rows < 20]
    assert len(parts) > 10, "hardly any batch was read in parts"
    if joined:
        assert all(any(in_memory_of(part, batch) for batch in batches) for part in parts)


def tree_slice(whole: Any, i: int) -> Any:
    leaves, build = tree.flatten(whole)
    return build([leaf[20 * i : 20 * i + 20] for leaf in leaves])


def in_memory_of(part: Any, batch: Any) -> bool:
    return all(map(np.shares_memory, tree.flatten(part)[0], tree.flatten(batch)[0]))
