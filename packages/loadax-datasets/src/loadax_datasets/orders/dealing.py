"""Random orders of many small ranges at once: each number is dealt within a range of its own.

The network is that of `permutation`, computed for numbers of different ranges side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from loadax_core import Rows

from .hashing import mix_low
from .keys import derive_keys
from .permutation import ROUNDS


class Deal:
    """A random order of each of several ranges, all of one seed and epoch.

    Args:
        counts: The length of each range, of shape `(ranges,)`, from 1 on.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0.
        purpose: What the orders are for. Every purpose has orders of its own.
    """

    def __init__(self, counts: Rows, seed: int, epoch: int, purpose: str) -> None:
        word = np.uint32 if len(counts) < 2**16 and counts.max(initial=1) <= 2**32 else np.uint64
        # Half of a word holds a part of a number, and the other half its range.
        self._word, self._half = word, 4 * np.dtype(word).itemsize
        self._lasts = (counts - 1).astype(word)
        # A number is a high part and a low part of `width` bits, as in `Feistel`.
        self._widths = np.array([max(2, last.bit_length()) // 2 for last in self._lasts.tolist()], word)
        self._highs = (self._lasts >> self._widths) + word(1)
        self._keys = [word(key & (1 << 2 * self._half) - 1) for key in derive_keys(purpose, seed, epoch, ROUNDS)]

    def __call__(self, ranges: Rows, numbers: Rows) -> Rows:
        """The images of numbers.

        Args:
            ranges: For each number, which range it is of; of shape `(n,)`.
            numbers: Numbers in that range, of shape `(n,)`.

        Returns:
            Numbers in the same range, of shape `(n,)`; different ones for different numbers of a range.
        """
        lasts = self._lasts[ranges]
        values = self._once(numbers.astype(self._word), ranges)
        # Numbers that leave their range go through again until they do not: that keeps it a permutation.
        outside = np.flatnonzero(values > lasts)
        while len(outside):
            again = self._once(values[outside], ranges[outside])
            values[outside] = again
            outside = outside[again > lasts[outside]]
        return values.astype(np.int64)

    def _once(self, values: Any, ranges: Rows) -> Any:
        """One pass through the network; the hash of each half depends on the range, too."""
        word, half = self._word, self._word(self._half)
        widths, highs, own = self._widths[ranges], self._highs[ranges], ranges.astype(word) << half
        high, low = values >> widths, values & ((word(1) << widths) - word(1))
        down = word(2 * self._half) - widths
        for i, key in enumerate(self._keys):
            hashes = ((high if i % 2 else low) | own) ^ key
            hashes ^= hashes >> half
            mix_low(hashes)
            if i % 2:
                low ^= hashes >> down
            else:
                # The upper half of the hash, scaled into `range(highs)`.
                hashes >>= half
                hashes *= highs
                high += hashes >> half
                np.minimum(high, high - highs, out=high)
        return high << widths | low
