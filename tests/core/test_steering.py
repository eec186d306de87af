"""seek, skip, batch, origins and find: to look into a run, and to go on elsewhere."""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import ClosedError, DataLoader, Loader, StateError
from loadax_core.plan.origins import OrderDigest, Origin, Traced


class Numbers:
    """Rows that tell the epoch, gathered, which fail where they are told to."""

    rowwise = True

    def __init__(self, rows: int, bad: frozenset[int] = frozenset(), epoch: int = 0) -> None:
        self.rows, self.bad, self.epoch = rows, bad, epoch
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        if row in self.bad:
            raise ValueError(f"row {row} is bad")
        return 1000 * self.epoch + row

    def gather(self, rows: Any, alloc: Any) -> Any:
        self.read += rows.tolist()
        if self.bad.intersection(rows.tolist()):
            raise ValueError("a row is bad")
        out = alloc((len(rows),), np.dtype(np.int64))
        out[:] = 1000 * self.epoch + rows
        return out

    def at_epoch(self, epoch: int) -> Numbers:
        new = Numbers(self.rows, self.bad, epoch)
        new.read = self.read
        return new


def loaders(rows: int, *, bad: frozenset[int] = frozenset(), epochs: int = 2, **settings: Any) -> list[Loader[Any]]:
    builder = DataLoader().batch_size(4).epochs(epochs)
    if settings:
        builder = builder.skip(**settings)
    return [each.build(Numbers(rows, bad)) for each in (builder, builder.workers(2).prefetch(8))]


