from __future__ import annotations

import signal
import threading
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.run.gate import Gate


def test_one_thread_is_inside_at_a_time() -> None:
    gate, inside, most = Gate(), [0], [0]

    def count() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1

    def work() -> None:
        for _ in range(2000):
            gate.run(count)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == ([0], [1])
    assert (gate.free, gate.waiting) == ([None], {})


def wait_until_waiting(gate: Gate, count: int = 1) -> None:
    moment = threading.Event()
    while len(gate.waiting) < count:
        moment.wait(0.001)


def test_who_waits_enters_once_it_is_free_also_after_an_error() -> None:
    gate, entered = Gate(), threading.Event()

    def fail() -> None:
        thread.start()
        wait_until_waiting(gate)
        assert not entered.is_set()
        raise KeyError

    thread = threading.Thread(target=gate.run, args=(entered.set,))
    with pytest.raises(KeyError):
        gate.run(fail)
    assert entered.wait(10)
    thread.join()


def test_a_call_for_a_thread_that_does_not_come_reaches_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, entered = Gate(), threading.Event()
    give_up = threading.Event()

    class Calls:
        """Interrupts the first thread that is called."""

        def __init__(self, calls: Any) -> None:
            self.calls, self.interrupted = calls, threading.Lock()

        def get(self) -> None:
            self.calls.get()
            if self.interrupted.acquire(blocking=False):
                raise KeyboardInterrupt

        def put(self, call: None) -> None:
            self.calls.put(call)

    monkeypatch.setattr(gate, "calls", Calls(gate.calls))

    def work() -> None:
        try:
            gate.run(entered.set)
        except KeyboardInterrupt:
            give_up.set()

    threads = [threading.Thread(target=work) for _ in range(2)]

    def start() -> None:
        for thread in threads:
            thread.start()
        wait_until_waiting(gate, 2)

    gate.run(start)
    assert give_up.wait(10)
    assert entered.wait(10)
    for thread in threads:
        thread.join()


def test_an_interrupt_at_any_instruction_leaves_the_turn_of_an_iterator_free(request: pytest.FixtureRequest) -> None:
    armed = False

    def interrupt(*_: Any) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    # Of the process's CPU time: that of real time watches over the tests.
    before = signal.signal(signal.SIGVTALRM, interrupt)
    request.addfinalizer(lambda: signal.signal(signal.SIGVTALRM, before))
    request.addfinalizer(lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 0))
    batches: Any = iter(DataLoader().batch_size(4).epochs(None).build(np.arange(100)))
    state = batches.get_state()
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.001, 0.00073)
    interrupts = 0
    while interrupts < 100:
        try:
            armed = True
            # An interrupt may be raised where Python ignores it, in a callback of a weak reference.
            for _ in range(1000):
                next(batches)
                batches.set_state(state)
        except KeyboardInterrupt:
            interrupts += 1
        assert batches._turn.free == [None]
