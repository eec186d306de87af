from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import elsewhere
import numpy as np
import pytest
from loadax_core import DataLoader, SlowRead, Stats, timed_transform
from loadax_core.memory.nbytes import size
from loadax_core.observe import recorder
from loadax_core.observe.history import POINTS
from loadax_core.observe.lane import SLOWEST, Lane
from loadax_core.observe.recorder import MOST_READY, Recorder
from loadax_core.observe.transforms import begin_measuring, end_measuring
from loadax_core.plan.steps import Step
from loadax_core.run.slot import Slot
from loadax_core.run.window import Window

BASE = Stats(
    batches=100,
    rows=3200,
    local_rows=3200,
    elapsed=10.0,
    waited=4.0,
    reading=8.0,
    batching=0.5,
    placing=0.5,
    kind="thread",
    workers=2,
    prefetch=2,
    busy=18.0,
    cpu=1.0,
    process_cpu=2.0,
    ready=(60, 39),
    cores=8,
)
"""Two threads that read slow rows from somewhere, and are not done in time."""

GIL = {"wake_wait": 0.2, "process_cpu": 9.9}
"""The consumer runs 3.3 ms after a late batch is ready."""

SLOW = {"slowest": (SlowRead(3.5, 70, 1), SlowRead(0.01, 5, 1))}
"""One row took nearly as long as the loop waited."""


class Rows:
    """Integers; the read of some waits for what a test gives them to wait for."""

    def __init__(self, rows: int, wait: dict[int, Any]) -> None:
        self.rows, self.wait = rows, wait

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        if row in self.wait:
            self.wait[row]()
        return row


def pause() -> None:
    threading.Event().wait(0.05)


