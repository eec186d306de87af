"""Memory that is recycled is never rewritten while a device array, or a computation, can still see it."""

from __future__ import annotations

import gc
import operator
from collections import deque
from typing import Any

import jax as typed_jax
import numpy as np
import pytest
from loadax_core import DataLoader

jax: Any = typed_jax  # its own types are partly unknown
ROWS = 64
BATCH = 8


class Images:
    """Rows large enough for batches to be recycled; every value of a row is its number, and grows with the epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> Any:
        return np.full((128, 96), row + ROWS * self.epoch, np.float32)

    def at_epoch(self, epoch: int) -> Images:
        return Images(epoch)

    def gather(self, rows: Any, alloc: Any) -> Any:
        out = alloc((len(rows), 128, 96), np.dtype(np.float32))
        out[:] = (rows + ROWS * self.epoch)[:, None, None]
        return out


class Items(Images):
    gather = None  # pyright: ignore[reportAssignmentType]

    def at_epoch(self, epoch: int) -> Items:
        return Items(epoch)


def expected(step: int) -> list[float]:
    return [float(row) for row in range(BATCH * step, BATCH * step + BATCH)]


def check(batch: Any, step: int) -> None:
    host = np.asarray(batch)
    assert host.min(axis=(1, 2)).tolist() == host.max(axis=(1, 2)).tolist() == expected(step)


PLACES = ["host", "device", "sharded"]


def loader(dataset: Any, place: str, epochs: int = 6) -> Any:
    builder = DataLoader().batch_size(BATCH).workers(2).prefetch(3, to_device=place != "host").epochs(epochs)
    if place == "sharded":
        builder = builder.shard(jax.make_mesh((4, 2), ("data", "model")))
    return builder.build(dataset)


def test_these_batches_are_recycled() -> None:
    addresses = {batch.ctypes.data for batch in loader(Images(), "host", epochs=20)}
    assert len(addresses) < 40, "every batch has had memory of its own, so the tests below show nothing"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dataset", [Images(), Items()])
def test_held_batches_keep_their_values(dataset: Any, place: str) -> None:
    held: deque[tuple[int, Any]] = deque()
    rng = np.random.default_rng(0)
    for step, batch in enumerate(loader(dataset, place)):
        held.append((step, batch))
        # Some are let go of, in no order, so that their memory comes back while others are still held.
        while len(held) > 5:
            index = int(rng.integers(len(held)))
            check(held[index][1], held[index][0])
            del held[index]
    for step, batch in held:
        check(batch, step)


@pytest.mark.parametrize("place", ["host", "device"])
def test_views_and_slices_keep_their_values(place: str) -> None:
    rows = [batch[3] for batch in loader(Images(), place, epochs=2)]
    gc.collect()
    for step, row in enumerate(rows):
        assert float(row.min()) == float(row.max()) == expected(step)[3]


@pytest.mark.parametrize("place", ["device", "sharded"])
def test_computations_in_flight_see_their_own_batch(place: str) -> None:
    @jax.jit
    def slow(x: Any) -> Any:
        square = jax.numpy.ones((300, 300)) / 300
        busy = jax.numpy.linalg.matrix_power(square, 10**6)
        return x.mean(axis=(1, 2)) + 0 * busy.sum()

    # Batches are dropped at once; only the computations that were dispatched with them still need the memory.
    means = [slow(batch) for batch in loader(Images(), place)]
    for step, mean in enumerate(means):
        assert np.asarray(mean).tolist() == expected(step)


@pytest.mark.parametrize("place", ["device", "sharded"])
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_donated_batches_do_not_reach_their_successors(place: str) -> None:
    negate = jax.jit(operator.neg, donate_argnums=0)
    negated: list[Any] = []
    for step, batch in enumerate(loader(Images(), place)):
        check(batch, step)
        negated.append(negate(batch))
    for step, batch in enumerate(negated):
        check(-np.asarray(batch), step)
