"""Passes over the sources of a mixture: a source that is read to its end starts again, in another pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from loadax_core import Rows


class Passes:
    """The passes of one epoch over several sources.

    Unless said otherwise, a pass is counted from the first one of the epoch, and a source's row from the first row that
    the epoch reads of it, on through all passes.

    Args:
        reads: How many rows an epoch reads of each source.
        lengths: How many rows each source has.
        turns: The pass over each source in which the epoch begins, counted over all epochs.
        offsets: The row of each source with which the epoch begins, counted from the start of that pass.
    """

    def __init__(
        self, reads: Sequence[int], lengths: Sequence[int], turns: Sequence[int], offsets: Sequence[int]
    ) -> None:
        self.reads, self.lengths, self.turns, self.offsets = reads, lengths, turns, offsets
        # Whether the epoch begins with the first row of each source, and reads none to its end.
        self.once = not any(offsets) and all(read <= length for read, length in zip(reads, lengths, strict=True))

    @property
    def divided(self) -> bool:
        """Whether some epoch begins in the middle of a pass, if each goes on where the one before has ended."""
        return any(length and read % length for read, length in zip(self.reads, self.lengths, strict=True))

    @property
    def counts(self) -> list[int]:
        """How many passes over each source an epoch begins, if it starts with a new pass over each."""
        return [-(-read // length) if length else 0 for read, length in zip(self.reads, self.lengths, strict=True)]

    def going_on(self, epoch: int) -> Passes:
        """The passes of an epoch that goes on in each source where the epoch before has ended."""
        begins = [
            divmod(epoch * read, length) if length else (0, 0)
            for read, length in zip(self.reads, self.lengths, strict=True)
        ]
        return Passes(self.reads, self.lengths, [turn for turn, _ in begins], [row for _, row in begins])

    def anew(self, turns: Sequence[int]) -> Passes:
        """The passes of an epoch that starts with a new pass over each source, of these numbers."""
        return Passes(self.reads, self.lengths, turns, [0] * len(self.lengths))

    def locate(self, number: int, row: int) -> tuple[int, int]:
        """The pass that a source's row is in, and the row counted from the start of that pass."""
        return divmod(row + self.offsets[number], self.lengths[number])

    def divide(self, number: int, rows: Rows) -> Iterator[tuple[int, npt.NDArray[np.int64], Rows]]:
        """Divides a source's rows by pass: yields each pass, the places of its rows in `rows`, and its rows.

        The rows that are yielded are counted from the start of their pass.
        """
        numbers = rows + self.offsets[number]
        turns = numbers // self.lengths[number]
        for turn in np.unique(turns).tolist():
            here = np.flatnonzero(turns == turn)
            yield turn, here, numbers[here] - turn * self.lengths[number]

    def all_of(self, number: int) -> range:
        """All passes over a source in which the epoch reads rows."""
        read, length = self.offsets[number] + self.reads[number], self.lengths[number]
        return range(-(-read // length) if self.reads[number] else 0)

    def count(self, number: int, turn: int, row: int) -> int | None:
        """How many rows of a source the epoch reads before `row`, counted from the start of the pass `turn`.

        None if the epoch does not read that row.
        """
        count = turn * self.lengths[number] + row - self.offsets[number]
        return count if 0 <= count < self.reads[number] else None