def values(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


def test_seek_goes_to_any_step_in_both_directions() -> None:
    for loader in loaders(10):
        whole = values(loader)
        with iter(loader) as batches:
            for step in (5, 0, 3, 2, 5, 4):
                batches.seek(step)
                assert batches.step == step
                assert next(batches).tolist() == whole[step]
                assert batches.step == step + 1
            assert batches.stats().batches == 6
            batches.seek(1)
            assert values(batches) == whole[1:]
            batches.seek(4)
            assert values(batches) == whole[4:], "after the end, too"
            state = batches.get_state()
            batches.seek(2)
            batches.set_state(state)
            assert values(batches) == []


def test_seek_in_one_epoch_counts_its_steps() -> None:
    loader = loaders(10)[0].epoch(3)
    batches = iter(loader)
    batches.seek(2)
    assert next(batches).tolist() == [3008, 3009]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("row", [0, 1, 3, 5, 6])
@pytest.mark.parametrize("drop", [False, True])
def test_seek_goes_on_after_an_exception_where_another_batch_size_has_stopped(
    workers: int, row: int, drop: bool
) -> None:
    """Also where a batch begins inside a step: the same batch again, and then the next one."""

    class Failing(Numbers):
        def gather(self, rows: Any, alloc: Any) -> Any:
            raise ValueError(f"row {rows[0]}")

        def at_epoch(self, epoch: int) -> Numbers:
            return self

    begins = [*range(row, 7 if drop else 10, 4)]
    builder = DataLoader().batch_size(4, drop_remainder=drop).epochs(2).workers(workers)
    batches = iter(builder.build(Failing(10)))
    batches.set_state({**batches.get_state(), "row": row})
    seen: list[int] = []
    while batches.epoch == 0:
        for _ in range(2):
            with pytest.raises(ValueError, match="row") as caught:
                next(batches)
            assert batches.get_state()["row"] == int(str(caught.value).split()[-1])
            batches.seek(batches.step)
        seen.append(batches.get_state()["row"])
        batches.seek(batches.step + 1)
    assert seen == begins
    assert (batches.get_state()["row"], batches.step) == (0, 2 if drop else 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_epoch_is_that_of_the_next_batch_where_steps_in_between_are_skipped(workers: int) -> None:
    builder = DataLoader().batch_size(2).workers(workers).skip(steps=[0, 2, 3, 4, 8])
    batches = iter(builder.epochs(3).build(range(6)))
    first = batches.epoch
    assert [first, *(batches.epoch for _ in batches)] == [0, 1, 2, 2, 3]
    endless = iter(builder.epochs(None).build(range(6)))
    next(endless)
    assert endless.epoch == 1


def test_the_epoch_is_that_of_the_next_batch_where_the_rows_left_make_none() -> None:
    batches = iter(DataLoader().batch_size(4, drop_remainder=True).epochs(2).build(Numbers(10)))
    state = {**batches.get_state(), "row": 7}
    batches.set_state(state)
    assert (batches.epoch, batches.step, batches.steps_left) == (1, 2, 2)
    assert batches.get_state() == state, "another batch size may still read them"
    assert next(batches).tolist() == [1000, 1001, 1002, 1003]


def test_a_step_before_the_one_that_another_batch_size_has_stopped_in_begins_where_it_always_does() -> None:
    batches = iter(DataLoader().batch_size(4).epochs(2).build(Numbers(20)))
    batches.set_state({**batches.get_state(), "row": 10})
    for step, row in ((3, 14), (2, 10), (4, 18), (6, 4), (1, 4), (2, 8), (0, 0)):
        batches.seek(step)
        assert batches.get_state()["row"] == row
        assert batches.step == step


def test_seek_goes_on_after_an_exception() -> None:
    for loader in loaders(16, bad=frozenset({5}), epochs=1):
        with iter(loader) as batches:
            seen: list[list[int]] = []
            failed: list[int] = []
            while True:
                try:
                    seen.append(next(batches).tolist())
                except StopIteration:
                    break
                except ValueError:
                    failed.append(batches.step)
                    batches.seek(batches.step + 1)
            assert failed == [1]
            assert seen == [[0, 1, 2, 3], [8, 9, 10, 11], [12, 13, 14, 15]]


@pytest.mark.parametrize("step", [-1, 6, 10**30])
def test_a_step_beyond_the_run_is_refused_and_nothing_moves(step: int) -> None:
    loader = loaders(10)[0]
    batches = iter(loader)
    next(batches)
    for call in (batches.seek, loader.batch, loader.origins):
        with pytest.raises(ValueError, match=f"got {step}"):
            call(step)
    assert batches.step == 1
    with pytest.raises(TypeError, match="step must be an integer"):
        batches.seek(cast("int", 1.0))
    batches.close()
    with pytest.raises(ClosedError):
        batches.seek(0)


def test_an_endless_run_has_any_step() -> None:
    loader = DataLoader().batch_size(4).epochs(None).build(Numbers(10))
    batches = iter(loader)
    batches.seek(3 * 10**9 + 1)
    assert next(batches).tolist() == [1000 * 10**9 + row for row in (4, 5, 6, 7)]
    assert loader.find(7, epoch=10**9) == [3 * 10**9 + 1]


def test_seek_within_next_is_an_error() -> None:
    class Reentrant(Numbers):
        def gather(self, rows: Any, alloc: Any) -> Any:
            batches.seek(0)

        def at_epoch(self, epoch: int) -> Numbers:
            return self

    batches = iter(DataLoader().build(Reentrant(3)))
    with pytest.raises(RuntimeError, match="inside one of them"):
        next(batches)


def test_skipped_steps_are_neither_read_nor_yielded() -> None:
    for loader in loaders(10, steps=[4, 1, 1, 99]):
        whole = values(loaders(10)[0])
        assert len(loader) == 4
        with iter(loader) as batches:
            assert values(batches) == [whole[0], whole[2], whole[3], whole[5]]
            assert (batches.stats().batches, batches.stats().rows) == (4, 12)
            assert batches.step == 6
            batches.seek(1)
            assert batches.steps_left == 3
            assert next(batches).tolist() == whole[2]
            assert loader.batch(1).tolist() == whole[1], "to look into it"
        dataset: Any = loader.dataset
        assert dataset.read.count(4) == 1, "by batch alone"


def test_the_step_after_a_skipped_one_is_not_gathered_with_the_one_before() -> None:
    rows = 64 * 400
    loader = DataLoader().batch_size(64).workers(1).prefetch(64).skip(steps=range(3, 400, 7)).build(Numbers(rows))
    batches = [batch[0].item() // 64 for batch in loader]
    assert batches == [step for step in range(400) if (step - 3) % 7]


def state_of(loader: Loader[Any], batches: int) -> Any:
    iterator = iter(loader)
    for _ in range(batches):
        next(iterator)
    return iterator.get_state()


def test_a_state_holds_the_steps_that_were_skipped_before_it() -> None:
    def loader(*steps: int) -> Loader[Any]:
        return loaders(40, steps=steps)[0]

    whole = values(loader())
    state = state_of(loader(1, 7), 3)
    assert values(_resumed(loader(1, 7), state)) == whole[4:7] + whole[8:]
    assert values(_resumed(loader(1), state)) == whole[4:], "a later step is left out or not"
    assert values(_resumed(loader(1, 5), state)) == [whole[4], *whole[6:]]
    for other in (loader(), loader(1, 2), loader(2, 7)):
        with pytest.raises(StateError, match=r"had skipped the steps .*\[\[0, 4, 8\]\]"):
            _resumed(other, state)
    with pytest.raises(StateError, match=r"this loader skips \[\[0, 4, 8\]\]"):
        _resumed(loader(1), state_of(loader(), 3))
    assert "skipped" not in str(state_of(loader(7), 3))


def _resumed(loader: Loader[Any], state: Any) -> Any:
    iterator = iter(loader)
    iterator.set_state(state)
    return iterator


def test_bad_skips() -> None:
    with pytest.raises(ValueError, match="a step must be at least 0, got -1"):
        DataLoader().skip(steps=[-1])
    with pytest.raises(TypeError, match="a step must be an integer"):
        DataLoader().skip(steps=cast("list[int]", ["a"]))


threads: list[int] = []


def note_thread(items: list[Any]) -> list[Any]:
    threads.append(threading.get_ident())
    return items


def test_a_batch_is_loaded_in_the_callers_thread_as_the_loop_gets_it() -> None:
    threads.clear()
    loader = DataLoader(note_thread).batch_size(4).workers(2, kind="process").epochs(2).build(list(range(10)))
    assert loader.batch(4) == [4, 5, 6, 7]
    assert threads == [threading.get_ident()]


def test_origins_and_find_of_a_plain_dataset() -> None:
    loader = DataLoader().batch_size(4).epochs(2).build(list(range(10)))
    assert loader.origins(5) == [(Origin((), 1, 8),), (Origin((), 1, 9),)]
    assert loader.find(9) == [2]
    assert loader.find(9, epoch=1) == [5]
    assert loader.epoch(1).find(9) == [2]
    with pytest.raises(ValueError, match="no row 10"):
        loader.find(10)
    with pytest.raises(ValueError, match="at path \\(0,\\)"):
        loader.find(1, path=[0])
    with pytest.raises(ValueError, match="epoch must be one of the run, which has epochs 0 to 1, got 2"):
        loader.find(1, epoch=2)
    with pytest.raises(ValueError, match="epoch must be one of the run, which has epoch 1, got 0"):
        loader.epoch(1).find(1, epoch=0)
    skipping = DataLoader().batch_size(4, drop_remainder=True).epochs(2).skip(steps=[2]).build(list(range(10)))
    assert (skipping.find(0), skipping.find(0, epoch=1), skipping.find(9)) == ([0], [], [])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(0, 19))
def test_a_digest_does_not_depend_on_how_rows_were_grouped(rows: list[int], cut: int) -> None:
    numbers = np.array(rows, np.int64)
    places = np.arange(len(rows))
    one, other, swapped = OrderDigest(), OrderDigest(), OrderDigest()
    one.add([Traced(places, numbers)])
    other.add([Traced(places[cut:], numbers[cut:]), Traced(places[:cut], numbers[:cut])])
    assert one.hexdigest() == other.hexdigest()
    swapped.add([Traced(places, numbers[::-1])])
    assert (one.hexdigest() == swapped.hexdigest()) == (rows == rows[::-1])
