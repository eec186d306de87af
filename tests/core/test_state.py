from __future__ import annotations

import copy
import json
import pickle
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, StateError, tree


class Counted:
    """Integers of any number of rows, with a seed that reverses them, that count their reads."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        self.rows = rows
        self.seed = seed
        self.reads = 0

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        self.reads += 1
        return self.rows - 1 - row if self.seed % 2 else row

    def fingerprint(self) -> dict[str, Any]:
        return {"order": {"seed": self.seed, "sizes": (1, 2)}}


def rows_of(batches: Any) -> list[int]:
    return [row for batch in batches for row in batch]


builder = DataLoader(list[int]).batch_size(3)
WORKERS = [0, 1, 3]


@pytest.mark.parametrize("workers", WORKERS)
def test_the_state_counts_rows_yielded_and_is_new_each_time(workers: int) -> None:
    dataset = Counted(10)
    batches = iter(builder.workers(workers).build(dataset))
    state = batches.get_state()
    assert dataset.reads == 0
    assert state == {
        "version": 1,
        "epoch": 0,
        "row": 0,
        "fingerprint": {"rows": 10, "order": {"seed": 0, "sizes": [1, 2]}},
    }
    state["row"] = state["fingerprint"]["order"]["seed"] = 99
    next(batches)
    assert batches.get_state()["row"] == 3
    assert batches.get_state()["fingerprint"]["order"]["seed"] == 0
    assert batches.get_state() is not batches.get_state()
    assert json.loads(json.dumps(batches.get_state())) == batches.get_state()


@pytest.mark.parametrize("workers", WORKERS)
def test_states_before_within_at_the_end_of_an_epoch_and_after_exhaustion(workers: int) -> None:
    loader = builder.workers(workers).epochs(2).build(Counted(5))
    batches = iter(loader)
    states = [batches.get_state(), *(batches.get_state() for _ in batches)]
    assert [(s["epoch"], s["row"]) for s in states] == [(0, 0), (0, 3), (1, 0), (1, 3), (2, 0)]
    for state, rest in zip(states, [10, 7, 5, 2, 0], strict=True):
        batches.set_state(state)
        batches.set_state(state)
        assert len(rows_of(batches)) == rest
        assert batches.get_state() == states[-1]
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("workers", WORKERS)
def test_restoring_reads_no_row(workers: int) -> None:
    dataset = Counted(10)
    batches = iter(builder.workers(workers).build(dataset))
    batches.set_state({**batches.get_state(), "row": 6})
    assert dataset.reads == 0
    assert rows_of(batches) == [6, 7, 8, 9]
    assert dataset.reads == 4


def test_restoring_takes_as_long_far_in_as_at_the_start() -> None:
    def seconds(row: int) -> float:
        batches = iter(builder.build(range(10**12)))
        began = perf_counter()
        batches.set_state({**batches.get_state(), "row": row})
        assert next(batches) == [row, row + 1, row + 2]
        return perf_counter() - began

    near, far = (min(seconds(row) for _ in range(20)) for row in (10, 10**9))
    assert far < 5 * near + 1e-4


@pytest.mark.parametrize("first", [(1, 0, 0), (3, 2, 2), (4, 3, 0)])
@pytest.mark.parametrize("then", [(2, 0, 0), (5, 1, 4), (7, 3, 1)])
def test_a_run_continues_under_other_settings(first: tuple[int, int, int], then: tuple[int, int, int]) -> None:
    def loader(batch_size: int, workers: int, prefetch: int) -> Any:
        return builder.batch_size(batch_size).workers(workers).prefetch(prefetch).epochs(2).build(Counted(11, seed=1))

    expected = rows_of(loader(1, 0, 0))
    with iter(loader(*first)) as batches:
        seen = rows_of(next(batches) for _ in range(2))
        state = json.loads(json.dumps(batches.get_state()))
    resumed = iter(loader(*then))
    resumed.set_state(state)
    assert seen + rows_of(resumed) == expected


def test_a_dropped_tail_is_not_revived_by_a_smaller_batch() -> None:
    batches = iter(builder.batch_size(4, drop_remainder=True).epochs(2).build(range(10)))
    assert [len(next(batches)) for _ in range(2)] == [4, 4]
    resumed = iter(builder.batch_size(2).epochs(2).build(range(10)))
    resumed.set_state(batches.get_state())
    assert rows_of(resumed) == list(range(10))


def test_steps_are_counted_from_where_the_next_batch_is() -> None:
    batches = iter(builder.batch_size(8, drop_remainder=True).epochs(2).build(range(20)))
    batches.set_state({**batches.get_state(), "row": 19})
    assert (batches.step, batches.steps_left) == (2, 2)
    next(batches)
    assert (batches.step, batches.steps_left) == (3, 1)


@pytest.mark.parametrize("kind", [np.asarray, np.int64])
def test_a_state_may_come_back_as_arrays(kind: Any) -> None:
    """As from whatever saves, or sends to all hosts, trees of arrays."""
    batches = iter(builder.build(Counted(10, seed=1)))
    next(batches)
    state = tree.map_leaves(lambda _, leaf: kind(leaf), batches.get_state())
    resumed = iter(builder.build(Counted(10, seed=1)))
    resumed.set_state(state)
    assert resumed.get_state() == batches.get_state()
    with pytest.raises(StateError, match="unknown state version True"):
        resumed.set_state(state | {"version": np.bool_(True)})


def test_epoch_views_take_the_states_of_their_epoch() -> None:
    stream = iter(builder.epochs(3).build(Counted(5)))
    assert [len(next(stream)) for _ in range(3)] == [3, 2, 3]
    view = iter(builder.build(Counted(5)).epoch(1))
    view.set_state(stream.get_state())
    assert rows_of(view) == [3, 4]
    with pytest.raises(
        StateError,
        match=r"epoch 1, and this loader runs epochs 0 to 0; use \.epochs\(n\) or loader\.e",
    ):
        iter(builder.build(Counted(5))).set_state(stream.get_state())
    with pytest.raises(StateError, match="epoch 1, and this loader runs epochs 2 to 2"):
        iter(builder.build(Counted(5)).epoch(2)).set_state(stream.get_state())


GOOD = iter(builder.build(Counted(5))).get_state()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, r"a state is the dict that get_state\(\) returned, got NoneType: None"),
        ([1], "got list"),
        ({}, r"a state is the dict that get_state\(\) returned, got a dict with the keys \[\]"),
        ({"loader": GOOD, "step": 3}, r"got a dict with the keys \['loader', 'step'\]"),
        ({**GOOD, "version": 2}, "unknown state version 2; this release of loadax-core reads version 1"),
        ({**GOOD, "version": True}, "unknown state version True"),
        ({"version": 1, "row": 3}, r"has the keys version, epoch, row and fingerprint, got \['row', 'version'\]"),
        ({**GOOD, "extra": 1}, "has the keys"),
        ({**GOOD, "row": -1}, "row must be an integer from 0 to 5, got -1"),
        ({**GOOD, "row": 6}, "row must be an integer from 0 to 5, got 6"),
        ({**GOOD, "row": 1.0}, "row must be an integer from 0 to 5, got 1.0"),
        ({**GOOD, "epoch": "0"}, "epoch must be an integer of at least 0, got '0'"),
        ({**GOOD, "epoch": 1, "row": 2}, "saved in epoch 1"),
        ({**GOOD, "fingerprint": None}, "saved with the fingerprint None"),
        (
            iter(builder.build(Counted(6))).get_state(),
            "cannot resume: .* with rows 6, and this dataset has 5",
        ),
        (
            iter(builder.build(Counted(5, seed=3))).get_state(),
            r"with order\.seed 3, and this dataset has 0",
        ),
        (
            iter(builder.build(range(5))).get_state(),
            r"saved without order\.seed, and this dataset has 0.*saved without order\.sizes\[0\]",
        ),
    ],
)
def test_a_wrong_state_is_refused_and_says_what_differs(state: object, message: str) -> None:
    batches = iter(builder.build(Counted(5)))
    next(batches)
    with pytest.raises(StateError, match=message):
        batches.set_state(state)
    assert rows_of(batches) == [3, 4]


def test_a_fingerprint_must_survive_json() -> None:
    class Odd(Counted):
        def fingerprint(self) -> dict[str, Any]:
            return {"seed": np.int64(3)}

    with pytest.raises(TypeError, match=r"Odd\.fingerprint\(\) must return a JSON-able dict: .*int64"):
        builder.build(Odd(3))


@pytest.mark.parametrize(
    ("facts", "error", "message"),
    [
        ("abcdef", TypeError, "JSON-able dict, got 'abcdef'"),
        (["ab"], TypeError, r"JSON-able dict, got \['ab'\]"),
        # It would differ from itself.
        ({"t": float("nan")}, ValueError, "JSON-able dict: .*not JSON compliant"),
    ],
)
def test_a_fingerprint_is_a_dict_that_equals_itself(facts: Any, error: type[Exception], message: str) -> None:
    class Odd(Counted):
        def fingerprint(self) -> Any:
            return facts

    with pytest.raises(error, match=r"Odd\.fingerprint\(\) must return a " + message):
        builder.build(Odd(3))


def test_a_state_whose_last_batch_the_shards_cannot_divide_is_refused() -> None:
    class Halves:
        def local_rows(self, batch_size: int, /) -> Any:
            if batch_size % 2:
                raise ValueError(f"2 shards cannot divide {batch_size} rows")
            return np.arange(batch_size)

        def distribute_global_batch(self, local_batch: Any, /) -> Any:
            return local_batch

    batches = iter(builder.batch_size(4).shard(Halves()).build(Counted(8)))
    with pytest.raises(ValueError, match="the last batch of an epoch has 1 rows instead of 4") as caught:
        batches.set_state({**batches.get_state(), "row": 3})
    said = str(caught.value)
    assert "counted from row 3, where this run goes on" in said
    assert "drop_remainder=True" in said
    assert "the batch size with which the state was saved" in said
    assert "pad_to_multiple" not in said, "8 rows are a multiple of 4 already"


class Half:
    def local_rows(self, batch_size: int, /) -> Any:
        return np.arange(batch_size // 2)

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        return "global", local_batch.tolist()


def test_a_copy_of_a_loader_is_sharded_and_placed_as_it_is() -> None:
    loader = DataLoader().batch_size(4).shard(Half()).prefetch(1, to_device=True).build(np.arange(8))
    for again in (loader, copy.copy(loader), copy.deepcopy(loader), pickle.loads(pickle.dumps(loader))):
        assert list(again) == [("global", [0, 1]), ("global", [4, 5])]
