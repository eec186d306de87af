"""How many bytes a batch has."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from .. import tree
from ..errors import is_interrupt

PLAIN = frozenset({int, float, bool, str, bytes, type(None)})
"""Types that have no array."""


def size(batch: Any) -> int:
    """The bytes of a batch's arrays; of a global array, those on this process's devices. 0 for any other object."""
    try:
        return _size(batch)
    except Exception as error:
        if is_interrupt(error):
            raise
        # A batch may be any object, and a loop must not fail for the sake of statistics.
        return 0


def _size(batch: Any) -> int:
    # Common batches are not opened as trees, which takes ten times as long: each batch is measured.
    kind = cast("type[Any]", type(batch))
    if kind is np.ndarray:
        return batch.nbytes
    if kind is list or kind is tuple:
        return sum(0 if type(part) in PLAIN else _size(part) for part in batch)
    if kind is dict:
        return sum(map(_size, batch.values()))
    return sum(_bytes(leaf) for _, leaf in tree.leaves(batch))


def _bytes(leaf: Any) -> int:
    if getattr(leaf, "is_fully_addressable", True):
        return int(getattr(leaf, "nbytes", 0))
    # Several devices of this process may have the same rows, which count once.
    return sum({str(shard.index): int(shard.data.nbytes) for shard in leaf.addressable_shards}.values())
