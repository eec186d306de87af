"""tolerate: another row in place of one that cannot be read, the same wherever it is read, and only so many."""

from __future__ import annotations

import logging
import operator
import pickle
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import (
    Alloc,
    DataLoader,
    Loader,
    Replaced,
    Rows,
    StackBatcher,
    aligned_empty,
    join_batches,
)
from loadax_core.testing import check_dataset, check_loader, check_same
from loadax_datasets import (
    ArrayDataset,
    BaseDataset,
    RangeDataset,
    ToleratedDataset,
    TransientErrorWarning,
    as_dataset,
)

BROKEN = [3, 4, 11, 20, 22]
TEXTS = ["?" if row in BROKEN else str(100 + row) for row in range(23)]
"""Numbers as text; the broken ones raise a ValueError where they are made numbers."""

to_int64 = operator.methodcaller("astype", np.int64)


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


class Copied(BaseDataset[Any]):
    """Numbers whose gather copies rows, as arrays do, and fails as a whole."""

    def __init__(self, broken: Sequence[int] = BROKEN, rows: int = 23, error: type[Exception] = ValueError) -> None:
        self.broken, self.rows, self.error = broken, rows, error

    @property
    def rowwise(self) -> bool:
        return True

    @property
    def calls_user_code(self) -> bool:
        return False

    def __len__(self) -> int:
        return self.rows

    def read(self, row: int) -> Any:
        if row in self.broken:
            raise self.error(f"no row {row}")
        return {"x": np.float32(row), "y": np.full(2, row)}

    @property
    def gather(self) -> Any:
        return self.gather_rows

    def gather_rows(self, rows: Rows, alloc: Alloc) -> Any:
        x, y = alloc((len(rows),), np.float32), alloc((len(rows), 2), np.int64)
        for i, row in enumerate(rows.tolist()):
            item = self.read(row)
            x[i], y[i] = item["x"], item["y"]
        return {"x": x, "y": y}


SOURCES: dict[str, Callable[[], BaseDataset[Any]]] = {
    "items": lambda: as_dataset(TEXTS).map(int),
    "vectorized": lambda: ArrayDataset(np.array(TEXTS)).map(to_int64, vectorized=True),
    "copied": Copied,
}


@pytest.mark.parametrize("name", SOURCES)
def test_it_keeps_what_datasets_promise(name: str, check_dataset: CheckDataset) -> None:
    rows = SOURCES[name]().tolerate(5, seed=3)
    if name == "copied":
        # Its gather does not check rows.
        rows = rows[:]
    check_dataset(rows, [rows[row] for row in range(23)], gathers=name != "items")


def test_the_public_contract() -> None:
    for name in ("items", "vectorized"):
        rows = SOURCES[name]().tolerate(5, seed=3)
        check_dataset(rows)
        check_dataset(rows.shuffle(seed=1))


def test_only_broken_rows_are_replaced_each_by_a_row_of_its_own() -> None:
    source = as_dataset(TEXTS).map(int)
    rows = source.tolerate(5)
    for epoch in range(8):
        now = list(rows.at_epoch(epoch))
        whole = [row for row in range(23) if row not in BROKEN]
        assert [now[row] for row in whole] == [100 + row for row in whole]
        assert all(now[row] - 100 in whole for row in BROKEN)
    assert list(rows.at_epoch(0)) != list(rows.at_epoch(1))
    assert list(rows) != list(source.tolerate(5, seed=1))


def test_rows_that_fail_side_by_side_get_different_rows() -> None:
    broken = range(500, 600)
    rows = Copied(broken, 10_000).tolerate(100)
    assert len({int(rows[row]["x"]) for row in broken} - set(broken)) >= 98


def test_order_and_fingerprint_stay_and_contents_are_others() -> None:
    source = as_dataset(TEXTS).map(int)
    rows = source.tolerate(5)
    assert rows.fingerprint() == source.fingerprint() == rows.at_epoch(3).fingerprint()
    assert rows.shuffle(seed=1).fingerprint() == source.shuffle(seed=1).fingerprint()
    contents = [source, rows, source.tolerate(5, seed=1), source.tolerate(5, on=KeyError)]
    assert len({str(dataset.content_fingerprint()) for dataset in contents}) == 4
    assert rows.content_fingerprint() == source.tolerate(9).content_fingerprint()
    assert repr(rows).splitlines()[0] == "ToleratedDataset(most=5, on=ValueError, seed=0)"


