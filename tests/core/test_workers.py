"""Who works on what, and when: what can be seen of a window from outside."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from itertools import islice
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.backends.task import Task
from loadax_core.observe.activity import Activity
from loadax_core.observe.lane import LOOK_SECONDS, Lane
from loadax_core.observe.traces import Tracing
from loadax_core.plan.steps import Step
from loadax_core.run.policy import Policy
from loadax_core.run.slot import Slot, Unit
from loadax_core.run.threads import Team
from loadax_core.run.window import Window


def window_of(batches: Any) -> Window:
    window = batches._source
    assert isinstance(window, Window)
    return window


def wait_until_idle(window: Window) -> None:
    """From here on, only the caller changes what is on its way."""
    for slot in list(window._slots):
        assert slot.ready.acquire(timeout=60)
        slot.ready.release()


class Reading:
    """Rows that are gathered, or read; notes the threads, and how many rows each call was for."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.readers: set[str] = set()
        self.calls: list[int] = []

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Any:
        self.readers.add(threading.current_thread().name)
        return np.int64(row)

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.readers.add(threading.current_thread().name)
        self.calls.append(len(rows))
        out = alloc((len(rows),), np.dtype(np.int64))
        out[:] = rows
        return out


def first_of(items: list[Any]) -> str:
    return threading.current_thread().name


@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("workers", [1, 2])
def test_with_workers_no_function_of_the_user_runs_in_the_loop(batch_size: int, workers: int) -> None:
    for depth in (0, 2, 64):
        builder = DataLoader().batch_size(batch_size).workers(workers).prefetch(depth)
        gathered, read, mapped = Reading(2000), Reading(2000), Reading(2000)
        mapped.rowwise = True  # pyright: ignore[reportAttributeAccessIssue]
        for dataset in (gathered, mapped):
            assert sum(1 for _ in builder.build(dataset)) == -(-2000 // batch_size)
        names = set(DataLoader(first_of).batch_size(batch_size).workers(workers).prefetch(depth).build(read))
        for readers in (gathered.readers, read.readers, mapped.readers, names):
            assert {name.rpartition("-")[0] for name in readers} == {"loadax"}


VARIABLE = ContextVar("VARIABLE", default="creation")


class Silent(Reading):
    """Says that it calls no function of the user's, so that it may be gathered in any thread."""

    rowwise = True
    calls_user_code = False


def start_none(_team: Team, _count: int) -> None:
    pass


def helps_always(_policy: Policy, _rows: int) -> bool:
    return True


def test_a_consumer_that_would_wait_gathers_what_calls_no_user_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Team, "start", start_none)
    monkeypatch.setattr(Policy, "caller_helps", helps_always)
    dataset = Silent(1000)
    batches = list(DataLoader().batch_size(32).workers(2).prefetch(4).epochs(2).build(dataset))
    assert np.concatenate(batches).tolist() == [*range(1000)] * 2
    assert dataset.readers == {"MainThread"}


def test_a_consumer_gathers_in_the_context_of_the_iterators_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Team, "start", start_none)
    monkeypatch.setattr(Policy, "caller_helps", helps_always)
    seen: set[tuple[str, str]] = set()

    class Looking(Silent):
        def gather(self, rows: Any, alloc: Any) -> Any:
            seen.add((VARIABLE.get(), np.geterr()["over"]))
            return super().gather(rows, alloc)

    with np.errstate(over="ignore"):
        batches = iter(DataLoader().batch_size(32).workers(1).prefetch(4).build(Looking(1000)))
    token = VARIABLE.set("loop")
    with np.errstate(over="raise"):
        assert len(list(batches)) == 32
        assert np.geterr()["over"] == "raise"
    VARIABLE.reset(token)
    assert seen == {("creation", "ignore")}


def test_slow_gathers_have_all_workers_from_the_start() -> None:
    class Slow(Silent):
        def gather(self, rows: Any, alloc: Any) -> Any:
            threading.Event().wait(0.02)
            return super().gather(rows, alloc)

    dataset = Slow(1000)
    with iter(DataLoader().batch_size(2).workers(8).prefetch(64).build(dataset)) as batches:
        for _ in range(3):
            next(batches)
        assert window_of(batches)._team.whole


@pytest.mark.parametrize("others", [{"calls_user_code": True}, {"rowwise": False}, {"timeout": 60}, {"map": True}])
def test_a_consumer_gathers_nothing_else(others: dict[str, Any]) -> None:
    dataset = Silent(100)
    loader = DataLoader().batch_size(2).workers(1).prefetch(4).timeout(others.get("timeout"))
    for name in ("calls_user_code", "rowwise"):
        setattr(dataset, name, others.get(name, getattr(dataset, name)))
    built = loader.build(dataset)
    if "map" in others:
        built = DataLoader(np.stack).batch_size(2).workers(1).prefetch(4).build(dataset)
    with iter(built) as batches:
        next(batches)
        assert window_of(batches)._helper is None


