"""Datasets whose every row is a row of one of several sources, and how they gather rows of all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Dataset, Gather, Rows, StackError, Traced, add_note, aligned_empty, join_batches

from ..base import BaseDataset, take_from
from ..layout import Layout
from ..rows import Wanted, as_array, rows_in_range
from .combined import CombinedDataset, below

T_co = TypeVar("T_co", covariant=True)


FEW_SOURCES = 8
"""Up to this many sources, a look at each takes less time than to find out which have rows."""


Part: TypeAlias = tuple[int, BaseDataset[Any], Wanted, Rows | slice]
"""Rows of a batch that are all of one source: its number, the source, the rows there, and their places in the batch.

A plain tuple: a gather of few rows makes some of them, and named ones take twice the time.
"""


class ChoosingDataset(CombinedDataset[T_co]):
    """A dataset whose every row is a row of one of its sources; a subclass defines which row of which source."""

    def __init__(self, sources: Sequence[Dataset[Any]]) -> None:
        super().__init__(sources)
        self._compare_layouts()

    @abstractmethod
    def _locate(self, rows: Rows) -> tuple[npt.NDArray[np.integer[Any]], Rows]:
        """For each of `rows`, of shape `(n,)`: the number of the source, and the row there."""

    @abstractmethod
    def _locate_one(self, row: int) -> tuple[int, int]:
        """`_locate` of one row."""

    @abstractmethod
    def _parts_of_range(self, rows: range) -> list[Part]:
        """Neighbouring rows, at least one, by source."""

    def _parts(self, rows: Wanted) -> list[Part]:
        """Rows by source."""
        if not len(rows):
            return []
        if isinstance(rows, range):
            return self._parts_of_range(rows)
        return parts_of(*self._locate(rows), self._sources)

    def _open(self, parts: list[Part]) -> list[Part]:
        """The parts, with the dataset that holds the rows of each."""
        return parts

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the rows of each source, in the order of the rows."""
        found: list[Traced] = []
        # What `_parts` returns for a gather may be in another order, and that of a row's origins must not depend on
        # the rows that are traced with it.
        for number, _, source_rows, places in parts_of(*self._locate(rows), self._sources) if len(rows) else ():
            where, numbers = positions(places), as_array(source_rows)
            for source, in_epoch, here, own in self._views_of(number, numbers, epoch):
                found += [below(number, group, where[here]) for group in source.trace(own, in_epoch)]
        return found

    def _views_of(self, number: int, rows: Rows, epoch: int) -> list[tuple[BaseDataset[Any], int, slice | Rows, Rows]]:
        """The datasets that hold rows of a source, which may be the source in several epochs.

        Returns:
            For each dataset, its epoch, the places of its rows in `rows`, and its rows.
        """
        return [(self._sources[number], epoch, slice(None), rows)]

    def read(self, row: int) -> T_co:
        """The row, read from its source."""
        number, source_row = self._locate_one(row)
        part = number, self._sources[number], range(source_row, source_row + 1), slice(0, 1)
        [(_, source, source_rows, _)] = self._open([part])
        source_row = int(source_rows[0])
        try:
            return source.read(source_row)
        except Exception as error:
            add_note(error, f"row {row} of this {type(self).__name__} is row {source_row} of its source {number}")
            raise

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The rows, with one read of each source."""
        wanted = np.array(rows_in_range(rows, len(self)), np.int64)
        items: list[Any] = [None] * len(rows)
        for _, source, source_rows, places in self._open(self._parts(wanted)):
            read = source.read_many(as_array(source_rows).tolist())
            for place, item in zip(positions(places).tolist(), read, strict=True):
                items[place] = item
        return items

    @property
    def gather(self) -> Gather | None:
        """The sources' gathers, put in order; None if a source has no gather."""
        return self._gather if self._gathers else None

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        parts = self._open(self._parts(rows))
        if not parts:
            return take_from(self._sources[0], rows, alloc)
        if len(parts) == 1:
            return take_from(parts[0][1], parts[0][2], alloc)
        # Looked at once: another thread may open a pass whose layout differs, and set it to None.
        common = self._common
        if common is not None:
            outs, records = common.empty(len(rows), alloc)
            for _, source, source_rows, places in parts:
                source._write_rows(source_rows, records, places)  # noqa: SLF001
            return common.build(outs)
        parts.sort(key=lambda part: first_of(part[3]))
        return join_batches([self._take_part(*part) for part in parts], [places for *_, places in parts], alloc)

    def _take_part(self, number: int, source: BaseDataset[Any], rows: Wanted, places: Rows | slice) -> Any:
        try:
            return take_from(source, rows, aligned_empty)
        except StackError as error:
            i, j = error.items
            where = positions(places)
            error.items = where.item(i), where.item(j)
            if error.items != (i, j):
                there = " and ".join(map(str, error.items))
                add_note(error, f"items {i} and {j} of source {number} are items {there} of the batch")
            raise

    def _compare_layouts(self) -> None:
        """Finds out whether all sources can write their rows into the same arrays."""
        first = self._sources[0]._batch_layout()  # noqa: SLF001
        alike = first is not None and all(self._is_alike(source, first) for source in self._sources)
        self._common = first if alike else None
        # Found out once: each read asks for it.
        self._gathers = all(source.gather is not None for source in self._sources)

    def _is_alike(self, source: BaseDataset[Any], layout: Layout) -> bool:
        """Whether a source can write its rows into the arrays of a layout."""
        own = source._batch_layout()  # noqa: SLF001
        return own is not None and own.key == layout.key

    def _use(self, sources: tuple[BaseDataset[Any], ...]) -> None:
        super()._use(sources)
        self._compare_layouts()

    def _batch_layout(self) -> Layout | None:
        """The layout of the sources, if all have the same."""
        return self._common

    def batch_spec(self, rows: int) -> Any:
        """The `batch_spec` of the sources, if it is the same for all."""
        first, *others = [source.batch_spec(rows) for source in self._sources]
        return first if all(repr(spec) == repr(first) for spec in others) else None

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        where = positions(places)
        for _, source, source_rows, there in self._open(self._parts(rows)):
            source._write_rows(source_rows, records, where[there])  # noqa: SLF001

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).copy()
        del state["_common"], state["_gathers"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._compare_layouts()


def parts_of(which: npt.NDArray[np.integer[Any]], source_rows: Rows, sources: Sequence[BaseDataset[Any]]) -> list[Part]:
    """Rows by source, where `which` says of which source each is; at least one."""
    order = which.argsort(kind="stable")
    which, source_rows = which[order], source_rows[order]
    parts: list[Part] = []
    start = 0
    for last in (*(which[1:] != which[:-1]).nonzero()[0].tolist(), len(order) - 1):
        number, stop = which.item(start), last + 1
        parts.append((number, sources[number], source_rows[start:stop], order[start:stop]))
        start = stop
    return parts


def positions(places: Rows | slice) -> Rows:
    """Places as an array of shape `(n,)`."""
    return np.arange(places.start, places.stop, dtype=np.int64) if isinstance(places, slice) else places


def first_of(places: Rows | slice) -> int:
    """The first of some places, of which there is at least one."""
    return places.start if isinstance(places, slice) else places.item(0)
