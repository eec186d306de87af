"""Signal handlers, other threads, and the contexts that users' functions run in."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.iterator import LoaderIterator
from loadax_core.memory.nbytes import size
from loadax_core.observe.cores import thread_clocks
from loadax_core.read.access import gather_of

WORKERS = pytest.mark.parametrize("workers", [0, 2])


class Calling:
    """Integers; to read row `at`, something is called."""

    def __init__(self, rows: int, at: int, call: Callable[[], object]) -> None:
        self.rows, self.at, self.call = rows, at, call

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        if row == self.at:
            self.call()
        return row


@pytest.fixture
def handler() -> Iterator[list[Callable[[], object]]]:
    """What SIGUSR1 calls."""
    calls: list[Callable[[], object]] = []

    def handle(*_: object) -> None:
        calls[0]()

    before = signal.signal(signal.SIGUSR1, handle)
    yield calls
    signal.signal(signal.SIGUSR1, before)


class TimeLimit(Exception):  # noqa: N818
    """What a handler raises that is no interrupt."""


def stop() -> None:
    raise TimeLimit


@pytest.mark.parametrize("setting", [False, True])
def test_a_dataset_that_asks_its_own_iterator_is_an_error_and_no_deadlock(setting: bool) -> None:
    def ask() -> None:
        if setting:
            batches.set_state(batches.get_state())
        next(batches)

    batches: Any = iter(DataLoader(list[int]).build(Calling(4, 1, ask)))
    assert next(batches) == [0]
    with pytest.raises(RuntimeError, match=r"start\(\) of this iterator was called while this thread is") as caught:
        next(batches)
    assert "loadax: raised by row 1" in caught.value.__notes__


@WORKERS
def test_a_signal_handler_that_asks_within_next_is_told_so(workers: int, handler: list[Callable[[], object]]) -> None:
    main = threading.main_thread().ident or 0

    def signal_the_loop() -> None:
        signal.pthread_kill(main, signal.SIGUSR1)
        # The handler runs in the loop, which is inside `next`.
        told.wait(20)

    told = threading.Event()

    def ask() -> None:
        try:
            next(batches)
        except RuntimeError as error:
            messages.append(str(error))
        told.set()

    handler.append(ask)
    messages: list[str] = []
    batches = iter(DataLoader(list[int]).workers(workers).prefetch(0).build(Calling(6, 2, signal_the_loop)))
    assert list(batches) == [[0], [1], [2], [3], [4], [5]]
    assert len(messages) == 1
    assert "by a signal handler or by the dataset; let the handler set a flag" in messages[0]


def signal_once(workers: int) -> Callable[[], None]:
    """Sends the loop's thread a signal, the first time that it is called, and gives the handler time to run."""
    main = threading.main_thread().ident or 0
    sent: list[int] = []

    def send() -> None:
        if not sent:
            sent.append(1)
            signal.pthread_kill(main, signal.SIGUSR1)
            threading.Event().wait(0.05 if workers else 0.0)

    return send


@WORKERS
def test_what_a_signal_handler_raises_arrives_at_once_and_is_no_rows(
    workers: int, handler: list[Callable[[], object]]
) -> None:
    handler.append(stop)
    batches = iter(
        DataLoader(list[int]).workers(workers).prefetch(1 if workers else 0).build(Calling(9, 3, signal_once(workers)))
    )
    rows: list[int] = []
    with pytest.raises(TimeLimit) as caught:
        rows.extend(row for batch in batches for row in batch)
    assert not hasattr(caught.value, "__notes__"), "it is no row's"
    assert rows == list(range(len(rows)))
    assert 2 <= len(rows) <= 3
    # Nothing is lost, and it does not come again.
    assert rows + [row for batch in batches for row in batch] == list(range(9))


def test_who_calls_next_as_fast_as_it_can_does_not_starve_others() -> None:
    batches = iter(DataLoader(list[int]).epochs(None).build(range(1000)))
    done, ended = threading.Event(), threading.Event()

    def loop() -> None:
        while not ended.is_set():
            next(batches)

    thread = threading.Thread(target=loop)
    thread.start()
    took: list[float] = []
    for _ in range(20):
        began = perf_counter()
        batches.set_state({**batches.get_state(), "epoch": 0, "row": 0})
        took.append(perf_counter() - began)
    done.set()
    ended.set()
    thread.join()
    assert max(took) < 2