def until_ready(batches: Any, which: slice) -> None:
    """Waits until some of the next batches are ready."""
    deadline = perf_counter() + 20
    while not all(slot.done for slot in list(batches._source._slots)[which]):
        assert perf_counter() < deadline
        threading.Event().wait(0.001)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batches": 1}, "Too early to say: the first batch has to be waited for."),
        ({"waited": 0.1}, "Compute-bound: training waited for data 1.0% of the time; a faster loader would not help."),
        # Only the first batch was waited for.
        ({"waited": 4.1, "first_wait": 4.05}, "Compute-bound: training waited for data 0.8% of the time"),
        ({}, "Loader-bound: training waited for data 40% of the time. The 2 workers were busy 90% of the time, and "),
        ({}, "and waited for storage, a network or a lock in 94% of it. .workers(3) would wait for more rows at the "),
        ({"waited": 9.99}, ".workers(8) would wait for more rows"),
        ({"waited": 10.0}, ".workers(8) would wait for more rows"),
        ({"kind": "process"}, '.workers(3, kind="process") would wait for more rows'),
        ({"kind": "executor"}, "in 94% of it. An executor of 3 workers would wait for more rows"),
        ({"workers": 1, "busy": 9.0}, "The worker was busy 90% of the time, and waited for storage, a network or a "),
        # However busy the cores are, one more thread waits for more rows.
        ({"cpu": 0.2, "core_wait": 14.0}, "a lock in 21% of it. .workers(3) would wait for more rows"),
        # No more threads than cores are of use if rows are computed.
        ({"cpu": 17.0, "waited": 9.99, "cores": 3}, "mostly computing. .workers(3) would share the work."),
        # One thread of Python may give the GIL up between two batches, and not be noticed.
        ({"cpu": 8.5, "workers": 1, "busy": 9.0}, '.workers(2), or kind="process" if transforms are Python, would'),
        ({"cpu": 17.0, "kind": "executor", "waited": 9.99}, "mostly computing. An executor of 8 workers would share"),
        ({"cpu": 17.0, "cores": 2, "process_cpu": 17.0}, "mostly computing, and there are no more than 2 CPU cores: "),
        ({"cpu": 9.9} | GIL, "The GIL is the bottleneck: 2 threads used 1.0 CPU cores, since only one at a time"),
        ({"cpu": 9.9} | GIL, 'can run Python. Use processes: .workers(3, kind="process").'),
        ({"cpu": 9.9, "waited": 9.9, "cores": 2} | GIL, 'can run Python. Use processes: .workers(2, kind="process").'),
        ({"cpu": 9.9, "workers": 1, "busy": 9.9} | GIL, "The GIL is the bottleneck: 1 thread used 1.0 CPU cores"),
        # Threads of an executor are here if the CPU time of this process has theirs.
        ({"cpu": 9.9, "kind": "executor"} | GIL, "The GIL is the bottleneck"),
        (GIL | {"cpu": 9.9, "kind": "executor", "process_cpu": 0.1}, "An executor of 3 workers would share"),
        # In processes, each has a GIL of its own.
        ({"cpu": 9.9, "kind": "process"} | GIL, '.workers(3, kind="process") would share'),
        # Idle workers whose batches are late all the same, and who got no core when they were ready to run.
        ({"busy": 12.0, "cpu": 3.0, "core_wait": 2.5}, "Workers waited 21% of their time for a CPU core: other"),
        ({"busy": 12.0, "cpu": 3.0, "core_wait": 1.4}, "batches were late all the same"),
        ({"busy": 12.0, "cpu": 1.0, "core_wait": 1.1}, "batches were late all the same"),
        # What was loaded for the first batch, perhaps long before it was asked for, counts for nothing.
        ({"cpu": 9.9, "elapsed": 2.0, "waited": 1.0, "first_busy": 16.4} | GIL, "2 threads used 0.4 CPU cores"),
        # Threads that wait for a core look as if they waited for the GIL, and so does a consumer.
        ({"cpu": 9.9, "core_wait": 8.0} | GIL, "Workers waited 44% of their time for a CPU core: other programs"),
        ({"cpu": 9.9, "core_wait": 0.09} | GIL, "The GIL is the bottleneck"),
        ({"cpu": 9.9, "wake_wait": 0.2, "wake_core_wait": 0.195}, 'or kind="process" if transforms are Python, would'),
        # Threads that use a core together and let the consumer run at once do not hold the GIL.
        ({"cpu": 9.9}, "mostly computing. .workers(3) would share"),
        ({"cpu": 9.9, "busy": 39.0, "workers": 4}, "a lock in 75% of it. .workers(7) would wait for more rows"),
        # One that waits for a core may hold the GIL, whatever it runs.
        ({"cpu": 2.0, "core_wait": 6.0} | GIL, "Workers waited 33% of their time for a CPU core"),
        ({"cpu": 9.9, "wake_core_wait": 0.12} | GIL, '.workers(3), or kind="process" if transforms are Python, would'),
        # Another thread of the program holds it.
        ({"cpu": 1.0, "busy": 18.0} | GIL, "The GIL is the bottleneck: 2 threads used 0.1 CPU cores"),
        # More than one runs at a time.
        ({"cpu": 17.0} | GIL, 'mostly computing. .workers(3), or kind="process" if transforms are Python, would sh'),
        # On the only core, processes would take turns as well.
        ({"cpu": 9.9, "cores": 1} | GIL, "The CPU core is busy: make"),
        # Quick batches: workers seem idle, and the consumer waits for the GIL, too.
        ({"cpu": 5.9, "busy": 6.0, "ready": (50, 49)} | GIL, "The GIL is the bottleneck"),
        # No time at all to wake it: one worker loads the batch that the others' batches follow.
        ({"cpu": 5.9, "busy": 6.0, "ready": (50, 49), "wake_wait": 0.005}, "batches were late all the same"),
        ({"cpu": 0.05, "elapsed": 0.1, "busy": 0.09, "waited": 0.05}, "worked for 0.09 s, which is too short to say "),
        # Of each worker, CPU time that the kernel has not counted yet may be missing.
        ({"cpu": 0.1, "busy": 0.19, "workers": 2}, "worked for 0.19 s, which is too short to say "),
        ({"cpu": 9.9, "process_cpu": 79.0}, "All 8 CPU cores are busy: make the dataset's transforms cheaper"),
        ({"cpu": 15.0, "process_cpu": 1.0, "kind": "process", "cores": 1}, "The CPU core is busy: make the dataset's"),
        # Training has the cores, and loading needs hardly any.
        ({"process_cpu": 79.0}, ".workers(3) would wait for more rows"),
        # The batch was there, and the loop did not get to run.
        (
            {"wake_wait": 3.0, "wake_core_wait": 2.4, "kind": "process"},
            "For 60% of that the batch was ready, and the loop waited for a CPU core: other programs, other threads",
        ),
        ({"reading": 0.05, "batching": 0.0}, "Most of the loader's time goes into moving batches"),
        ({"reading": 0.03, "placing": 0.0}, "Rows are read one by one, in 9.4 us each, which is mostly Python"),
        # On 64 hosts, each row took 64 times as long.
        ({"reading": 0.03, "placing": 0.0, "local_rows": 50}, "would wait for more rows"),
        ({"reading": 0.03, "placing": 0.0, "read_method": "many"}, "would wait for more rows"),
        ({"reading": 0.03, "placing": 0.0, "read_method": "gather"}, "would wait for more rows"),
        (
            {"batches": 10**6, "reading": 0.03, "read_method": "gather"},
            "A batch came every 10.0 us, too fast for more threads to",
        ),
        ({"batches": 10**6, "kind": "caller", "workers": 0}, "would take less time for a row."),
        ({"batches": 10**6, "first_wait": 2.0}, "A batch came every 8.0 us"),
        ({"batches": 10**6, "waited": 0.1}, "a faster loader would not help"),
        # With every batch late, more of them ahead would be late, too.
        ({"busy": 4.0, "ready": (60, 39)}, "Workers were busy 20% of the time, and batches were late all the same: a "),
        ({"busy": 4.0, "ready": (99,), "prefetch": 64}, "batches were late all the same"),
        # And with none missing, none.
        ({"busy": 4.0, "ready": (0, 39, 60)}, "batches were late all the same"),
        ({"busy": 28.0, "workers": 9}, "only 3 batches can be loaded at a time. .prefetch(9) gives each worker one."),
        ({"busy": 4.0, "workers": 9}, "busy 4% of the time, and batches were late all the same"),
        # Once in 100 steps is chance.
        ({"busy": 4.0, "ready": (60, 38, 1)}, "batches were late all the same"),
        ({"busy": 4.0, "ready": (20, 20, 60)}, "All 2 batches were ready at 60% of the steps and none at 20%: some ba"),
        (
            {"busy": 4.0, "ready": (20, 20, 60)},
            "some batches take far longer than others. .prefetch(4) lets workers lo",
        ),
        ({"busy": 4.0, "ready": ()}, "Workers were busy 20% of the time"),
        # One read is enough to be waited for.
        (
            {"busy": 4.0} | SLOW,
            "40% of the time. One read took about as long: row 70 in 3.50 s. Look at what was read there.",
        ),
        ({"busy": 18.0} | SLOW, "would wait for more rows"),
        ({"busy": 4.0, "slowest": (SlowRead(1.5, 70, 1),)}, "batches were late all the same"),
        ({"busy": 4.0, "slowest": (SlowRead(2.5, 70, 1000),)}, "batches were late all the same"),
        ({"busy": 4.0, "waited": 7.0, "first_wait": 2.0} | SLOW, "batches were late all the same"),
        # Most of a short run is its start.
        ({"waited": 9.5, "first_wait": 9.2}, "Too early to say: 92% of the run was the wait for the first batch, when"),
        ({"kind": "caller", "workers": 0, "waited": 9.0, "reading": 7.5}, "only when they are asked for: .workers(4) "),
        ({"kind": "caller", "workers": 0, "reading": 3.5, "busy": 0.0}, "asked for: .prefetch(2) loads them while"),
        ({"kind": "caller", "workers": 0, "waited": 9.0, "cpu": 7.0, "cores": 2}, "asked for: .workers(2) loads them"),
    ],
)
def test_verdicts(changes: dict[str, Any], expected: str) -> None:
    stats = replace(BASE, **changes)
    assert expected in stats.verdict
    assert str(stats).endswith(stats.verdict)


