"""What is left of an iterator that was dropped is stopped outside of the main thread, where interrupts arrive."""

from __future__ import annotations

import gc
import os
import threading
from time import perf_counter
from typing import Any

import pytest
from loadax_core import DataLoader
from loadax_core.run.reaper import REAPER, Reaper
from loadax_core.run.window import Window
from loadax_core.testing import check_no_threads


class Owner:
    """Something that is watched."""


def wait_for(done: Any) -> None:
    deadline = perf_counter() + 20
    while not done():
        assert perf_counter() < deadline
        threading.Event().wait(0.001)


def test_what_was_dropped_is_stopped_by_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    stoppers: list[str] = []
    stop = Window.stop

    def noted(window: Window) -> None:
        stoppers.append(threading.current_thread().name)
        stop(window)

    monkeypatch.setattr(Window, "stop", noted)
    before = threading.active_count()
    batches = iter(DataLoader().workers(2).build(range(100)))
    next(batches)
    del batches
    gc.collect()
    check_no_threads(before)
    assert stoppers == ["loadax-reaper"]


def test_the_thread_ends_with_the_last_iterator() -> None:
    before = threading.active_count()
    loader = DataLoader().workers(1).build(range(100))
    with iter(loader) as first, iter(loader) as second:
        next(first)
        next(second)
        assert [thread.name for thread in threading.enumerate()].count("loadax-reaper") == 1
    check_no_threads(before)
    assert not REAPER._calls


def test_what_is_forgotten_is_not_called() -> None:
    reaper, called = Reaper(), list[int]()
    owners = [Owner() for _ in range(100)]
    keys = [reaper.watch(owner, lambda i=i: called.append(i)) for i, owner in enumerate(owners)]
    for key in keys[::2]:
        reaper.forget(key)
        reaper.forget(key)
    owners.clear()
    wait_for(lambda: len(called) == 50)
    assert sorted(called) == list(range(1, 100, 2))
    wait_for(lambda: not reaper._runs)


def test_watching_and_forgetting_in_several_threads_loses_nobody() -> None:
    reaper, called, lock = Reaper(), list[int](), threading.Lock()

    def call(number: int) -> None:
        with lock:
            called.append(number)

    def watch(first: int) -> None:
        for number in range(first, first + 200):
            owner = Owner()
            key = reaper.watch(owner, lambda number=number: call(number))
            if number % 3 == 0:
                reaper.forget(key)
            del owner

    threads = [threading.Thread(target=watch, args=(1000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [n for i in range(4) for n in range(1000 * i, 1000 * i + 200) if n % 3]
    wait_for(lambda: len(called) == len(expected))
    assert sorted(called) == expected
    wait_for(lambda: not reaper._runs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_watches_its_own() -> None:
    reaper, owner = Reaper(), Owner()
    key = reaper.watch(owner, list)
    reaper._renew()
    assert not reaper._calls
    assert not reaper._runs
    reaper.forget(key)
    # The parent's thread, which a child does not have.
    reaper._queue.put(None)


@pytest.mark.parametrize("again", [True, False])
def test_an_interrupt_while_the_thread_starts_leaves_one_thread(monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    reaper, called, gate = Reaper(), list[int](), threading.Event()
    start, run = threading.Thread.start, reaper._run

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    def held() -> None:
        # Otherwise, a thread that is quick would be found by the next `watch`, which then starts none.
        assert gate.wait(20)
        run()

    monkeypatch.setattr(reaper, "_run", held)
    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                reaper.watch(Owner(), lambda: called.append(1))
    owner = Owner()
    key = reaper.watch(owner, lambda: called.append(2)) if again else None
    gate.set()
    wait_for(lambda: called == 3 * [1])
    if key is not None:
        reaper.forget(key)
    check_no_threads(before)