@WORKERS
def test_a_memory_error_within_next_leaves_the_iterator_usable(workers: int) -> None:
    def fail() -> None:
        raise MemoryError

    batches = iter(DataLoader(list[int]).workers(workers).build(Calling(4, 2, fail)))
    assert [next(batches), next(batches)] == [[0], [1]]
    for _ in range(2):
        with pytest.raises(MemoryError):
            next(batches)
    thread = threading.Thread(target=lambda: batches.set_state({**batches.get_state(), "row": 3}))
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert list(batches) == [[3]]


SETTING: contextvars.ContextVar[str] = contextvars.ContextVar("SETTING", default="none")


class Context:
    """Rows that say in which context they were read."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> tuple[str, str]:
        return SETTING.get(), np.geterr()["divide"]


@WORKERS
def test_users_functions_run_in_the_context_of_the_iterators_creation(workers: int) -> None:
    loader = DataLoader(list[Any]).workers(workers).prefetch(2 if workers else 0).build(Context())
    token = SETTING.set("mine")
    try:
        with np.errstate(divide="raise"):
            batches = iter(loader)
            first = next(batches)
    finally:
        SETTING.reset(token)
    assert first == [("mine", "raise")]
    if workers:
        assert {row for batch in batches for row in batch} == {("mine", "raise")}
        assert SETTING.get() == "none"


def test_workers_do_not_see_each_others_changes_of_the_context() -> None:
    seen: list[str] = []
    both = threading.Barrier(2, timeout=20)

    class Changing(Context):
        def __getitem__(self, row: int) -> Any:
            if row < 2:
                SETTING.set(f"row {row}")
                both.wait()
                seen.append(SETTING.get())
            return row

    list(DataLoader(list[Any]).workers(2).prefetch(2).build(Changing()))
    assert sorted(seen) == ["row 0", "row 1"]


AT_EXIT = """
import atexit, threading
from loadax_core import ClosedError, DataLoader
batches = iter(DataLoader(list).workers(2).prefetch(4).build(range(1000)))
next(batches)

@atexit.register
def late():
    # Registered later than the loader's own handler, and so called before it; this one is called after it.
    pass

def after():
    try:
        for _ in batches:
            pass
        print("ended as if all were well")
    except ClosedError as error:
        print("closed:", error)
atexit.unregister(late)
"""


def test_an_open_iterator_does_not_end_as_if_all_were_well_when_the_interpreter_exits() -> None:
    code = AT_EXIT.replace("batches = iter", "import builtins\natexit.register(lambda: after())\nbatches = iter", 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("closed: "), done.stdout + done.stderr


def expire() -> None:
    """The usual time limit; its error is one of the operating system's, too."""
    raise TimeoutError("time limit")


@WORKERS
def test_a_time_limit_of_the_programs_own_is_no_timeout_of_a_read(
    workers: int, handler: list[Callable[[], object]]
) -> None:
    handler.append(expire)
    batches = iter(DataLoader(list[int]).workers(workers).prefetch(0).build(Calling(4, 1, signal_once(workers))))
    assert next(batches) == [0]
    with pytest.raises(TimeoutError, match="time limit"):
        next(batches)
    assert list(batches) == [[1], [2], [3]]


class Signalling:
    """A batch whose size, or a function whose parameters, cannot be asked for without a signal."""

    @property
    def nbytes(self) -> int:
        signal.raise_signal(signal.SIGUSR1)
        return 8

    @property
    def __signature__(self) -> None:
        signal.raise_signal(signal.SIGUSR1)

    def __call__(self) -> None:
        """Is never called."""


class Gathering(Calling):
    """Rows that are gathered, it seems."""

    gather = Signalling()


def read_clocks(_fd: int, _bytes: int) -> bytes:
    signal.raise_signal(signal.SIGUSR1)
    return b"0 0 0"


def start(_batches: Any) -> None:
    signal.raise_signal(signal.SIGUSR1)


def ask_clocks() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", read_clocks)
        return thread_clocks()


def ask_to_start() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoaderIterator, "_open", start)
        return iter(DataLoader().workers(1).build(range(4))).start()


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: size(Signalling()), id="size"),
        pytest.param(lambda: gather_of(Gathering(4, -1, stop)), id="gather"),
        pytest.param(
            ask_clocks, marks=pytest.mark.skipif(sys.platform != "linux", reason="a file of Linux"), id="clocks"
        ),
        pytest.param(ask_to_start, id="start"),
    ],
)
@pytest.mark.parametrize("kind", [ValueError, TimeoutError])
def test_what_a_signal_handler_raises_is_not_taken_for_an_answer(
    ask: Callable[[], object], kind: type[Exception], handler: list[Callable[[], object]]
) -> None:
    def interrupt() -> None:
        raise kind

    handler.append(interrupt)
    with pytest.raises(kind):
        ask()
