"""How many bytes a batch has."""

from __future__ import annotations

from typing import Any

from .. import tree


def size(batch: Any) -> int:
    """The bytes of a batch's arrays, as far as they are this process's; 0 for what cannot be looked into."""
    try:
        return sum(_bytes(leaf) for _, leaf in tree.leaves(batch))
    except Exception:
        # A batch may be any object, and statistics are no reason to fail.
        return 0


def _bytes(leaf: Any) -> int:
    if getattr(leaf, "is_fully_addressable", True):
        return int(getattr(leaf, "nbytes", 0))
    # Of a global array, each row once that a device of this process has.
    return sum({str(shard.index): int(shard.data.nbytes) for shard in leaf.addressable_shards}.values())
