"""What an adapter provides. One file holds one library, one class one way to configure it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from ..works import Work


class UnsupportedError(Exception):
    """A loader cannot do a work; says why."""


class Loader:
    """A library in one configuration. A subclass has a method for each kind of work that it can do.

    - `arrays(work, data)`: `data` is a dict of arrays; batches are dicts of arrays of `work.batch` rows, shuffled.
    - `tokens(work, data)`: `data` is one uint16 array; batches are int32, shuffled.
    - `items(work, data)`: `data` is a dataset with `len()` and `[i]`; batches are stacked, in the order of the rows.
    - `numbers(work, data)`: `data` is an int; batches are of `range(data)`, shuffled.
    - `device(work, data)`: as `arrays`, and batches are `jax.Array`s on the default device.

    Each returns an iterator that never ends, whose batches may be held: it goes on with epoch after epoch, each in
    another order, the way that the library does it best. Short last batches are left out. The first line of the
    method's docstring, or else of the class's, says how the library is configured, for the table. A subclass that has
    nothing to add for a kind that it inherits sets it to None.
    """

    @classmethod
    def suits(cls, work: Work) -> bool:
        """Whether to run this configuration on a work."""
        return getattr(cls, work.kind, None) is not None

    @classmethod
    def configuration(cls, work: Work) -> str:
        """How the library is configured for a work, in a line."""
        text = inspect.getdoc(getattr(cls, work.kind)) or inspect.getdoc(cls) or ""
        return text.partition("\n")[0]

    def open(self, work: Work, data: Any) -> Iterator[Any]:
        """The batches of a work."""
        return getattr(self, work.kind)(work, data)


def orders(length: int, batch: int, shuffle: bool = True) -> Iterator[np.ndarray]:
    """The rows of each batch, epoch after epoch, for libraries that leave them to their users."""
    for epoch in count():
        order = np.random.default_rng(epoch).permutation(length) if shuffle else np.arange(length)
        for start in range(0, length - batch + 1, batch):
            yield order[start : start + batch]


def device_put(batch: Any) -> Any:
    """The batch on JAX's default device."""
    import jax  # noqa: PLC0415 - most works do without, and a process that imports it uses 100 MB more

    return jax.device_put(batch)
