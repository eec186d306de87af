"""Which source each row of a mixture comes from, and the number of rows of that source before it.

Each source has a clock: its rows 0, 1, 2, ... come at random times, one in each stratum of time (stratified or jittered
sampling: Cochran, Sampling Techniques, 1977). A stratum is as long as one over the source's share. The rows of all
sources, sorted by time, are the mixture. Up to time t, a source of share s has had t * s rows, give or take less than
one. So the first k rows hold k * s of it, give or take less than the number of sources.

Time is cut into windows. How many rows of each source lie before a window follows from its time alone, in integers,
so that a window is found and sorted without those before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from .hashing import random_words, uniform
from .keys import derive_keys
from .schedule import WHOLE, Phase

WINDOW = 1 << 14
"""The length of a window, in units of a row."""

LEAST = 2.0**-60
"""The least time of a row, counted from the start of its window: rounding must not make a time 0 or negative."""


FEW = 16
"""Up to this many sources, a block has the counts of each source at each place, which take 128 KiB a source."""


class Block(NamedTuple):
    """The rows of a mixture in one window.

    Attributes:
        start: The first of them.
        stop: The row after the last one.
        which: The source of each, of shape `(rows,)`.
        rows: How many rows of that source come before it in the mixture, of shape `(rows,)`.
        counts: How many rows of each source come before each place of the block, and before its end, from row 0 of the
            mixture on; of shape `(rows + 1, sources)`. None if there are more than `FEW` sources.
    """

    start: int
    stop: int
    which: npt.NDArray[np.uint16]
    rows: Rows
    counts: Rows | None

    def runs(self, begin: int, end: int) -> list[tuple[int, range, Rows]]:
        """The rows at neighbouring places of the block, by source.

        Args:
            begin: The first place.
            end: The place after the last one.

        Returns:
            For each source that has some of the rows, its number, these rows of it, and their places, counted from
            `begin`.
        """
        which, place = self.which[begin:end], 0
        order = which.argsort(-1, "stable")
        found: list[tuple[int, range, Rows]] = []
        if self.counts is not None:
            stops = self.counts[end].tolist()
            for number, row in enumerate(self.counts[begin].tolist()):
                stop = stops[number]
                if row < stop:
                    first, place = place, place + stop - row
                    found.append((number, range(row, stop), order[first:place]))
            return found
        which = which[order]
        # The rows of each source are neighbours.
        for last in (*(which[1:] != which[:-1]).nonzero()[0].tolist(), len(order) - 1):
            first, place = place, last + 1
            row = self.rows.item(begin + order.item(first))
            found.append((which.item(first), range(row, row + place - first), order[first:place]))
        return found


class Alternation:
    """The order in which the rows of several sources alternate. Memory: two windows. Thread-safe.

    Args:
        phases: The shares of the sources, from row 0 to no end.
        seed: Any integer of at least 0.
    """

    def __init__(self, phases: Sequence[Phase], seed: int) -> None:
        self._arguments = phases, seed
        self._starts = [phase.start for phase in phases]
        self._clocks: list[_Clock] = []
        # Immutable values that are replaced as a whole, so that threads can read them without a lock.
        self._blocks: tuple[Block, ...] = ()
        before = [0] * len(phases[0].shares)
        for phase in phases:
            self._clocks.append(_Clock(phase, before, seed))
            if phase.rows is not None:
                before = self.counts(phase.start + phase.rows)

    def __reduce__(self) -> tuple[type[Alternation], tuple[Sequence[Phase], int]]:
        return Alternation, self._arguments

    def block(self, row: int) -> Block:
        """The window that holds a row."""
        for known in self._blocks:
            if known.start <= row < known.stop:
                return known
        clock = self._clocks[bisect_right(self._starts, row) - 1]
        block = clock.block(clock.find_row(row))
        # Two windows, as workers straddle a boundary.
        self._blocks = (*self._blocks[-1:], block)
        return block

    def counts(self, row: int) -> list[int]:
        """How many rows of each source come before a row."""
        # A row at the start of a phase is counted from the phase before, which knows where it ends.
        clock = self._clocks[max(0, bisect_right(self._starts, row - 1) - 1)]
        if row == clock.phase.start:
            return list(clock.before)
        window = clock.find_row(row - 1)
        block = clock.block(window)
        here = np.bincount(block.which[: row - block.start], minlength=len(clock.before)).tolist()
        return [sum(parts) for parts in zip(clock.before, clock.counts(window), here, strict=True)]

    def place(self, source: int, count: int) -> int | None:
        """The row at which a source has had `count` rows, and the next one comes; None if it never comes."""
        ends = [clock.before[source] for clock in self._clocks[1:]]
        clock = self._clocks[bisect_right(ends, count)]
        window = clock.find_count(source, count - clock.before[source])
        if window is None:
            return None
        block = clock.block(window)
        found = np.flatnonzero(block.which == source)
        return block.start + found.item(np.searchsorted(block.rows[found], count))

    def end(self, lengths: Sequence[int], *, of_all: bool) -> int | None:
        """The row at which the first source has had all of its rows, or all sources; None if it never comes.

        Args:
            lengths: The rows of the sources; with `of_all`, those without rows do not count.
            of_all: Whether all sources are meant.
        """
        if not of_all:
            places = [self.place(source, length) for source, length in enumerate(lengths)]
            return min((place for place in places if place is not None), default=None)
        lasts = [self.place(source, length - 1) for source, length in enumerate(lengths) if length]
        known = [last + 1 for last in lasts if last is not None]
        return max(known, default=0) if len(known) == len(lasts) else None


class _Clock:
    """The times of the rows in one phase, counted from its start.

    Args:
        phase: The shares.
        before: The number of rows of each source in the phases before.
        seed: The seed of the mixture.
    """

    def __init__(self, phase: Phase, before: list[int], seed: int) -> None:
        self.phase, self.before = phase, before
        self._key = derive_keys(f"mix {phase.start}", seed, 0, 1)[0]
        self._sources = np.arange(len(before), dtype=np.uint64) << np.uint64(48)
        # Where shares change, the windows end with the phase, and one follows for rows that come a little late.
        self._full = None if phase.constant or phase.rows is None else -(-phase.rows // WINDOW)

    def block(self, window: int) -> Block:
        """The rows of a window, but for those beyond the phase."""
        counts, following = self.counts(window), self.counts(window + 1)
        rows = np.concatenate([np.arange(*bounds) for bounds in zip(counts, following, strict=True)])
        lengths = [stop - start for start, stop in zip(counts, following, strict=True)]
        which = np.repeat(np.arange(len(counts), dtype=np.uint16), lengths)
        order = self._times(window, which, rows).argsort(kind="stable")
        start = sum(counts)
        if self.phase.rows is not None:
            order = order[: max(0, self.phase.rows - start)]
        which = which[order]
        rows = rows[order] + np.array(self.before, np.int64)[which]
        start += self.phase.start
        before: Rows | None = None
        if len(counts) <= FEW:
            # Those before the window, and one for each row of it.
            each = which[:, None] == np.arange(len(counts))
            before = np.vstack([np.add(counts, self.before), each]).cumsum(0)
        return Block(start, start + len(rows), which, rows, before)

    def find_row(self, row: int) -> int:
        """The window that holds a row of the mixture."""
        row -= self.phase.start
        window = row // WINDOW
        while sum(self.counts(window)) > row:
            window -= 1
        while sum(self.counts(window + 1)) <= row:
            window += 1
        return window

    def find_count(self, source: int, count: int) -> int | None:
        """The window in which a source has had `count` rows of the phase, and the next one comes; None if none does."""
        low, high = 0, self._full
        if high is None:
            share = self.phase.shares[source]
            if not share:
                return None
            high = (count + 1) * WHOLE // share // WINDOW + 1
        while low < high:
            middle = (low + high) // 2
            if self._count(source, middle + 1) > count:
                high = middle
            else:
                low = middle + 1
        return low

    def counts(self, window: int) -> list[int]:
        """How many rows of each source come before a window of the phase."""
        due = [self._due(source, window) for source in range(len(self.before))]
        wholes = np.array([whole for whole, _ in due], np.int64)
        words = random_words(self._key, self._numbers(self._sources, wholes)).tolist()
        return [whole + (word < rest) for (whole, rest), word in zip(due, words, strict=True)]

    def _count(self, source: int, window: int) -> int:
        """`counts` of one source."""
        whole, rest = self._due(source, window)
        words = random_words(self._key, self._numbers(self._sources[source], np.array([whole], np.int64)))
        return whole + (words.item() < rest)

    @staticmethod
    def _numbers(sources: Any, rows: Rows) -> npt.NDArray[np.uint64]:
        """One number for each row of each source: where its random number is."""
        return rows.astype(np.uint64) ^ sources

    def _begin(self, window: int) -> int:
        """When a window begins."""
        full, rows = self._full, self.phase.rows
        if full is None or rows is None:
            return window * WINDOW
        return min(window * WINDOW, rows) + (len(self.before) + 1 if window > full else 0)

    def _due(self, source: int, window: int) -> tuple[int, int]:
        """How many strata of a source lie before a window, and the part of the next one, in units of 2**-64."""
        time, share, end = self._begin(window), self.phase.shares[source], self.phase.ends[source]
        if self._full is None:
            part, whole = time * share, WHOLE
        else:
            rows = self.phase.rows
            assert rows is not None, "a phase of shares that change has an end"
            inside, after = min(time, rows), max(0, time - rows)
            part = 2 * rows * (share * inside + end * after) + (end - share) * inside * inside
            whole = 2 * rows * WHOLE
        strata, rest = divmod(part, whole)
        return strata, (rest << 64) // whole

    def _times(self, window: int, which: npt.NDArray[np.uint16], rows: Rows) -> npt.NDArray[np.float64]:
        """When rows come, counted from the start of their window."""
        due = [self._due(source, window) for source in range(len(self.before))]
        wholes = np.array([whole for whole, _ in due], np.int64)
        rests = np.array([rest * 2.0**-64 for _, rest in due])
        words = random_words(self._key, self._numbers(self._sources[which], rows))
        strata = np.maximum((rows - wholes[which]) + uniform(words) - rests[which], LEAST)
        shares = np.array([self._share(source, window) for source in range(len(self.before))])[which]
        if self._full is None or window >= self._full:
            return strata / shares
        rows_in_all = self.phase.rows
        assert rows_in_all is not None, "a phase of shares that change has an end"
        changes = zip(self.phase.shares, self.phase.ends, strict=True)
        slopes = np.array([(end - share) / (WHOLE * rows_in_all) for share, end in changes])[which]
        # The time x at which shares x + slopes x^2 / 2 is `strata`.
        root = np.sqrt(np.maximum(shares * shares + 2 * slopes * strata, 0.0))
        return 2 * strata / (shares + root)

    def _share(self, source: int, window: int) -> float:
        """A source's share where a window begins."""
        share, end = self.phase.shares[source], self.phase.ends[source]
        if self._full is None or self.phase.rows is None:
            return share / WHOLE
        return (share + (end - share) * min(1.0, self._begin(window) / self.phase.rows)) / WHOLE
