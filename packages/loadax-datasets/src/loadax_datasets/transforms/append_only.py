"""Rows of a source that may grow between two runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from loadax_core import Dataset

from ..base import as_json
from .base import ForwardingDataset

T_co = TypeVar("T_co", covariant=True)


class AppendOnlyDataset(ForwardingDataset[T_co]):
    """The rows of a source that may be longer in a later run, with what it had before at the same places.

    A state that was saved with fewer rows is accepted, in any epoch, if what tells the order of those rows is the same:
    of documents the offsets, of Parquet files their names, sizes and samples. A mixture accepts it, too, up to the
    first of its rows that was not there. A shuffle does not: with more rows, all of them come in another order.

    Args:
        source: An object with `len()` and `[i]` in one order, which knows what tells the order of its first rows:
            lists, arrays, `JaggedDataset`, `ParquetDataset`, `TokenDataset` without documents, concatenations and maps
            of these, and classes with a `prefix_fingerprint`.

    Raises:
        TypeError: If `source` cannot tell, such as a shuffle or a folder of images, whose files are in order of names.

    Example:
        >>> before = AppendOnlyDataset([1, 2, 3]).fingerprint()
        >>> AppendOnlyDataset([1, 2, 3, 4, 5]).rows_agreeing(before, epoch=0)
        3
    """

    def __init__(self, source: Dataset[T_co]) -> None:
        super().__init__(source)
        if self._source.prefix_fingerprint(0) is None:
            raise TypeError(
                "append_only needs rows in one order, of which it can compare the first ones; it cannot for\n"
                f"{self._source!r}\nTake append_only first, or define prefix_fingerprint(rows)"
            )

    def fingerprint(self) -> dict[str, Any]:
        """The number of rows, and what tells their order."""
        return {"append_only": len(self), "first": self.prefix_fingerprint(len(self))}

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The source's facts."""
        return self._source.prefix_fingerprint(rows)

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:  # noqa: ARG002 (the rows are the same in all)
        """The rows that were there, if these are still the first ones."""
        rows = saved.get("append_only")
        if not isinstance(rows, int) or not 0 <= rows <= len(self):
            return 0
        return rows if as_json(self.prefix_fingerprint(rows)) == saved.get("first") else 0

    def describe(self) -> str:
        """The number of rows."""
        return f"AppendOnlyDataset({len(self)} rows)"
