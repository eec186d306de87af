"""Random orders of blocks of rows, for storage that is slow at random reads."""

from __future__ import annotations

import numpy as np
from loadax_core import Rows

from ..rows import Wanted, as_array
from .keys import derive_keys, nth_purpose
from .permutation import Permutation


class BlockOrder:
    """A random order of blocks of neighbouring rows, with the rows of every few blocks mixed.

    The blocks are permuted and cut into windows of `window` blocks; the rows of each window are permuted. A consumer
    that reads in turn thus reads from at most `window` blocks at a time. Memory is constant. Thread-safe.

    The last block of the source may be shorter than the others, and may stand anywhere in the order. So that all
    windows have the same arithmetic, rows are numbered as if that block were full. The numbers that it lacks are the
    gap: `_jump` adds the gap to the numbers beyond it.

    Args:
        length: The number of rows.
        seed: Any integer of at least 0.
        epoch: Any integer of at least 0.
        block: Rows in a block.
        window: Blocks in a window.
        before: The number of shuffles that the rows came through before. Each number has orders of its own.

    Raises:
        ValueError: If the last block, filled up, would end beyond `2**63`.
    """

    def __init__(self, length: int, seed: int, epoch: int, block: int, window: int, before: int = 0) -> None:
        # Larger blocks or windows than there are rows may not fit int64.
        block = max(1, min(block, length))
        blocks = -(-length // block)
        if blocks * block >= 2**63:
            raise ValueError(
                f"blocks of {block} rows are too large for {length} rows: the last one, if it were full, would end "
                "beyond 2**63; take fewer rows, or a block that divides them"
            )
        self._length, self._seed, self._epoch, self._block = length, seed, epoch, block
        self._shuffles = before
        self._span = block * max(1, min(window, blocks))
        self._gap = blocks * block - length
        # Where the last block of the source stands in the order. The others are permuted among themselves.
        self._slot = derive_keys(nth_purpose("last block", before), seed, epoch, 1)[0] % max(1, blocks)
        self._last = blocks - 1
        self._blocks = Permutation(max(0, blocks - 1), seed, epoch, nth_purpose("blocks", before))
        self._gap_at = (self._slot + 1) * block - self._gap
        self._windows: tuple[tuple[int, Permutation], ...] = ()

    def at(self, row: int) -> int:
        """The source's row at one row of the order, a number in `range(length)`."""
        return self(np.array([row], np.int64)).item()

    def __call__(self, wanted: Wanted) -> Rows:
        """The source's rows at many rows of the order, of shape `(n,)`."""
        rows = as_array(wanted)
        numbers = self._jump(rows)
        windows = numbers // self._span
        mixed = np.empty_like(numbers)
        for index in np.unique(windows).tolist():
            here = windows == index
            start = self._before(index * self._span)
            mixed[here] = start + self._window(index, start)(rows[here] - start)
        numbers = self._jump(mixed)
        slots, offsets = numbers // self._block, numbers % self._block
        return self._block_at(slots) * self._block + offsets

    def _jump(self, rows: Rows) -> Rows:
        """The numbers of rows if every block were full."""
        return np.where(rows < self._gap_at, rows, rows + self._gap)

    def _before(self, number: int) -> int:
        """The number of rows before `number`, which is the start of a window."""
        return min(number if number < self._gap_at + self._gap else number - self._gap, self._length)

    def _window(self, index: int, start: int) -> Permutation:
        for known, order in self._windows:
            if known == index:
                return order
        size = self._before((index + 1) * self._span) - start
        order = Permutation(size, self._seed, self._epoch, nth_purpose(f"window {index}", self._shuffles))
        self._windows = (*self._windows[-1:], (index, order))
        return order

    def _block_at(self, slots: Rows) -> Rows:
        blocks = np.full(len(slots), self._last, np.int64)
        others = slots != self._slot
        slots = slots[others]
        blocks[others] = self._blocks(slots - (slots > self._slot))
        return blocks
