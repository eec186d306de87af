"""A loader chooses the epoch itself, and so refuses a dataset that is that of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_datasets import BaseDataset, RangeDataset, as_dataset


class Own:
    """A dataset that is none of Loadax's."""

    def __init__(self, in_epoch: int = 0) -> None:
        self.in_epoch = in_epoch

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> int:
        return row + 100 * self.in_epoch

    def at_epoch(self, epoch: int) -> Own:
        return Own(epoch)


class Silent(Own):
    """One that does not say in which epoch it is."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def __getitem__(self, row: int) -> int:
        return row + 100 * self.epoch

    def at_epoch(self, epoch: int) -> Silent:
        return Silent(epoch)


# Some are a part of a shuffle, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::loadax_core.EpochLeakWarning")

ROWS = RangeDataset(10)
CHANGING: dict[str, Callable[[], Any]] = {
    "shuffle": lambda: ROWS.shuffle(seed=1),
    "blocks": lambda: ROWS.shuffle(seed=1, block=2),
    "sample": lambda: ROWS.sample(10, seed=1),
    "random_map": lambda: ROWS.random_map(lambda x, rng: x + rng.random()),
    "map of a shuffle": lambda: ROWS.shuffle(seed=1).map(float),
    "slice": lambda: ROWS.shuffle(seed=1)[2:],
    "concatenation": lambda: ROWS.concat(ROWS.shuffle(seed=1)),
    "zip": lambda: ROWS.zip(ROWS.shuffle(seed=1)),
    "mixture": lambda: ROWS.shuffle(seed=1).mix(ROWS, seed=2),
    "repetition": lambda: ROWS.shuffle(seed=1).repeat(2),
    "padding": lambda: ROWS.shuffle(seed=1).pad_to_multiple(4),
    "cast": lambda: ROWS.shuffle(seed=1).cast(np.int32),
    "retry": lambda: ROWS.shuffle(seed=1).retry(2),
    "tolerate": lambda: ROWS.tolerate(2),
    "another's": Own,
    "another's, wrapped": lambda: as_dataset(Own()),
    "another's that does not say so, wrapped": lambda: as_dataset(Silent()),
}


@pytest.mark.parametrize("make", CHANGING.values(), ids=CHANGING)
def test_a_dataset_of_a_later_epoch_is_refused(make: Callable[[], Any]) -> None:
    dataset = make()
    loader = DataLoader().build(dataset)
    later = dataset.at_epoch(3)
    assert (dataset.in_epoch, later.in_epoch) == (0, 3)
    with pytest.raises(
        ValueError, match=r"at_epoch\(3\) .* starts with epoch 0; build the dataset .* loader\.epoch\(3\)"
    ):
        DataLoader().build(later)
    again = later.at_epoch(0)
    assert again.in_epoch == 0
    np.testing.assert_equal(list(DataLoader().build(again)), list(loader))


def test_what_is_built_on_a_later_epoch_is_of_it() -> None:
    later = ROWS.shuffle(seed=1).at_epoch(2)
    for dataset in (later.map(float), later[1:], ROWS.zip(later), as_dataset(later.map(str))):
        with pytest.raises(ValueError, match=r"loader\.epoch\(2\)"):
            DataLoader().build(dataset)


def test_what_no_epoch_changes_is_not_refused() -> None:
    for dataset in (
        ROWS,
        ROWS.map(float),
        ROWS.filter(lambda x: x > 2),
        ROWS.cache(),
        ROWS.random_split([0.5, 0.5])[0],
    ):
        later: BaseDataset[Any] = dataset.at_epoch(1)
        assert later is dataset
        assert len(list(DataLoader().build(later))) == len(dataset)


def test_the_attributes_of_others_are_left_alone() -> None:
    class Counting(list[int]):
        in_epoch = 4
        epoch = 7

    assert len(list(DataLoader().build(Counting([1, 2])))) == 2
    # It does not say in which epoch it is.
    assert len(list(DataLoader().build(Silent(2)))) == 10