def test_a_run_that_waits_for_its_data_is_loader_bound() -> None:
    with iter(DataLoader().batch_size(2).build(Rows(6, dict.fromkeys(range(6), pause)))) as batches:
        assert "Too early" in batches.stats().verdict
        for _ in batches:
            pause()
        assert batches.stats().verdict.startswith("Loader-bound: ")
        assert "only when they are asked for: .workers(" in batches.stats().verdict


def test_a_run_whose_batches_are_ready_is_compute_bound() -> None:
    with iter(DataLoader().batch_size(2).prefetch(2).build(range(12))) as batches:
        for _ in batches:
            pause()
        assert batches.stats().verdict.startswith("Compute-bound: ")


def test_ready_batches_are_counted() -> None:
    with iter(DataLoader(list[int]).workers(2).prefetch(3).build(range(10))) as batches:
        next(batches)
        for _ in range(9):
            until_ready(batches, slice(3))
            next(batches)
        stats = batches.stats()
        # At the end, fewer are left to be ready.
        assert stats.ready == (0, 1, 1, 7)
        assert stats.ready_on_average == 24 / 9
        assert stats.prefetch == 3
        assert list(batches) == []
        assert batches.stats().ready == stats.ready, "there was no batch to be ready"


def test_batches_behind_a_late_one_do_not_count_as_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    late = threading.Event()
    wait = Window._wait

    def release(window: Window, slot: Any) -> None:
        if slot.steps[0].number:
            late.set()
        wait(window, slot)

    monkeypatch.setattr(Window, "_wait", release)
    with iter(DataLoader(list[int]).workers(2).prefetch(2).build(Rows(3, {1: lambda: late.wait(20)}))) as batches:
        next(batches)
        until_ready(batches, slice(1, 2))
        next(batches)
        assert batches.stats().ready == (1,)