def test_an_interrupt_of_a_consumer_that_gathers_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted: list[str] = []

    class Interrupted(Silent):
        def gather(self, rows: Any, alloc: Any) -> Any:
            name = threading.current_thread().name
            if name == "MainThread" and not interrupted:
                interrupted.append(name)
                raise KeyboardInterrupt
            return super().gather(rows, alloc)

    monkeypatch.setattr(Policy, "caller_helps", helps_always)
    received: list[int] = []
    with iter(DataLoader().batch_size(2).workers(1).prefetch(4).build(Interrupted(20000))) as batches:
        with pytest.raises(KeyboardInterrupt) as caught:
            received.extend(row for batch in batches for row in batch.tolist())
        assert not hasattr(caught.value, "__notes__"), "it is for no step"
        received.extend(row for batch in batches for row in batch.tolist())
    assert received == list(range(20000))


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_gather_that_promises_nothing_is_called_once_a_step(workers: int, resumed: bool) -> None:
    """It may be a matrix product, whose last bits depend on the number of rows."""
    dataset = Reading(1000)
    batches = iter(DataLoader().batch_size(7).workers(workers).epochs(2).build(dataset))
    if resumed:
        batches.set_state({**batches.get_state(), "row": 14})
    taken = [len(batch) for batch in batches]
    batches.close()
    assert sorted(dataset.calls) == sorted(taken)


def test_slow_gathers_and_reads_of_many_rows_that_promise_nothing_are_not_divided() -> None:
    class Slow(Reading):
        def gather(self, rows: Any, alloc: Any) -> Any:
            threading.Event().wait(0.01)
            return super().gather(rows, alloc)

    class Many(Reading):
        gather = None  # pyright: ignore[reportAssignmentType]

        def __getitems__(self, rows: list[int]) -> list[Any]:
            threading.Event().wait(0.01)
            self.calls.append(len(rows))
            return [self[row] for row in rows]

    for dataset in (Slow(160), Many(160)):
        assert len(list(DataLoader().batch_size(16).workers(4).build(dataset))) == 10
        assert dataset.calls == [16] * 10


