"""The interface of an adapter. One file holds one library, and one class holds one configuration of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from ..works import Work


class UnsupportedError(Exception):
    """A loader cannot do a work; the message says why."""


class Loader:
    """A library in one configuration. A subclass has a method for each kind of work that it can do.

    - `arrays(work, data)`: `data` is a dict of arrays; batches are dicts of arrays of `work.batch` rows, shuffled.
    - `tokens(work, data)`: `data` is one uint16 array; batches are int32, shuffled.
    - `documents(work, data)`: `data` is `sources.Documents`; batches are dicts of five arrays of shape
      `(work.batch, data.size)`: `tokens`, `targets`, `segment_ids`, `positions` and `loss_mask`, as `PackedDataset`
      describes them. Documents are packed in another order in each epoch.
    - `items(work, data)`: `data` is a dataset with `len()` and `[i]`; batches are stacked, in the order of the rows.
    - `numbers(work, data)`: `data` is an int; batches are of `range(data)`, shuffled.
    - `device(work, data)`: like `arrays`, but batches are `jax.Array`s on the default device.

    Each method returns an endless iterator. The consumer may hold its batches. The iterator yields epoch after epoch,
    each in another order, in the best way of the library, and drops short last batches. The first line of the method's
    docstring, or else of the class's, is the configuration that the table shows. A subclass sets an inherited method to
    None if its configuration is no different for that kind of work.
    """

    @classmethod
    def suits(cls, work: Work) -> bool:
        """Whether to run this configuration on a work."""
        return getattr(cls, work.kind, None) is not None

    @classmethod
    def configuration(cls, work: Work) -> str:
        """The configuration of the library for a work, in one line."""
        text = inspect.getdoc(getattr(cls, work.kind)) or inspect.getdoc(cls) or ""
        return text.partition("\n")[0]

    def open(self, work: Work, data: Any) -> Iterator[Any]:
        """The batches of a work."""
        return getattr(self, work.kind)(work, data)


def orders(length: int, batch: int, shuffle: bool = True) -> Iterator[np.ndarray]:
    """The row numbers of each batch, epoch after epoch, for libraries that do not shuffle by themselves."""
    for epoch in count():
        order = np.random.default_rng(epoch).permutation(length) if shuffle else np.arange(length)
        for start in range(0, length - batch + 1, batch):
            yield order[start : start + batch]


def device_put(batch: Any) -> Any:
    """A copy of the batch on JAX's default device."""
    import jax  # noqa: PLC0415 - importing JAX adds 100 MB, and most works do not need it

    return jax.device_put(batch)
