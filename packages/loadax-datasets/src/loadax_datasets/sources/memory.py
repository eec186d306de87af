"""Items in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
from loadax_core import Gather, check_not_table

from ..base import BaseDataset
from .arrays import ArrayDataset

T_co = TypeVar("T_co", covariant=True)


class InMemoryDataset(BaseDataset[T_co]):
    """Any items, kept in memory.

    Items are not copied: code that changes an item in place changes it for every later read.

    Args:
        items: The items; iterated once, and kept. The rows of one array are the items, as in an `ArrayDataset`; it is
            not copied.

    Raises:
        TypeError: If `items` is not iterable, has keys, or is a table, which gives its columns.

    Example:
        >>> rows = InMemoryDataset(["a", "b", "c"])
        >>> rows[-1], len(rows)
        ('c', 3)
    """

    def __init__(self, items: Iterable[T_co]) -> None:
        if type(items).__name__ not in ("Series", "IterableDataset"):
            # These give their values, and tables their columns.
            check_not_table(items)
        if isinstance(items, Mapping):
            raise TypeError("a dict has keys, not rows; use ArrayDataset for a dict of arrays, or list(d.items())")
        if isinstance(items, str | bytes):
            raise TypeError(f"{items[:40]!r} is one item; put it in a list")
        if not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
            raise TypeError(f"InMemoryDataset takes items to iterate over, such as a list, got {items!r}")
        self._items: tuple[T_co, ...] | ArrayDataset[Any] = (
            ArrayDataset(cast("Any", items)) if isinstance(items, np.ndarray) else tuple(items)
        )

    def __len__(self) -> int:
        return len(self._items)

    def read(self, row: int) -> T_co:
        """The item at `row`."""
        return self._items[row]

    @property
    def gather(self) -> Gather | None:
        """The array's gather, if the items are the rows of one array."""
        return self._items.gather if isinstance(self._items, ArrayDataset) else None

    @property
    def rowwise(self) -> bool:
        """True: a row is an item, or copied."""
        return True

    def describe(self) -> str:
        """The number of items."""
        return f"InMemoryDataset({len(self)} items)"
