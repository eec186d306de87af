"""Programs that a type checker must refuse. `make types` reports a comment that has nothing to ignore as an error."""

from __future__ import annotations

import loadax
import numpy as np
from loadax import Batcher, DataLoader, InMemoryDataset, RangeDataset


def total(items: list[int]) -> int:
    return sum(items)


def dataset_that_the_batcher_cannot_take() -> None:
    DataLoader(total).build(["a", "b"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    DataLoader(Batcher(total)).build(InMemoryDataset(["a"]))  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def batch_of_another_type() -> None:
    for batch in DataLoader(total).build(RangeDataset(3)):
        batch.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def dataset_without_length() -> None:
    DataLoader().build(iter([1, 2]))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def batcher_that_takes_one_item() -> None:
    DataLoader(abs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    DataLoader(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def settings_of_another_type() -> None:
    DataLoader().batch_size(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DataLoader().batch_size("4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DataLoader().workers(None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    DataLoader().prefetch(2, True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    DataLoader().shard("data")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def function_of_another_item() -> None:
    InMemoryDataset(["a"]).map(abs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    def twice(item: int, rng: np.random.Generator) -> int:
        return item * 2

    InMemoryDataset(["a"]).random_map(twice)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def dtype_of_another_type() -> None:
    RangeDataset(3).cast(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    RangeDataset(3).cast()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def name_that_does_not_exist() -> None:
    loadax.DataLoadre()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def builders_and_loaders_that_are_used_as_something_else() -> None:
    list(DataLoader())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    len(DataLoader())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DataLoader().num_workers(4)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    next(DataLoader().build([1]))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    DataLoader().build([1]).workers(4)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
