"""Which pass over its sources a mixture is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from loadax_core import Rows


class Passes:
    """The passes of one epoch over several sources.

    Args:
        reads: How many rows an epoch reads of each source.
        lengths: How many rows each source has.
        turns: The pass over each source in which the epoch begins, counted over all epochs.
        offsets: The row of each source with which it begins.
    """

    def __init__(
        self, reads: Sequence[int], lengths: Sequence[int], turns: Sequence[int], offsets: Sequence[int]
    ) -> None:
        self.reads, self.lengths, self.turns, self.offsets = reads, lengths, turns, offsets
        # Whether the epoch begins with the first row of each source, and reads none to its end.
        self.once = not any(offsets) and all(read <= length for read, length in zip(reads, lengths, strict=True))

    @property
    def divided(self) -> bool:
        """Whether some epoch begins within a pass, if each goes on where the one before has ended."""
        return any(length and read % length for read, length in zip(self.reads, self.lengths, strict=True))

    @property
    def counts(self) -> list[int]:
        """How many passes over each source an epoch begins, that starts with whole ones."""
        return [-(-read // length) if length else 0 for read, length in zip(self.reads, self.lengths, strict=True)]

    def going_on(self, epoch: int) -> Passes:
        """An epoch that goes on where the one before has ended."""
        begins = [
            divmod(epoch * read, length) if length else (0, 0)
            for read, length in zip(self.reads, self.lengths, strict=True)
        ]
        return Passes(self.reads, self.lengths, [turn for turn, _ in begins], [row for _, row in begins])

    def anew(self, turns: Sequence[int]) -> Passes:
        """An epoch that begins with whole passes."""
        return Passes(self.reads, self.lengths, turns, [0] * len(self.lengths))

    def locate(self, number: int, row: int) -> tuple[int, int]:
        """The pass of a source's row, counted from the start of the epoch, and the row there."""
        return divmod(row + self.offsets[number], self.lengths[number])

    def divide(self, number: int, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.int64], Rows]]:
        """A source's rows, counted from the start of the epoch, by pass: the pass, which of them, and these there."""
        numbers = rows + self.offsets[number]
        turns = numbers // self.lengths[number]
        for turn in np.unique(turns).tolist():
            here = np.flatnonzero(turns == turn)
            yield turn, here, numbers[here] - turn * self.lengths[number]

    def all_of(self, number: int) -> range:
        """The passes over a source, counted from the first one of the epoch."""
        read, length = self.offsets[number] + self.reads[number], self.lengths[number]
        return range(-(-read // length) if self.reads[number] else 0)

    def count(self, number: int, turn: int, row: int) -> int | None:
        """How many rows of a source the epoch reads before a row of a pass; None if it does not read that row."""
        count = turn * self.lengths[number] + row - self.offsets[number]
        return count if 0 <= count < self.reads[number] else None
