"""Small batches of items, of which the caller's thread loads several at once if they are asked for quickly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from loadax_core import DataLoader, Loader, LoaderIterator, inline, iterator
from loadax_core import timeline as timelines
from loadax_core.inline import AHEAD_SECONDS, MOST_AHEAD
from loadax_core.recorder import WATCH_SECONDS, WATCHED_CALLS

STEPS = 1000


class Clock:
    """Goes on by little at each look, and by what a test adds."""

    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        self.now += 1e-7
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (inline, iterator, timelines):
        monkeypatch.setattr(module, "perf_counter", clock)
    return clock


class Items:
    """Rows that are read many at once, and how many were."""

    def __init__(self, rows: int, fails_at: int | None = None) -> None:
        self.rows, self.fails_at = rows, fails_at
        self.reads: list[int] = []

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[int]:
        self.reads.append(len(rows))
        if self.fails_at in rows:
            raise OSError(f"row {self.fails_at} is gone")
        return rows


def as_it_is(items: list[int]) -> list[int]:
    return items


def build(dataset: Any, change: Callable[[DataLoader[Any, Any]], DataLoader[Any, Any]] | None = None) -> Loader[Any]:
    builder: DataLoader[Any, Any] = DataLoader(as_it_is).batch_size(2)
    return (change(builder) if change else builder).build(dataset)


def hurried() -> tuple[Items, LoaderIterator[Any]]:
    """An iterator whose caller is quick, so that as many are loaded at once as may be."""
    dataset = Items(2 * STEPS)
    batches = iter(build(dataset))
    for _ in islice(batches, STEPS // 2):
        pass
    assert dataset.reads[-1] == 2 * MOST_AHEAD
    return dataset, batches


@pytest.mark.parametrize(
    ("share", "most"), [(0.0, MOST_AHEAD), (0.05, 16), (0.3, 2), (0.45, 2), (0.6, 1), (2.0, 1), (100.0, 1)]
)
def test_so_many_as_are_asked_for_soon_are_loaded_at_once(share: float, most: int, clock: Clock) -> None:
    """With the time between two calls, as a share of what counts as soon."""
    dataset = Items(2 * STEPS)
    batches = iter(build(dataset))
    for step in range(STEPS):
        assert next(batches) == [2 * step, 2 * step + 1]
        clock.now += share * AHEAD_SECONDS
    assert next(batches, None) is None
    assert max(dataset.reads) == 2 * most
    assert dataset.reads[:WATCHED_CALLS] == [2] * WATCHED_CALLS, "the first calls are watched"


def test_who_slows_down_gets_single_batches_again(clock: Clock) -> None:
    dataset, batches = hurried()
    for _ in islice(batches, MOST_AHEAD + 1):
        clock.now += AHEAD_SECONDS
    dataset.reads.clear()
    for _ in islice(batches, 50):
        clock.now += AHEAD_SECONDS
    assert set(dataset.reads) == {2}


def test_a_call_that_is_watched_loads_one_batch(clock: Clock) -> None:
    dataset, batches = hurried()
    clock.now += WATCH_SECONDS
    before = len(dataset.reads)
    for _ in islice(batches, MOST_AHEAD + 1):
        pass
    assert dataset.reads[before] == 2


def test_an_error_reaches_only_its_batch() -> None:
    dataset = Items(2 * STEPS, fails_at=1401)
    batches = iter(build(dataset))
    assert [next(batches) for _ in range(700)] == [[row, row + 1] for row in range(0, 1400, 2)]
    assert max(dataset.reads) > 2
    with pytest.raises(OSError, match="row 1401 is gone") as caught:
        next(batches)
    assert caught.value.__notes__ == [
        "loadax: raised by row 1401",
        "loadax: while reading the batch of epoch 0, step 700",
    ]
    assert batches.step == 700


def test_an_error_of_the_batcher_reaches_only_its_batch() -> None:
    def refuse(items: list[int]) -> list[int]:
        if 1401 in items:
            raise KeyError("never")
        return items

    batches = iter(DataLoader(refuse).batch_size(2).build(Items(2 * STEPS)))
    assert [next(batches) for _ in range(700)] == [[row, row + 1] for row in range(0, 1400, 2)]
    with pytest.raises(KeyError, match="never") as caught:
        next(batches)
    assert caught.value.__notes__ == [
        "loadax: made of rows 1400, 1401",
        "loadax: while batching the batch of epoch 0, step 700",
    ]


@pytest.mark.parametrize("drop", [False, True])
def test_epochs_end_as_ever(drop: bool) -> None:
    loader = build(Items(45), lambda builder: builder.batch_size(2, drop_remainder=drop).epochs(30))
    rows = list(range(44 if drop else 45))
    epoch = [rows[i : i + 2] for i in range(0, len(rows), 2)]
    assert list(loader) == 30 * epoch


@pytest.mark.parametrize("step", [17, 100, 101, 163, 164, 165, 700])
def test_what_is_loaded_and_not_yet_taken_does_not_count(step: int) -> None:
    loader = build(Items(2 * STEPS))
    batches = iter(loader)
    for _ in islice(batches, step):
        pass
    stats = batches.stats()
    assert (batches.step, stats.batches, stats.rows) == (step, step, 2 * step)
    again = iter(loader)
    for _ in islice(again, 300):
        pass
    again.set_state(batches.get_state())
    assert next(again) == next(batches) == [2 * step, 2 * step + 1]


def test_what_is_handed_out_slowly_is_timed_and_recorded_although_it_was_loaded_before(clock: Clock) -> None:
    _, batches = hurried()
    before = batches.stats().elapsed
    with batches.timeline() as timeline:
        for _ in islice(batches, 10):
            clock.now += 1.0
    assert 9 <= batches.stats().elapsed - before < 9.1
    assert [span.stage for span in timeline.lanes["training"]] == 10 * ["waiting"]


def test_who_closes_gets_none_of_what_is_loaded() -> None:
    batches = iter(build(Items(2 * STEPS)))
    for _ in islice(batches, 100):
        pass
    batches.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)
