"""What tells data apart that have the same name and size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

BLOCKS, BLOCK = 16, 4096
"""How many blocks are looked at, and the bytes of each."""


def sample(size: int, read: Callable[[int, int], bytes]) -> str:
    """A hash of blocks from all over some bytes, which are the whole of few.

    Args:
        size: How many bytes there are.
        read: Takes where a block begins and ends, and returns it; less if there is less.
    """
    starts = sorted({max(0, size - BLOCK) * i // (BLOCKS - 1) for i in range(BLOCKS)})
    return digest(b"".join(read(start, start + BLOCK) for start in starts))


def sample_file(path: Path, end: int = 0) -> str:
    """The same of a file, and of as many of its last bytes as are asked for.

    It does not depend on the path, nor on a time, both of which copies on other machines have of their own.
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
