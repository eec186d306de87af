"""Random orders of `range(n)` that need no memory for them, however large `n` is.

Ranges of up to 16,384 numbers are sorted by hash, which makes every order equally likely. Longer ones go through a
Feistel network (Luby and Rackoff, 1988) over a product of two numbers, one of them a power of two, that is hardly
larger than `n` (Black and Rogaway, Ciphers with Arbitrary Finite Domains, 2002). Numbers that come out beyond `n` go
through again until they do not, which keeps it a permutation (cycle walking, of the same). Its round function is a
32-bit hash for up to 2**32 rows ("lowbias32": Wellons, Prospecting for Hash Functions, 2018), and the mixing function
of splitmix64 (Steele, Lea and Flood, 2014) for more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from loadax_core import Rows

from ..checks import check_int
from ..forks import ForkLock
from ..rows import Wanted, as_array
from .hashing import mix_low, mix_low_one, random_words, scale
from .keys import derive_keys

BLOCK = 1 << 16
"""Rows of a block: enough to make NumPy's call overhead small, few enough to stay in the processor's cache (512 KiB).

Half as many for more than 2**32 rows, whose numbers are computed in words of twice the size.
"""

DENSE = 16
"""The block that follows the last one is computed if at least one in 16 of its first rows is wanted."""

FEW_COST, MOST_COST = 20, 256
"""A call of the network for a few rows costs as much as 20 single rows, and one for a block about as much as 256."""

SORTED = 1 << 14
"""The most rows that are sorted by hash; a power of two, at most a block."""

ROUNDS = 6


class Permutation:
    """A random order of the rows of a dataset.

    Which order it is follows from the arguments alone: up to 16,384 rows are always sorted by hash, and more rows
    always go through the network. So two threads that share an order cannot see different ones.

    Rows are usually read in runs, so they are computed by the block, and the last two blocks are kept: workers that are
    a batch ahead reach the next block while others still read the previous one. Single rows of other blocks are
    computed one at a time. Thread-safe.

    Args:
        length: The number of rows.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0. Every pair of seed and epoch is an order of its own.
        purpose: What the order is for. Every purpose has orders of its own.

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
        # None for orders that are sorted. There is no network then that could give a row of another order.
        self._feistel = Feistel(length, self._keys) if length > SORTED else None
        self._block = BLOCK if length <= 2**32 else BLOCK // 2
        # Immutable values that are replaced as a whole, so that threads can read them without the lock.
        self._blocks: tuple[tuple[int, Rows], ...] = ()
        self._stray = (-1, 0)
        self._lock = ForkLock()

    def __reduce__(self) -> tuple[type[Permutation], tuple[int, int, int, str]]:
        return Permutation, self._arguments

    def at(self, row: int) -> int:
        """The number that the order has at one row.

        Args:
            row: In `range(length)`.

        Returns:
            A number in `range(length)`, a different one for every row.
        """
        if self._feistel is None:
            return self._block_at(0).item(row)
        index, offset = divmod(row, self._block)
        for known, block in self._blocks:
            if known == index:
                return block.item(offset)
        if self._is_worthwhile(index, 1, offset + 1):
            return self._block_at(index).item(offset)
        return self._feistel.at(row)

    def __call__(self, rows: Wanted) -> Rows:
        """The numbers that the order has at many rows.

        Args:
            rows: Numbers in `range(length)`.

        Returns:
            `at` of each row, of shape `(n,)`; not to be written to.
        """
        if not len(rows):
            return np.empty(0, np.int64)
        if self._feistel is None:
            block = self._block_at(0)
            return block[rows.start : rows.stop] if isinstance(rows, range) else block[rows]
        if isinstance(rows, range):
            index, offset = divmod(rows.start, self._block)
            end = offset + len(rows)
            block = self._find(index, len(rows), end) if end <= self._block else None
            if block is not None:
                return block[offset:end]
            rows = as_array(rows)
        for index, block in reversed(self._blocks):
            # The usual case: all rows in a known block. As unsigned numbers, rows before the block are beyond its end.
            offsets = rows - index * self._block
            if offsets.view(np.uint64).max() < len(block):
                return block[offsets]
        indices = rows // self._block
        first, last = int(indices.min()), int(indices.max())
        if last - first > 1:
            return self._feistel(rows)
        result = np.empty(len(rows), np.int64)
        for index in {first, last}:
            here = indices == index
            offsets = rows[here] - index * self._block
            block = self._find(index, len(offsets), int(offsets.max()) + 1)
            result[here] = self._feistel(rows[here]) if block is None else block[offsets]
        return result

    def once(self, rows: Rows) -> Rows:
        """The numbers at rows whose neighbours will not be asked for. Computes no block, unless the order is sorted."""
        return self(rows) if self._feistel is None else self._feistel(rows)

    def inverse(self, number: int) -> int:
        """The row at which the order has a number: `inverse(at(row)) == row`."""
        if self._feistel is None:
            return int(np.flatnonzero(self._block_at(0) == number).item())
        return self._feistel.inverse(number)

    def _find(self, index: int, count: int, end: int) -> Rows | None:
        """The block at `index`, of which `count` rows before `end` are wanted, if it is known or worth computing.

        Whoever gets None computes the rows by the same network, so that the answer does not depend on this decision.
        """
        for known, block in self._blocks:
            if known == index:
                return block
        return self._block_at(index) if self._is_worthwhile(index, count, end) else None

    def _block_at(self, index: int) -> Rows:
        """The block at `index`; computed if it is not known."""
        for known, block in self._blocks:
            if known == index:
                return block
        with self._lock.held():
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
        if self._feistel is not None:
            rows = np.arange(index * self._block, min((index + 1) * self._block, self._length), dtype=np.int64)
            return self._feistel(rows)
        # Each row in place of the last bits of its hash: numbers are quicker to sort than to sort by.
        words = random_words(self._keys[0], np.arange(self._length)) & np.uint64(2**64 - SORTED)
        words |= np.arange(self._length, dtype=np.uint64)
        words.sort()
        return (words & np.uint64(SORTED - 1)).astype(np.int64)