def test_a_state_saved_without_it_fits() -> None:
    whole = as_dataset([str(100 + row) for row in range(23)]).map(int).shuffle(seed=1)
    batches = iter(DataLoader().batch_size(4).build(whole))
    next(batches)
    state = batches.get_state()
    tolerant = iter(DataLoader().batch_size(4).build(as_dataset(TEXTS).map(int).tolerate(5).shuffle(seed=1)))
    tolerant.set_state(state)
    assert len(list(tolerant)) == 5


def outcome(loader: Loader[Any], state: Any = None) -> tuple[list[Any], tuple[Replaced, ...], str]:
    """The batches of a run, what was replaced, and the error that ended it, with its notes."""
    batches: list[Any] = []
    with iter(loader) as iterator:
        if state is not None:
            iterator.set_state(state)
        try:
            batches.extend(iterator)
        except ValueError as error:
            return batches, iterator.stats().replaced, "\n".join([str(error), *error.__notes__])
        return batches, iterator.stats().replaced, ""


def loaders(dataset: Callable[[], BaseDataset[Any]], size: int = 4) -> dict[str, Loader[Any]]:
    builder = DataLoader().batch_size(size).epochs(2)
    settings = {
        "caller": builder,
        "one ahead": builder.workers(1).prefetch(1),
        "threads": builder.workers(3).prefetch(12),
        "parts": builder.workers(4).prefetch(1),
    }
    return {name: setting.build(dataset()) for name, setting in settings.items()}


@pytest.mark.parametrize("most", [5, 3, 1])
@pytest.mark.parametrize("name", SOURCES)
def test_values_and_the_limit_do_not_depend_on_who_loads(name: str, most: int) -> None:
    def dataset() -> BaseDataset[Any]:
        return SOURCES[name]().tolerate(most, seed=2).shuffle(seed=1)

    expected = outcome(DataLoader().batch_size(4).epochs(2).build(dataset()))
    assert len(expected[1]) == most
    assert bool(expected[2]) == (most < 5)
    for loader in loaders(dataset).values():
        check_same(outcome(loader), expected)


@pytest.mark.parametrize("kind", ["process", "pool", "threads of an executor"])
@pytest.mark.parametrize("most", [5, 3])
@pytest.mark.parametrize("name", ["items", "vectorized"])
def test_values_and_the_limit_are_the_same_in_other_processes(name: str, most: int, kind: str) -> None:
    def dataset() -> BaseDataset[Any]:
        return SOURCES[name]().tolerate(most, seed=2).shuffle(seed=1)

    builder = DataLoader().batch_size(4).epochs(2)
    expected = outcome(builder.build(dataset()))
    if kind == "process":
        check_same(outcome(builder.workers(2, kind="process").build(dataset())), expected)
        return
    pool = ProcessPoolExecutor(2, get_context("spawn")) if kind == "pool" else ThreadPoolExecutor(2)
    with pool:
        check_same(outcome(builder.workers(pool).build(dataset())), expected)


def test_an_error_from_another_process_shows_where_it_was_raised() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(1)
    with (
        iter(DataLoader().batch_size(23).workers(1, kind="process").build(rows)) as batches,
        pytest.raises(ValueError, match="invalid literal") as caught,
    ):
        next(batches)
    assert "in read" in str(caught.value.__cause__)
    assert caught.value.__notes__ == [
        "loadax: row 4 could not be read either, and no more than 1 may be replaced; replaced so far: 3",
        "loadax: while reading the batch of epoch 0, step 0",
    ]


def by_item(items: list[Any]) -> Any:
    """Stacks items; a loader does not know that, and gathers none."""
    return StackBatcher()(items)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("size", [1, 5, 23])
def test_values_do_not_depend_on_the_batch(name: str, size: int) -> None:
    rows = SOURCES[name]().tolerate(5)
    expected = StackBatcher()([rows[row] for row in range(23)])
    for workers in (0, 3):
        for batcher in (StackBatcher(), by_item):
            loader = DataLoader(batcher).batch_size(size).workers(workers).build(rows)
            batches: list[Any] = list(loader)
            ends = np.cumsum([len(np.atleast_1d(batch["x"] if name == "copied" else batch)) for batch in batches])
            places = [slice(start, stop) for start, stop in pairwise([0, *ends.tolist()])]
            check_same(join_batches(batches, places, aligned_empty), expected)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("workers", [0, 3])
def test_it_resumes_at_every_step(name: str, workers: int) -> None:
    check_loader(
        DataLoader().batch_size(5).workers(workers).epochs(2).build(SOURCES[name]().tolerate(5).shuffle(seed=1))
    )


