"""The base of datasets of documents in flat arrays: how a document is found, and viewed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
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


class Leaf(dict[int, Array]):
    """The values of one leaf, by the number of their shard; asked for when they are first needed.

    Args:
        shards: The shards.
        number: The number of the leaf.
    """

    def __init__(self, shards: Sequence[Shard], number: int) -> None:
        super().__init__()
        self._shards, self._number = shards, number

    def __missing__(self, shard: int) -> Array:
        # As a plain array, whose slices are made faster than those of a memmap.
        self[shard] = values = self._shards[shard].values[self._number].view(np.ndarray)
        return values


class Kept(NamedTuple):
    """Where to keep files that are made of the lengths of documents.

    Attributes:
        folder: The folder.
        content: A hash of all lengths.
    """

    folder: Path
    content: str


class FlatArrays:
    """The documents of one or more shards.

    Args:
        shards: The documents, in order.
        build: Makes an item from its leaves, in the order of the shards' `values`.
        kept: Where to keep files that are made of their lengths; None for nowhere.

    Attributes:
        shards: As given.
        kept: As given.
        arrays: The number of shards.
        leaves: The values of each leaf, by the number of the shard.
        dtypes: The dtype of each leaf, in the machine's byte order.
    """

    def __init__(self, shards: Sequence[Shard], build: Callable[[list[Any]], Any], kept: Kept | None) -> None:
        self.shards, self.build, self.kept = list(shards), build, kept
        self.leaves = [Leaf(self.shards, number) for number in range(len(self.shards[0].values))]
        self.arrays = len(self.shards)
        self.dtypes = [leaf[0].dtype.newbyteorder("=") for leaf in self.leaves]
        # The first document of each shard, and the number of all documents.
        self._firsts = np.cumsum([0, *map(len, self.shards)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        """The lengths of some documents, of shape `(n,)`, int64."""
        return self.bounds(np.arange(*documents.indices(len(self))) if isinstance(documents, slice) else documents)[2]

    def bounds(self, documents: Rows) -> tuple[Rows, Rows, Rows]:
        """The shards of documents, where they begin there, and how long they are; each of shape `(n,)`."""
        if len(self.shards) == 1:
            return np.zeros(len(documents), np.int64), *self.shards[0].bounds(documents)
        numbers = np.searchsorted(self._firsts, documents, "right") - 1
        bounds = np.empty((2, len(documents)), np.int64)
        present: list[int] = np.unique(numbers).tolist()
        for number in present:
            here, shard = numbers == number, self.shards[number]
            bounds[:, here] = shard.bounds(documents[here] - self._firsts[number])
        return numbers, bounds[0], bounds[1]


class FlatDataset(BaseDataset[Any]):
    """Documents in flat arrays: item `i` is a tree of views, each of shape `(length,)`.

    A subclass calls `_set_shards` when it is made, and when it is unpickled.
    """

    def _set_shards(self, shards: Sequence[Shard], build: Callable[[list[Any]], Any], kept: Kept | None = None) -> None:
        """Prepares for reading; see `FlatArrays`."""
        self._arrays = FlatArrays(shards, build, kept)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_arrays"}

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def flat(self) -> FlatArrays:
        """The arrays, for what reads many documents at once."""
        return self._arrays

    def _flat_documents(self) -> FlatArrays:
        return self._arrays

    @property
    def lengths(self) -> Rows:
        """The length of each document, of shape `(documents,)`, int64; computed without reading a value."""
        return np.concatenate([np.empty(0, np.int64), *(shard.lengths() for shard in self._arrays.shards)])

    @property
    def rowwise(self) -> bool:
        """True: a document is copied."""
        return True

    def read(self, row: int) -> Any:
        """The document at `row`, as read-only views."""
        number, start, length = (values.item(0) for values in self._arrays.bounds(np.array([row])))
        return self._arrays.build([_view(leaf[number][start : start + length]) for leaf in self._arrays.leaves])


def _view(values: Array) -> Array:
    """A read-only view, in the machine's byte order."""
    view = values.view(np.ndarray).astype(values.dtype.newbyteorder("="), copy=False)
    view.flags.writeable = False
    return view
