"""Keys that are derived from seeds. All that is random in this package is a function of a seed, an epoch and a row."""

from __future__ import annotations

import hashlib


def nth_purpose(purpose: str, before: int) -> str:
    """The purpose of keys for rows that came through `before` datasets of that purpose, perhaps of one seed."""
    return f"{purpose} {before}" if before else purpose


def derive_keys(purpose: str, seed: int, epoch: int, count: int) -> list[int]:
    """Keys for one use of a seed in one epoch.

    Keys are hashes. With sums or products, epoch 1 of seed 42 would be epoch 0 of seed 43. The purpose makes a shuffle
    and an augmentation of the same seed independent.

    Args:
        purpose: What the keys are for.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0.
        count: How many keys, at most 8.

    Returns:
        Numbers in `range(2**64)`.
    """
    digest = hashlib.blake2b(f"{purpose} seed={seed} epoch={epoch}".encode(), digest_size=8 * count).digest()
    return [int.from_bytes(digest[i : i + 8], "little") for i in range(0, len(digest), 8)]
