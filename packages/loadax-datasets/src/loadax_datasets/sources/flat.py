"""What datasets share whose items are runs of flat arrays: how a run is found, viewed and copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..base import BaseDataset

Array = npt.NDArray[Any]


class Shard(Protocol):
    """Documents whose values lie in the same arrays."""

    @property
    def values(self) -> list[Array]:
        """The values of each leaf, of shape `(values,)`."""
        ...

    def __len__(self) -> int:
        """The number of documents."""
        ...

    def bounds(self, documents: Rows) -> tuple[Rows, Rows]:
        """Where documents begin in `values`, and how long they are; both of shape `(n,)`, int64."""
        ...

    def lengths(self) -> Rows:
        """The length of each document, of shape `(documents,)`, int64. Reads no value."""
        ...


class OffsetShard(NamedTuple):
    """A `Shard` of documents that lie one after the other without gaps.

    Attributes:
        values: The values of each leaf, of shape `(values,)`.
        offsets: Where each document begins, and the last one ends: uint64 of shape `(documents + 1,)`, from 0 on.
    """

    values: list[Array]
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def bounds(self, documents: Rows) -> tuple[Rows, Rows]:
        """See `Shard`."""
        starts = self.offsets[documents].astype(np.int64)
        return starts, self.offsets[documents + 1].astype(np.int64) - starts

    def lengths(self) -> Rows:
        """See `Shard`."""
        return np.diff(self.offsets.astype(np.int64))


class FlatDataset(BaseDataset[Any]):
    """Documents in one or more shards of flat arrays: item `i` is a tree of views, each of shape `(length,)`.

    A subclass calls `_set_shards` when it is made, and when it is unpickled.
    """

    def _set_shards(self, shards: Sequence[Shard], build: Callable[[list[Any]], Any]) -> None:
        """Prepares for reading.

        Args:
            shards: The documents, in order.
            build: Makes an item from its leaves, in the order of the shards' `values`.
        """
        self._shards, self._build = list(shards), build
        # The values of each leaf, shard by shard. As plain arrays, whose slices are made faster than those of a memmap.
        self._flat = [list(leaf) for leaf in zip(*(map(_plain, shard.values) for shard in self._shards), strict=True)]
        # The first document of each shard, and the number of all documents.
        self._firsts = np.cumsum([0, *map(len, self._shards)], dtype=np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """Without what `_set_shards` has made."""
        made = {"_shards", "_build", "_flat", "_firsts"}
        return {name: value for name, value in vars(self).items() if name not in made}

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def lengths(self) -> Rows:
        """The length of each document, of shape `(documents,)`, int64; computed without reading a value."""
        return np.concatenate([np.empty(0, np.int64), *(shard.lengths() for shard in self._shards)])

    def _known_lengths(self) -> FlatLengths:
        """The same, each computed when it is asked for."""
        return FlatLengths(self._shards, self._firsts)

    @property
    def rowwise(self) -> bool:
        """True: a document is copied."""
        return True

    def read(self, row: int) -> Any:
        """The document at `row`, as read-only views."""
        number = int(np.searchsorted(self._firsts, row, "right")) - 1
        shard = self._shards[number]
        starts, lengths = shard.bounds(np.array([row - self._firsts[number]]))
        start, stop = starts.item(0), starts.item(0) + lengths.item(0)
        return self._build([_view(values[start:stop]) for values in shard.values])

    def _example(self) -> Any:
        """A document without values, of the dtypes of all others in the machine's byte order."""
        return self._build([np.empty(0, dtype) for dtype in self._dtypes])

    @property
    def _dtypes(self) -> list[np.dtype[Any]]:
        """The dtype of each leaf, in the machine's byte order."""
        return [values.dtype.newbyteorder("=") for values in self._shards[0].values]

    def _locate(self, documents: Rows) -> tuple[Rows, Rows]:
        """The shards of documents, and where they begin in the values of these; both of shape `(n,)`."""
        numbers = np.searchsorted(self._firsts, documents, "right") - 1
        starts = np.empty(len(documents), np.int64)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            starts[here] = self._shards[number].bounds(documents[here] - self._firsts[number])[0]
        return numbers, starts


class FlatLengths:
    """The lengths of documents in shards. It keeps none.

    Args:
        shards: The documents.
        firsts: The first document of each shard, and the number of all documents.
    """

    def __init__(self, shards: list[Shard], firsts: Rows) -> None:
        self._shards, self._firsts = shards, firsts

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        if isinstance(documents, slice):
            documents = np.arange(*documents.indices(len(self)))
        numbers = np.searchsorted(self._firsts, documents, "right") - 1
        lengths = np.empty(len(documents), np.int64)
        for number in np.unique(numbers).tolist():
            here = numbers == number
            lengths[here] = self._shards[number].bounds(documents[here] - self._firsts[number])[1]
        return lengths


def _plain(values: Array) -> Array:
    return values.view(np.ndarray)


def _view(values: Array) -> Array:
    """A read-only view, in the machine's byte order."""
    view = values.view(np.ndarray).astype(values.dtype.newbyteorder("="), copy=False)
    view.flags.writeable = False
    return view
