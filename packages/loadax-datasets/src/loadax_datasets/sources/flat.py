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
        # The first document of each shard, and the number of all documents.
        self._firsts = np.cumsum([0, *map(len, self._shards)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    @property
    def lengths(self) -> Rows:
        """The length of each document, of shape `(documents,)`, int64; computed without reading a value."""
        return np.concatenate([np.empty(0, np.int64), *(shard.lengths() for shard in self._shards)])

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

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The dtype of each leaf, in the machine's byte order."""
        return [values.dtype.newbyteorder("=") for values in self._shards[0].values]

    def build(self, leaves: list[Any]) -> Any:
        """The tree of an item, made of other leaves."""
        return self._build(leaves)

    def write_pieces(self, documents: Rows, skips: Rows, lengths: Rows, outs: list[Array], places: Rows) -> None:
        """Copies parts of documents to places of flat arrays.

        Args:
            documents: The documents, of shape `(n,)`.
            skips: For each, how many values to skip at its beginning.
            lengths: For each, how many values to copy.
            outs: An array for each leaf, of shape `(values,)`.
            places: For each document, where its values begin there.
        """
        numbers = np.searchsorted(self._firsts, documents, "right") - 1
        for number in map(int, np.unique(numbers)):
            here, shard = numbers == number, self._shards[number]
            starts = shard.bounds(documents[here] - self._firsts[number])[0] + skips[here]
            copy_pieces(shard.values, starts, lengths[here], outs, places[here])


def copy_pieces(values: list[Array], starts: Rows, lengths: Rows, outs: list[Array], places: Rows) -> None:
    """Copies runs of values, each from its own place to another one.

    Args:
        values: Where from; the same runs of each array.
        starts: Where the runs begin there, of shape `(n,)`.
        lengths: How long they are.
        outs: Where to, an array for each of `values`.
        places: Where the runs begin there.
    """
    ends, stops = (starts + lengths).tolist(), (places + lengths).tolist()
    runs = list(zip(places.tolist(), stops, starts.tolist(), ends, strict=True))
    for source, out in zip(values, outs, strict=True):
        plain = source.view(np.ndarray)
        for place, stop, start, end in runs:
            out[place:stop] = plain[start:end]


def _view(values: Array) -> Array:
    """A read-only view, in the machine's byte order."""
    view = values.view(np.ndarray).astype(values.dtype.newbyteorder("="), copy=False)
    view.flags.writeable = False
    return view
