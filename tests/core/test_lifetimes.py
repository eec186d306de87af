"""Nothing stays behind: each way of leaving a loader, in a process of its own, with a time limit."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep, time
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core import distributed as resolve
from loadax_core.testing import check_no_threads

SETUP = """
import os, sys, threading, time
import numpy as np
from loadax_core import DataLoader
from loadax_core.testing import check_no_threads

class Slow:
    "Rows whose reads never end by themselves, from row 8 on."
    def __len__(self): return 100
    def __getitem__(self, row):
        if row >= 8:
            stuck.set()
            threading.Event().wait(100)
        return row

stuck = threading.Event()
fast = DataLoader().batch_size(4).workers(3).prefetch(4).build(np.arange(10_000))
slow = DataLoader().batch_size(4).workers(3).prefetch(4).build(Slow())
# Copies of this process, which has one thread: each goes on, and ends as it would, without importing everything again.
for _ in range(int(sys.argv[1])):
    began = time.monotonic()
    if not os.fork():
        break
    assert os.wait()[1] == 0
    assert time.monotonic() - began < float(sys.argv[2])
else:
    print(time.time(), flush=True)
"""

PATIENCE = 3.0
"""Seconds from the end of the imports, or of long work, to the end of the process.

A read that is waited for would take 100.
"""


def run(script: str, code: int = 0, error: str = "", times: int = 1, copies: int = 0) -> None:
    command = [sys.executable, "-X", "dev", "-c", SETUP + textwrap.dedent(script), str(copies), str(PATIENCE)]

    def once() -> None:
        done = subprocess.run(command, capture_output=True, check=False, text=True, timeout=30)
        ended = time()
        assert done.returncode == code, done.stderr
        if error:
            assert done.stderr.rstrip().endswith(error)
            assert done.stderr.count("Traceback") == 1, done.stderr
        else:
            assert done.stderr == ""
        # A script that works for long prints the time once more, when that is done.
        assert ended - float(done.stdout.split()[-1]) < PATIENCE

    with ThreadPoolExecutor(2) as pool:
        for result in [pool.submit(once) for _ in range(times)]:
            result.result()


def test_the_interpreter_exits_with_loaders_mid_epoch() -> None:
    run(
        """
        a, b = iter(fast), iter(fast)
        next(a), next(b)
        """,
        times=4,
        copies=24,
    )


def test_the_interpreter_exits_while_a_read_is_stuck() -> None:
    run(
        """
        batches = iter(slow)
        next(batches)
        stuck.wait()
        """,
        times=5,
    )


def test_the_users_own_error_is_the_exit() -> None:
    run(
        """
        for batch in fast:
            raise ValueError("the user's own")
        """,
        code=1,
        error="ValueError: the user's own",
        times=5,
    )
    run("for batch in fast: sys.exit(3)", code=3, times=5)


def test_a_worker_that_is_dropped_with_its_iterator_does_not_hold_up_the_exit() -> None:
    run(
        """
        for batch in slow:
            stuck.wait()
            break
        """,
        times=5,
    )


def test_a_cycle_that_is_collected_at_exit() -> None:
    run(
        """
        class Trainer: pass
        trainer = Trainer()
        trainer.batches, trainer.self = iter(fast), trainer
        next(trainer.batches)
        """,
        times=5,
    )


def test_leaving_by_break_a_hundred_times() -> None:
    run(
        """
        for _ in range(100):
            for batch in fast:
                break
        check_no_threads(1)
        """
    )


def test_an_exception_in_the_body_a_hundred_times() -> None:
    run(
        """
        for attempt in range(100):
            try:
                with iter(fast) as batches:
                    for batch in batches:
                        raise KeyError(attempt)
            except KeyError:
                pass
        check_no_threads(1)
        """
    )


def test_close_ends_idle_workers_before_it_returns() -> None:
    run(
        """
        for _ in range(100):
            batches = iter(fast)
            next(batches)
            batches.close()
            batches.close()
            assert threading.active_count() == 1
        """
    )


def test_exhaustion_ends_the_workers() -> None:
    run(
        """
        batches = iter(DataLoader().workers(3).build(np.arange(10)))
        assert len(list(batches)) == 10
        check_no_threads(1)
        """
    )


def test_a_thousand_iterators_leave_no_thread_descriptor_or_memory_behind() -> None:
    run(
        """
        import gc, os, resource, weakref
        loader = DataLoader().batch_size(64).workers(2).prefetch(2).build(np.zeros((1000, 512)))
        alive = []

        def make_and_drop(times):
            for i in range(times):
                batches = iter(loader)
                alive.append(weakref.ref(batches))
                if i % 2:
                    next(batches)
                if i % 4 == 1:
                    batches.close()

        def descriptors():
            return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

        make_and_drop(100)
        check_no_threads(1)
        opened, peak = descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        make_and_drop(1000)
        gc.collect()
        assert not any(ref() for ref in alive)
        check_no_threads(1)
        assert descriptors() <= opened
        # In KiB; what 1,000 iterators had loaded comes to some 500 MiB.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < peak + 50_000
        print(time.time(), flush=True)
        """
    )


@pytest.mark.parametrize("how", ["set_state", "error", "close"])
def test_what_loaded_before_is_let_go_while_the_iterator_lives(how: str) -> None:
    class Failing:
        def __len__(self) -> int:
            return 10

        def __getitem__(self, row: int) -> int:
            return 1 // (5 - row)

    batches = iter(DataLoader().batch_size(1).workers(2).build(Failing()))
    start = batches.get_state()
    next(batches)
    window = weakref.ref(batches._source)
    if how == "set_state":
        batches.set_state(start)
    elif how == "error":
        with pytest.raises(ZeroDivisionError):
            list(batches)
        # It refers to the frames that it came through.
        batches.set_state(start)
    else:
        batches.close()
    deadline = perf_counter() + 20
    while window() is not None and perf_counter() < deadline:
        gc.collect()
        sleep(0.001)
    assert window() is None


def test_iterators_in_cycles_are_stopped_by_the_collector() -> None:
    run(
        """
        for _ in range(100):
            cycle = {}
            cycle["batches"], cycle["self"] = iter(fast), cycle
            next(cycle["batches"])
            del cycle
        check_no_threads(1)
        """
    )


def test_the_collector_may_run_anywhere() -> None:
    """The finalizer runs in whichever thread allocates, a worker inside its own lock included: it must not block."""
    loader = DataLoader().batch_size(2).workers(2).prefetch(4).build([{"x": i} for i in range(200)])
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(20):
            cycle: dict[str, Any] = {}
            cycle["batches"], cycle["self"] = iter(loader), cycle
            next(cycle["batches"])
            del cycle
        assert len(list(loader)) == 100
    finally:
        gc.set_threshold(*threshold)


class Batch:
    pass


def batches_of(rows: int) -> tuple[Any, list[weakref.ref[Batch]]]:
    """An iterator of `rows` batches, and references to those that it makes."""
    made: list[weakref.ref[Batch]] = []

    def batcher(items: list[int]) -> Batch:
        batch = Batch()
        made.append(weakref.ref(batch))
        return batch

    return iter(DataLoader(batcher).workers(2).prefetch(2).build(range(rows))), made


def count_alive(made: list[weakref.ref[Batch]]) -> int:
    return sum(ref() is not None for ref in list(made))


def test_no_more_batches_live_than_are_held_and_prefetched() -> None:
    batches, made = batches_of(50)
    held = next(batches)
    for _ in range(20):
        held = next(batches)
        # One that is handed over, two that are ready, and one that a worker has just made and not yet let go of.
        assert count_alive(made) <= 4
    assert held is not None
    before = threading.active_count()
    batches.close()
    del held
    check_no_threads(before - 2)
    assert not count_alive(made)


class Placed:
    """Notes where it is freed."""

    def __init__(self, freed: list[str]) -> None:
        self.freed = freed

    def __del__(self) -> None:
        self.freed.append(threading.current_thread().name)


@pytest.mark.parametrize("depth", [2, 16])
def test_placed_batches_are_freed_in_time_and_by_workers(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[str] = []
    alive: list[int] = []

    def place(batch: Any) -> Placed:
        alive.append(len(alive) + 1 - len(freed))
        return Placed(freed)

    def device_placement(target: object) -> Any:
        return place

    monkeypatch.setattr(resolve, "device_placement", device_placement)
    batches: Any = iter(DataLoader().batch_size(4).prefetch(depth, to_device=True).build(np.arange(4000)))
    mine = threading.current_thread().name
    held = next(batches)
    for _ in range(900):
        held = next(batches)
    # Those that are ready, the one that is handed over, and the one before it.
    assert max(alive) <= depth + 2
    assert len(freed) >= 900 - depth
    # A worker that is quick may leave the last one to the caller.
    assert any(name != mine for name in freed)
    elsewhere = next(batches)
    del held, elsewhere
    batches.close()
    assert len(freed) == len(alive)


def test_idle_workers_keep_no_batch() -> None:
    batches, made = batches_of(20)
    for _ in range(20):
        next(batches)
    deadline = time() + 10
    while count_alive(made) and time() < deadline:
        sleep(0.001)
    assert not count_alive(made)
    assert threading.active_count() > 1, "the workers have ended, so this shows nothing"


def test_a_forked_process_is_told_that_its_workers_are_missing() -> None:
    code = """
import os, sys, time
from loadax_core import DataLoader

class Slow(list):
    def __getitem__(self, row):
        time.sleep(0.05)
        return super().__getitem__(row)

batches = iter(DataLoader().workers(1).prefetch(1).build(Slow(range(9))))
next(batches)
if (child := os.fork()) == 0:
    try:
        list(batches)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(len(list(batches)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    message, rest = done.stdout.splitlines()
    assert "this iterator's workers stayed behind when the process forked; start a new one" in message
    assert rest == "8"
