"""Mixtures of datasets in shares that are given."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt
from loadax_core import Dataset, Rows

from ..base import BaseDataset, as_json
from ..checks import check_int
from ..orders.alternation import Alternation
from ..orders.passes import Passes
from ..orders.schedule import Change, Weights, describe, phases_of, rows_agreeing
from ..rows import as_array
from .base import check_length
from .choosing import ChoosingDataset, Part, positions

T_co = TypeVar("T_co", covariant=True)

Until = Literal["first", "all"]


class MixedDataset(ChoosingDataset[T_co]):
    """Rows of several datasets in random alternation, each dataset with its share and in its own order.

    The first k rows hold k times its share of each source, to within the number of sources, for every k; where weights
    change, so do the first k rows from there on. The order of sources depends on the seed and the weights only, and is
    the same in every epoch. Any row is found without the rows before it. A mixture is fast when it is read in turn, and
    takes about 2 ms to find a row far from the last ones: for rows in another order, shuffle the sources, not the
    mixture.

    A source that is read to its end starts again, as it is in its next epoch: shuffled or packed before, each pass has
    an order of its own. Passes are counted over the whole run. With `rows`, an epoch of the mixture goes on in each
    source where the epoch before has ended, so that a source may be read in part. With `until`, each epoch begins with
    a new pass over each source.

    Sources without an end are best mixed before they are packed, if a row may have documents of several of them, and
    packed before they are mixed, if a source is to have its share of the rows.

    Args:
        sources: Objects with `len()` and `[i]`; at least one.
        weights: The sources' shares, relative to each other; left out, all are equal. One number of at least 0 for
            each source; or a mapping from rows of the mixture, the first of them 0, to the weights from that row on:
            `{0: [3, 1], 32_000: [1, 1]}`. A change that is linear in the rows is `("linear", weights, rows)`:
            `{0: [3, 1], 10_000: ("linear", [1, 1], 50_000)}` has equal weights from row 60,000 on. A source goes on
            where the rows before have left it.
        seed: Any integer of at least 0.
        until: When the mixture ends, if `rows` is not given. `"first"`, as if left out: with the first source that has
            no row left. `"all"`: when every source has been read to its end at least once.
        rows: The number of rows of an epoch.

    Raises:
        TypeError: If a source cannot be counted or read by number, or `seed`, `rows` or a row of `weights` is not an
            integer.
        ValueError: If there is no source, if weights are not as above, if `until` is neither of the above or given
            beside `rows`, or if a source that is to be read is empty.
        StackError: When a gathered batch has rows of sources whose trees, shapes or dtypes differ.

    Example:
        >>> rows = MixedDataset([["a"] * 3000, ["b"] * 1000], weights={0: [3, 1], 1000: [1, 1]}, rows=5000)
        >>> list(rows.take(1000)).count("a"), list(rows).count("a")
        (750, 2750)
    """

    def __init__(
        self,
        sources: Sequence[Dataset[T_co]],
        weights: Weights | Mapping[int, Change] | None = None,
        *,
        seed: int = 0,
        until: Until | None = None,
        rows: int | None = None,
    ) -> None:
        super().__init__(sources)
        if until is not None and until not in get_args(Until):
            raise ValueError(f"until must be 'first' or 'all', got {until!r}")
        if until is not None and rows is not None:
            raise ValueError(f"a mixture of rows={rows} ends there; leave out until={until!r}, or rows")
        self._until: Until | None = "first" if until is None and rows is None else until
        self._seed = check_int("seed", seed, 0)
        self._phases = phases_of(weights, len(self._sources))
        self._alternation = Alternation(self._phases, self._seed)
        lengths = [len(source) for source in self._sources]
        self._length = self._end(lengths) if rows is None else check_int("rows", rows, 1)
        check_length(self._length, "the mixture")
        reads = self._alternation.counts(self._length)
        for number, (read, length) in enumerate(zip(reads, lengths, strict=True)):
            if read and not length:
                raise ValueError(f"source {number} is empty and cannot start again; leave it out, or use until='first'")
        self._passes = Passes(reads, lengths, [source.in_epoch for source in self._sources], [0] * len(lengths))
        # Immutable values that are replaced as a whole, so that threads can read them without a lock.
        self._views: tuple[tuple[int, int, BaseDataset[T_co]], ...] = ()

    def __len__(self) -> int:
        return self._length

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The mixture of the passes over the sources that `epoch` reads."""
        epoch = check_int("epoch", epoch, 0)
        passes = self._passes_in(epoch)
        sources = tuple(source.at_epoch(turn) for source, turn in zip(self._sources, passes.turns, strict=True))
        alike = all(new is old for new, old in zip(sources, self._sources, strict=True))
        if alike and passes.offsets == self._passes.offsets:
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._use(sources)  # noqa: SLF001 (a copy of self)
        moved._passes, moved._views = passes, ()  # noqa: SLF001
        return moved

    def _passes_in(self, epoch: int) -> Passes:
        """The passes over the sources in one epoch."""
        if self._until is None:
            return self._passes.going_on(epoch)
        counts = self._passes.counts if self._until == "all" else [1] * len(self._sources)
        return self._passes.anew([epoch * count for count in counts])

    def _locate_one(self, row: int) -> tuple[int, int]:
        """The source of the row, and its row, counted on where the source starts again."""
        block = self._alternation.block(row)
        offset = row - block.start
        return block.which.item(offset), block.rows.item(offset)

    def _locate(self, rows: Rows) -> tuple[npt.NDArray[np.integer[Any]], Rows]:
        """The sources of the rows, and their rows, counted on where a source starts again."""
        if not len(rows):
            return np.empty(0, np.uint16), rows
        block = self._alternation.block(rows.item(0))
        offsets = rows - block.start
        # As unsigned numbers, rows of blocks before are beyond the end of this one.
        if offsets.view(np.uint64).item(offsets.view(np.uint64).argmax()) < len(block.rows):
            return block.which[offsets], block.rows[offsets]
        which, source_rows = np.empty(len(rows), np.uint16), np.empty_like(rows)
        order = rows.argsort(kind="stable")
        ordered, begin = rows[order], 0
        while begin < len(rows):
            block = self._alternation.block(ordered.item(begin))
            end = int(ordered.searchsorted(block.stop))
            here, offsets = order[begin:end], ordered[begin:end] - block.start
            which[here], source_rows[here] = block.which[offsets], block.rows[offsets]
            begin = end
        return which, source_rows

    def _parts_of_range(self, rows: range) -> list[Part]:
        """A stretch of each source, since each is read in its own order."""
        parts: list[Part] = []
        begin = rows.start
        while begin < rows.stop:
            block = self._alternation.block(begin)
            end, base = min(rows.stop, block.stop), begin - rows.start
            runs = block.runs(begin - block.start, end - block.start)
            for number, own, places in runs:
                parts.append((number, self._sources[number], own, places + base if base else places))
            begin = end
        return parts

    def _open(self, parts: list[Part]) -> list[Part]:
        """The parts, cut where their source starts again."""
        if self._passes.once:
            return parts
        return [opened for part in parts for opened in self._passes_of(part)]

    def _passes_of(self, part: Part) -> Iterator[Part]:
        """A part, cut where its source starts again."""
        number, _, rows, places = part
        if isinstance(rows, range):
            turn, row = self._passes.locate(number, rows.start)
            if row + len(rows) <= self._passes.lengths[number]:
                yield number, self._view(number, turn), range(row, row + len(rows)), places
                return
        where = positions(places)
        for turn, here, own in self._passes.divide(number, as_array(rows)):
            yield number, self._view(number, turn), own, where[here]

    def _views_of(self, number: int, rows: Rows, epoch: int) -> list[tuple[BaseDataset[Any], int, slice | Rows, Rows]]:  # noqa: ARG002
        """One dataset for each pass: the source in the epoch of the pass."""
        first = self._passes.turns[number]
        return [
            (self._view(number, turn), first + turn, here, own) for turn, here, own in self._passes.divide(number, rows)
        ]

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows that are made from it, in each pass over the source that `path` begins with."""
        number, _ = self._source_at(path, row)
        found: list[int] = []
        for turn in self._passes.all_of(number):
            for place in self._view(number, turn).places(row, path[1:]):
                count = self._passes.count(number, turn, place)
                if count is not None:
                    at = self._alternation.place(number, count)
                    assert at is not None, "a row that is read has a place"
                    found.append(at)
        return found

    def _view(self, number: int, turn: int) -> BaseDataset[T_co]:
        """A source as it is in the `turn`-th pass after the first one of this epoch."""
        source = self._sources[number]
        if not turn:
            return source
        for known, its_turn, view in self._views:
            if (known, its_turn) == (number, turn):
                return view
        view = source.at_epoch(self._passes.turns[number] + turn)
        if self._common is not None and not self._is_alike(view, self._common):
            # The source is a user's dataset, which is of another kind in this epoch.
            self._common = None
        # Two of each source, as workers straddle the end of a pass.
        self._views = (*self._views[-2 * len(self._sources) + 1 :], (number, turn, view))
        return view

    def _order_changes(self) -> bool:
        """Whether an epoch begins elsewhere in a source, or a source changes."""
        return super()._order_changes() or (self._until is None and self._passes.divided)

    def fingerprint(self) -> dict[str, Any]:
        """The shares, the seed, how it ends, the number of passes over each source, and the sources."""
        facts: dict[str, Any] = {
            "mix": [phase.as_json() for phase in self._phases],
            "seed": self._seed,
            "ends": self._length if self._until is None else self._until,
        }
        if self._until == "all":
            facts["passes"] = self._passes.counts
        return {**facts, "sources": [source.fingerprint() for source in self._sources]}

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:
        """In the first epoch, the rows up to which weights and sources agree, however long the mixtures are."""
        known = super().rows_agreeing(saved, epoch)
        sources: Any = saved.get("sources")
        # The seed alone does not tell a mixture: samples and parts have an entry of that name, too.
        if known or epoch or saved.get("seed") != self._seed or not isinstance(sources, list):
            return known
        sources = cast("list[Any]", sources)
        agreeing = min(self._length, rows_agreeing(self._phases, saved.get("mix")))
        lengths: list[int] = []
        for number, source in enumerate(self._sources):
            rows = source.rows_agreeing(sources[number], 0) if number < len(sources) else 0
            lengths.append(rows)
            # A source that is another one agrees in its first pass at most: a later one may begin elsewhere.
            if not rows or as_json(source.fingerprint()) != sources[number]:
                place = self._alternation.place(number, rows)
                agreeing = agreeing if place is None else min(agreeing, place)
        # As a source, a mixture begins again at its end.
        ends = saved.get("ends")
        end = ends if isinstance(ends, int) else self._alternation.end(lengths, of_all=ends == "all")
        return agreeing if end is None else min(agreeing, end)

    def describe(self) -> str:
        """The shares in percent, the rows from which they are others, and how it ends."""
        ends = f"rows={self._length}" if self._until is None else f"until={self._until!r}"
        return f"MixedDataset({describe(self._phases)}, seed={self._seed}, {ends})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_views": ()}

    def _end(self, lengths: Sequence[int]) -> int:
        """The row at which the first source, or the last, has no row left."""
        if self._until == "first":
            # The place of the first row that a source does not have.
            places = [self._alternation.place(number, length) for number, length in enumerate(lengths)]
            return min(place for place in places if place is not None)
        ends: list[int] = []
        for number, length in enumerate(lengths):
            if not length:
                raise ValueError(f"source {number} is empty and cannot start again; leave it out, or use until='first'")
            place = self._alternation.place(number, length - 1)
            if place is None:
                raise ValueError(
                    f"until='all' reads every source to its end, but the weight of source {number} is 0 before that; "
                    "leave it out, or give the number of rows"
                )
            ends.append(place + 1)
        return max(ends)
