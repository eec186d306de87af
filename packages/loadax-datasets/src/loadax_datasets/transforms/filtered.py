"""The rows for which a function returns true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from loadax_core import Dataset, Rows, add_note

from ..base import BaseDataset
from ..files.fingerprints import digest
from ..forks import ForkLock
from ..log import inform
from ..naming import name_of
from ..rows import Wanted
from .base import ReorderedDataset, check_constant

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

CHUNK = 256
"""Rows in one read while the index is built."""

PROGRESS_SECONDS = 5.0


class FilteredDataset(ReorderedDataset[T_co]):
    """The rows of a source for which a function returns true.

    To know its length, a filter reads all rows of the source: once, when the length or a row is first asked for. The
    numbers of the kept rows, 8 bytes each, stay in memory and are pickled with the dataset. The logger
    `loadax.datasets` reports the progress at level INFO, every 5 seconds and at the end.

    Args:
        source: Any object with `len()` and `[i]`, the same in every epoch.
        predicate: Takes an item and returns whether it is kept.

    Raises:
        TypeError: If `predicate` is not callable.
        ValueError: If the source changes with the epoch, which would change the length: filter first, then shuffle or
            augment.

    Example:
        >>> list(FilteredDataset(range(10), lambda x: x % 3 == 0))
        [0, 3, 6, 9]
    """

    _noun = "filter"

    def __init__(self, source: Dataset[T_co], predicate: Callable[[T_co], object]) -> None:
        if not callable(predicate):
            raise TypeError(f"filter takes a function of an item, got {predicate!r}")
        super().__init__(source)
        check_constant(self._source, "filter")
        self._predicate: Callable[[Any], object] = predicate
        self._kept: Rows | None = None
        self._lock = ForkLock()

    def __len__(self) -> int:
        return len(self._index())

    def _source_row(self, row: int) -> int:
        """The kept row at that place."""
        return self._index().item(row)

    def _source_rows(self, rows: Wanted) -> Rows:
        """The kept rows at those places."""
        return self._index()[rows.start : rows.stop] if isinstance(rows, range) else self._index()[rows]

    def _rows_of(self, source_row: int) -> list[int]:
        place = int(self._index().searchsorted(source_row))
        return [place] if place < len(self) and self._index()[place] == source_row else []

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:  # noqa: ARG002 (its source is the same in every epoch)
        """The dataset itself."""
        return self

    def fingerprint(self) -> dict[str, Any]:
        """The number of kept rows, a hash of their numbers, and the source."""
        index = self._index()
        return {"filter": len(index), "rows": digest(index.tobytes()), "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The function's name, and the number of kept rows if the source has been read."""
        kept = "not counted yet" if self._kept is None else f"{len(self._kept)} of {len(self._source)} rows"
        return f"FilteredDataset({name_of(self._predicate)}, {kept})"

    def _index(self) -> Rows:
        if self._kept is None:
            with self._lock.held():
                if self._kept is None:
                    self._kept = self._build()
        return self._kept

    def _build(self) -> Rows:
        begin = reported = time.monotonic()
        total = len(self._source)
        kept: list[Rows] = []
        for start in range(0, total, CHUNK):
            rows = list(range(start, min(start + CHUNK, total)))
            items = self._source.read_many(rows)
            kept.append(
                np.array([row for row, item in zip(rows, items, strict=True) if self._keeps(row, item)], np.int64)
            )
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                inform(
                    "filter %s: looked at %d of %d rows in %.0f s",
                    name_of(self._predicate),
                    rows[-1] + 1,
                    total,
                    reported - begin,
                )
        index = np.concatenate([np.empty(0, np.int64), *kept])
        inform(
            "filter %s: %d of %d rows in %.1f s", name_of(self._predicate), len(index), total, time.monotonic() - begin
        )
        return index

    def _keeps(self, row: int, item: Any) -> bool:
        try:
            return bool(self._predicate(item))
        except Exception as error:
            add_note(error, f"raised while filter looked at row {row} of its source")
            raise
