"""A loader is over the rows that its dataset had when it was built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from loadax_core import DataLoader, Loader


class Growing:
    """A dataset in a list that may grow."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> int:
        return self.rows[row]


def append(rows: list[int]) -> None:
    rows.append(9)


def pop(rows: list[int]) -> None:
    rows.pop()


def start(loader: Loader[Any]) -> Any:
    return iter(loader)


def start_epoch(loader: Loader[Any]) -> Any:
    return iter(loader.epoch(1))


@pytest.mark.parametrize("begin", [start, start_epoch, Loader[Any].peek])
@pytest.mark.parametrize("change", [append, pop])
@pytest.mark.parametrize("wrap", [list, Growing])
def test_a_dataset_of_another_length_needs_another_loader(
    wrap: Any, change: Callable[[list[int]], None], begin: Callable[[Loader[Any]], Any]
) -> None:
    rows = [0, 1, 2, 3]
    dataset: Any = rows if wrap is list else wrap(rows)
    for builder in (DataLoader(), DataLoader().workers(1)):
        loader = builder.batch_size(2).epochs(2).build(dataset)
        count = len(rows)
        assert len(list(loader)) == len(loader)
        change(rows)
        message = f"had {count} rows when this loader was built, and has {len(rows)} now, .*; build a new loader"
        with pytest.raises(RuntimeError, match=message):
            begin(loader)