@pytest.mark.parametrize("dataset", [elsewhere.Transforming(40), elsewhere.TransformingAtOnce(40)])
@pytest.mark.parametrize("kind", ["caller", "thread", "process"])
def test_transforms_are_told_from_reading(dataset: Any, kind: Any) -> None:
    builder = DataLoader().batch_size(4)
    with iter((builder if kind == "caller" else builder.workers(2, kind=kind)).build(dataset)) as batches:
        assert len(list(batches)) == 10
        stats = batches.stats()
    assert 0.5 < stats.transforming / stats.reading < 0.9
    assert f"reading {stats.reading:.2f} s ({stats.transforming:.2f} s of it in transforms), batching" in str(stats)


def test_a_transform_that_fails_is_measured_too() -> None:
    def fail() -> None:
        time.sleep(0.01)
        raise OSError("broken")

    begin_measuring()
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            timed_transform(fail)
    assert end_measuring() >= 0.02
    assert end_measuring() == 0


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_slowest_reads_are_named(workers: int) -> None:
    # The machine may be busy with other things, so that any read may take longer.
    dataset = Rows(40, {27: lambda: threading.Event().wait(0.3), 14: lambda: threading.Event().wait(0.01)})
    with iter(DataLoader().batch_size(10).workers(workers).build(dataset)) as batches:
        assert len(list(batches)) == 4
        stats = batches.stats()
    seconds, row, rows = stats.slowest[0]
    assert row <= 27 < row + rows
    # A thread that has taken long times the rows of its next read one by one.
    assert rows == 1 or workers == 3
    assert seconds >= 0.3
    assert len(stats.slowest) == SLOWEST
    assert list(stats.slowest) == sorted(stats.slowest, reverse=True)
    assert f"slowest reads: {stats.slowest[0]}" in str(stats)


@pytest.mark.parametrize("workers", [0, 2])
def test_slow_gathers_are_named(workers: int) -> None:
    class Gathered(Rows):
        def gather(self, rows: Any, alloc: Any) -> Any:
            if 6 in rows:
                pause()
            return rows

    with iter(DataLoader().batch_size(3).workers(workers).build(Gathered(9, {}))) as batches:
        assert [batch.tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
        stats = batches.stats()
    assert stats.read_method == "gather"
    _, row, rows = stats.slowest[0]
    assert row <= 6 < row + rows
    assert stats.batching == 0.0 or workers == 0


@pytest.mark.parametrize("seconds", [[3, 9, 1, 7, 5, 8, 2, 6, 4], range(9, 0, -1), range(1, 10)])
def test_only_the_slowest_reads_are_kept(seconds: Sequence[int]) -> None:
    lane = Lane()
    for each in seconds:
        if each > lane.floor:
            lane.slow(each, (10 * each,))
    assert sorted(read.row for read in lane.slowest) == [50, 60, 70, 80, 90]
    assert lane.floor == 5


def test_a_batch_that_is_taken_at_once_was_counted_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(2).build(range(100))) as batches:
        next(batches)
        window: Any = batches._source
        until_ready(batches, slice(2))
        publish, before, counted = Slot.publish, window._bench.published, list[int]()

        def published(slot: Slot, *outcome: Any) -> None:
            # Whoever waits for it may go on at once.
            counted.append(window._bench.published - before)
            publish(slot, *outcome)

        monkeypatch.setattr(Slot, "publish", published)
        for _ in range(20):
            next(batches)
        assert counted[:18] == list(range(1, 19))


