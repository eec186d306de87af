"""Base classes of transforms: those of one source, and those that read its rows in another order."""

from __future__ import annotations

import copy
import sys
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from loadax_core import Alloc, Dataset, Gather, Rows, Traced, add_note

from ..adapt import as_dataset
from ..base import BaseDataset, take_from
from ..checks import check_int
from ..flat_views import Chosen, FlatDocuments
from ..layout import Layout
from ..rows import Wanted, as_array, check_range, rows_in_range

T_co = TypeVar("T_co", covariant=True)


CHUNK = 1 << 16
"""Rows that are looked at together where a row is searched for."""


class Transform(BaseDataset[T_co]):
    """A dataset that reads another one, by default with as many rows, in the same order.

    Args:
        source: Any object with `len()` and `[i]`.

    Raises:
        TypeError: If `source` cannot be counted or read by number.
    """

    _changes_with_epoch: ClassVar[bool] = False

    def __init__(self, source: Dataset[Any]) -> None:
        self._source: BaseDataset[Any] = as_dataset(source)
        self.in_epoch = self._source.in_epoch

    def __len__(self) -> int:
        return len(self._source)

    @property
    def sources(self) -> tuple[BaseDataset[Any], ...]:
        """The one source."""
        return (self._source,)

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The same transform in `epoch`, of the source in that epoch."""
        epoch = check_int("epoch", epoch, 0)
        source = self._source.at_epoch(epoch)
        if source is self._source and not self._changes_with_epoch:
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._source = source  # noqa: SLF001 (a copy of self)
        moved._set_epoch(epoch)  # noqa: SLF001
        return moved

    def _set_epoch(self, epoch: int) -> None:
        """Prepares a new copy for `epoch`. Transforms that change with the epoch define it."""

    def fingerprint(self) -> dict[str, Any]:
        """The source's fingerprint, since the order is the source's."""
        return self._source.fingerprint()

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:
        """What the source says, for transforms that have its order, and so its fingerprint."""
        if self._has_sources_order:
            return self._source.rows_agreeing(saved, epoch)
        return super().rows_agreeing(saved, epoch)

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The source's facts, for transforms that have its order."""
        return self._source.prefix_fingerprint(rows) if self._has_sources_order else None

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the source's rows."""
        return self._source.trace(rows, epoch)

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The source's rows that are made from it, which have the same numbers here."""
        return self._source.places(row, path)

    @property
    def _has_sources_order(self) -> bool:
        own: Any = type(self)
        base: Any = Transform
        return own.fingerprint is base.fingerprint


class ForwardingDataset(Transform[T_co]):
    """The rows of a source as they are; a subclass says something else of them, such as their fingerprint."""

    def read(self, row: int) -> T_co:
        """The source's row."""
        return self._source.read(row)

    def read_many(self, rows: list[int]) -> Sequence[T_co]:
        """The source's rows."""
        return self._source.read_many(rows)

    def read_range(self, rows: range) -> Sequence[T_co]:
        """The source's rows."""
        return self._source.read_range(rows)

    def _read_numbers(self, rows: Rows) -> Sequence[T_co]:
        return self._source._read_numbers(rows)  # noqa: SLF001

    @property
    def gather(self) -> Gather | None:
        """The source's gather."""
        return None if self._source.gather is None else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return take_from(self._source, rows, alloc)

    def _flat_documents(self) -> FlatDocuments | None:
        return self._source._flat_documents()  # noqa: SLF001

    def _batch_layout(self) -> Layout | None:
        return self._source._batch_layout()  # noqa: SLF001

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        self._source._write_rows(rows, records, places)  # noqa: SLF001

    def _takes_casts(self) -> bool:
        """Whether the source does."""
        return self._source._takes_casts()  # noqa: SLF001

    def _take_as(self, rows: Wanted, alloc: Alloc, dtypes: Any) -> Any:
        return self._source._take_as(rows, alloc, dtypes)  # noqa: SLF001


