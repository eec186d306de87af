"""How many bytes a batch has."""

from __future__ import annotations

from typing import Any

from .. import tree


def size(batch: Any) -> int:
    """The bytes of a batch's arrays; of a global array, those on this process's devices. 0 for any other object."""
    try:
        return sum(_bytes(leaf) for _, leaf in tree.leaves(batch))
    except Exception:
        # A batch may be any object, and a loop must not fail for the sake of statistics.
        return 0


def _bytes(leaf: Any) -> int:
    if getattr(leaf, "is_fully_addressable", True):
        return int(getattr(leaf, "nbytes", 0))
    # Several devices of this process may have the same rows, which count once.
    return sum({str(shard.index): int(shard.data.nbytes) for shard in leaf.addressable_shards}.values())
