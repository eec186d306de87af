"""Without workers, quick batches are gathered several at once if that calls no function of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_core.run.policy import Policy


class Calls:
    """Rows that are gathered, and the row numbers of each call."""

    rowwise = True
    calls_user_code = False

    def __init__(self, rows: int, epoch: int = 0, calls: list[list[int]] | None = None) -> None:
        self.rows, self.epoch = rows, epoch
        self.calls: list[list[int]] = [] if calls is None else calls

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        return 1000 * self.epoch + row

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.calls.append(rows.tolist())
        return 1000 * self.epoch + rows

    def at_epoch(self, epoch: int) -> Any:
        moved = type(self)(self.rows, epoch, self.calls)
        vars(moved).update({name: value for name, value in vars(self).items() if name not in vars(moved)})
        return moved


class Broken(Calls):
    """Some rows cannot be read: for each, what is raised."""

    bad: dict[int, BaseException]

    def gather(self, rows: Any, alloc: Any) -> Any:
        return np.array([self[row] for row in rows])

    def __getitem__(self, row: int) -> int:
        if row in self.bad:
            raise self.bad[row]
        return super().__getitem__(row)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read seems to take no time, so that groups are as large as they may be on any machine."""

    def learn(policy: Policy, _rows: int, _reading: float) -> None:
        policy.row = 0.0

    monkeypatch.setattr(Policy, "learn", learn)


def test_quick_gathers_are_one_call() -> None:
    dataset = Calls(1000)
    batches = list(DataLoader().batch_size(3).build(dataset))
    assert np.concatenate(batches).tolist() == [*range(1000)]
    assert [len(batch) for batch in batches] == 333 * [3] + [1]
    # One alone, which opens the epoch, and tells how long it takes; then as many as may be; and the rest, of which the
    # last is shorter.
    assert [len(call) for call in dataset.calls] == [3, *5 * [3 * 64], 3 * 12, 1]


class Wide(Calls):
    """Rows of 1 MiB."""

    def gather(self, rows: Any, alloc: Any) -> Any:
        return np.broadcast_to(super().gather(rows, alloc)[:, None], (len(rows), 2**17))


def test_a_short_first_batch_says_little_of_how_many_fit_4_mib() -> None:
    dataset = Wide(13)
    batches = iter(DataLoader().batch_size(2).epochs(2).build(dataset))
    batches.seek(6)
    assert np.concatenate([batch[:, 0] for batch in batches]).tolist() == [12, *range(1000, 1013)]
    assert [len(call) for call in dataset.calls] == [1, 2, 4, 4, 2, 1]


def test_a_short_first_batch_sizes_no_group_of_workers() -> None:
    dataset = Wide(101)
    batches = iter(DataLoader().batch_size(2).epochs(2).prefetch(16).build(dataset))
    batches.seek(50)
    assert np.concatenate([batch[:, 0] for batch in batches]).tolist() == [100, *range(1000, 1101)]
    assert max(len(call) for call in dataset.calls) == 4


def test_groups_stay_within_an_epoch() -> None:
    dataset = Calls(10)
    batches = list(DataLoader().batch_size(2).epochs(5).build(dataset))
    assert np.concatenate(batches).tolist() == [1000 * epoch + row for epoch in range(5) for row in range(10)]
    assert [len(call) for call in dataset.calls] == 5 * [2, 8]


def test_each_batch_of_a_group_is_the_loops_own() -> None:
    batches = list(DataLoader().batch_size(2).build(np.arange(100)))
    for batch in batches[::2]:
        batch[...] = -1
    assert [batch.tolist() for batch in batches[1::2]] == [[row, row + 1] for row in range(2, 100, 4)]