def test_workers_that_took_long_to_start_were_not_idle() -> None:
    stats = replace(BASE, kind="process", elapsed=30.0, waited=29.9, first_wait=10.0, busy=38.1, first_busy=0.1)
    assert stats.busy_share == pytest.approx(0.95)
    assert "The 2 workers were busy 95% of the time, and waited" in stats.verdict
    assert '.workers(8, kind="process") would wait for more rows' in stats.verdict


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_workers_did(workers: int) -> None:
    def batcher(items: list[int]) -> Any:
        pause()
        return np.array(items, np.int32)

    with iter(DataLoader(batcher).batch_size(4).workers(workers).build(range(18))) as batches:
        list(batches)
        stats = batches.stats()
    assert (stats.workers, stats.kind) == (workers, "thread" if workers else "caller")
    assert stats.rows == stats.local_rows == 18
    assert stats.bytes == 72
    assert stats.batching >= 0.25
    assert 0 < stats.reading < stats.batching
    assert 0.05 <= stats.first_wait <= stats.waited
    assert stats.busy == (pytest.approx(stats.reading + stats.batching) if workers else 0)
    assert 0 < stats.busy_share <= 1 if workers else stats.busy_share == 0
    assert 0 < stats.first_busy < stats.busy if workers else stats.first_busy == 0
    assert 0 < stats.cpu < 0.1
    assert stats.cores > 0
    assert f"by {workers} thread" in str(stats) if workers else ", by the caller" in str(stats)


def test_cpu_time_is_that_of_the_workers() -> None:
    def spin(items: list[int]) -> int:
        began = perf_counter()
        while perf_counter() - began < 0.03:
            pass
        return items[0]

    with iter(DataLoader(spin).workers(2).build(range(6))) as batches:
        list(batches)
        stats = batches.stats()
    # A lock is held in turn, and a busy machine gives less.
    assert 0.03 < stats.cpu < 0.2
    assert stats.process_cpu > 0


def test_a_restored_run_goes_on_counting() -> None:
    with iter(DataLoader().batch_size(2).workers(2).build(range(8))) as batches:
        start = batches.get_state()
        for _ in range(3):
            assert len(list(batches)) == 4
            batches.set_state(start)
        stats = batches.stats()
        assert (stats.batches, stats.rows) == (12, 24)
        assert len(batches._recorder._workers) == 2


