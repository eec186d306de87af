"""`join_batches` in a dataset's own gather, with the memory that a loader provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, Rows, aligned_empty, join_batches
from loadax_core.memory.parts import Parts
from loadax_core.memory.pool import Pool
from loadax_core.testing import check_dataset, check_loader, check_same


class Halves:
    """Gathers the rows of two arrays, each into memory from `alloc`, and joins them.

    Args:
        join: Joins them, as `join_batches` does.
        dtype: What the arrays hold.
    """

    def __init__(self, join: Callable[..., Any] = join_batches, dtype: Any = np.float32) -> None:
        self.sources = [np.arange(60).astype(dtype).reshape(20, 3), np.arange(60, 120).astype(dtype).reshape(20, 3)]
        self.join = join

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> Any:
        return {"x": self.sources[row // 20][row % 20]}

    def gather(self, rows: Any, alloc: Any) -> Any:
        if rows.dtype.kind != "i":
            raise TypeError("rows must be integers")
        if not ((rows >= 0) & (rows < 40)).all():
            raise IndexError("a row is out of range")
        parts: list[Any] = []
        places: list[Any] = []
        for number, source in enumerate(self.sources):
            here = np.flatnonzero(rows // 20 == number)
            if len(here):
                out = alloc((len(here), 3), source.dtype)
                out[:] = source[rows[here] % 20]
                parts.append({"x": out})
                whole = len(here) and (np.diff(here) == 1).all()
                places.append(slice(int(here[0]), int(here[-1]) + 1) if whole else here)
        order = sorted(range(len(parts)), key=lambda i: first(places[i]))
        return self.join([parts[i] for i in order], [places[i] for i in order], alloc)


def first(place: slice | Rows) -> int:
    return place.start if isinstance(place, slice) else int(place[0])


@pytest.mark.parametrize("dtype", [np.float32, np.int64, "M8[s]"])
def test_parts_in_memory_from_the_loader(dtype: Any) -> None:
    dataset = Halves(dtype=dtype)
    check_dataset(dataset)
    for builder in (DataLoader(), DataLoader().workers(4)):
        check_loader(builder.batch_size(16).build(dataset))
    order = np.random.default_rng(0).permutation(40)
    for alloc in (Pool(), aligned_empty, Parts(40, Pool()).part(0, 40)):
        check_same(dataset.gather(order, alloc), {"x": np.concatenate(dataset.sources)[order]})


def test_the_checks_use_memory_as_a_loader_does() -> None:
    def join(parts: Any, places: Any, alloc: Any) -> Any:
        # What joins could rely on if each array owned its memory.
        assert all(part["x"].base is None or isinstance(part["x"].base, np.ndarray) for part in parts)
        return join_batches(parts, places, alloc)

    with pytest.raises(AssertionError):
        check_dataset(Halves(join))


def test_the_checks_gather_in_parts_as_workers_do() -> None:
    def join(parts: Any, places: Any, alloc: Any) -> Any:
        joined = join_batches(parts, places, alloc)
        base: Any = joined["x"].base
        if isinstance(base, np.ndarray):
            # A part of a larger batch, in which this one writes where another part is.
            base[...] = 0
        return joined

    with pytest.raises(AssertionError, match="gathered in parts"):
        check_dataset(Halves(join))
