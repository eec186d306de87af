"""The base of datasets with several sources, and `ZippedDataset`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, TypeVar, overload

from loadax_core import Alloc, Dataset, Gather, Rows, Traced

from ..adapt import as_dataset
from ..base import BaseDataset, take_from
from ..rows import Wanted, rows_in_range

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
U = TypeVar("U")


class CombinedDataset(BaseDataset[T_co]):
    """A dataset that reads several others.

    Args:
        sources: Objects with `len()` and `[i]`; at least one.

    Raises:
        TypeError: If one of the sources cannot be counted or read by number.
        ValueError: If there is none.
    """

    def __init__(self, sources: Sequence[Dataset[Any]]) -> None:
        if not sources:
            raise ValueError(f"{type(self).__name__} needs at least one dataset")
        for source in sources:
            # A look at the first row suffices, and a list may be long.
            if isinstance(source, list | tuple) and any(isinstance(row, BaseDataset) for row in source[:1]):
                raise TypeError(
                    f"a {type(source).__name__} of datasets would be one dataset, whose rows they are; give them one "
                    "by one, as in concat(*datasets)"
                )
        self._sources = tuple(as_dataset(source) for source in sources)
        self.in_epoch = max(source.in_epoch for source in self._sources)

    @property
    def sources(self) -> tuple[BaseDataset[Any], ...]:
        """The sources, in the order in which they were given."""
        return self._sources

    def _source_at(self, path: tuple[int, ...], row: int) -> tuple[int, BaseDataset[Any]]:
        """The source that the first entry of a path names, and its number.

        Raises:
            ValueError: If the path is empty, or there is no such source.
        """
        if not path or path[0] >= len(self._sources):
            raise ValueError(
                f"path must say which of {len(self._sources)} sources row {row} is of, at\n{self!r}\ngot {path}"
            )
        return path[0], self._sources[path[0]]

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The same combination of the sources in `epoch`."""
        sources = tuple(source.at_epoch(epoch) for source in self._sources)
        if all(new is old for new, old in zip(sources, self._sources, strict=True)):
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._use(sources)  # noqa: SLF001 (a copy of self)
        return moved

    def _use(self, sources: tuple[BaseDataset[Any], ...]) -> None:
        """Reads from other sources, in a new copy."""
        self._sources = sources


def below(number: int, group: Traced, where: Rows | None = None) -> Traced:
    """The origins that a source has traced, as those of a dataset with several sources.

    Args:
        number: The number of the source.
        group: What the source has traced.
        where: For each row that the source was asked for, its place among the rows that the dataset was asked for; None
            if both were asked for as many rows, in the same order.
    """
    of = group.of if where is None else where[group.of]
    return group._replace(of=of, path=(number, *group.path))


class ZippedDataset(CombinedDataset[T_co]):
    """The rows of several datasets side by side, as tuples.

    Args:
        *sources: Objects with `len()` and `[i]`, all of the same length.

    Raises:
        TypeError: If one of the sources cannot be counted or read by number.
        ValueError: If there is none, or their lengths differ.

    Example:
        >>> list(ZippedDataset([1, 2], ["a", "b"]))
        [(1, 'a'), (2, 'b')]
    """

    @overload
    def __init__(self: ZippedDataset[tuple[T]], source: Dataset[T], /) -> None: ...
    @overload
    def __init__(self: ZippedDataset[tuple[T, U]], first: Dataset[T], second: Dataset[U], /) -> None: ...
    @overload
    def __init__(self: ZippedDataset[tuple[Any, ...]], *sources: Dataset[Any]) -> None: ...
    def __init__(self, *sources: Dataset[Any]) -> None:
        super().__init__(sources)
        lengths = [len(source) for source in self._sources]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"zipped datasets must have the same length, got {lengths}; cut them with .take({min(lengths)})"
            )

    def __len__(self) -> int:
        return len(self._sources[0])

    def read(self, row: int) -> T_co:
        """The tuple of the sources' rows."""
        items: Any = tuple(source.read(row) for source in self._sources)
        return items

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The tuples of the sources' rows, with one read of each source."""
        wanted = rows_in_range(rows, len(self))
        items: Any = zip(*(source.read_many(wanted) for source in self._sources), strict=True)
        return list(items)

    @property
    def gather(self) -> Gather | None:
        """The tuple of the sources' gathers; None if a source has no gather."""
        return None if any(source.gather is None for source in self._sources) else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return tuple(take_from(source, rows, alloc) for source in self._sources)

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the rows of all sources."""
        return [
            below(number, group) for number, source in enumerate(self._sources) for group in source.trace(rows, epoch)
        ]

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows that are made from it in the source that `path` begins with."""
        return self._source_at(path, row)[1].places(row, path[1:])

    def fingerprint(self) -> dict[str, Any]:
        """The sources."""
        return {"zip": [source.fingerprint() for source in self._sources]}
