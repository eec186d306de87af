"""Hashes of a few bytes, which tell apart data of the same name and size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

BLOCKS, BLOCK = 16, 4096
"""A hash covers 16 blocks of 4,096 bytes each, spread over the data."""


def sample(size: int, read: Callable[[int, int], bytes]) -> str:
    """Hashes blocks that are spread over data. Data of up to 64 KiB are hashed whole.

    Args:
        size: The number of bytes of the data.
        read: Takes the start and the end of a block, and returns its bytes; fewer where the data end.

    Returns:
        The hash, in hexadecimal digits.
    """
    starts = sorted({max(0, size - BLOCK) * i // (BLOCKS - 1) for i in range(BLOCKS)})
    return digest(b"".join(read(start, start + BLOCK) for start in starts))


def sample_file(path: Path, end: int = 0) -> str:
    """Hashes blocks that are spread over a file.

    The hash depends neither on the path nor on the time of the file: copies on other machines have their own.

    Args:
        path: The file.
        end: The number of bytes at the end of the file to hash as well.

    Returns:
        The hash, in hexadecimal digits.
    """
    with path.open("rb") as file:

        def read(start: int, stop: int) -> bytes:
            file.seek(start)
            return file.read(stop - start)

        size = path.stat().st_size
        return sample(size, read) + digest(read(max(0, size - end), size)) * bool(end)


def digest(data: bytes) -> str:
    """A short hash of `data`, for fingerprints."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
