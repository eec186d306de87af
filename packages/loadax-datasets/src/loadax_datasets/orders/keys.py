"""Seeds, and keys derived from them: everything random in this package is a function of a seed, an epoch and a row."""

from __future__ import annotations

import hashlib


def nth_purpose(purpose: str, before: int) -> str:
    """The purpose of keys where others of the same purpose, which may be of the same seed, were used before."""
    return f"{purpose} {before}" if before else purpose


def derive_keys(purpose: str, seed: int, epoch: int, count: int) -> list[int]:
    """Keys for one use of a seed in one epoch.

    A hash, and not a sum or a product: with those, epoch 1 of seed 42 would be epoch 0 of seed 43. The purpose keeps
    a shuffle and an augmentation apart that were given the same seed.

    Args:
        purpose: What the key is for.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0.
        count: How many keys, at most 8.

    Returns:
        Numbers in `range(2**64)`.
    """
    digest = hashlib.blake2b(f"{purpose} seed={seed} epoch={epoch}".encode(), digest_size=8 * count).digest()
    return [int.from_bytes(digest[i : i + 8], "little") for i in range(0, len(digest), 8)]
