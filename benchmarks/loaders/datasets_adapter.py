"""Hugging Face datasets, which store Arrow tables."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..works import Work
from .base import Loader


def column(array: np.ndarray) -> pa.Array:
    """An array as an Arrow column, without a copy."""
    if array.ndim == 1:
        return pa.array(array)
    flat = np.ascontiguousarray(array).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), len(flat) // len(array))


class Arrow(Loader):
    """`with_format("arrow").shuffle(seed)`, then `.iter(batch_size)`, whose columns are viewed as NumPy arrays."""

    style = "arrow"

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        table = pa.table({key: column(array) for key, array in data.items()})
        rows = Dataset(table).with_format(self.style)
        for epoch in count():
            for batch in rows.shuffle(seed=epoch).iter(work.batch, drop_last_batch=True):
                yield {key: self.leaf(batch[key], array) for key, array in data.items()}

    def leaf(self, values: Any, like: np.ndarray) -> np.ndarray:
        """A column of a batch as an array."""
        chunk = values.combine_chunks()
        flat = chunk if like.ndim == 1 else chunk.flatten()
        return flat.to_numpy().reshape(-1, *like.shape[1:])


class Numpy(Arrow):
    """`with_format("numpy").shuffle(seed)`, then `.iter(batch_size)`; its int64 cast back to what was stored."""

    style = "numpy"

    def leaf(self, values: Any, like: np.ndarray) -> np.ndarray:
        return values.reshape(-1, *like.shape[1:]).astype(like.dtype, copy=False)


VERSION = version("datasets")
LOADERS = {"datasets": Arrow, "datasets-numpy": Numpy}
