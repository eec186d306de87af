from __future__ import annotations

import pickle
import signal
import sys
import threading
from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from traceback import walk_stack
from typing import Any

import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader, StackBatcher, StackError
from loadax_core import distributed as resolve
from loadax_core.backends.thread import Threads
from loadax_core.observe.activity import Activity
from loadax_core.observe.lane import Lane
from loadax_core.observe.traces import Tracing
from loadax_core.read.epochs import Epochs
from loadax_core.read.fetch import Fetch
from loadax_core.run.wait import overdue
from loadax_core.run.window import Window
from loadax_core.run.worker import Worker
from loadax_core.testing import check_no_threads

WORKERS = [0, 1, 3]


class Failure(Exception):  # noqa: N818
    """An error type that only these tests know."""


class Stop(BaseException):
    """One that `except Exception` does not catch."""


@dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818
    """One whose attributes cannot be set."""

    code: int


class Failing:
    """Integers, some of which raise."""

    def __init__(self, errors: dict[int, BaseException], rows: int = 12) -> None:
        self.errors = errors
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        if row in self.errors:
            raise self.errors[row]
        return row


class Gathering(Failing):
    def gather(self, rows: Any, alloc: Any) -> Any:
        return np.array([self[row] for row in rows.tolist()])


class GettingItems(Failing):
    def __getitems__(self, rows: list[int]) -> list[int]:
        return [self[row] for row in rows]


