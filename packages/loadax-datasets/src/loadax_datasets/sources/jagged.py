"""Documents of different lengths, in flat arrays with the places where documents begin."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import tree

from ..files import memory_map
from ..files.fingerprints import digest
from .flat import Array, FlatDataset, OffsetShard

CHUNK = 1 << 20
"""Offsets that are checked or hashed at a time: 8 MiB."""


class JaggedDataset(FlatDataset):
    """Documents of different lengths, kept as flat arrays and the places where documents begin.

    Item `i` is document `i`: an array of shape `(length,)`, or a tree of such arrays of equal length, as read-only
    views. Its rows cannot be stacked: pack them with `pack`, or pad them with a `PadBatcher`.

    Raises:
        TypeError: If a leaf is not an array, or offsets are not integers.
        ValueError: If a leaf is not flat, or the offsets do not fit.

    Example:
        >>> documents = JaggedDataset.from_arrays(np.arange(6), [0, 2, 2, 6])
        >>> documents.lengths.tolist(), documents[2].tolist()
        ([2, 0, 4], [2, 3, 4, 5])
    """

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
                do not begin at 0 and rise.
        """
        new = object.__new__(cls)
        new._values = tree.map_leaves(_check_flat, values)
        new._offsets = check_offsets(np.asarray(offsets))
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

    def fingerprint(self) -> dict[str, Any]:
        """The number of documents and of their values, and a hash of the offsets."""
        hashes = [hash_offsets(cast("OffsetShard", shard).offsets) for shard in self._arrays.shards]
        elements = sum(len(shard.values[0]) for shard in self._arrays.shards)
        return {"rows": len(self), "values": elements, "offsets": digest("".join(hashes).encode())}

    def _own_contents(self) -> dict[str, Any]:
        """The dtype of each leaf."""
        return {"documents": [str(dtype) for dtype in self._arrays.dtypes]}

    def describe(self) -> str:
        """The number of documents and of their values, and the dtypes."""
        elements = sum(len(shard.values[0]) for shard in self._arrays.shards)
        return (
            f"JaggedDataset({len(self)} documents, {elements} values: {', '.join(self._own_contents()['documents'])})"
        )

    def __getstate__(self) -> dict[str, Any]:
        values = tree.map_leaves(lambda _, array: memory_map.reference(array), self._values)
        return {"_values": values, "_offsets": memory_map.reference(self._offsets)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._values = tree.map_leaves(lambda _, array: memory_map.opened(array), state["_values"])
        self._offsets = memory_map.opened(state["_offsets"])
        self._open()


def check_offsets(offsets: Array) -> Array:
    """Offsets as uint64, checked.

    Raises:
        TypeError: If they are not integers.
        ValueError: If they are not of shape `(documents + 1,)`, or do not begin at 0 and rise.
    """
    if offsets.dtype.kind not in "iu":
        raise TypeError(f"offsets must be integers, got the dtype {offsets.dtype}; cast them to uint64")
    if offsets.ndim != 1 or not len(offsets):
        raise ValueError(
            f"offsets must have the shape (documents + 1,), got {offsets.shape}: where each document begins, and the "
            "last one ends"
        )
    if offsets[0] != 0:
        raise ValueError(f"offsets must begin at 0, where the first document begins, got {offsets[0]}")
    for start in range(0, len(offsets) - 1, CHUNK):
        part = offsets[start : start + CHUNK + 1]
        falls = np.flatnonzero(part[1:] < part[:-1])
        if len(falls):
            place = start + falls.item(0)
            raise ValueError(
                f"offsets must not fall, but offset {place + 1} is {offsets[place + 1]} after {offsets[place]}"
            )
    return offsets.astype(np.uint64, copy=False)


def hash_offsets(offsets: Array) -> str:
    """A hash of all offsets, whatever their byte order."""
    parts = (offsets[start : start + CHUNK].astype("<u8") for start in range(0, len(offsets), CHUNK))
    return digest("".join(digest(part.tobytes()) for part in parts).encode())


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
