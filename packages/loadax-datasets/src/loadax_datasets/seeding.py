"""Seeds, and keys derived from them: everything random in this package is a function of a seed, an epoch and a row."""

from __future__ import annotations

import hashlib
import operator
from typing import cast

import numpy as np


def check_int(name: str, value: object, minimum: int) -> int:
    """An integer argument, checked.

    Args:
        name: What the argument is called.
        value: What was given; NumPy integers count as integers, bools do not.
        minimum: The least valid value.

    Returns:
        The value as an `int`.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than `minimum`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        # Arrays look as if they were integers.
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def check_bool(name: str, value: object) -> bool:
    """A flag, checked: any word would count as True.

    Raises:
        TypeError: If it is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(cast("bool", value))


def digest(data: bytes) -> str:
    """A short hash of `data`, for fingerprints."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


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
