"""Trains on a table, first read from an SQLite database and then from a Parquet file with Polars.

    python examples/tabular.py

The table has measurements of 569 tumours, from scikit-learn. The network learns which of them are malignant. The two
runs differ only in the dataset, so that batches, losses and accuracy are the same. SQLite needs no other package. For
Polars: `pip install 'loadax-datasets[polars]'`.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import polars as pl
from flax import nnx
from loadax import BaseDataset, DataLoader, PolarsDataset, SQLiteDataset
from sklearn.datasets import load_breast_cancer

BATCH_SIZE = 32

adam = optax.adamw(1e-3, weight_decay=1e-2)


def write_table(database: Path, parquet: Path) -> None:
    """Writes the same rows to a table `tumours` and to a file. Each row has 30 measurements, `id` and `malignant`."""
    bunch: Any = load_breast_cancer()
    names = [name.replace(" ", "_") for name in bunch.feature_names]
    frame = pl.DataFrame(bunch.data, schema=names).with_row_index("id").with_columns(malignant=bunch.target == 0)
    frame.write_parquet(parquet)
    with sqlite3.connect(database) as connection:
        measured = ", ".join(f"{name} REAL" for name in names)
        connection.execute(f"CREATE TABLE tumours (id INTEGER PRIMARY KEY, {measured}, malignant INTEGER)")
        connection.executemany(f"INSERT INTO tumours VALUES ({', '.join('?' * frame.width)})", frame.iter_rows())
    connection.close()


# Both datasets hold out every fifth row. A query or an expression selects the rows.
def from_sqlite(database: Path, *, held_out: bool) -> BaseDataset[Any]:
    """The rows for training, or the held-out rows. The dataset reads each batch with one `SELECT`."""
    query = f"SELECT * FROM tumours WHERE (id % 5 = 0) = {held_out}"
    return SQLiteDataset(database, query=query, key="id")


def from_polars(parquet: Path, *, held_out: bool) -> BaseDataset[Any]:
    """The rows for training, or the held-out rows. `PolarsDataset` collects the lazy frame."""
    return PolarsDataset(pl.scan_parquet(parquet).filter((pl.col("id") % 5 == 0) == held_out))


def features(rows: dict[str, Any]) -> dict[str, Any]:
    """Makes one matrix of shape `(rows, 30)`, and the labels, from a dict of columns of many rows."""
    columns = [values for name, values in rows.items() if name not in ("id", "malignant")]
    return {"x": np.stack(columns, axis=1).astype(np.float32), "malignant": rows["malignant"].astype(np.int32)}


def whole(dataset: BaseDataset[Any]) -> dict[str, Any]:
    """All rows of a dataset as one batch."""
    return next(iter(DataLoader().batch_size(len(dataset)).build(dataset)))


class Network(nnx.Module):
    """Two hidden layers. The mean and the standard deviation of the training data are part of the network."""

    def __init__(self, x: Any, rngs: nnx.Rngs) -> None:
        self.mean, self.spread = nnx.Variable(jnp.asarray(x.mean(0))), nnx.Variable(jnp.asarray(x.std(0)))
        self.layers = nnx.Sequential(
            nnx.Linear(x.shape[1], 32, rngs=rngs), nnx.relu, nnx.Linear(32, 32, rngs=rngs), nnx.relu
        )
        self.score = nnx.Linear(32, 1, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Scores of shape `(batch,)`; positive ones mean malignant."""
        return self.score(self.layers((x - self.mean[...]) / self.spread[...]))[:, 0]


@nnx.jit
def train_step(network: Network, optimizer: nnx.Optimizer[Network], batch: dict[str, jax.Array]) -> jax.Array:
    """Improves the network in place, and returns its loss on the batch."""

    def loss_of(network: Network) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(network(batch["x"]), batch["malignant"]).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(network)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def accuracy_of(network: Network, batch: dict[str, jax.Array]) -> jax.Array:
    """The share of the tumours that the network classifies correctly."""
    return ((network(batch["x"]) > 0) == batch["malignant"]).mean()


def run(source: Callable[..., BaseDataset[Any]], epochs: int) -> None:
    """Trains on the rows of one source, and prints what the network has learnt and where the time went."""
    train = source(held_out=False).map(features, vectorized=True)
    # All batches have the same size, so that the step is compiled once.
    loader = DataLoader().batch_size(BATCH_SIZE, drop_remainder=True).prefetch(to_device=True).epochs(epochs)
    network = Network(whole(train)["x"], nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, adam, wrt=nnx.Param)
    with iter(loader.build(train.shuffle(seed=1))) as batches:
        losses = [train_step(network, optimizer, batch) for batch in batches]
        stats = batches.stats()

    held_out = whole(source(held_out=True).map(features, vectorized=True))
    accuracy = float(accuracy_of(network, held_out))
    majority = 1 - held_out["malignant"].mean()
    print(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
    print(f"held-out accuracy {accuracy:.3f}; if all were called benign, {majority:.3f}")
    print(stats)


def main() -> None:
    """Writes the table to files, and trains from each."""
    parser = argparse.ArgumentParser(description="Train on a table in SQLite and in Parquet.")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        database, parquet = Path(folder, "tumours.db"), Path(folder, "tumours.parquet")
        write_table(database, parquet)
        print("from SQLite:")
        run(partial(from_sqlite, database), arguments.epochs)
        print("from Parquet, with Polars:")
        run(partial(from_polars, parquet), arguments.epochs)


if __name__ == "__main__":
    main()