class Clock:
    """What a recorder takes for the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(recorder, "perf_counter", lambda: self.now)


def test_the_history_of_a_run_lasts_until_its_end_also_if_its_last_batch_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, notes = Clock(monkeypatch), Recorder()
    for batch in range(2):
        clock.now = 1.0 + batch
        began = notes.enter()
        clock.now += 0.25
        notes.leave(began, None, Step(0, batch, batch, batch + 1), batch)
    # The call that finds no batch left.
    notes.seen = 3.0
    stats = notes.stats(batches=2, rows=2, local_rows=2, kind="thread", workers=1, read_method="items")
    assert [(part.batches, part.elapsed) for part in stats.history] == [(1, 0.25), (1, 1.75)]
    assert (stats.elapsed, stats.waited) == (2.0, 0.5)


def test_the_history_of_a_run_adds_up() -> None:
    with iter(DataLoader(list[int]).batch_size(2).prefetch(2).build(range(50))) as batches:
        for batch in batches:
            if batch[0] % 10 == 0:
                threading.Event().wait(0.006)
        stats = batches.stats()
    assert sum(part.batches for part in stats.history) == 25
    assert len(stats.history) >= 5
    assert sum(part.elapsed for part in stats.history) == pytest.approx(stats.elapsed)
    assert sum(part.waited for part in stats.history) == pytest.approx(stats.waited)
    assert 0 < max(part.ready for part in stats.history) <= 2


def test_memory_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Batch:
        looks = 0

        @property
        def nbytes(self) -> int:
            self.looks += 1
            return 0

    clock, notes, batch = Clock(monkeypatch), Recorder(), Batch()
    steps = 100_000
    for step in range(steps):
        clock.now += 0.01
        notes.leave(notes.enter(), step % MOST_READY, Step(0, step, step, step + 1), batch)
    known: Any = {"local_rows": 0, "kind": "thread", "workers": 1, "read_method": "items"}
    history = notes.stats(batches=steps, rows=steps, **known).history
    assert POINTS / 2 <= len(history) <= POINTS
    assert 0 < batch.looks < POINTS * 10
    assert sum(part.batches for part in history) == steps
    longest, shortest = max(part.batches for part in history), min(part.batches for part in history[:-1])
    assert longest <= 2 * shortest, "no piece but the last, which is not over, is much shorter than others"
    # Each number of ready batches came equally often.
    assert history[-1].ready == pytest.approx(31.5, abs=1)


def test_batches_of_any_kind_have_a_size() -> None:
    class Broken:
        @property
        def nbytes(self) -> int:
            raise RuntimeError

    assert size({"x": np.zeros((2, 3), np.int16), "y": [np.zeros(2), "text", None, 5]}) == 28
    assert size(Broken()) == 0


def test_of_a_global_array_each_row_that_is_here_counts_once() -> None:
    @dataclass
    class Shard:
        index: tuple[slice, ...]
        data: Any

    class Global:
        nbytes = 800
        is_fully_addressable = False
        halves = (slice(0, 2), slice(2, 4))
        addressable_shards = tuple(Shard((half,), np.zeros(2)) for half in halves * 2)

    assert size({"x": Global(), "y": np.zeros(4)}) == 2 * 16 + 32


@pytest.mark.parametrize(("prefetch", "timeout"), [(0, None), (2, None), (2, 60.0)])
def test_calls_that_follow_each_other_fast_are_all_counted_and_timed(prefetch: int, timeout: float | None) -> None:
    builder = DataLoader(list[int]).batch_size(3)
    dataset = Rows(3001, {7: pause, 3000: pause})
    if prefetch:
        builder = builder.prefetch(prefetch).timeout(timeout)
    inside = 0.0
    with iter(builder.build(dataset)) as batches:
        for done in range(1, 1002):
            began = perf_counter()
            next(batches)
            inside += perf_counter() - began
            if done % 100 == 1:
                assert batches.stats().batches == done
                assert batches.stats().rows == min(3 * done, 3001)
        stats = batches.stats()
        assert {read.row // 3 for read in stats.slowest[:2]} == {2, 1000}
        assert 0.1 <= stats.waited <= min(inside, stats.elapsed)
        batches.set_state({**batches.get_state(), "epoch": 0, "row": 2995})
        assert [len(batch) for batch in batches] == [3, 3]
        assert (batches.stats().batches, batches.stats().rows) == (1003, 3007)


def test_a_timeline_of_calls_that_follow_each_other_fast_has_them_all() -> None:
    with iter(DataLoader().batch_size(2).build(range(40))) as batches:
        next(batches)
        with batches.timeline() as timeline:
            for _ in range(9):
                next(batches)
        assert [span.step for span in timeline.lanes["training"]] == list(range(1, 10))


def test_short_times_and_single_things_are_written_as_they_are() -> None:
    short = Stats(batches=1, rows=1, elapsed=0.0004, waited=0.00005, reading=0.0032, batching=0.0, placing=0.0124)
    first, second, _ = str(short).splitlines()
    assert first == "1 batch, 1 row in 400 us (2,500 rows/s); waited 50 us for data (12.5%)"
    assert second == "reading 3.2 ms, batching 0 s, placing 0.01 s, by the caller"
    assert str(SlowRead(0.0003, 7, 1)) == "row 7 in 300 us"


def test_statistics_in_a_notebook() -> None:
    html = replace(BASE, **({"cpu": 9.9} | GIL))._repr_html_()
    assert html.startswith("<div><b>Loader-bound: training waited for data 40% of the time. The GIL")
    assert "kind=&quot;process&quot;" in html
    assert 'kind="process"' not in html
    for cell in ("waiting for data", "4.00 s", "40.0%", "100 batches, 3,200 rows in 10.00 s"):
        assert cell in html
    assert "Too early" in Stats(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)._repr_html_()