class Feistel:
    """A permutation of `range(length)`, computed for any of its numbers without the others.

    Args:
        length: From 0 to 2**63 - 1.
        keys: One 64-bit number for each round.
    """

    def __init__(self, length: int, keys: list[int]) -> None:
        bits = max(2, (length - 1).bit_length())
        self._last = max(0, length - 1)
        # A number is a high part, which is any of `highs`, and a low part of so many bits.
        self._width = bits // 2
        self._highs = (self._last >> self._width) + 1
        # Both parts fit in half of such a word.
        self._word = np.uint32 if bits <= 32 else np.uint64
        self._bits = 32 if bits <= 32 else 64
        self._keys = [key & (1 << self._bits) - 1 for key in keys]

    def at(self, row: int) -> int:
        """The image of one number."""
        width, highs, bits = self._width, self._highs, self._bits
        while True:
            high, low = row >> width, row & ((1 << width) - 1)
            for i, key in enumerate(self._keys):
                if i % 2:
                    low ^= mix_low_one(high ^ key, bits) >> (bits - width)
                else:
                    high = (high + (mix_low_one(low ^ key, bits) * highs >> bits)) % highs
            row = high << width | low
            if row <= self._last:
                return row

    def inverse(self, number: int) -> int:
        """The number whose image is `number`: the rounds of `at`, the last one first."""
        width, highs, bits = self._width, self._highs, self._bits
        while True:
            high, low = number >> width, number & ((1 << width) - 1)
            for i, key in reversed(tuple(enumerate(self._keys))):
                if i % 2:
                    low ^= mix_low_one(high ^ key, bits) >> (bits - width)
                else:
                    high = (high - (mix_low_one(low ^ key, bits) * highs >> bits)) % highs
            number = high << width | low
            if number <= self._last:
                return number

    def __call__(self, rows: Rows) -> Rows:
        """The images of many numbers, of shape `(n,)`."""
        last = self._word(self._last)
        values = self._once(rows.astype(self._word))
        outside = np.flatnonzero(values > last)
        while len(outside):
            again = self._once(values[outside])
            values[outside] = again
            outside = outside[again > last]
        return values.astype(np.int64)

    def _once(self, values: Any) -> Any:
        """One pass through the network, of all its domain, as in the loop of `at`."""
        word, bits, width = self._word, self._bits, self._width
        high, low = values >> word(width), values & word((1 << width) - 1)
        for i, key in enumerate(self._keys):
            hashes = (high if i % 2 else low) ^ word(key)
            mix_low(hashes)
            if i % 2:
                hashes >>= word(bits - width)
                low ^= hashes
            else:
                scale(hashes, self._highs)
                high += hashes
                # The one of the two that is in `range(highs)`: what would be negative is very large.
                np.minimum(high, high - word(self._highs), out=high)
        high <<= word(width)
        high |= low
        return high