def test_a_window_is_filled_up_with_each_batch_that_is_taken() -> None:
    with iter(DataLoader().batch_size(1).workers(1).prefetch(16).build(range(1000))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        ahead: list[int] = []
        for _ in range(4):
            next(batches)
            ahead.append(window._refill.ahead)
        assert ahead == [16] * 4


def test_a_window_that_runs_short_is_filled_up_at_once() -> None:
    allowed = threading.Semaphore(0)

    class Held:
        def __len__(self) -> int:
            return 100

        def __getitem__(self, row: int) -> int:
            assert allowed.acquire(timeout=60)
            return row

    with iter(DataLoader().batch_size(1).workers(1).prefetch(16).build(Held())) as batches:
        for _ in range(3):
            allowed.release()
            next(batches)
            assert window_of(batches)._refill.ahead == 16
        allowed.release(100)


def test_a_lane_looks_closer_once_in_a_while() -> None:
    activity = Activity(Lane(), Tracing())
    # About one read in each millisecond.
    looked = [activity.lane.looks(began * LOOK_SECONDS / 4.9) for began in range(20)]
    assert looked == [began % 5 == 0 for began in range(20)]
    activity.begin("reading", [0, 1])
    assert activity.close
    assert activity.on_row is not None
    activity.begin("reading", [0, 1])
    assert not activity.close
    assert activity.on_row is None, "rows are not told apart"
    timed = Activity(activity.lane, Tracing(), timed=True)
    timed.begin("reading", [0, 1])
    assert timed.on_row is not None, "a timeout needs to know the row"


def test_an_error_is_relayed_whether_or_not_the_read_is_looked_at() -> None:
    class Broken(Reading):
        gather = None  # pyright: ignore[reportAssignmentType]

        def __getitem__(self, row: int) -> int:
            if row == 77:
                raise KeyError("bad")
            return row

    for workers in (0, 1):
        batches = iter(DataLoader().batch_size(2).workers(workers).build(Broken(100)))
        assert [next(batches).tolist() for _ in range(38)] == [[row, row + 1] for row in range(0, 76, 2)]
        with pytest.raises(KeyError, match="bad") as raised:
            next(batches)
        notes = raised.value.__notes__
        assert notes == ["loadax: raised by row 77", "loadax: while reading the batch of epoch 0, step 38"]


def test_parts_of_a_batch_are_joined_in_order() -> None:
    with iter(DataLoader().batch_size(2).workers(1).prefetch(2).build(range(100))) as batches:
        next(batches)
        window = window_of(batches)
        wait_until_idle(window)
        slot = Slot((Step(0, 9, 18, 20),), range(18, 20))
        window._bench.divide(slot, 2)
        (worker,) = window._team.workers
        for start in (1, 0):
            assert not slot.done
            window._bench.run(Unit(slot, start, Task(0, slot.rows[start : start + 1], 1, False)), worker)
        assert [batch.tolist() for batch in slot.batches] == [[18, 19]]


def test_a_window_that_is_stopped_while_it_is_filled_starts_no_worker() -> None:
    with iter(DataLoader().batch_size(1).workers(4).prefetch(2).build(Reading(100))) as batches:
        next(batches)
        window = window_of(batches)
        before = list(window._team._threads)
        # As by another thread that closes the iterator, between the slot that is added and the workers for it.
        window.stop()
        window._team.start(4)
        assert window._team._threads == before


class Growing:
    """Items that are small at first, and then of 4 MiB; counts those that exist."""

    def __init__(self, small: int) -> None:
        self.small = small
        self.large = threading.Semaphore(0)
        self.made = 0

    def __len__(self) -> int:
        return 400

    def __getitem__(self, row: int) -> Any:
        self.made = row + 1
        return np.zeros(8 if row < self.small else 2**22, np.uint8)


def item(items: list[Any]) -> Any:
    return items[0]


@pytest.mark.parametrize("workers", [1, 3])
def test_memory_is_bounded_by_the_batches_that_come_and_not_by_the_first(workers: int) -> None:
    """Sixty-four small batches fit, and would be 256 MiB of the later ones."""
    with iter(DataLoader(item).workers(workers).prefetch().build(Growing(small=100))) as batches:
        most = 0
        for batch in islice(batches, 200):
            window = window_of(batches)
            ready = sum(len(one) for slot in list(window._slots) for one in slot.batches if one is not None)
            most = max(most, ready + len(batch))
            threading.Event().wait(0.0005)
        assert batches.stats().prefetch == 16
    # As many as may be loaded at a time have sizes that are not known yet.
    assert most <= 64 * 2**20 + (workers + 2) * 2**22


class Queued:
    """A strategy that places as on a GPU; each read takes a while, so that a caller comes too early."""

    queued = True

    def __init__(self) -> None:
        self.placed: list[int] = []

    def local_rows(self, batch_size: int) -> Any:
        return np.arange(batch_size)

    def distribute_global_batch(self, batch: Any) -> int:
        self.placed.append(int(batch[0]))
        return int(batch[0])


class Late:
    """Items that take 5 ms, and row 5 longer, or not at all.

    Args:
        seconds: How long row 5 takes; None for an error.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 8

    def __getitem__(self, row: int) -> Any:
        if row == 5 and self.seconds is None:
            raise ValueError("row 5")
        threading.Event().wait(5e-3 if row != 5 or self.seconds is None else self.seconds)
        return np.int64(row)


def placed_when_handed_out(depth: int | None) -> list[int]:
    """How many batches had been placed when each was handed out."""
    place = Queued()
    loader = DataLoader().workers(1).prefetch(depth, to_device=True).shard(place).build(Late(5e-3))
    counts: list[int] = []
    for row in loader:
        assert row == len(counts)
        counts.append(len(place.placed))
    return counts


def test_a_batch_for_a_queued_device_is_handed_out_when_the_next_one_is_placed() -> None:
    for depth in (3, 4, None):
        counts = placed_when_handed_out(depth)
        # The first is wanted at once, and the last has none after it.
        assert counts[0] == 1
        assert all(count >= step + 2 for step, count in enumerate(counts[1:-1], 1)), counts
        assert counts[-1] == 8


def test_where_few_are_kept_ready_each_is_handed_out_at_once() -> None:
    counts = placed_when_handed_out(2)
    assert sum(count == step + 1 for step, count in enumerate(counts)) > 4, counts


def test_what_is_wrong_with_the_next_batch_comes_with_it() -> None:
    failing = iter(DataLoader().prefetch(3, to_device=True).shard(Queued()).build(Late(None)))
    assert [next(failing) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="row 5"):
        next(failing)
    late = iter(DataLoader().prefetch(3, to_device=True).timeout(0.2).shard(Queued()).build(Late(0.7)))
    assert [next(late) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(TimeoutError, match="row 5"):
        next(late)
