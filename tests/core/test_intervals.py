"""`stats(since=earlier)`: the statistics of a part of a run."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, Interval, LoaderIterator, SlowRead, Stats
from loadax_core.observe.difference import SETTINGS, difference
from loadax_core.text import duration

WORKERS = (0, 1, 3)
SUMS = ("batches", "rows", "local_rows", "elapsed", "waited", "reading", "batching", "placing")


def start(workers: int = 2, rows: int = 60, **counts: Callable[[Any], Any]) -> LoaderIterator[Any]:
    builder = DataLoader().batch_size(4).workers(workers)
    return iter((builder.count(**counts) if counts else builder).build(np.arange(rows)))


def take(batches: Any, number: int) -> None:
    for _ in range(number):
        next(batches)


@pytest.mark.parametrize("workers", WORKERS)
def test_intervals_add_up_to_the_run(workers: int) -> None:
    with start(workers, rows=100, total=np.sum) as batches:
        parts = [batches.stats()]
        for number in (3, 1, 0, 7, 14):
            take(batches, number)
            parts.append(batches.stats(since=parts[-1]))
        run = batches.stats()
    assert [part.batches for part in parts] == [0, 3, 1, 0, 7, 14]
    assert [part.rows for part in parts] == [0, 12, 4, 0, 28, 56]
    assert [part.counts["total"] for part in parts] == [0, 66, 54, 0, 826, 4004]
    assert sum(part.counts["total"] for part in parts) == sum(range(100))
    for name in ("batches", "rows", "elapsed", "waited"):
        assert sum(getattr(part, name) for part in parts) == pytest.approx(getattr(run, name)), name
    for name in ("reading", "batching", "placing", "busy"):
        assert sum(getattr(part, name) for part in parts) <= getattr(run, name) + 1e-9, name
    for number in range(1 + max(map(len, (part.ready for part in parts)))):
        asked = sum(part.ready[number] for part in parts if len(part.ready) > number)
        assert asked == (run.ready[number] if len(run.ready) > number else 0)
    assert sum(part.bytes for part in parts) == run.bytes == 800
    # The first batch is in the first interval only.
    assert parts[1].first_wait == run.first_wait > 0
    assert all(part.first_wait == 0 for part in parts[2:])


def test_an_interval_is_a_stats_of_its_own() -> None:
    with start() as batches:
        take(batches, 5)
        earlier = batches.stats()
        take(batches, 4)
        part = batches.stats(since=earlier)
        assert str(part).startswith(
            f"4 batches, 16 rows in {duration(part.elapsed)} ({part.rows_per_second:,.0f} rows/s"
        )
        assert part.wait_share == part.waited / part.elapsed
        assert (part.kind, part.workers, part.prefetch, part.read_method) == ("thread", 2, 2, "gather")
        assert part.total is not None
        assert (part.total.batches, part.total.total) == (9, None)
        assert earlier.total is None


def test_the_verdict_is_that_of_the_interval() -> None:
    slow = threading.Event()

    def wait(row: int) -> int:
        if slow.is_set():
            threading.Event().wait(0.01)
        return row

    class Rows:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int) -> int:
            return wait(row)

    batches = iter(DataLoader().build(Rows()))
    take(batches, 1)
    for _ in range(10):
        take(batches, 1)
        threading.Event().wait(0.01)
    quick = batches.stats()
    slow.set()
    take(batches, 1)
    one = batches.stats(since=quick)
    take(batches, 9)
    assert quick.verdict.startswith("Compute-bound: ")
    # One batch is enough, since it is not the first of the run.
    assert one.verdict.startswith("Loader-bound: training waited for data ")
    assert batches.stats(since=quick).verdict.startswith("Loader-bound: ")
    nothing = batches.stats(since=batches.stats())
    assert nothing.verdict == "Too early to say: no batch was yielded in this interval."
    assert str(nothing).startswith("0 batches, 0 rows in 0 s (0 rows/s); waited 0 s for data (0.0%)\n")


def test_the_history_is_that_of_the_interval() -> None:
    with iter(DataLoader(list[int]).batch_size(2).prefetch(2).build(range(100))) as batches:
        for _ in range(20):
            next(batches)
            threading.Event().wait(0.006)
        earlier = batches.stats()
        for _ in range(20):
            next(batches)
            threading.Event().wait(0.006)
        part = batches.stats(since=earlier)
    assert sum(piece.batches for piece in part.history) == 20
    assert sum(piece.elapsed for piece in part.history) == pytest.approx(part.elapsed)
    assert sum(piece.waited for piece in part.history) == pytest.approx(part.waited, abs=1e-6)
    assert len(part.history) > 5
    assert all(0 <= piece.ready <= 2 for piece in part.history)


def test_what_is_no_sum_is_that_of_the_end() -> None:
    base = Stats(1, 10, 1.0, 0.5, 0.1, 0.1, 0.1, iterator="a", bytes=80, cores=2, prefetch=1, counts={"tokens": 5})
    slow, slower = SlowRead(1.0, 3, 1), SlowRead(2.0, 5, 1)
    earlier = replace(base, slowest=(slow,), ready=(1, 2, 3), transforming=0.05)
    later = replace(base, batches=4, rows=40, elapsed=1.5, waited=1.5, reading=0.12, transforming=0.1, bytes=400)
    later = replace(later, slowest=(slower, slow), ready=(1, 4, 3), cores=4, prefetch=7, counts={"tokens": 11})
    part = difference(later, earlier, [Interval(3, 0.5, 0.5, 1.0)])
    assert (part.batches, part.rows, part.elapsed, part.waited) == (3, 30, 0.5, 0.5)
    assert part.transforming == part.reading == pytest.approx(0.02)
    assert part.bytes == 300
    assert part.slowest == (slower,)
    assert part.ready == (0, 2)
    assert (part.cores, part.prefetch, part.counts) == (4, 7, {"tokens": 6})
    assert part.history == (Interval(3, 0.5, 0.5, 1.0),)
    assert set(SETTINGS) <= set(Stats.__dataclass_fields__)


def test_an_interval_that_set_state_lies_in_counts_both_sides() -> None:
    with start(total=np.sum) as batches:
        take(batches, 2)
        earlier, state = batches.stats(), batches.get_state()
        take(batches, 3)
        batches.set_state(state)
        take(batches, 2)
        part = batches.stats(since=earlier)
    assert (part.batches, part.rows) == (5, 20)
    assert part.counts == {"total": sum(range(8, 20)) + sum(range(8, 16))}


def test_only_an_earlier_one_of_the_same_iterator_is_taken() -> None:
    loader = DataLoader().batch_size(4).build(np.arange(60))
    batches, others = iter(loader), iter(loader)
    take(batches, 2)
    take(others, 1)
    with pytest.raises(ValueError, match="since is the statistics of another iterator; give what stats"):
        batches.stats(since=others.stats())
    with pytest.raises(ValueError, match="another iterator"):
        batches.stats(since=replace(batches.stats(), iterator=""))
    now = batches.stats()
    for later in (replace(now, batches=3), replace(now, elapsed=now.elapsed + 1)):
        with pytest.raises(ValueError, match=r"since is later than now: it is of \d batches in .* has yielded 2 in"):
            batches.stats(since=later)
    wrong: Any = 5
    with pytest.raises(TypeError, match=r"since must be what stats\(\) of this iterator returned before, got 5"):
        batches.stats(since=wrong)
    # Also if it was sent or kept somewhere.
    take(batches, 3)
    assert batches.stats(since=pickle.loads(pickle.dumps(now))).batches == 3


def test_statistics_of_another_thread_see_all_of_a_move_or_nothing() -> None:
    """While `set_state` moves the position, no other thread may count batches twice."""
    batches = start(0)
    origin = batches.get_state()
    take(batches, 5)
    seen: list[int] = []

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(batches.stats().batches))
        thread.start()
        thread.join(20)

    class Moving(LoaderIterator[Any]):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name != "_running":
                # In the middle of the move.
                look()

    batches.__class__ = Moving
    batches.set_state(origin)
    assert seen
    assert set(seen) == {5}


def test_cpu_time_ends_with_the_last_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = start(0)
    take(batches, 2)
    notes = batches._recorder
    clock = {"perf_counter": notes._looked + 4.0, "process_time": notes._cpu_before + notes._cpu + 3.0}
    for name, now in clock.items():
        monkeypatch.setattr(f"loadax_core.observe.recorder.{name}", lambda now=now: now)
    # A quarter of the time since the clock was read lies before the last batch.
    notes.seen = notes._looked + 1.0
    assert batches.stats().process_cpu == pytest.approx(notes._cpu + 0.75)