def test_the_error_of_a_step_is_that_of_its_first_row_beyond_the_limit() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(2)
    batches, replaced, error = outcome(DataLoader().batch_size(8).build(rows))
    assert (len(batches), [row for row, *_ in replaced]) == (1, [3, 4])
    assert error.splitlines() == [
        "invalid literal for int() with base 10: '?'",
        "loadax: row 11 could not be read either, and no more than 2 may be replaced; replaced so far: 3, 4",
        "loadax: while reading the batch of epoch 0, step 1",
    ]


def test_a_run_goes_on_behind_the_error() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(2)
    with iter(DataLoader().batch_size(8).workers(2).build(rows)) as batches:
        next(batches)
        for _ in range(2):
            with pytest.raises(ValueError, match="invalid literal"):
                next(batches)
        batches.set_state(batches.get_state() | {"row": 16})
        with pytest.raises(ValueError, match="invalid literal") as caught:
            next(batches)
        assert "row 20 could" in caught.value.__notes__[0]
        batches.set_state(batches.get_state() | {"row": 0})
        assert next(batches)[3] == rows[3]


def test_rows_count_once_over_epochs_iterators_and_reads() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(5)
    list(rows)
    list(rows.at_epoch(4))
    loader = DataLoader().batch_size(4).epochs(5).build(rows.shuffle(seed=1))
    for _ in range(2):
        with iter(loader) as batches:
            assert len(list(batches)) == 30
            assert sorted(row for row, *_ in batches.stats().replaced) == BROKEN
            assert {epoch for *_, epoch, _ in batches.stats().replaced} == {0}


def test_rows_read_ahead_do_not_count() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(2)
    read = threading.Event()

    def note(x: int) -> int:
        if x == 122 - 1:
            read.set()
        return x

    with iter(DataLoader().workers(1).prefetch(30).build(rows.map(note))) as batches:
        assert next(batches) == 100
        assert read.wait(20)
        assert batches.stats().replaced == ()
    assert rows[11] + rows[20] > 200
    with pytest.raises(ValueError, match="invalid literal"):
        rows[3]


def test_stats_list_the_rows_with_their_errors() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(5)
    batches = iter(DataLoader().batch_size(8).build(rows))
    next(batches)
    first, second = batches.stats().replaced
    assert first == Replaced(3, rows[3] - 100, 0, "ValueError: invalid literal for int() with base 10: '?'")
    assert "replaced 2 rows that could not be read: row 3 by row" in str(batches.stats())
    list(batches)
    text = str(batches.stats())
    assert "replaced 5 rows" in text
    assert ", ..." in text
    assert second.row == 4


def test_the_first_replaced_row_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(5)
    for loader in (DataLoader().batch_size(4), DataLoader().batch_size(4).workers(2, kind="process")):
        list(loader.build(rows))
    assert [(record.name, record.levelno) for record in caplog.records] == [("loadax.datasets", logging.WARNING)]
    assert caplog.messages[0].startswith("tolerate: replaced row 3 by row ")


def test_two_datasets_count_apart() -> None:
    first, second = as_dataset(TEXTS).map(int).tolerate(5), as_dataset(TEXTS).map(int).tolerate(5)
    batches = iter(DataLoader().batch_size(23).build(first.zip(second)))
    next(batches)
    assert len(batches.stats().replaced) == 10


@pytest.mark.parametrize("read", ["item", "items", "gather"])
def test_other_errors_are_raised(read: str) -> None:
    rows = Copied([3], error=KeyError).tolerate(5)
    reads: dict[str, Callable[[], Any]] = {
        "item": lambda: rows[3],
        "items": lambda: rows.read_many([1, 3]),
        "gather": lambda: rows.gather_range(range(1, 4), aligned_empty),
    }
    with pytest.raises(KeyError, match="no row 3"):
        reads[read]()


class Odd(Copied):
    """Raises another error for all rows but one, and one of several where these are read together."""

    def read(self, row: int) -> Any:
        raise ValueError("broken") if row == 3 else KeyError(f"no {row}")


class Together(Copied):
    def gather_rows(self, rows: Rows, alloc: Alloc) -> Any:
        raise ValueError("too many rows")


def test_an_error_of_a_replacement_is_raised() -> None:
    with pytest.raises(KeyError, match="no ") as caught:
        Odd().tolerate(5)[3]
    assert "was read in place of row 3, which could not be read: ValueError('broken')" in caught.value.__notes__[0]


def test_an_error_of_no_row_is_raised() -> None:
    rows = Together([]).tolerate(5)
    assert rows.gather is not None
    with pytest.raises(ValueError, match="too many rows"):
        rows.gather(np.array([0, 1]), aligned_empty)


