"""Several datasets mixed in fixed shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from loadax_core import Dataset, Rows

from ..checks import check_int
from ..orders.hashing import random_words
from ..orders.keys import derive_keys
from .base import check_length
from .combined import ChoosingDataset

T_co = TypeVar("T_co", covariant=True)

BLOCK = 1 << 14
"""Rows after which every source has had exactly its share, rounded to whole rows."""

Until = Literal["first", "all"]


class MixedDataset(ChoosingDataset[T_co]):
    """Rows of several datasets in random alternation, each dataset with its share and in its own order.

    Every 16,384 rows hold the same number of rows of each source, in an order of sources that depends on the seed and
    the weights only. So any row is found without the ones before it, and a source that grows or shrinks moves no row of
    the others. The alternation is the same in every epoch. To see rows in another order, shuffle the sources, not the
    mixture: it is made to be read in turn, and a row far from the last one takes about a millisecond to find.

    Args:
        sources: Objects with `len()` and `[i]`; at least one.
        weights: The sources' shares, relative to each other; left out, all are equal. Shares are rounded to
            1/16,384, but none to nothing.
        seed: Any integer of at least 0.
        until: When the mixture ends. "first": with the first source that has no row left. "all": when every source has
            been read to its end at least once; those that end sooner start again.

    Raises:
        TypeError: If a source cannot be counted or read by number, or `seed` is not an integer.
        ValueError: If there is no source, if there is not one finite weight above 0 for each, if `until` is neither of
            the above, or if an empty source would have to start again.
        StackError: When a gathered batch has rows of sources whose trees, shapes or dtypes differ.

    Example:
        >>> rows = MixedDataset([["a"] * 3000, ["b"] * 1000], weights=[3, 1], until="all")
        >>> first = list(rows.take(2000))
        >>> first.count("a"), first.count("b")
        (1480, 520)
    """

    def __init__(
        self,
        sources: Sequence[Dataset[T_co]],
        weights: Sequence[float] | None = None,
        *,
        seed: int = 0,
        until: Until = "first",
    ) -> None:
        super().__init__(sources)
        if until not in get_args(Until):
            raise ValueError(f"until must be 'first' or 'all', got {until!r}")
        self._until = until
        self._seed = check_int("seed", seed, 0)
        self._shares = shares_of([1.0] * len(self._sources) if weights is None else weights, len(self._sources))
        self._lengths = np.array([len(source) for source in self._sources], np.int64)
        if until == "all" and not self._lengths.all():
            empty = int(np.argmin(self._lengths))
            raise ValueError(f"source {empty} is empty and cannot start again; leave it out, or use until='first'")
        self._blocks: tuple[tuple[int, Rows, Rows], ...] = ()
        self._length = self._end()
        check_length(self._length, "the mixture")

    def __len__(self) -> int:
        return self._length

    def _locate_one(self, row: int) -> tuple[int, int]:
        """The source that the block has at the row, and its row after those of earlier blocks."""
        index, offset = divmod(row, BLOCK)
        which, ranks = self._block(index)
        number = which.item(offset)
        return number, (index * self._shares[number] + ranks.item(offset)) % len(self._sources[number])

    def _locate(self, rows: Rows) -> tuple[Rows, Rows]:
        """The sources that the blocks have at the rows, and their rows after those of earlier blocks."""
        which, ranks = np.empty_like(rows), np.empty_like(rows)
        indices = rows // BLOCK
        for index in np.unique(indices).tolist():
            here = indices == index
            numbers, counts = self._block(index)
            offsets = rows[here] - index * BLOCK
            which[here], ranks[here] = numbers[offsets], counts[offsets]
        shares = np.array(self._shares, np.int64)
        return which, (indices * shares[which] + ranks) % np.maximum(self._lengths, 1)[which]

    def fingerprint(self) -> dict[str, Any]:
        """The shares, the seed, how it ends, and the sources."""
        facts = {"mix": self._shares, "seed": self._seed, "until": self._until}
        return {**facts, "sources": [source.fingerprint() for source in self._sources]}

    def describe(self) -> str:
        """The shares in percent, and how it ends."""
        shares = ", ".join(f"{100 * share / BLOCK:.3g}%" for share in self._shares)
        return f"MixedDataset({shares}, seed={self._seed}, until={self._until!r})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_blocks": ()}

    def _block(self, index: int) -> tuple[Rows, Rows]:
        """For the rows of one block: the number of the source, and how many of its rows the block has before."""
        for known, which, ranks in self._blocks:
            if known == index:
                return which, ranks
        which = np.repeat(np.arange(len(self._shares)), self._shares)
        key = derive_keys(f"mix {index}", self._seed, 0, 1)[0]
        which = which[np.argsort(random_words(key, np.arange(BLOCK)))]
        by_source = np.argsort(which.astype(np.uint16), kind="stable")  # NumPy sorts 16 bits by radix
        ranks = np.empty(BLOCK, np.int64)
        ranks[by_source] = np.concatenate([np.arange(share) for share in self._shares])
        # Replaced as a whole, so that threads see one state or the other; two blocks, as workers straddle a boundary.
        self._blocks = (*self._blocks[-1:], (index, which, ranks))
        return which, ranks

    def _end(self) -> int:
        """Where the first source, or the last, has no row left."""
        ends: list[int] = []
        for number, (length, share) in enumerate(zip(self._lengths.tolist(), self._shares, strict=True)):
            if self._until == "first":
                # The row that would be one too many.
                index, rank = divmod(length, share)
                ends.append(index * BLOCK + self._position(index, number, rank))
            else:
                index, rank = divmod(length - 1, share)
                ends.append(index * BLOCK + self._position(index, number, rank) + 1)
        return min(ends) if self._until == "first" else max(ends)

    def _position(self, index: int, number: int, rank: int) -> int:
        which, ranks = self._block(index)
        return int(np.flatnonzero((which == number) & (ranks == rank))[0])


def shares_of(weights: Sequence[float], count: int) -> list[int]:
    """How many of the rows of a block each source has, by largest remainder, none less than one."""
    array = np.asarray(weights, np.float64)
    if array.shape != (count,) or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"weights must be one finite number above 0 for each of {count} sources, got {weights!r}")
    if count > BLOCK:
        raise ValueError(f"cannot mix {count} sources, only up to {BLOCK}; join some of them with concat")
    exact: npt.NDArray[np.float64] = array / array.max()
    exact *= BLOCK / exact.sum()
    shares = np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")[: BLOCK - int(shares.sum())]
    shares[largest] += 1
    for nothing in np.flatnonzero(shares == 0):
        shares[nothing] = 1
        shares[np.argmax(shares)] -= 1
    return shares.tolist()
