"""Mixtures of datasets in fixed shares."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from loadax_core import Dataset, Rows

from ..base import BaseDataset
from ..checks import check_int
from ..orders.hashing import random_words
from ..orders.keys import derive_keys
from ..rows import as_array
from .base import check_length
from .choosing import ChoosingDataset, Part, positions

T_co = TypeVar("T_co", covariant=True)

BLOCK = 1 << 14
"""Rows of a block. Each block has exactly the share of each source, rounded to whole rows."""

Until = Literal["first", "all"]


class MixedDataset(ChoosingDataset[T_co]):
    """Rows of several datasets in random alternation, each dataset with its share and in its own order.

    Every 16,384 rows hold the same number of rows of each source, in an order of sources that depends on the seed and
    the weights only. So any row is found without the rows before it, and a source that grows or shrinks moves no row of
    the others. The order of sources is the same in every epoch. For rows in another order, shuffle the sources, not the
    mixture: a mixture is fast when it is read in turn, and takes about 1 ms to find a row far from the last one.

    A source that is read `p` times in an epoch of `until="all"` comes in its epochs 0 to `p - 1`, in the next epoch of
    the mixture in its epochs `p` to `2 * p - 1`, and so on: shuffle it, and no pass repeats the order of another.

    Args:
        sources: Objects with `len()` and `[i]`; at least one.
        weights: The sources' shares, relative to each other; left out, all are equal. Shares are rounded to
            1/16,384, but none to nothing.
        seed: Any integer of at least 0.
        until: When the mixture ends. "first": with the first source that has no row left. "all": when every source has
            been read to its end at least once. Sources that end sooner start again, each pass in an order of its own.

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
        # Immutable values that are replaced as a whole, so that threads can read them without a lock.
        self._blocks: tuple[tuple[int, npt.NDArray[np.uint16], Rows], ...] = ()
        self._views: tuple[tuple[int, int, BaseDataset[T_co]], ...] = ()
        self._epoch = 0
        self._length = self._end()
        check_length(self._length, "the mixture")
        self._passes = self._count_passes()
        self._once = max(self._passes) == 1

    def __len__(self) -> int:
        return self._length

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The same mixture of the sources as they are in `epoch`; a source that is read several times has several."""
        epoch = check_int("epoch", epoch, 0)
        firsts = [epoch * passes for passes in self._passes]
        sources = tuple(source.at_epoch(first) for source, first in zip(self._sources, firsts, strict=True))
        if all(new is old for new, old in zip(sources, self._sources, strict=True)):
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._use(sources)  # noqa: SLF001 (a copy of self)
        moved._epoch, moved._views = epoch, ()  # noqa: SLF001
        return moved

    def _locate_one(self, row: int) -> tuple[int, int]:
        """The source that the block has at the row, and its row, counted on where the source starts again."""
        index, offset = divmod(row, BLOCK)
        which, source_rows = self._block(index)
        return which.item(offset), source_rows.item(offset)

    def _locate(self, rows: Rows) -> tuple[npt.NDArray[np.integer[Any]], Rows]:
        """The sources that the blocks have at the rows, and their rows, counted on where a source starts again."""
        index = rows.item(0) // BLOCK if len(rows) else 0
        offsets = rows - index * BLOCK
        # As unsigned numbers, rows of blocks before are beyond the end of this one.
        if not len(rows) or offsets.view(np.uint64).item(offsets.view(np.uint64).argmax()) < BLOCK:
            which, source_rows = self._block(index)
            return which[offsets], source_rows[offsets]
        which, source_rows = np.empty(len(rows), np.uint16), np.empty_like(rows)
        indices = rows // BLOCK
        for index in np.unique(indices).tolist():
            here = indices == index
            offsets = rows[here] - index * BLOCK
            block = self._block(index)
            which[here], source_rows[here] = block[0][offsets], block[1][offsets]
        return which, source_rows

    def _parts_of_range(self, rows: range) -> list[Part]:
        """A stretch of each source, since each is read in its own order."""
        parts: list[Part] = []
        begin = rows.start
        while begin < rows.stop:
            index, offset = divmod(begin, BLOCK)
            end = min(rows.stop, (index + 1) * BLOCK)
            which, source_rows = self._block(index)
            which, base = which[offset : offset + end - begin], begin - rows.start
            order = which.argsort(kind="stable")
            which = which[order]
            # The rows of each source are neighbours.
            cuts = (which[1:] != which[:-1]).nonzero()[0].tolist()
            first = 0
            for last in (*cuts, len(order) - 1):
                number, places = which.item(first), order[first : last + 1]
                row = source_rows.item(offset + order.item(first))
                parts.append((number, range(row, row + last + 1 - first), places + base if base else places))
                first = last + 1
            begin = end
        return parts

    def _open(self, parts: Iterable[Part]) -> list[tuple[BaseDataset[Any], Part]]:
        """Each part with the dataset that holds its rows, cut where the source starts again."""
        if self._once:
            return super()._open(parts)
        return [opened for part in parts for opened in self._passes_of(part)]

    def _passes_of(self, part: Part) -> Iterator[tuple[BaseDataset[Any], Part]]:
        """A part, cut where its source starts again."""
        number, rows, places = part
        length = len(self._sources[number])
        if isinstance(rows, range):
            turn, row = divmod(rows.start, length)
            if row + len(rows) <= length:
                yield self._view(number, turn), (number, range(row, row + len(rows)), places)
                return
        numbers, where = as_array(rows), positions(places)
        turns = numbers // length
        for turn in np.unique(turns).tolist():
            here = turns == turn
            yield self._view(number, turn), (number, numbers[here] - turn * length, where[here])

    def _view(self, number: int, turn: int) -> BaseDataset[T_co]:
        """A source as it is when it is read for the `turn`-th time in this epoch, from 0."""
        source = self._sources[number]
        if not turn:
            return source
        for known, its_turn, view in self._views:
            if (known, its_turn) == (number, turn):
                return view
        view = source.at_epoch(self._epoch * self._passes[number] + turn)
        if self._common is not None and not self._is_alike(view, self._common):
            # A source of somebody else's, which is another kind of dataset in this epoch.
            self._common = None
        # Two of each source, as workers straddle the end of a pass.
        self._views = (*self._views[-2 * len(self._sources) + 1 :], (number, turn, view))
        return view

    def fingerprint(self) -> dict[str, Any]:
        """The shares, the seed, how it ends, the number of passes over each source, and the sources."""
        facts: dict[str, Any] = {"mix": self._shares, "seed": self._seed, "until": self._until}
        if self._until == "all":
            facts["passes"] = self._passes
        return {**facts, "sources": [source.fingerprint() for source in self._sources]}

    def describe(self) -> str:
        """The shares in percent, and how it ends."""
        shares = ", ".join(f"{100 * share / BLOCK:.3g}%" for share in self._shares)
        return f"MixedDataset({shares}, seed={self._seed}, until={self._until!r})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_blocks": (), "_views": ()}

    def _block(self, index: int) -> tuple[npt.NDArray[np.uint16], Rows]:
        """For the rows of one block: the number of the source, and the row there."""
        for known, which, rows in self._blocks:
            if known == index:
                return which, rows
        which = self._alternation(index)
        by_source = np.argsort(which, kind="stable")  # NumPy sorts 16 bits by radix
        rows = np.empty(BLOCK, np.int64)
        # Every block before had the same number of rows of each source.
        rows[by_source] = np.concatenate([np.arange(index * share, (index + 1) * share) for share in self._shares])
        # Replaced as a whole, so that threads see one state or the other; two blocks, as workers straddle a boundary.
        self._blocks = (*self._blocks[-1:], (index, which, rows))
        return which, rows

    def _alternation(self, index: int) -> npt.NDArray[np.uint16]:
        """For the rows of one block: the number of the source."""
        which = np.repeat(np.arange(len(self._shares), dtype=np.uint16), self._shares)
        key = derive_keys(f"mix {index}", self._seed, 0, 1)[0]
        return which[np.argsort(random_words(key, np.arange(BLOCK)))]

    def _end(self) -> int:
        """The row at which the first source, or the last, has no row left."""
        if self._until == "first":
            # The place of the first row that a source does not have.
            return min(self._position(number, length) for number, length in enumerate(self._lengths.tolist()))
        return max(self._position(number, length - 1) + 1 for number, length in enumerate(self._lengths.tolist()))

    def _count_passes(self) -> list[int]:
        """The number of passes over each source in one epoch, the last of which may be cut short."""
        if self._until == "first" or not self._length:
            return [1] * len(self._sources)
        index, offset = divmod(self._length, BLOCK)
        read = np.array(self._shares, np.int64) * index
        if offset:
            read += np.bincount(self._alternation(index)[:offset], minlength=len(self._sources))
        return np.maximum(-(-read // self._lengths), 1).tolist()

    def _position(self, number: int, row: int) -> int:
        """Where a source's row is, counted on where the source starts again."""
        index, rank = divmod(row, self._shares[number])
        return index * BLOCK + np.flatnonzero(self._alternation(index) == number).item(rank)


def shares_of(weights: Sequence[float], count: int) -> list[int]:
    """The number of rows of each source in a block, by largest remainder, each at least 1."""
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
