"""Sends rows of a class of this program to a Dask cluster whose processes do not run this program."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from distributed import Client, SubprocessCluster  # pyright: ignore[reportUnknownVariableType]
from loadax import DataLoader, InMemoryDataset
from loadax_core.testing import check_same


class Pair(NamedTuple):
    x: int
    y: int


class Counted(Pair):
    """Shows by `y` how often its class was called."""

    def __new__(cls, x: int, y: int) -> Self:
        return super().__new__(cls, x, y + 1)


def unchanged(row: Counted) -> Counted:
    return row


if __name__ == "__main__":
    rows = InMemoryDataset([Counted(i, 0) for i in range(10)])
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    cluster: Any = SubprocessCluster(**options)
    with cluster, Client(cluster) as client:
        executor: Any = client.get_executor()  # pyright: ignore[reportUnknownMemberType]
        for dataset in rows, rows.map(unchanged):
            batches = list(DataLoader().batch_size(4).workers(executor).build(dataset))
            check_same(batches, list(DataLoader().batch_size(4).workers(2).build(dataset)))
            print(type(batches[0]).__name__, batches[0].y.tolist())
