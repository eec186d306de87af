"""The dataset of the next epoch is opened ahead of time, by a worker, and its errors come at its step."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from traceback import format_exception
from typing import Any

import elsewhere
import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader
from loadax_core.read.epochs import KEPT, Epochs


class Planned:
    """Rows whose every epoch waits for an event before it is open."""

    def __init__(self, rows: int, epoch: int = 0, log: list[tuple[int, str]] | None = None) -> None:
        self.rows, self.epoch = rows, epoch
        self.log = [] if log is None else log
        self.held = threading.Event()
        self.held.set()
        self.entered = threading.Event()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        return 1000 * self.epoch + row

    def at_epoch(self, epoch: int) -> Any:
        self.log.append((epoch, threading.current_thread().name))
        if epoch:
            self.entered.set()
            assert self.held.wait(20)
        return Planned(self.rows, epoch)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_next_epoch_is_opened_while_this_one_is_loaded(workers: int) -> None:
    dataset = Planned(40)
    dataset.held.clear()
    builder = DataLoader().workers(workers).prefetch(4).batch_size(2).epochs(3)
    with iter(builder.build(dataset)) as batches:
        assert next(batches).tolist() == [0, 1]
        assert dataset.entered.wait(20), "epoch 1 is being opened"
        # Meanwhile, this epoch is handed out.
        assert [next(batches).tolist() for _ in range(15)] == [[i, i + 1] for i in range(2, 32, 2)]
        dataset.held.set()
        rest = [row for batch in batches for row in batch.tolist()]
    assert rest == [*range(32, 40), *range(1000, 1040), *range(2000, 2040)]
    assert sorted(epoch for epoch, _ in dataset.log) == [0, 1, 2], "each epoch is opened once, and none after the last"
    assert all(name.startswith("loadax-") for _, name in dataset.log), "not by the loop"


def test_the_next_epoch_is_opened_ahead_of_time_after_a_seek_too() -> None:
    opened = threading.Event()

    class Told(Planned):
        def at_epoch(self, epoch: int) -> Any:
            if epoch == 2:
                opened.set()
            return super().at_epoch(epoch)

    with iter(DataLoader().workers(1).prefetch(1).epochs(4).build(Told(40))) as batches:
        next(batches)
        batches.seek(41)
        assert next(batches).tolist() == [1001]
        assert opened.wait(5), "while batches of epoch 1 are loaded"


def test_an_epoch_that_takes_long_to_open_does_not_stop_the_loop() -> None:
    class Slow(Planned):
        def at_epoch(self, epoch: int) -> Any:
            threading.Event().wait(0.3 if epoch else 0.0)
            return Slow(self.rows, epoch)

    with iter(DataLoader().workers(2).prefetch(4).epochs(3).build(Slow(60))) as batches:
        longest = 0.0
        for _ in range(180):
            began = perf_counter()
            next(batches)
            longest = max(longest, perf_counter() - began)
            threading.Event().wait(0.01)
    assert longest < 0.2


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_worker_processes_open_the_next_epoch_ahead_of_time_too(kind: Any) -> None:
    loader = DataLoader().workers(1, kind=kind).prefetch(2).epochs(3).build(elsewhere.SlowEpochs(60, 0.3))
    with iter(loader) as batches:
        next(batches)
        longest = 0.0
        for _ in range(179):
            began = perf_counter()
            next(batches)
            longest = max(longest, perf_counter() - began)
            threading.Event().wait(0.01)
    assert longest < 0.2


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_of_an_epoch_comes_at_its_first_step(workers: int) -> None:
    class Broken(Planned):
        def at_epoch(self, epoch: int) -> Any:
            if epoch == 1:
                raise OSError("no plan")
            return self

    batches = iter(DataLoader().batch_size(3).workers(workers).epochs(2).build(Broken(9)))
    assert [next(batches).tolist() for _ in range(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    with pytest.raises(OSError, match="no plan"):
        next(batches)
    with pytest.raises(OSError, match="no plan") as caught:
        next(batches)
    assert caught.value.__notes__ == ["loadax: while preparing the batch of epoch 1, step 0"]


class RewordedError(Exception):
    def __init__(self, row: int) -> None:
        super().__init__(f"no plan for row {row}")


class TwoPartsError(Exception):
    def __init__(self, row: int, why: str) -> None:
        super().__init__(f"row {row}: {why}")


def noted(error: Exception) -> Exception:
    error.add_note("of the dataset")
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "no plan"),
        RewordedError(3),
        TwoPartsError(3, "no plan"),
        noted(ValueError("no plan")),
        noted(TwoPartsError(3, "no plan")),
        UnicodeDecodeError("utf-8", b"no", 0, 1, "plan"),
    ],
)
def test_each_step_that_waited_for_an_epoch_gets_an_error_of_its_own(error: Exception) -> None:
    class Broken(Planned):
        def at_epoch(self, epoch: int) -> Any:
            super().at_epoch(epoch)
            raise error from KeyError("cause")

    notes = tuple(getattr(error, "__notes__", ()))
    dataset = Broken(8)
    dataset.held.clear()
    epochs = Epochs(DataLoader().build(dataset)._run.fetch)
    raised: list[BaseException] = []

    def enter() -> None:
        try:
            epochs.enter(5)
        except Exception as own:
            raised.append(own)

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert dataset.entered.wait(20)
    # All threads wait for the one that opens the epoch.
    threading.Event().wait(0.1)
    dataset.held.set()
    for thread in threads:
        thread.join()
    assert len(dataset.log) == 1
    assert len(set(map(id, raised))) == 4
    raised[0].add_note("more")
    assert [getattr(own, "__notes__", []) for own in raised[1:]] == [list(notes)] * 3
    assert {(type(own), str(own), repr(own.args)) for own in raised} == {(type(error), str(error), repr(error.args))}
    assert all("at_epoch" in "".join(format_exception(own)) for own in raised)
    assert all("cause" in "".join(format_exception(own)) for own in raised)


def test_the_error_of_an_epoch_names_its_first_step_once() -> None:
    class Broken(Planned):
        def at_epoch(self, epoch: int) -> Any:
            threading.Event().wait(0.2)
            raise OSError("no plan")

    with iter(DataLoader().batch_size(2).workers(4).prefetch(4).build(Broken(20))) as batches:
        with pytest.raises(OSError, match="no plan") as caught:
            next(batches)
        threading.Event().wait(0.2)
        assert caught.value.__notes__ == ["loadax: while preparing the batch of epoch 0, step 0"]


def test_no_epoch_is_opened_ahead_of_a_run_that_ends() -> None:
    dataset = Planned(8)
    for loader in (DataLoader().workers(2).build(dataset), DataLoader().workers(2).build(dataset).epoch(3)):
        dataset.log.clear()
        assert len(list(loader)) == 8
        assert len(dataset.log) == 1


def test_a_restored_run_opens_no_epoch_again() -> None:
    dataset = Planned(8)
    with iter(DataLoader().workers(2).epochs(2).build(dataset)) as batches:
        for _ in range(3):
            next(batches)
        state = batches.get_state()
        for _ in range(3):
            batches.set_state(state)
            assert next(batches).tolist() == [3]
    assert sorted(epoch for epoch, _ in dataset.log) == [0, 1]


def test_closing_while_the_next_epoch_is_opened_leaves_no_thread() -> None:
    dataset = Planned(8)
    dataset.held.clear()
    batches = iter(DataLoader().workers(1).epochs(2).build(dataset))
    next(batches)
    assert dataset.entered.wait(20)
    batches.close()
    with pytest.raises(ClosedError):
        next(batches)
    dataset.held.set()


def test_one_thread_opens_an_epoch_and_the_others_wait_for_it() -> None:
    dataset = Planned(8)
    dataset.held.clear()
    epochs = Epochs(DataLoader().build(dataset)._run.fetch)
    opened: list[Any] = []
    threads = [threading.Thread(target=lambda: opened.append(epochs.enter(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert dataset.entered.wait(20)
    dataset.held.set()
    for thread in threads:
        thread.join()
    assert len(dataset.log) == 1
    assert len(set(map(id, opened))) == 1


def test_an_epoch_is_opened_when_it_is_needed_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    dataset = Planned(8)
    epochs = Epochs(DataLoader().build(dataset)._run.fetch)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert epochs.enter(0, 1).dataset[0] == 0
    assert epochs.enter(1, 2).dataset[0] == 1000
    assert epochs.join(perf_counter() + 20)
    assert sorted(epoch for epoch, _ in dataset.log) == [0, 1, 2]


def test_few_epochs_are_kept() -> None:
    epochs = Epochs(DataLoader().build(Planned(8))._run.fetch)
    for epoch in range(100):
        epochs.enter(epoch, epoch + 1)
    epochs.join(perf_counter() + 20)
    assert len(epochs._entries) == KEPT


class EverySecond:
    """A sharding strategy whose process loads every second row."""

    def local_rows(self, rows: int) -> Any:
        return np.arange(0, rows, 2)

    def distribute_global_batch(self, batch: Any) -> Any:
        return batch


class Gathering(Planned):
    """Rows that are gathered in some epochs, and read as items in others."""

    def __init__(self, gathers: bool, first: bool) -> None:
        super().__init__(8)
        self.first = first
        if gathers:
            self.gather = self.take

    def __getitem__(self, row: int) -> int:
        assert type(row) is int
        return row

    def take(self, rows: Any, alloc: Any) -> Any:
        assert not isinstance(rows, list)
        return rows.copy()

    def at_epoch(self, epoch: int) -> Any:
        return Gathering((epoch % 2 == 0) is self.first, self.first)


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_rows_reach_a_dataset_that_is_read_otherwise_in_another_epoch(workers: int, built: bool, first: bool) -> None:
    builder = DataLoader().batch_size(4).workers(workers).epochs(2).shard(EverySecond())
    batches = list(builder.build(Gathering(built, first)))
    assert [batch.tolist() for batch in batches] == 2 * [[0, 2], [4, 6]]


class Counting:
    """Items as built, and in each epoch a gather of which each row says how many were asked for together."""

    def __init__(self, gathers: bool = False) -> None:
        if gathers:
            self.gather = self.count

    def __len__(self) -> int:
        return 24

    def __getitem__(self, row: int) -> int:
        return 1

    def count(self, rows: Any, alloc: Any) -> Any:
        return np.full(len(rows), len(rows))

    def at_epoch(self, epoch: int) -> Counting:
        return Counting(gathers=True)


@pytest.mark.parametrize("executor", [True, False])
def test_a_batch_is_not_divided_if_its_rows_belong_together_in_its_epoch(executor: bool) -> None:
    with ThreadPoolExecutor(3) as threads:
        builder = DataLoader().batch_size(8).epochs(3).workers(threads if executor else 3)
        assert [batch.tolist() for batch in builder.build(Counting())] == 9 * [8 * [8]]


def test_an_epoch_that_cannot_be_opened_fails_a_batch_that_workers_would_share() -> None:
    class Failing(Counting):
        def at_epoch(self, epoch: int) -> Counting:
            if epoch:
                raise OSError("no disk")
            return Counting(gathers=True)

    batches = iter(DataLoader().batch_size(12).epochs(2).workers(3).prefetch(4).build(Failing()))
    assert [next(batches).tolist() for _ in range(2)] == 2 * [12 * [12]]
    with pytest.raises(OSError, match="no disk") as caught:
        next(batches)
    assert caught.value.__notes__ == ["loadax: while preparing the batch of epoch 1, step 0"]
    assert batches.step == 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("rows", [7, 9])
def test_an_epoch_of_another_length_is_an_error_at_its_step(workers: int, rows: int) -> None:
    class Growing(Planned):
        def at_epoch(self, epoch: int) -> Any:
            return Planned(rows if epoch == 1 else 8, epoch)

    loader = DataLoader().batch_size(4).epochs(3).workers(workers).build(Growing(8))
    with iter(loader) as batches:
        assert np.concatenate([next(batches), next(batches)]).tolist() == [*range(8)]
        with pytest.raises(RuntimeError, match=f"returned {rows} rows for epoch 1, and the dataset has 8") as caught:
            next(batches)
        assert caught.value.__notes__ == ["loadax: while preparing the batch of epoch 1, step 0"]
        batches.seek(4)
        assert next(batches).tolist() == [2000, 2001, 2002, 2003]
    with pytest.raises(RuntimeError, match="at_epoch"):
        loader.origins(2)


def test_short_epochs_come_in_order() -> None:
    batches = list(DataLoader().workers(3).prefetch(8).epochs(50).build(Planned(1)))
    assert np.concatenate(batches).tolist() == [1000 * epoch for epoch in range(50)]


class Own(Planned):
    """Rows that call no function of the user's, and whose epochs may take a while to open."""

    calls_user_code = False

    def __init__(self, rows: int, seconds: float, epoch: int = 0, log: list[tuple[int, str]] | None = None) -> None:
        super().__init__(rows, epoch, log)
        self.seconds = seconds

    def at_epoch(self, epoch: int) -> Any:
        self.log.append((epoch, threading.current_thread().name))
        if epoch:
            threading.Event().wait(self.seconds)
        return type(self)(self.rows, self.seconds, epoch, self.log)


class Users(Own):
    """The same with a function of the user's, which may take longer in the next epoch than in this one."""

    calls_user_code = True


@pytest.mark.parametrize(("kind", "seconds", "ahead"), [(Own, 0.0, 1), (Own, 0.01, 4), (Users, 0.0, 4)])
def test_an_epoch_that_opens_at_once_has_no_thread_of_its_own(
    monkeypatch: pytest.MonkeyPatch, kind: type[Own], seconds: float, ahead: int
) -> None:
    # On a busy machine, a quick call may take much longer than 1 ms.
    monkeypatch.setattr("loadax_core.read.epochs.QUICK_SECONDS", seconds or 20)
    dataset = kind(20, seconds)
    batches = list(DataLoader().batch_size(5).workers(1).prefetch(2).epochs(5).build(dataset))
    assert [batch[0] for batch in batches[::4]] == [0, 1000, 2000, 3000, 4000]
    assert sorted(epoch for epoch, _ in dataset.log) == [0, 1, 2, 3, 4]
    assert sum("epoch" in name for _, name in dataset.log) == ahead
