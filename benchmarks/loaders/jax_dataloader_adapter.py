"""jax-dataloader, with its own backend."""

# ruff: noqa: D102 - base.py says what a method does, and its class says how

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import numpy as np

from ..works import Work
from .base import Loader, device_put

# The library imports every other loader that is installed, which takes 30 s. Its own backend needs none of them, but
# the library does not start without torch.
for other in ("datasets", "tensorflow"):
    sys.modules.setdefault(other, None)  # type: ignore[arg-type]

import jax_dataloader  # noqa: E402


class Default(Loader):
    """`DataLoader(ArrayDataset(...), backend="jax", shuffle=True)`."""

    def arrays(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        dataset = jax_dataloader.ArrayDataset(*data.values())
        loader = jax_dataloader.DataLoader(dataset, "jax", work.batch, shuffle=True, drop_last=True)
        while True:
            for leaves in loader:
                yield dict(zip(data, leaves, strict=True))

    def tokens(self, work: Work, data: np.ndarray) -> Iterator[Any]:
        """`DataLoader(ArrayDataset(...), backend="jax", shuffle=True)`, batches then cast."""
        for batch in self.arrays(work, {"tokens": data}):
            yield batch["tokens"].astype(np.int32)

    def device(self, work: Work, data: dict[str, np.ndarray]) -> Iterator[Any]:
        """`DataLoader(ArrayDataset(...), backend="jax", shuffle=True)`, then `jax.device_put`."""
        for batch in self.arrays(work, data):
            yield device_put(batch)


VERSION = version("jax-dataloader")
LOADERS = {"jax_dataloader": Default}