@pytest.mark.parametrize(("rows", "tried"), [(1, 0), (4, 3), (1000, 100)])
def test_the_error_is_raised_if_no_row_can_be_read(rows: int, tried: int) -> None:
    with pytest.raises(ValueError, match="no row 0") as caught:
        Copied(range(rows), rows).tolerate(5000, seed=1)[0]
    note = f"row 0 is not replaced: the {tried} other rows that were tried cannot be read either"
    assert caught.value.__notes__ == [note]


class PreemptedError(ValueError):
    """What a signal handler raises."""


def preempt(*_: object) -> None:
    raise PreemptedError


READS: dict[str, Callable[[BaseDataset[Any], int], Any]] = {
    "item": lambda rows, other: rows[2],
    "replacement": lambda rows, other: rows[other],
    "items": lambda rows, other: rows.read_many([1, 2]),
    "gather": lambda rows, other: rows.gather_range(range(1, 3), aligned_empty),
}


@pytest.mark.parametrize("name", READS)
def test_a_signal_handlers_error_is_no_rows(name: str) -> None:
    # Row 2 is read in place of the other one.
    other = next(row for row in range(8) if int(Copied([row], 8).tolerate(1)[row]["x"]) == 2)
    raised: list[int] = []

    class Interrupted(Copied):
        def read(self, row: int) -> Any:
            if row == 2 and not raised:
                raised.append(row)
                signal.raise_signal(signal.SIGUSR1)
            return super().read(row)

        @property
        def gather(self) -> Any:
            return self.gather_rows

    before = signal.signal(signal.SIGUSR1, preempt)
    try:
        with pytest.raises(PreemptedError):
            READS[name](Interrupted([other], 8).tolerate(5), other)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_copy_in_this_process_counts_with_the_original_and_one_in_another_anew() -> None:
    rows = as_dataset(TEXTS).map(int).tolerate(1)
    assert rows[3]
    clone: Any = pickle.loads(pickle.dumps(rows))
    assert clone[3] == rows[3]
    with pytest.raises(ValueError, match="invalid literal"):
        clone[4]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(operator.getitem, rows, 4).result() == as_dataset(TEXTS).map(int).tolerate(5)[4]


@pytest.mark.parametrize("on", [OSError, Exception, ConnectionResetError, TimeoutError, (ValueError, OSError)])
def test_errors_that_may_not_come_again_are_warned_of(on: Any) -> None:
    with pytest.warns(TransientErrorWarning, match=r"put \.retry\(3\) before \.tolerate"):
        RangeDataset(3).tolerate(1, on=on)
    RangeDataset(3).retry(3).map(float).tolerate(1, on=on)


def test_a_missing_file_comes_again() -> None:
    assert list(Copied([1], 3, FileNotFoundError).tolerate(1, on=FileNotFoundError)[1]) == ["x", "y"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"most": 0}, ValueError, "most must be at least 1, got 0"),
        ({"most": True}, TypeError, "most must be an integer of at least 1, got True"),
        ({"most": 0.1}, TypeError, "most must be an integer of at least 1, got 0.1"),
        ({"most": 1, "seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"most": 1, "on": KeyboardInterrupt}, TypeError, "on must be an exception type or a tuple of them"),
        ({"most": 1, "on": (ValueError, SystemExit)}, TypeError, "on must be"),
        ({"most": 1, "on": [ValueError]}, TypeError, "on must be"),
        ({"most": 1, "on": ValueError()}, TypeError, "on must be"),
        ({"most": 1, "on": ()}, ValueError, "on has no exception type"),
    ],
)
def test_bad_settings(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeDataset(3).tolerate(**options)


def test_it_stands_anywhere_in_a_chain() -> None:
    source = as_dataset(TEXTS).map(int)
    chains: list[BaseDataset[Any]] = [
        # A broken item is another row in each epoch.
        source.shuffle(seed=1).tolerate(23).shuffle(seed=2),
        source.tolerate(5).frozen().filter(lambda x: x % 2 == 0),
        source.tolerate(5).frozen().cache(),
        source.cache().tolerate(5),
        source[2:].tolerate(5).repeat(2),
        source.tolerate(5).random_map(lambda x, rng: x + rng.random(), seed=1).sample(20, seed=1),
    ]
    for chain in chains:
        check_dataset(chain, pickled=False)
    assert isinstance(chains[3], ToleratedDataset)
    with pytest.raises(ValueError, match=r"cache needs rows .* \.frozen\(epoch=0\)"):
        source.tolerate(5).cache()