def place_with(placement: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `.prefetch(to_device=True)` place batches by it."""

    def device_placement(target: object) -> Any:
        return placement

    monkeypatch.setattr(resolve, "device_placement", device_placement)


def run(loader: Any) -> tuple[int, BaseException]:
    """How many batches come before the error, and the error."""
    batches = iter(loader)
    for step in range(1001):
        try:
            next(batches)
        except BaseException as error:
            failure = error
        else:
            continue
        with pytest.raises(type(failure)) as again:
            next(batches)
        assert again.value is failure
        return step, failure
    raise AssertionError("no error arrived")


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", [Failing, Gathering, GettingItems])
@pytest.mark.parametrize("error", [Failure("x"), Stop("y"), OSError(5, "z"), SystemExit(3), Frozen(7)])
def test_an_error_arrives_at_its_step_as_it_was_raised(workers: int, kind: type[Failing], error: BaseException) -> None:
    dataset = kind({7: error})
    error = type(error)(*error.args)
    dataset.errors = {7: error}
    step, caught = run(DataLoader().batch_size(3).workers(workers).prefetch(3 * bool(workers)).build(dataset))
    assert step == 2
    assert caught is error
    row, batch = caught.__notes__
    read_together = kind is not Failing and not isinstance(error, Exception)
    assert row == ("loadax: raised by a read of rows 6 to 8" if read_together else "loadax: raised by row 7")
    assert batch == "loadax: while reading the batch of epoch 0, step 2"
    frames: list[str] = []
    traceback = caught.__traceback__
    while traceback:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert "__getitem__" in frames


@pytest.mark.parametrize("workers", WORKERS)
def test_of_several_errors_in_a_batch_the_first_row_wins(workers: int) -> None:
    class Late(Failing):
        """Row 4 fails only after row 5 has."""

        def __getitem__(self, row: int) -> int:
            if row == 4 and workers > 1:
                assert second_failed.wait(20)
            if row == 5:
                second_failed.set()
            threading.Event().wait(0.002)
            return super().__getitem__(row)

    for _ in range(5):
        second_failed = threading.Event()
        loader = DataLoader().batch_size(2).workers(workers).build(Late({4: Failure("4"), 5: Failure("5")}))
        assert str(run(loader)[1]) == "4"


@pytest.mark.parametrize("workers", WORKERS)
def test_stop_iteration_from_a_dataset_does_not_end_the_loop(workers: int) -> None:
    loader = DataLoader().batch_size(3).workers(workers).build(Failing({4: StopIteration("lost")}))
    step, error = run(loader)
    assert (step, type(error)) == (1, RuntimeError)
    assert isinstance(error.__cause__, StopIteration)
    assert "loadax: raised by row 4" in error.__cause__.__notes__
    assert error.__notes__ == ["loadax: raised by row 4", "loadax: while reading the batch of epoch 0, step 1"]


@pytest.mark.parametrize("workers", WORKERS)
def test_an_item_that_fails_as_it_is_made_is_named_like_one_that_fails_as_it_is_read(workers: int) -> None:
    class Made:
        """Items that are made only when they are asked for."""

        def __init__(self, rows: list[int]) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __iter__(self) -> Iterator[int]:
            for row in self.rows:
                if row == 5:
                    raise Failure("not made")
                yield row

    class Lazy:
        def __len__(self) -> int:
            return 9

        def __getitem__(self, row: int) -> int:
            return next(iter(Made([row])))

        def __getitems__(self, rows: list[int]) -> Any:
            return Made(rows)

    step, error = run(DataLoader().batch_size(3).workers(workers).build(Lazy()))
    assert (step, str(error)) == (1, "not made")
    assert error.__notes__ == ["loadax: raised by row 5", "loadax: while reading the batch of epoch 0, step 1"]


@pytest.mark.parametrize("workers", WORKERS)
def test_errors_of_batchers_and_placements_arrive_too(workers: int) -> None:
    class Strategy:
        def local_rows(self, batch_size: int, /) -> Any:
            return np.arange(batch_size)

        def distribute_global_batch(self, local_batch: Any, /) -> Any:
            if local_batch == 3:
                raise Failure("no device")
            return local_batch

    def batcher(items: list[int]) -> int:
        if items[0] == 5:
            raise Failure("no batch")
        return items[0]

    builder = DataLoader(batcher).workers(workers)
    step, error = run(builder.build(range(9)))
    assert (step, str(error)) == (5, "no batch")
    assert error.__notes__ == ["loadax: made of rows 5", "loadax: while batching the batch of epoch 0, step 5"]
    placed = builder.shard(Strategy()).prefetch(bool(workers) + 0, to_device=True)
    step, error = run(placed.build(range(9)))
    assert (step, str(error)) == (3, "no device")
    assert error.__notes__ == ["loadax: while placing the batch of epoch 0, step 3"]


def test_a_batch_that_cannot_be_placed_does_not_fail_those_that_were_gathered_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def place(batch: Any) -> Any:
        if 141 in batch:
            raise Failure("no device")
        return "placed", *batch.tolist()

    place_with(place, monkeypatch)
    batches: Any = iter(DataLoader().batch_size(2).prefetch(32, to_device=True).build(np.arange(200)))
    for step in range(70):
        assert next(batches) == ("placed", 2 * step, 2 * step + 1)
    with pytest.raises(Failure, match="no device") as caught:
        next(batches)
    assert caught.value.__notes__ == ["loadax: while placing the batch of epoch 0, step 70"]


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_on_entering_an_epoch_arrives_after_the_epoch_before(workers: int) -> None:
    class Short(Failing):
        def at_epoch(self, epoch: int) -> Any:
            if epoch == 1:
                raise Failure("no epoch")
            return self

    step, error = run(DataLoader().batch_size(4).workers(workers).epochs(2).build(Short({}, rows=8)))
    assert (step, str(error)) == (2, "no epoch")
    assert error.__notes__ == ["loadax: while preparing the batch of epoch 1, step 0"]


@pytest.mark.parametrize("workers", WORKERS)
def test_after_an_error_the_position_stands_and_set_state_goes_on(workers: int) -> None:
    dataset = Failing({7: Failure("x")})
    batches = iter(DataLoader(list[int]).batch_size(3).workers(workers).build(dataset))
    assert [next(batches), next(batches)] == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(Failure):
        next(batches)
    dataset.errors.clear()
    batches.set_state(batches.get_state())
    assert list(batches) == [[6, 7, 8], [9, 10, 11]]


def test_a_batched_read_of_the_wrong_length_is_an_error() -> None:
    class Losing(Failing):
        def __getitems__(self, rows: list[int]) -> list[int]:
            return rows[:-1]

    _, error = run(DataLoader().batch_size(3).build(Losing({})))
    assert str(error) == "Losing.__getitems__ was asked for 3 items, gave 2; it must return one for each row"


@pytest.mark.parametrize("columns", [{"x": [0, 1], "y": [2, 3]}, "ab"])
def test_as_many_columns_as_rows_are_no_items(columns: Any) -> None:
    class Columns(Failing):
        def __getitems__(self, rows: list[int]) -> Any:
            return columns

    _, error = run(DataLoader().batch_size(2).build(Columns({})))
    assert isinstance(error, TypeError)
    assert f"Columns.__getitems__ gave a {type(columns).__name__} for 2 items; it must return a list" in str(error)


def test_a_read_of_neighbours_of_the_wrong_length_is_an_error() -> None:
    class Losing(GettingItems):
        def read_range(self, rows: range) -> list[int]:
            return list(rows)[:-1]

    _, error = run(DataLoader().batch_size(3).build(Losing({})))
    assert str(error) == "Losing.read_range was asked for 3 items, gave 2; it must return one for each row"


def test_a_stuck_read_becomes_an_error_that_names_the_row_and_the_place() -> None:
    released = threading.Event()

    class Stuck(Failing):
        def __getitem__(self, row: int) -> int:
            if row == 5:
                self.a_disk_that_hangs()
            return row

        def a_disk_that_hangs(self) -> None:
            released.wait(20)

    for kind in (Stuck, type("Gathered", (Stuck, Gathering), {})):
        released.clear()
        batches = iter(DataLoader().batch_size(2).workers(2).timeout(0.05).build(kind({})))
        assert [next(batches).tolist(), next(batches).tolist()] == [[0, 1], [2, 3]]
        began = perf_counter()
        with pytest.raises(
            TimeoutError, match=r"reading.* \(epoch 0, step 2\) .* than the timeout of 0.05 s"
        ) as caught:
            next(batches)
        assert perf_counter() - began < 5
        assert "a_disk_that_hangs" in str(caught.value)
        assert ("reading row 5 (" if kind is Stuck else "reading rows 4, 5 (") in str(caught.value)
        with pytest.raises(TimeoutError):
            next(batches)
        released.set()


class MovesOn(Activity):
    """The worker has ended the stage when its stage or its rows are looked at for the second time."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in ("stage", "rows"):
            setattr(self, name, "" if name == "stage" else None)
        return value


def test_a_worker_that_goes_on_while_the_timeout_is_reported_is_named_as_it_was() -> None:
    base = Fetch([1, 2, 3], list)
    worker = Worker(Threads(Epochs(base)).engine(), MovesOn(Lane(), Tracing()))
    worker.activity.begin("reading", range(3))
    seconds, complaint = overdue(worker, 1e-9)
    assert seconds == 0
    assert complaint.startswith("reading rows 0 to 2 (epoch 0, step 0) has taken longer than the timeout of 1e-09 s")


def test_a_slow_read_within_the_timeout_is_no_error() -> None:
    class Slow(Failing):
        def __getitem__(self, row: int) -> int:
            threading.Event().wait(0.02)
            return row

    # A batch takes longer than the timeout, but none of its reads does.
    assert len(list(DataLoader().batch_size(12).timeout(0.15).build(Slow({})))) == 1


def interrupt_while_waiting(call: Callable[[], object]) -> float:
    """Sends Ctrl-C to the main thread once it waits for a batch; returns how long the call took to stop."""
    main = threading.main_thread().ident or 0
    sent: list[float] = []

    def send() -> None:
        # The batch is held back, so that whoever has entered `take` stays there, waiting for a worker or helping it.
        while not any(frame.f_code is Window.take.__code__ for frame, _ in walk_stack(sys._current_frames()[main])):
            threading.Event().wait(0.001)
        sent.append(perf_counter())
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    stopped = perf_counter()
    thread.join()
    return stopped - sent[0]


def test_an_interrupt_stops_a_wait_at_once_and_loses_nothing(request: pytest.FixtureRequest) -> None:
    # Whoever started the tests in the background may have made them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    released = threading.Event()

    class Held(Failing):
        def __getitem__(self, row: int) -> int:
            if row == 4:
                released.wait(20)
            return row

    for timeout in (None, 30):
        released.clear()
        batches = iter(DataLoader(list[int]).batch_size(2).workers(2).timeout(timeout).build(Held({}, rows=8)))
        assert [next(batches), next(batches)] == [[0, 1], [2, 3]]
        assert interrupt_while_waiting(batches.__next__) < 0.2
        released.set()
        assert list(batches) == [[4, 5], [6, 7]]


def test_an_interrupt_of_the_caller_is_raised_at_once_and_loses_nothing() -> None:
    interrupted: list[int] = []

    class Interrupted(Gathering):
        rowwise = True

        def gather(self, rows: Any, alloc: Any) -> Any:
            if 40 in rows and not interrupted:
                interrupted.append(len(rows))
                raise KeyboardInterrupt
            return super().gather(rows, alloc)

    batches = iter(DataLoader().batch_size(2).build(Interrupted({}, rows=60)))
    received: list[int] = []
    with pytest.raises(KeyboardInterrupt) as caught:
        received.extend(row for batch in batches for row in batch.tolist())
    assert not hasattr(caught.value, "__notes__"), "it is for no step"
    received.extend(row for batch in batches for row in batch.tolist())
    assert received == list(range(60))
    assert interrupted == [2]


@pytest.mark.parametrize("count", WORKERS)
def test_a_batch_that_cannot_be_taken_apart_is_an_error(count: int) -> None:
    class Closed(UserDict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            raise TypeError(f"{key} is closed")

    class Gathers(Failing):
        def gather(self, rows: Any, alloc: Any) -> Any:
            return Closed(x=rows)

    batches = iter(DataLoader().batch_size(2).workers(count).build(Gathers({})))
    with pytest.raises(TypeError, match="x is closed"):
        next(batches)


def test_closing_wakes_a_consumer_in_another_thread() -> None:
    started, released = threading.Event(), threading.Event()

    class Held(Failing):
        def __getitem__(self, row: int) -> int:
            started.set()
            released.wait(20)
            return row

    batches = iter(DataLoader().workers(1).build(Held({})))
    outcome: list[BaseException] = []

    def consume() -> None:
        try:
            next(batches)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    assert started.wait(20)
    batches.close()
    thread.join(20)
    assert [type(error) for error in outcome] == [ClosedError]
    released.set()


def test_closing_while_the_workers_are_being_started_stops_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = iter(DataLoader().workers(4).build(range(3)))

    class Thread(threading.Thread):
        def start(self) -> None:
            super().start()
            batches.close()

    monkeypatch.setattr(threading, "Thread", Thread)
    before = threading.active_count()
    with suppress(ClosedError):
        next(batches)
    check_no_threads(before)
    with pytest.raises(ClosedError):
        next(batches)


@pytest.mark.parametrize("settings", [DataLoader(), DataLoader().prefetch(64), DataLoader().workers(1)])
@pytest.mark.parametrize("kind", [Failure, Stop])
def test_an_error_that_does_not_come_again_arrives_nonetheless(settings: Any, kind: type[BaseException]) -> None:
    class Once(Gathering):
        failed = False

        def gather(self, rows: Any, alloc: Any) -> Any:
            if 500 in rows and not self.failed:
                self.failed = True
                raise kind("stale file handle")
            return super().gather(rows, alloc)

    step, error = run(settings.batch_size(4).build(Once({}, rows=1000)))
    assert (type(error), str(error)) == (kind, "stale file handle")
    assert step == 125, "all batches before its own were handed out"
    assert error.__notes__ == [
        "loadax: raised by a read of rows 500 to 503",
        "loadax: while reading the batch of epoch 0, step 125",
    ]


def test_an_interrupt_that_a_worker_raises_is_for_its_step() -> None:
    # No signal's, since those are raised in the main thread.
    class Interrupted(Gathering):
        def gather(self, rows: Any, alloc: Any) -> Any:
            if 502 in rows:
                raise KeyboardInterrupt
            return super().gather(rows, alloc)

    batches = iter(DataLoader().batch_size(4).prefetch(64).build(Interrupted({}, rows=1000)))
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        steps.extend(step for step, _ in enumerate(batches))
    assert steps == list(range(125))


def test_closing_before_a_worker_has_started_is_no_error() -> None:
    batches = iter(DataLoader().workers(1).build(range(3)))
    next(batches)
    window: Any = batches._source
    window._team._threads.append(threading.Thread(target=print))
    batches.close()


def test_a_process_without_rows_does_as_many_steps() -> None:
    class Nothing:
        def local_rows(self, batch_size: int, /) -> Any:
            return np.empty(0, np.int64)

        def distribute_global_batch(self, local_batch: Any, /) -> Any:
            return local_batch

    for builder in (DataLoader(), DataLoader().prefetch(16)):
        loader: Any = builder.batch_size(2).shard(Nothing()).build(np.arange(2000))
        assert [len(batch) for batch in loader] == [0] * 1000


@pytest.mark.parametrize("settings", [DataLoader(), DataLoader().prefetch(64), DataLoader().prefetch(1)])
@pytest.mark.parametrize("lost", [0, 2000])
def test_a_gather_of_the_wrong_number_of_rows_is_an_error(settings: Any, lost: int) -> None:
    class Losing(Gathering):
        def gather(self, rows: Any, alloc: Any) -> Any:
            return {"all": rows, "some": rows[rows != lost]}

    step, error = run(settings.batch_size(4).build(Losing({}, rows=4000)))
    assert isinstance(error, ValueError)
    assert "Losing.gather was asked for 4 rows, gave batch['some'] of shape (3,)" in str(error)
    assert step == lost // 4


def test_the_items_of_another_stack_are_not_named_as_rows() -> None:
    def crops(items: list[Any]) -> Any:
        return StackBatcher()([crop for item in items for crop in item])

    two = [[np.zeros(2), np.zeros(2)], [np.zeros(2), np.zeros(3)]]
    _, error = run(DataLoader(crops).batch_size(2).build(two))
    assert isinstance(error, StackError)
    assert error.__notes__ == ["loadax: made of rows 0, 1", "loadax: while batching the batch of epoch 0, step 0"]


def test_closing_while_an_epoch_is_entered_is_no_end_of_the_data() -> None:
    entered, closed = threading.Event(), threading.Event()

    class Entered(Failing):
        def at_epoch(self, epoch: int) -> Entered:
            entered.set()
            closed.wait(20)
            return self

    def close() -> None:
        entered.wait(20)
        batches.close()
        closed.set()

    batches = iter(DataLoader().batch_size(2).workers(1).build(Entered({}, rows=100)))
    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(ClosedError):
        next(batches)
    thread.join()


def test_an_error_after_close_goes_nowhere_and_hurts_nothing() -> None:
    started, released = threading.Event(), threading.Event()

    class Held(Failing):
        def __getitem__(self, row: int) -> int:
            started.set()
            released.wait(20)
            raise Failure("too late")

    batches = iter(DataLoader().workers(2).prefetch(2).build(Held({})))

    def consume() -> None:
        with pytest.raises(ClosedError):
            next(batches)
        outcome.append("closed")

    outcome: list[str] = []
    consumer = threading.Thread(target=consume)
    consumer.start()
    assert started.wait(20)
    batches.close()
    released.set()
    consumer.join(20)
    assert outcome == ["closed"]


def test_closing_drops_what_is_queued() -> None:
    started, released = threading.Event(), threading.Event()
    read: list[int] = []

    class Held(Failing):
        def __getitem__(self, row: int) -> int:
            read.append(row)
            if row == 1:
                started.set()
                released.wait(20)
            return row

    before = threading.active_count()
    batches = iter(DataLoader().workers(1).prefetch(8).build(Held({})))
    next(batches)
    assert started.wait(20)
    batches.close()
    released.set()
    check_no_threads(before)
    assert read == [0, 1]


def test_set_state_while_workers_are_busy_drops_what_they_load() -> None:
    started, released = threading.Event(), threading.Event()

    class Held(Failing):
        def __getitem__(self, row: int) -> int:
            if row == 2 and not released.is_set():
                started.set()
                released.wait(20)
            return row

    batches = iter(DataLoader(list[int]).workers(2).prefetch(4).build(Held({}, rows=8)))
    assert next(batches) == [0]
    assert started.wait(20)
    batches.set_state({**batches.get_state(), "row": 6})
    released.set()
    assert list(batches) == [[6], [7]]


def test_stack_errors_pickle() -> None:
    error = pickle.loads(pickle.dumps(StackError("no", (0, 3))))
    assert (str(error), error.items) == ("no", (0, 3))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batcher_that_returns_nothing_is_told_so(workers: int) -> None:
    def forgets(items: list[int]) -> None:
        sum(items)

    _, error = run(DataLoader(forgets).batch_size(2).workers(workers).build([1, 2]))
    assert isinstance(error, TypeError)
    assert "forgets gave None for a batch; a batcher returns the batch" in str(error)


def test_a_message_that_cannot_be_shown_does_not_take_the_place_of_its_error() -> None:
    class SilentError(ValueError):
        def __str__(self) -> str:
            raise LookupError

    with pytest.raises(SilentError) as caught:
        list(DataLoader().batch_size(3).build(Failing({4: SilentError()})))
    assert caught.value.__notes__ == ["loadax: raised by row 4", "loadax: while reading the batch of epoch 0, step 1"]


def test_writing_to_a_row_that_is_a_view_is_explained() -> None:
    row = np.arange(2)
    row.flags.writeable = False

    def doubles(items: list[Any]) -> Any:
        items[0] *= 2
        return items[0]

    _, error = run(DataLoader(doubles).build([row]))
    assert isinstance(error, ValueError)
    assert (
        "loadax: items may be views of the dataset's arrays; make new ones instead of changing them" in error.__notes__
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_any_error_of_an_epoch_comes_at_its_step(workers: int) -> None:
    class Ends(list[int]):
        def at_epoch(self, epoch: int) -> Any:
            if epoch:
                raise SystemExit(3)
            return self

    steps, error = run(DataLoader().batch_size(2).epochs(2).workers(workers).build(Ends(range(4))))
    assert (steps, type(error)) == (2, SystemExit)
