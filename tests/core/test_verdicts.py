"""Verdicts of runs that are limited in one way, each produced for real: no advice may be wrong."""

from __future__ import annotations

import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from loadax_core import DataLoader, Stats
from loadax_core.observe.cores import cores
from loadax_core.observe.verdict import CORE_WAIT


class Rows:
    """Rows that take some work each."""

    def __init__(self, rows: int, work: Callable[[int], object]) -> None:
        self.rows, self.work = rows, work

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        self.work(row)
        return row


def run(loader: Any, step: float = 0.0, seconds: float = 10.0) -> Stats:
    """A run over a loader, with a training step that takes so many seconds, for some time at most."""
    ends = time.perf_counter() + seconds
    with iter(loader) as batches:
        for _ in batches:
            if step:
                # Even sleep(0) gives up the GIL, and the wait to have it back would count as training.
                time.sleep(step)
            if time.perf_counter() > ends:
                break
        return batches.stats()


def is_crowded(stats: Stats) -> bool:
    """Whether other programs keep this machine so busy that the verdict is about them."""
    return stats.core_wait > CORE_WAIT * stats.busy


def nap(_: int) -> None:
    time.sleep(0.002)


@pytest.mark.parametrize("depth", [2, 8, 32])
def test_no_depth_helps_where_every_batch_is_late(depth: int) -> None:
    stats = run(DataLoader().batch_size(8).workers(2).prefetch(depth).build(Rows(400, nap)))
    assert "The 2 workers were busy" in stats.verdict
    assert ".workers(" in stats.verdict
    assert ".prefetch(" not in stats.verdict


def test_nothing_is_advised_where_most_of_the_run_was_its_start() -> None:
    slow = Rows(40, lambda row: time.sleep(0.0 if row else 0.5))
    stats = run(DataLoader().batch_size(2).workers(1).prefetch(2).build(slow), step=0.001)
    assert stats.verdict.startswith("Too early to say: ")
    assert "of the run was the wait for the first batch" in stats.verdict
    assert "." not in stats.verdict[:-1].replace("say: ", ""), "no setting is named"


def test_depth_is_advised_where_batches_are_sometimes_far_slower() -> None:
    """Each 40th batch takes as long as 20 steps, which a window of 2 cannot bridge, and a deep one can."""
    bumpy = Rows(400, lambda row: time.sleep(0.06 if row % 40 == 39 else 0.0))
    stats = run(DataLoader().workers(1).prefetch(2).build(bumpy), step=0.003)
    if is_crowded(stats):
        assert ".workers(" not in stats.verdict
        return
    assert "All 2 batches were ready at" in stats.verdict
    assert ".prefetch(4) lets workers load further ahead" in stats.verdict


def python(_: int) -> None:
    sum(i * i for i in range(20_000))


def test_processes_are_advised_where_threads_wait_for_the_gil() -> None:
    stats = run(DataLoader().batch_size(4).workers(4).prefetch(4).build(Rows(4_000, python)), seconds=2.0)
    if is_crowded(stats):
        assert "GIL" not in stats.verdict
        return
    assert stats.verdict.split(". ", 1)[1].startswith("The GIL is the bottleneck: 4 threads used ")
    assert f'.workers({min(4, cores())}, kind="process")' in stats.verdict


def test_processes_are_not_advised_where_one_thread_at_a_time_has_much_to_do() -> None:
    """Threads that fill one core together, and need no GIL."""
    block = bytes(range(256)) * 4096

    def compress(row: int) -> None:
        if row % 16 == 0:
            zlib.compress(block, 6)

    stats = run(DataLoader().batch_size(4).workers(4).prefetch(4).build(Rows(4_000, compress)), seconds=2.0)
    assert 0.6 < stats.cpu / stats.elapsed < 1.4
    assert stats.busy_share < 0.5
    assert "GIL" not in stats.verdict


@contextmanager
def other_programs(count: int) -> Generator[None]:
    """Programs that keep a core busy each, for 20 s at most."""
    code = "import time\nends = time.time() + 20\nwhile time.time() < ends:\n    pass"
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts how long a thread waits for a core")
def test_no_setting_is_advised_where_other_programs_hold_the_cores() -> None:
    block = bytes(range(256)) * 4096

    def compress(_: int) -> None:
        # Releases the GIL, so that threads would run side by side if there were a core for each.
        zlib.compress(block, 6)

    with other_programs(4 * cores()):
        loader = DataLoader().batch_size(2).workers(cores()).prefetch(2).build(Rows(10_000, compress))
        stats = run(loader, seconds=3.0)
    assert "of their time for a CPU core: other programs, or other threads of this one" in stats.verdict
    assert "Python" not in stats.verdict
    assert "GIL" not in stats.verdict
    assert ".workers(" not in stats.verdict
