"""Hashes of a few bytes, which tell apart data of the same name and size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

BLOCKS, BLOCK = 16, 4096
"""A hash covers 16 blocks of 4,096 bytes each, spread over the data."""

PART = 1 << 20
"""Offsets that are hashed at a time: 8 MiB."""


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
        spread = sample(size, read)
        return spread + digest(read(max(0, size - end), size)) if end else spread


def digest(data: bytes) -> str:
    """A short hash of `data`, for fingerprints."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class OffsetsHash:
    """A hash of a sequence of offsets, to which more can be added later.

    Args:
        hashes: The hashes of the parts before, of `PART` offsets each.
    """

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._hashes, self._count, self._part = list(hashes), 0, _hasher()

    def add(self, offsets: npt.NDArray[Any]) -> None:
        """Adds offsets, of any dtype and shape `(n,)`."""
        start = 0
        while start < len(offsets):
            part = offsets[start : start + PART - self._count].astype("<u8", copy=False)
            self._part.update(np.ascontiguousarray(part).data)
            start, self._count = start + len(part), self._count + len(part)
            if self._count == PART:
                self._hashes, self._count, self._part = self.hashes, 0, _hasher()

    @property
    def hashes(self) -> list[str]:
        """The hash of each part; of the last one, too, which may have fewer than `PART` offsets."""
        return [*self._hashes, *([self._part.hexdigest()] if self._count else [])]


def joined(hashes: Iterable[str]) -> str:
    """One hash of the hashes of parts."""
    return digest("".join(hashes).encode())


def _hasher() -> Any:
    return hashlib.blake2b(digest_size=8)
