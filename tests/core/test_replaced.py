"""Rows that a dataset replaces: collected where they are read, counted where the loop receives them."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter
from typing import Any, cast

import elsewhere
import numpy as np
import pytest
from loadax_core import DataLoader, Replaced, StackBatcher, Stats, Tolerance
from loadax_core.observe.replaced import _KNOWN, HERE
from loadax_core.run.policy import Policy

ERRORS = {row: ValueError(f"no {row}") for row in (2, 5, 6, 13)}


def errors() -> dict[int, BaseException]:
    """New errors, since notes are added to them."""
    return {row: ValueError(f"no {row}") for row in (2, 5, 6, 13)}


def by_item(items: list[Any]) -> Any:
    return StackBatcher()(items)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("size", [1, 5, 16])
def test_each_row_is_listed_once_with_its_first_epoch(workers: int, size: int) -> None:
    loader = DataLoader().batch_size(size).workers(workers).epochs(3).build(elsewhere.Replacing(16, errors(), 4))
    with iter(loader) as batches:
        values = np.concatenate(list(batches))
        stats = batches.stats()
    assert values.tolist() == [0, 1, 3, 3, 4, 6, 7, *range(7, 13), 14, 14, 15] * 3
    assert sorted(stats.replaced) == [Replaced(row, row + 1, 0, f"ValueError: no {row}") for row in ERRORS]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_the_row_that_is_one_too_many_is_an_error_of_its_step(workers: int) -> None:
    rows = elsewhere.Replacing(16, errors(), 2)
    with iter(DataLoader(by_item).batch_size(8).workers(workers).build(rows)) as batches:
        with pytest.raises(ValueError, match="no 6"):
            next(batches)
        with pytest.raises(ValueError, match="no 6") as caught:
            next(batches)
        assert caught.value is rows.errors[6]
        assert caught.value.__notes__ == [
            "loadax: row 6 could not be read either, and no more than 2 may be replaced; replaced so far: 2, 5",
            "loadax: while reading the batch of epoch 0, step 0",
        ]
        assert [row for row, *_ in batches.stats().replaced] == [2, 5]
        batches.set_state(batches.get_state() | {"row": 8})
        with pytest.raises(ValueError, match="no 13"):
            next(batches)


@pytest.mark.parametrize("kind", ["process", "executor"])
def test_other_processes_report_to_this_one(kind: str) -> None:
    rows = elsewhere.Replacing(16, errors(), 2)
    builder = DataLoader().batch_size(4)
    with ThreadPoolExecutor(2) as pool:
        builder = builder.workers(2, kind="process") if kind == "process" else builder.workers(pool)
        with iter(builder.build(rows)) as batches:
            assert next(batches).tolist() == [0, 1, 3, 3]
            assert batches.stats().replaced == (Replaced(2, 3, 0, "ValueError: no 2"),)
            with pytest.raises(ValueError, match="no 6") as caught:
                next(batches)
    assert caught.value.__notes__[0].endswith("replaced so far: 2, 5")
    if kind == "process":
        assert "elsewhere.py" in str(caught.value.__cause__)


def test_rows_of_batches_before_an_error_are_listed_also_by_an_executor() -> None:
    rows = elsewhere.Replacing(16, errors() | {9: KeyError("no 9")}, 4)
    with ThreadPoolExecutor(2) as pool, iter(DataLoader().batch_size(8).workers(pool).build(rows)) as batches:
        next(batches)
        with pytest.raises(KeyError):
            next(batches)
        assert sorted(row for row, *_ in batches.stats().replaced) == [2, 5, 6]


def test_outside_of_loaders_a_row_counts_when_it_is_read() -> None:
    rows = elsewhere.Replacing(16, errors(), 2)
    assert [rows[2], rows[5], rows[2]] == [3, 6, 3]
    with pytest.raises(ValueError, match="no 6"):
        rows[6]
    assert rows[5] == 6


class Outer:
    """Reads a loader of its own in each row."""

    def __init__(self, inner: Any, rows: Any) -> None:
        self.inner, self.rows = inner, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Any:
        first = self.rows[row]
        return first, next(iter(DataLoader().batch_size(16).build(self.inner)))


def test_a_loader_within_a_read_counts_its_own_rows() -> None:
    inner, outer = elsewhere.Replacing(16, errors(), 4), elsewhere.Replacing(3, errors(), 4)
    batches = iter(DataLoader().batch_size(3).build(Outer(inner, outer)))
    next(batches)
    assert [row for row, *_ in batches.stats().replaced] == [2]
    assert HERE.collector.reports is None


class Words(elsewhere.Replacing):
    """Gathers words, which are as wide as the longest that is gathered; so parts of a batch do not fit together."""

    rowwise = True

    def __init__(self, rows: int, errors: dict[int, BaseException], most: int) -> None:
        super().__init__(rows, errors, most)
        self.gathered: list[int] = []

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.gathered.append(len(rows))
        # Slow, so that workers share a batch.
        threading.Event().wait(0.05)
        return np.array(["x" * self[row] for row in rows.tolist()])


def test_parts_that_are_read_again_together_count_with_their_batch() -> None:
    errors: dict[int, BaseException] = {row: ValueError(f"no {row}") for row in range(5, 320, 32)}
    rows = Words(320, errors, 10)
    with iter(DataLoader().batch_size(32).workers(4).prefetch(1).build(rows)) as batches:
        for step in range(10):
            next(batches)
            deadline, source = perf_counter() + 20, cast("Any", batches._source)
            while not all(slot.done for slot in list(source._slots)):
                assert perf_counter() < deadline
                threading.Event().wait(0.001)
            assert list(rows.tolerance._rows) == [*errors][: step + 1]
    assert min(rows.gathered) < 32, "no batch was read in parts"
    assert rows.gathered.index(32, rows.gathered.index(min(rows.gathered))), "no parts were read again"


class Grouped(elsewhere.Replacing):
    """Gathers numbers, of several batches in one call."""

    rowwise = True

    def __init__(self, rows: int, errors: dict[int, BaseException], most: int) -> None:
        super().__init__(rows, errors, most)
        self.gathered: list[list[int]] = []

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.gathered.append(rows.tolist())
        return np.array([self[row] for row in rows.tolist()])


def group_of_8(_policy: Policy, _rows: int, _limit: int) -> int:
    return 8


@pytest.mark.parametrize("kind", ["thread", "executor"])
def test_rows_of_batches_that_are_gathered_together_count_with_their_batch(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Policy, "group", group_of_8)
    broken = list(range(3, 128, 7))
    failing: dict[int, BaseException] = {row: ValueError(f"no {row}") for row in broken}
    rows = Grouped(128, failing | {90: KeyError("no 90")}, 99)
    with (
        ThreadPoolExecutor(1) as pool,
        iter(DataLoader().batch_size(4).workers(pool if kind == "executor" else 1).prefetch(16).build(rows)) as batches,
    ):
        for step in range(22):
            next(batches)
            assert [row for row, *_ in batches.stats().replaced] == [row for row in broken if row < 4 * (step + 1)]
        with pytest.raises(KeyError):
            next(batches)
    assert list(range(64, 96)) in rows.gathered


def test_the_first_row_is_announced_once_in_the_process_of_the_loop() -> None:
    told: list[Replaced] = []
    tolerance = Tolerance(3, told.append)
    for row in (7, 8, 7):
        tolerance.report(row, None, 2, KeyError("x"))
    assert told == [Replaced(7, None, 2, "KeyError: 'x'")]
    assert str(told[0]) == "row 7 by padding (KeyError: 'x')"


def test_copies_in_a_process_count_together_and_are_not_kept() -> None:
    tolerance = Tolerance(1)
    for same in (pickle.loads(pickle.dumps(tolerance)), copy.deepcopy(tolerance)):
        assert same is tolerance
    body, name = pickle.dumps(tolerance), tolerance._name
    del tolerance, same
    gc.collect()
    assert name not in _KNOWN
    arrived = pickle.loads(body)
    assert pickle.loads(body) is arrived
    arrived.report(1, 2, 0, ValueError())
    with pytest.raises(ValueError, match="bad"):
        arrived.report(2, 3, 0, ValueError("bad"))


def test_threads_that_report_at_once_replace_no_more_than_may_be() -> None:
    tolerance, start = Tolerance(5), threading.Barrier(8)

    def report(thread: int) -> int:
        start.wait()
        done = 0
        for row in range(thread, 80, 8):
            try:
                tolerance.report(row, None, 0, ValueError())
            except ValueError:
                continue
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(report, range(8))) == 5


def test_a_long_or_broken_message_is_no_trouble() -> None:
    class BrokenError(ValueError):
        def __str__(self) -> str:
            raise KeyError

    tolerance = Tolerance(2)
    seen: list[Replaced] = []
    first = Tolerance(1, seen.append)
    first.report(0, 1, 0, ValueError("x" * 10_000))
    tolerance.report(0, 1, 0, BrokenError())
    assert len(seen[0].error) == 200


def test_stats_show_three_of_many_rows() -> None:
    replaced = tuple(Replaced(row, row + 1, 0, "ValueError: bad") for row in range(5))
    none = Stats(batches=1, rows=8, elapsed=1.0, waited=0.0, reading=0.0, batching=0.0, placing=0.0)
    one, many = replace(none, replaced=replaced[:1]), replace(none, replaced=replaced)
    assert "could not be read" not in str(none)
    assert "replaced 1 row that could not be read: row 0 by row 1 (ValueError: bad)" in str(one).splitlines()
    assert "replaced 5 rows that could not be read: " in str(many)
    assert ", row 2 by row 3 (ValueError: bad), ..." in str(many)


class Chained(elsewhere.Replacing):
    """Raises errors that have causes of their own."""

    def __getitem__(self, row: int) -> int:
        try:
            try:
                return elsewhere.Numbers.__getitem__(self, row)
            except ValueError as error:
                raise KeyError(str(error)) from error
        except KeyError as error:
            self.tolerance.report(row, row + 1, 0, error)
            return row + 1


@pytest.mark.parametrize("workers", [0, 1, "threads of an executor"])
@pytest.mark.parametrize("kind", [elsewhere.Replacing, Chained])
def test_a_batch_is_freed_without_the_garbage_collector(kind: Any, workers: Any) -> None:
    rows = kind(64, errors(), 4)
    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:
            loader = DataLoader().batch_size(16).workers(pool if workers == "threads of an executor" else workers)
            with iter(loader.build(rows)) as batches:
                freed = weakref.ref(next(batches))
                next(batches)
                next(batches)
        assert freed() is None
        assert gc.collect() < 1000
    finally:
        gc.enable()