@pytest.mark.parametrize("others", [{"calls_user_code": True}, {"rowwise": False}, {"batcher": True}, {"count": True}])
def test_what_calls_a_function_of_the_users_is_called_once_a_step(others: dict[str, Any]) -> None:
    dataset = Calls(100)
    calls: list[int] = []
    for name in ("calls_user_code", "rowwise"):
        setattr(dataset, name, others.get(name, getattr(dataset, name)))

    def stack(items: list[Any]) -> Any:
        calls.append(len(items))
        return np.stack(items)

    builder = DataLoader(stack) if "batcher" in others else DataLoader()
    builder = builder.batch_size(4)
    if "count" in others:
        builder = builder.count(rows=len)
    batches = iter(builder.build(dataset))
    for _ in range(5):
        next(batches)
    assert [len(call) for call in dataset.calls] + calls == 5 * [4]


class EverySecond:
    """A sharding strategy whose process loads every second row."""

    def local_rows(self, rows: int) -> Any:
        return np.arange(0, rows, 2)

    def distribute_global_batch(self, batch: Any) -> Any:
        return batch


def test_a_process_gathers_its_rows_of_several_steps() -> None:
    dataset = Calls(24)
    batches = list(DataLoader().batch_size(4).shard(EverySecond()).build(dataset))
    assert [batch.tolist() for batch in batches] == [[row, row + 2] for row in range(0, 24, 4)]
    assert [len(call) for call in dataset.calls] == [2, 10]


def test_an_error_in_a_group_comes_at_its_step_after_the_batches_before_it() -> None:
    dataset = Broken(40)
    dataset.bad = {17: ValueError("bad row")}
    batches = iter(DataLoader().batch_size(2).build(dataset))
    assert [next(batches).tolist() for _ in range(8)] == [[row, row + 1] for row in range(0, 16, 2)]
    for _ in range(2):
        with pytest.raises(ValueError, match="bad row") as caught:
            next(batches)
        assert "loadax: raised by row 17" in caught.value.__notes__
        assert batches.get_state()["row"] == 16
    batches.seek(9)
    assert np.concatenate(list(batches)).tolist() == [*range(18, 40)]


def test_an_interrupt_in_a_group_loses_no_batch() -> None:
    dataset = Broken(40)
    dataset.bad = {17: KeyboardInterrupt()}
    batches = iter(DataLoader().batch_size(2).build(dataset))
    found = [next(batches)]
    with pytest.raises(KeyboardInterrupt):
        next(batches)
    dataset.bad.clear()
    found += batches
    assert np.concatenate(found).tolist() == [*range(40)]


def test_a_state_within_a_group_counts_what_was_handed_out() -> None:
    loader = DataLoader().batch_size(3).epochs(2).build(Calls(50))
    batches = iter(loader)
    first = [next(batches) for _ in range(11)]
    state = batches.get_state()
    assert state["row"] == 33
    rest = np.concatenate(list(batches)).tolist()
    resumed = iter(loader)
    resumed.set_state(state)
    assert np.concatenate(list(resumed)).tolist() == rest
    assert np.concatenate(first).tolist() + rest == [*range(50), *range(1000, 1050)]


def test_skipped_steps_are_in_no_group() -> None:
    batches = list(DataLoader().batch_size(2).skip(steps=[3, 4, 9]).build(Calls(30)))
    kept = [row for step in range(15) if step not in (3, 4, 9) for row in (2 * step, 2 * step + 1)]
    assert np.concatenate(batches).tolist() == kept


def test_an_epoch_that_is_read_otherwise_has_no_groups() -> None:
    class Changing(Calls):
        def at_epoch(self, epoch: int) -> Any:
            moved = super().at_epoch(epoch)
            moved.calls_user_code = epoch == 1
            return moved

    dataset = Changing(12)
    batches = list(DataLoader().batch_size(2).epochs(3).build(dataset))
    assert np.concatenate(batches).tolist() == [1000 * epoch + row for epoch in range(3) for row in range(12)]
    assert [len(call) for call in dataset.calls] == [2, 10, *6 * [2], 2, 10]