class ReorderedDataset(Transform[T_co]):
    """The rows of a source in another order: row `r` is the source's row `_source_row(r)`.

    A subclass defines `_source_row` and `_source_rows`, which must agree, and `_noun`, its name in error messages.
    """

    _noun: ClassVar[str]

    @abstractmethod
    def _source_row(self, row: int) -> int:
        """The source's row at `row`, both counted from 0."""

    @abstractmethod
    def _source_rows(self, rows: Wanted) -> Wanted:
        """`_source_row` of each of `rows`."""

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the source's rows."""
        return self._source.trace(as_array(self._source_rows(rows)), epoch)

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows that are one of the source's rows."""
        return [place for source_row in self._source.places(row, path) for place in self._rows_of(source_row)]

    def _rows_of(self, source_row: int) -> list[int]:
        """The rows that are a row of the source: the inverse of `_source_row`. By default, looks at all."""
        found: list[int] = []
        for start in range(0, len(self), CHUNK):
            rows = range(start, min(start + CHUNK, len(self)))
            found += (start + np.flatnonzero(as_array(self._source_rows(rows)) == source_row)).tolist()
        return found

    def read(self, row: int) -> T_co:
        """The source's row."""
        source_row = self._source_row(row)
        try:
            return self._source.read(source_row)
        except Exception as error:
            add_note(error, f"row {row} of this {self._noun} is row {source_row} of its source")
            raise

    def read_many(self, rows: list[int]) -> Sequence[T_co]:
        """The source's rows, in one read."""
        return self._read(np.array(rows_in_range(rows, len(self)), np.int64))

    def read_range(self, rows: range) -> Sequence[T_co]:
        """The source's rows, in one read."""
        check_range(rows, len(self))
        return self._read(rows)

    def _read_numbers(self, rows: Rows) -> Sequence[T_co]:
        return self._read(rows)

    def _read(self, rows: Wanted) -> Sequence[T_co]:
        source_rows = self._source_rows(rows)
        if isinstance(source_rows, range):
            return self._source.read_range(source_rows)
        return self._source._read_numbers(source_rows)  # noqa: SLF001

    @property
    def gather(self) -> Gather | None:
        """The source's gather of the source's rows."""
        return None if self._source.gather is None else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return take_from(self._source, self._source_rows(rows), alloc)

    def _flat_documents(self) -> FlatDocuments | None:
        """The source's documents, by their numbers there."""
        flat = self._source._flat_documents()  # noqa: SLF001
        return None if flat is None else Chosen(flat, len(self), self._source_rows)

    def _batch_layout(self) -> Layout | None:
        """The source's layout."""
        return self._source._batch_layout()  # noqa: SLF001

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        self._source._write_rows(self._source_rows(rows), records, places)  # noqa: SLF001

    def _takes_casts(self) -> bool:
        """Whether the source does."""
        return self._source._takes_casts()  # noqa: SLF001

    def _take_as(self, rows: Wanted, alloc: Alloc, dtypes: Any) -> Any:
        return self._source._take_as(self._source_rows(rows), alloc, dtypes)  # noqa: SLF001


def count_kind(kind: type[BaseDataset[Any]], dataset: BaseDataset[Any]) -> int:
    """The most datasets of a kind that a row of `dataset` comes through."""
    before = max((count_kind(kind, source) for source in dataset.sources), default=0)
    return before + isinstance(dataset, kind)


def check_constant(source: BaseDataset[Any], what: str) -> None:
    """Refuses a source whose rows change with the epoch.

    Raises:
        ValueError: If they do.
    """
    if source.at_epoch(1) is not source:
        raise ValueError(
            f"{what} needs rows that are the same in every epoch, but these change with it; keep those of one epoch "
            f"with .frozen(epoch=0), or {what} first, then shuffle, sample or random_map:\n{source!r}"
        )


def check_length(length: int, what: str) -> None:
    """Refuses more rows than `len()` can count.

    Raises:
        ValueError: If `length` is too large.
    """
    if length > sys.maxsize:
        raise ValueError(f"{what} has {length} rows, more than len() can count")
