"""Random orders of `range(n)` that need no memory for them, however large `n` is.

Short ranges are sorted by hash, which makes every order equally likely. Longer ones go through a Feistel network (Luby
and Rackoff, 1988) over the next power of two. Its round function is a 32-bit hash for up to 2**32 rows ("lowbias32":
Wellons, Prospecting for Hash Functions, 2018), and the mixing function of splitmix64 (Steele, Lea and Flood, 2014) for
more. Numbers that come out beyond `n` go through again until they do not, which keeps it a permutation (cycle walking:
Black and Rogaway, 2002).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from loadax_core import Rows

from .hashing import mix, mix_one, mix_one_short, mix_short, random_words
from .rows import Wanted, as_array
from .seeding import check_int, derive_keys

BLOCK = 1 << 15
"""Rows computed at once: enough to make NumPy's call overhead small, few enough to stay in the processor's cache."""

DENSE = 16
"""A new block is begun if of its first rows one in so many is wanted."""

FEW_COST, MOST_COST = 10, 128
"""What a call for some rows costs, as a multiple of one row by itself; and a block, for which many rows are wanted."""

SORTED = 1 << 14
"""Rows that are sorted by hash rather than sent through the network; at most a block."""

ROUNDS = 6


class Permutation:
    """A random order of the rows of a dataset.

    Rows are usually read in runs, so they are computed by the block, and the last two blocks are kept: two, because
    the workers that are a batch ahead reach the next block while the others still read this one. Rows asked for out of
    the blue are computed one at a time. Thread-safe.

    Args:
        length: The number of rows.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0. Every pair of seed and epoch is an order of its own.
        purpose: What the order is for; so is every purpose.

    Raises:
        TypeError: If `seed` or `epoch` is not an integer.
        ValueError: If `seed` or `epoch` is negative.

    Example:
        >>> sorted(Permutation(1000, seed=1).at(row) for row in range(1000)) == list(range(1000))
        True
    """

    def __init__(self, length: int, seed: int, epoch: int = 0, purpose: str = "shuffle") -> None:
        seed, epoch = check_int("seed", seed, 0), check_int("epoch", epoch, 0)
        self._arguments = (length, seed, epoch, purpose)
        self._keys = derive_keys(purpose, seed, epoch, ROUNDS)
        self._length = length
        self._feistel = Feistel(length, self._keys)
        # Each an immutable value that is replaced as a whole, so that it can be read without the lock.
        self._blocks: tuple[tuple[int, Rows], ...] = ()
        self._stray = (-1, 0)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Permutation], tuple[int, int, int, str]]:
        return Permutation, self._arguments

    def at(self, row: int) -> int:
        """What stands at one row.

        Args:
            row: In `range(length)`.

        Returns:
            A number in `range(length)`, a different one for every row.
        """
        index, offset = divmod(row, BLOCK)
        block = self._find(index, 1, offset + 1)
        return self._feistel.at(row) if block is None else block.item(offset)

    def __call__(self, rows: Wanted) -> Rows:
        """What stands at each of many rows.

        Args:
            rows: Numbers in `range(length)`.

        Returns:
            `at` of each row, of shape `(n,)`; not to be written to.
        """
        if not len(rows):
            return np.empty(0, np.int64)
        if isinstance(rows, range):
            index, offset = divmod(rows.start, BLOCK)
            end = offset + len(rows)
            block = self._find(index, len(rows), end) if end <= BLOCK else None
            if block is not None:
                return block[offset:end]
            rows = as_array(rows)
        for index, block in reversed(self._blocks):
            # The usual case: all rows in a known block. As unsigned numbers, rows before it are beyond its end as well.
            offsets = rows - index * BLOCK
            if offsets.view(np.uint64).max() < len(block):
                return block[offsets]
        indices = rows // BLOCK
        first, last = int(indices.min()), int(indices.max())
        if last - first > 1:
            return self._feistel(rows)
        result = np.empty(len(rows), np.int64)
        for index in {first, last}:
            here = indices == index
            offsets = rows[here] - index * BLOCK
            block = self._find(index, len(offsets), int(offsets.max()) + 1)
            result[here] = self._feistel(rows[here]) if block is None else block[offsets]
        return result

    def _find(self, index: int, count: int, end: int) -> Rows | None:
        """The block at `index`, of which `count` rows before `end` are wanted, if it is there or worth computing."""
        for known, block in self._blocks:
            if known == index:
                return block
        if not self._is_worthwhile(index, count, end):
            return None
        with self._lock:
            for known, block in self._blocks:
                if known == index:
                    return block
            block = self._compute(index)
            # Parts of it are handed out.
            block.flags.writeable = False
            self._blocks = (*self._blocks[-1:], (index, block))
        return block

    def _is_worthwhile(self, index: int, count: int, end: int) -> bool:
        # One of many hosts reads a few rows of each large batch, and comes to the next block somewhere in its middle.
        if not self._blocks or (index == self._blocks[-1][0] + 1 and end <= DENSE * count):
            return True
        known, cost = self._stray
        cost = (cost if known == index else 0) + (1 if count == 1 else FEW_COST)
        self._stray = (index, cost)
        return cost >= MOST_COST

    def _compute(self, index: int) -> Rows:
        if self._length > SORTED:
            rows = np.arange(index * BLOCK, min((index + 1) * BLOCK, self._length), dtype=np.int64)
            return self._feistel(rows)
        # No two of these words are equal, so there are no ties to break.
        return np.argsort(random_words(self._keys[0], np.arange(self._length)))


class Feistel:
    """A permutation of `range(length)`, computed for any of its numbers without the others.

    Args:
        length: From 0 to 2**63 - 1.
        keys: One 64-bit number for each round.
    """

    def __init__(self, length: int, keys: list[int]) -> None:
        bits = max(2, (length - 1).bit_length())
        self._last = max(0, length - 1)
        self._widths = (bits // 2, bits - bits // 2)
        # Words of half the width, and a hash that NumPy can vectorize.
        self._short = bits <= 32
        self._keys = [key & 0xFFFFFFFF for key in keys] if self._short else keys

    def at(self, row: int) -> int:
        """The image of one number."""
        low_width, high_width = self._widths
        mix_it, top = (mix_one_short, 32) if self._short else (mix_one, 64)
        while True:
            high, low = row >> low_width, row & ((1 << low_width) - 1)
            for i, key in enumerate(self._keys):
                if i % 2:
                    low ^= mix_it(high ^ key) >> (top - low_width)
                else:
                    high ^= mix_it(low ^ key) >> (top - high_width)
            row = high << low_width | low
            if row <= self._last:
                return row

    def __call__(self, rows: Rows) -> Rows:
        """The images of many numbers, of shape `(n,)`."""
        word = np.uint32 if self._short else np.uint64
        values = self._once(rows.astype(word))
        outside = np.flatnonzero(values > word(self._last))
        while len(outside):
            again = self._once(values[outside])
            values[outside] = again
            outside = outside[again > word(self._last)]
        return values.astype(np.int64)

    def _once(self, values: Any) -> Any:
        """One pass through the network, of all its domain, as in the loop of `at`."""
        word, mix_it, top = (np.uint32, mix_short, 32) if self._short else (np.uint64, mix, 64)
        low_width, high_width = self._widths
        high, low = values >> word(low_width), values & word((1 << low_width) - 1)
        for i, key in enumerate(self._keys):
            changed, other, width = (low, high, low_width) if i % 2 else (high, low, high_width)
            hashes = other ^ word(key)
            mix_it(hashes)
            hashes >>= word(top - width)
            changed ^= hashes
        high <<= word(low_width)
        high |= low
        return high
