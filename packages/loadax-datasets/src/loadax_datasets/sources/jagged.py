"""Documents of different lengths, in flat arrays with the places where documents begin."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Rows, tree

from ..files import memory_map
from ..files.fingerprints import OffsetsHash, joined
from ..files.folders import shown
from ..files.jagged_files import Store
from .flat import Array, FlatDataset, Kept, OffsetShard
from .offsets import check_offsets


class JaggedDataset(FlatDataset):
    """Documents of different lengths, kept as flat arrays and the places where documents begin.

    Item `i` is document `i`: an array of shape `(length,)`, or a tree of such arrays of equal length, as read-only
    views. Its rows cannot be stacked: pack them with `pack`, or pad them with a `PadBatcher`.

    `JaggedDataset(folder)` opens a store that `write_jagged` has made. Its files are memory-mapped when they are first
    read, so that opening takes milliseconds however many documents there are. A worker process opens the store itself.
    Documents that are appended later are seen by those who open the store after that.

    Args:
        folder: The folder of a store.

    Raises:
        FileNotFoundError: If there is no such folder, or a file of the store is missing.
        TypeError: If `folder` is not a path.
        ValueError: If there is no finished store in the folder, it is damaged, or another version has written it.

    Example:
        >>> documents = JaggedDataset.from_arrays(np.arange(6), [0, 2, 2, 6])
        >>> documents.lengths.tolist(), documents[2].tolist()
        ([2, 0, 4], [2, 3, 4, 5])
    """

    _store: Store | None = None
    """The store; None for arrays."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        if not isinstance(folder, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(
                f"JaggedDataset opens a folder, got a {type(folder).__name__}; for arrays, use "
                "JaggedDataset.from_arrays(values, offsets), and to write documents, write_jagged(folder, arrays)"
            )
        self._open_store(Store(folder))

    @classmethod
    def from_arrays(cls, values: Any, offsets: npt.ArrayLike) -> JaggedDataset:
        """Documents that are in memory, or mapped from files.

        Args:
            values: A tree of arrays of shape `(values,)`, or one array: the documents, one after the other.
            offsets: Where each document begins, and the last one ends, from 0 to the number of values: integers of
                shape `(documents + 1,)`.

        Returns:
            The dataset. Nothing is copied; worker processes map files themselves.

        Raises:
            TypeError: If a leaf is not an array, or `offsets` are not integers.
            ValueError: If there is no array, one is not flat, or is not as long as the last offset says, or `offsets`
                are masked, do not begin with 0, or decrease.
        """
        new = object.__new__(cls)
        new._values = tree.map_leaves(_check_flat, values)
        given = np.asanyarray(offsets)
        check_offsets(given)
        new._offsets = np.asarray(given).astype(np.uint64, copy=False)
        new._open()
        return new

    def _open(self) -> None:
        flat, build = tree.flatten(self._values)
        if not flat:
            raise ValueError("a JaggedDataset needs at least one array of values, got an empty tree")
        for path, leaf in tree.leaves(self._values):
            if len(leaf) != self._offsets[-1]:
                raise ValueError(f"{_name(path)} has {len(leaf)} values, but the last offset is {self._offsets[-1]}")
        self._set_shards([OffsetShard(flat, self._offsets)], build)

    def _open_store(self, store: Store) -> None:
        self._store = store
        shards = [
            _StoredShard(facts.documents, partial(store.map_shard, number))
            for number, facts in enumerate(store.manifest.shards)
        ]
        kept = Kept(store.path, joined(store.manifest.offset_hashes))
        self._set_shards(shards, tree.flatten(store.manifest.form)[1], kept)

    @property
    def _elements(self) -> int:
        if self._store is None:
            return int(self._offsets[-1])
        return sum(shard.values for shard in self._store.manifest.shards)

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The folder of the store; documents in memory have none."""
        return ["" if self._store is None else str(self._store.path)] * len(rows)

    def fingerprint(self) -> dict[str, Any]:
        """The number of documents and of their values, and a hash of the offsets; of a store, its source, too.

        A store has the fingerprint of the same documents in arrays, if it has no source.
        """
        if self._store is None:
            known, source = OffsetsHash(), None
            known.add(self._offsets)
            hashes = known.hashes
        else:
            hashes, source = self._store.manifest.offset_hashes, self._store.manifest.source
        facts = {"rows": len(self), "values": self._elements, "offsets": joined(hashes)}
        return facts if source is None else facts | {"source": source}

    def prefix_fingerprint(self, rows: int) -> dict[str, Any]:
        """The number of documents and a hash of their offsets; of a store, its source, too. Few offsets are read."""
        if self._store is None:
            known, source = OffsetsHash(), None
            known.add(self._offsets[: rows + 1])
        else:
            known, source = self._store.hash_offsets(rows + 1), self._store.manifest.source
        return {"rows": rows, "offsets": joined(known.hashes), "source": source}

    def _own_contents(self) -> dict[str, Any]:
        """The dtype of each leaf, and a hash of the values of a store."""
        facts: dict[str, Any] = {"documents": [str(dtype) for dtype in self._arrays.dtypes]}
        if self._store is not None:
            facts["values"] = joined(str(shard.checksums) for shard in self._store.manifest.shards)
        return facts

    def describe(self) -> str:
        """The number of documents and of their values, the dtypes, and the name of a store."""
        name = "" if self._store is None else f", in {shown(Path(self._store.path.name))}"
        dtypes = ", ".join(map(str, self._arrays.dtypes))
        return f"JaggedDataset({len(self)} documents, {self._elements} values: {dtypes}{name})"

    def __getstate__(self) -> dict[str, Any]:
        if self._store is not None:
            return {"_store": (self._store.path, self._store.identity)}
        values = tree.map_leaves(lambda _, array: memory_map.reference(array), self._values)
        return {"_values": values, "_offsets": memory_map.reference(self._offsets)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_store" in state:
            self._open_store(Store(*state["_store"]))
            return
        self._values = tree.map_leaves(lambda _, array: memory_map.opened(array), state["_values"])
        self._offsets = memory_map.opened(state["_offsets"])
        self._open()


class _StoredShard:
    """An `OffsetShard` of a store, mapped when it is first read.

    Args:
        documents: The number of documents.
        map_shard: Returns the values and the offsets.
    """

    def __init__(self, documents: int, map_shard: Callable[[], tuple[list[Array], Array]]) -> None:
        self._documents, self._map_shard = documents, map_shard
        self._mapped: OffsetShard | None = None

    def __len__(self) -> int:
        return self._documents

    @property
    def values(self) -> list[Array]:
        """See `OffsetShard`."""
        return self._shard().values

    @property
    def offsets(self) -> Array:
        """See `OffsetShard`."""
        return self._shard().offsets

    def bounds(self, documents: Rows) -> tuple[Rows, Rows]:
        """See `Shard`."""
        return self._shard().bounds(documents)

    def lengths(self) -> Rows:
        """See `Shard`."""
        return self._shard().lengths()

    def _shard(self) -> OffsetShard:
        mapped = self._mapped
        if mapped is None:
            # If two threads are here at once, the mapping of one of them ends with the last view of it.
            self._mapped = mapped = OffsetShard(*self._map_shard())
        return mapped


def _name(path: tree.Path) -> str:
    return "values" + "".join(path)


def _check_flat(path: tree.Path, leaf: Any) -> Array:
    name = _name(path)
    if not isinstance(leaf, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of shape (values,), got a {type(leaf).__name__}")
    if isinstance(leaf, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array, whose mask a batch would lose; fill it with .filled(value)")
    array = cast("Array", leaf)
    if array.ndim != 1:
        raise ValueError(f"{name} must have the shape (values,), got {array.shape}; flatten it")
    return array
