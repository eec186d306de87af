"""A loop over epochs that repeats one order is told so, once; loops that are meant are not."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from loadax_core import DataLoader, Loader, RepeatedEpochWarning, progress
from loadax_core.testing import check_loader


class Rows:
    """Four rows, which start with the epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> int:
        return row + self.epoch

    def at_epoch(self, epoch: int, /) -> Rows:
        return Rows(epoch)


class Still(Rows):
    """Rows that no epoch changes."""

    def at_epoch(self, epoch: int, /) -> Rows:
        return self


class Broken(Rows):
    """Rows that have one epoch only."""

    def at_epoch(self, epoch: int, /) -> Rows:
        if epoch:
            raise KeyError(epoch)
        return self


BUILDER = DataLoader().batch_size(2)


def epoch_of(loader: Loader[Any]) -> int:
    return sum(1 for _ in loader)


def once_each(loader: Loader[Any]) -> None:
    list(loader)
    list(loader)
    list(loader)
    list(loader)


def in_a_loop(loader: Loader[Any]) -> None:
    for _ in range(5):
        for _batch in loader:
            pass


def in_a_function(loader: Loader[Any]) -> None:
    for _ in range(5):
        epoch_of(loader)


def with_workers(loader: Loader[Any]) -> None:
    for _ in range(5):
        with iter(loader) as batches:
            list(batches)


def behind_a_bar(loader: Loader[Any]) -> None:
    pytest.importorskip("tqdm", reason="an extra of loadax-core")
    for _ in range(5):
        list(progress(loader))


def bars_here_and_there(loader: Loader[Any]) -> None:
    pytest.importorskip("tqdm", reason="an extra of loadax-core")
    list(progress(loader))
    list(progress(loader))
    list(progress(loader))


def first_batches(loader: Loader[Any]) -> None:
    for _ in range(5):
        next(iter(loader))
        list(islice(loader, 1))


def twice(loader: Loader[Any]) -> None:
    for _ in range(2):
        in_order = epoch_of(loader)
        assert in_order == 2


def epochs_by_number(loader: Loader[Any]) -> None:
    for epoch in range(5):
        epoch_of(loader.epoch(epoch))


def the_first_one_on_purpose(loader: Loader[Any]) -> None:
    for _ in range(5):
        epoch_of(loader.epoch(0))


def checked(loader: Loader[Any]) -> None:
    check_loader(loader)


def resumed(loader: Loader[Any]) -> None:
    for _ in range(5):
        batches = iter(loader)
        batches.set_state({**batches.get_state(), "row": 2})
        list(batches)


def warned(run: Callable[[Loader[Any]], None], loader: Loader[Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(loader)
    return caught


@pytest.mark.parametrize("run", [in_a_loop, in_a_function, with_workers, behind_a_bar])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loop_that_repeats_the_first_epoch_is_told_once(run: Callable[[Loader[Any]], None], workers: int) -> None:
    (caught,) = warned(run, BUILDER.workers(workers).build(Rows()))
    assert caught.category is RepeatedEpochWarning
    assert "write for batch in loader.epoch(e), or make one run of n epochs with DataLoader().epochs(n)" in str(
        caught.message
    )
    assert caught.filename == __file__


@pytest.mark.parametrize(
    "run",
    [
        once_each,
        bars_here_and_there,
        first_batches,
        twice,
        epochs_by_number,
        the_first_one_on_purpose,
        resumed,
        checked,
    ],
)
def test_runs_that_are_no_such_loop_are_not(run: Callable[[Loader[Any]], None]) -> None:
    assert not warned(run, BUILDER.build(Rows()))


@pytest.mark.parametrize("dataset", [range(4), Still(), Broken()], ids=["list", "still", "broken"])
def test_rows_that_no_epoch_changes_may_be_repeated(dataset: Any) -> None:
    assert not warned(in_a_loop, BUILDER.build(dataset))


@pytest.mark.parametrize("epochs", [2, None])
def test_a_run_of_several_epochs_may_be_repeated(epochs: int | None) -> None:
    def some(loader: Loader[Any]) -> None:
        for _ in range(5):
            list(islice(loader, 4))

    assert not warned(some, BUILDER.epochs(epochs).build(Rows()))


def sent(loader: Loader[Any]) -> Loader[Any]:
    return pickle.loads(pickle.dumps(loader))


@pytest.mark.parametrize("copied", [copy.deepcopy, sent])
def test_a_copy_counts_its_own_runs(copied: Callable[[Any], Any]) -> None:
    loader: Loader[Any] = BUILDER.build(Rows())
    twice(loader)
    other = copied(loader)
    assert not warned(twice, other)
    assert len(warned(in_a_loop, other)) == 1
