"""Verdicts of runs that are limited in one way, each produced for real: no advice may be wrong.

Other programs may keep the cores of this machine busy. So a test waits for what it is about to be the case, as measured
in an interval of the run itself, and in all intervals until then, no advice may be wrong either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import elsewhere
import pytest
from elsewhere import Working
from loadax_core import DataLoader, Loader, Stats
from loadax_core.observe.cores import cores
from loadax_core.observe.evidence import GIL_SECONDS

ROWS = 1_000_000
"""More than any run gets to."""

needs_schedstat = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts how long a thread waits")
needs_two_cores = pytest.mark.skipif(cores() < 2, reason="on one core, no thread can run beside another")


@pytest.fixture(autouse=True)
def no_sockets_are_left() -> Generator[None]:
    yield
    elsewhere.SOCKETS.close()


def run(loader: Loader[Any], step: float = 0.0, seconds: float = 1.0) -> Stats:
    """A run over a loader, with a training step that takes so many seconds, for some time after the first batch."""
    ends = 0.0
    with iter(loader) as batches:
        for _ in batches:
            ends = ends or time.perf_counter() + seconds
            if step:
                # Even sleep(0) gives up the GIL, and the wait to have it back would count as training.
                time.sleep(step)
            if time.perf_counter() > ends:
                break
        return batches.stats()


def run_until(loader: Loader[Any], premise: Callable[[Stats], bool], never: str, *, seconds: float = 0.5) -> Stats:
    """Runs over a loader until an interval is what a test is about; in none may the verdict match a pattern."""
    with iter(loader) as batches:
        next(batches)
        stats, began = batches.stats(), time.perf_counter()
        deadline = began + 60
        for _ in batches:
            if time.perf_counter() > began + seconds:
                stats, began = batches.stats(stats), time.perf_counter()
                assert not re.search(never, stats.verdict), stats
                if premise(stats):
                    return stats
                assert began < deadline, f"the machine does not let this happen: {stats!r}"
    raise AssertionError("the rows have come to their end")


def has_cores(stats: Stats) -> bool:
    """Whether workers mostly got a core when they were ready to run."""
    return 2.5 * stats.core_wait < stats.cpu and 2.5 * stats.wake_core_wait < stats.wake_wait


def lacks_cores(stats: Stats) -> bool:
    """Whether workers waited for a core for much of the time in which they could have run."""
    return stats.core_wait > 0.75 * stats.cpu


def gets_the_gil(stats: Stats) -> bool:
    """Whether no thread that holds the GIL was kept from its core while the loop wanted to run."""
    return stats.wake_wait - stats.wake_core_wait <= GIL_SECONDS * sum(stats.ready[:1])


def workers_advised(stats: Stats) -> int:
    found = re.search(r"\.workers\((\d+)", stats.verdict)
    assert found, stats.verdict
    return int(found[1])


def speed(stats: Stats) -> float:
    """Rows per second after the first batch."""
    return stats.rows / (stats.elapsed - stats.first_wait)


@contextmanager
def other_programs(count: int = 4 * cores(), core: int | None = None) -> Generator[None]:
    """Programs that keep the cores busy, or one of them."""
    code = "print(flush=True)\nwhile True: pass"
    programs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for program in programs:
            assert program.stdout is not None
            program.stdout.readline()
            if core is not None:
                os.sched_setaffinity(program.pid, {core})
        yield
    finally:
        for program in programs:
            program.kill()
            program.communicate()


def threads(work: str, workers: int = 4, prefetch: int = 4, batch: int = 4) -> Loader[Any]:
    return DataLoader().batch_size(batch).workers(workers).prefetch(prefetch).build(Working(ROWS, work))


LONG = 16
"""Rows of batches that take longer than a time slice: threads that wait for a core then mostly do so in a read."""


@pytest.mark.parametrize("depth", [2, 8, 32])
def test_no_depth_helps_where_every_batch_is_late(depth: int) -> None:
    stats = run_until(threads("wait", 2, depth), gets_the_gil, r"\.prefetch\(")
    assert "The 2 workers were busy" in stats.verdict
    assert ".workers(" in stats.verdict


def test_more_workers_are_advised_and_help_where_rows_wait_for_a_network() -> None:
    stats = run_until(threads("wait"), gets_the_gil, r"\.prefetch\(|GIL")
    assert "and waited for storage, a network or a lock in" in stats.verdict
    assert workers_advised(stats) == 16
    assert speed(run(threads("wait", 16))) > 1.5 * speed(stats)


@needs_schedstat
def test_they_do_so_as_well_where_other_programs_have_the_cores() -> None:
    with other_programs():
        stats = run_until(threads("wait"), gets_the_gil, r"\.prefetch\(|GIL")
        assert "and waited for storage, a network or a lock in" in stats.verdict
        assert workers_advised(stats) == 16
        assert speed(run(threads("wait", 16))) > 1.2 * speed(stats)


@needs_schedstat
@needs_two_cores
def test_threads_that_use_one_core_together_and_wait_do_not_hold_the_gil() -> None:
    verdict = run(threads("both"), seconds=2.0).verdict
    # The second is right while other programs have the cores.
    assert re.search(r"waited for storage, a network or a lock .*\.workers\(\d+\) would|time for a CPU core: ", verdict)
    assert "GIL" not in verdict


@needs_schedstat
@needs_two_cores
@pytest.mark.parametrize("workers", [1, 4])
def test_processes_are_advised_where_threads_hold_the_gil(workers: int) -> None:
    stats = run_until(threads("python", workers), has_cores, r"\.prefetch\(|\.workers\(\d+\) ")
    if workers == 1 and "GIL" not in stats.verdict:
        # It may give the GIL up between two batches, so that the loop has it at once.
        assert ', or kind="process" if transforms are Python, would share the work' in stats.verdict
    else:
        assert ". The GIL is the bottleneck: " in stats.verdict
        assert "Use processes: .workers(" in stats.verdict


@needs_schedstat
@needs_two_cores
def test_processes_are_advised_where_the_threads_of_an_executor_hold_the_gil() -> None:
    with ThreadPoolExecutor(4) as pool:
        loader = DataLoader().batch_size(4).workers(pool).build(Working(ROWS, "python"))
        # Threads that happen to take turns leave the GIL to the loop at once.
        premise: Callable[[Stats], bool] = lambda stats: has_cores(stats) and not gets_the_gil(stats)  # noqa: E731
        stats = run_until(loader, premise, r"\.prefetch\(|\.workers\(\d+\) ")
    assert ". The GIL is the bottleneck: " in stats.verdict


@needs_schedstat
@pytest.mark.parametrize("work", ["python", "c"])
def test_no_setting_is_advised_where_threads_compute_and_other_programs_have_the_cores(work: str) -> None:
    with other_programs():
        stats = run_until(threads(work, batch=LONG), lacks_cores, r"\.prefetch\(|\.workers\(\d+\) ", seconds=2.0)
    assert "of their time for a CPU core: other programs, other threads of this one, or a limit" in stats.verdict
    assert "GIL" not in stats.verdict


@needs_schedstat
def test_no_setting_is_advised_where_processes_compute_and_other_programs_have_the_cores() -> None:
    loader = DataLoader().batch_size(LONG).workers(2, kind="process").prefetch(4).build(Working(ROWS, "c"))
    with other_programs():
        stats = run_until(loader, lacks_cores, r"\.prefetch\(|\.workers\(", seconds=2.0)
    assert "of their time for a CPU core: other programs, other threads of this one, or a limit" in stats.verdict


@needs_schedstat
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_no_more_workers_than_cores_are_advised_where_they_compute(kind: Any) -> None:
    # Rows enough that to hand batches over takes little of the workers' time, also while other programs run.
    loader = DataLoader().batch_size(16).workers(cores(), kind=kind).prefetch(4).build(Working(ROWS, "c"))
    verdict = run(loader, seconds=3.0).verdict
    # The second is right while other programs have the cores, too.
    assert re.search(r"make the dataset's transforms cheaper|time for a CPU core: |Too early to say", verdict), verdict
    assert not re.search(r"\.prefetch\(|\.workers\(|GIL", verdict)


@needs_schedstat
@needs_two_cores
def test_one_thread_that_computes_without_the_gil_gets_another() -> None:
    # Where the loop waits for a core, it cannot be told whether it waits for the GIL.
    stats = run_until(threads("c", 1), lambda stats: has_cores(stats) and gets_the_gil(stats), r"\.prefetch\(")
    assert 2 <= workers_advised(stats) <= cores()
    assert "GIL" not in stats.verdict


def test_processes_and_executors_that_wait_get_more_of_their_kind() -> None:
    dataset = Working(ROWS, "wait")
    # Rows enough that to hand batches over takes little of the workers' time, also while other programs run.
    builder = DataLoader().batch_size(16)
    stats = run(builder.workers(2, kind="process").prefetch(4).build(dataset), seconds=2.0)
    assert re.search(r'waited for storage.* \.workers\(\d, kind="process"\) would wait for more rows', stats.verdict)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        stats = run(builder.workers(pool).prefetch(4).build(dataset), seconds=2.0)
    assert re.search(r"waited for storage.* An executor of \d workers would wait for more rows", stats.verdict)


def test_no_workers_get_no_more_than_there_are_cores_to_compute() -> None:
    waiting = run(DataLoader().batch_size(8).workers(0).build(Working(ROWS, "wait")), step=0.002)
    assert workers_advised(waiting) == 4
    computing = run(DataLoader().batch_size(8).workers(0).build(Working(ROWS, "c")), step=0.002)
    assert workers_advised(computing) <= cores()


def test_a_read_that_the_loop_waited_for_is_named() -> None:
    class Late:
        def __len__(self) -> int:
            return ROWS

        def __getitem__(self, row: int) -> int:
            time.sleep(1.0 if row == 70 else 0.0005)
            return row

    stats = run(DataLoader().workers(2).build(Late()), 0.002, seconds=1.5)
    # The second is right while other programs have the cores.
    assert re.search(r"One read took about as long: .* in 1\.\d\d s\. Look at|CPU core", stats.verdict), stats


def test_depth_is_advised_where_batches_are_sometimes_far_slower() -> None:
    """Each 40th batch takes as long as 20 steps, which a window of 2 cannot bridge, and a deep one can."""

    class Bumpy(elsewhere.Numbers):
        def __getitem__(self, row: int) -> int:
            time.sleep(0.06 if row % 40 == 39 else 0.0)
            return row

    loader = DataLoader().workers(1).prefetch(2).build(Bumpy(400))
    stats = run(loader, step=0.003, seconds=2.0)
    assert "All 2 batches were ready at" in stats.verdict
    assert ".prefetch(4) lets workers load further ahead" in stats.verdict


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_nothing_is_advised_where_most_of_the_run_was_its_start(kind: Any) -> None:
    builder = DataLoader().batch_size(2)
    if kind == "thread":
        loader = builder.workers(1).build(elsewhere.SlowEpoch(40))
    else:
        loader = builder.workers(1, kind=kind, initializer=elsewhere.slow_import).build(elsewhere.Numbers(40))
    stats = run(loader, step=0.001)
    assert stats.verdict.startswith("Too early to say: ")
    assert "of the run was the wait for the first batch" in stats.verdict
    assert "." not in stats.verdict[:-1].replace("say: ", ""), "no setting is named"


@pytest.mark.parametrize("work", ["python", "c", "both"])
def test_a_short_run_is_given_no_advice_that_may_be_wrong(work: str) -> None:
    for seconds in (0.02, 0.05, 0.1):
        stats = run(threads(work, cores()), seconds=seconds)
        assert ".prefetch(" not in stats.verdict
        assert work == "both" or not re.search(r"\.workers\(\d+\)", stats.verdict), stats


@needs_schedstat
@needs_two_cores
def test_a_loop_that_gets_no_core_is_told_so() -> None:
    core = min(os.sched_getaffinity(0))
    loader = DataLoader().workers(1).prefetch(0).build(Working(ROWS, "wait"))
    batches: Any = iter(loader).start()
    seen: list[Stats] = []

    def starve() -> None:
        # Of this thread alone.
        thread = threading.get_native_id()
        os.sched_setaffinity(thread, {core})
        os.setpriority(os.PRIO_PROCESS, thread, 19)
        deadline = time.perf_counter() + 60
        for _ in batches:
            stats = batches.stats()
            starved = stats.wake_core_wait > 0.6 * (stats.waited - stats.first_wait)
            if stats.elapsed > 1 and (starved or time.perf_counter() > deadline):
                seen.append(stats)
                return

    with other_programs(3, core), batches:
        loop = threading.Thread(target=starve)
        loop.start()
        loop.join(90)
    assert "of that the batch was ready, and the loop waited for a CPU core" in seen[0].verdict
    assert ".workers(" not in seen[0].verdict
    assert ".prefetch(" not in seen[0].verdict
