"""Loads with a Dask cluster and with threads, and compares."""

import os
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from loadax import ArrayDataset, DataLoader
from loadax_core.testing import check_same


def work(row: Any, rng: np.random.Generator) -> Any:
    return row | {"noise": rng.normal(size=3)}


def where(row: Any) -> int:
    return os.getpid()


def broken(row: Any) -> Any:
    if row["x"] == 5:
        raise ValueError("row 5 is broken")
    return row


if __name__ == "__main__":
    rows = ArrayDataset({"x": np.arange(40), "wide": np.ones((40, 20_000), np.float32)})
    options: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    cluster: Any = LocalCluster(**options)
    with cluster, Client(cluster) as client:
        executor: Any = client.get_executor()  # pyright: ignore[reportUnknownMemberType]
        builder = DataLoader().batch_size(7).epochs(2)
        dataset = rows.random_map(work, seed=3).shuffle(seed=4)
        on_cluster = list(builder.workers(executor).prefetch(4).build(dataset))
        check_same(on_cluster, list(builder.workers(2).build(dataset)))
        loader = DataLoader().workers(executor).prefetch(8).build(rows.map(where))
        pids = {int(batch[0]) for batch in loader} - {os.getpid()}
        print(f"the same {len(on_cluster)} batches, from {len(pids)} other processes")
        try:
            list(DataLoader().batch_size(4).workers(executor).build(rows.map(broken)))
        except ValueError as error:
            print("an error arrives:", error)
