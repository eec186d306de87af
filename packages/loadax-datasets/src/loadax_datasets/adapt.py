"""Anything with `len()` and `[i]` as a Loadax dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
from loadax_core import Dataset, Gather, check_not_table, gather_of, read_items, with_length

from .base import BaseDataset
from .rows import rows_in_range
from .sources.arrays import ArrayDataset

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def as_dataset(source: Dataset[T]) -> BaseDataset[T]:
    """Gives anything indexable the methods of a Loadax dataset.

    Args:
        source: A Loadax dataset, which is returned as it is; an array, whose first dimension counts the rows; or any
            object with `len()` and `[i]`, such as a list or a Hugging Face or PyTorch dataset. An array of another
            library, such as Zarr's, may have a `shape` in place of `len()`.

    Returns:
        A dataset of the same rows.

    Raises:
        TypeError: If `source` cannot be counted or read by number, or is a table of Pandas, Polars or Arrow, whose
            `[i]` is not row `i`.

    Example:
        >>> list(as_dataset(["a", "b", "c"]).map(str.upper)[1:])
        ['B', 'C']
    """
    if isinstance(source, BaseDataset):
        return source
    if isinstance(source, np.ndarray):
        return ArrayDataset[Any](source)
    return IndexedDataset(with_length(source))


class IndexedDataset(BaseDataset[T_co]):
    """An object with `len()` and `[i]` as a Loadax dataset.

    It uses the object's `__getitems__`, `gather`, `at_epoch` and `fingerprint`, where there are any.

    Args:
        source: Any object with `len()` and `[i]`. It is kept, not copied.

    Raises:
        TypeError: If `source` cannot be counted or read by number.

    Example:
        >>> IndexedDataset(["a", "b", "c"])[-1]
        'c'
    """

    def __init__(self, source: Dataset[T_co]) -> None:
        check_indexable(source)
        self._source = source
        self.in_epoch = getattr(source, "in_epoch", 0)
        # Looked for once: to look at its signature takes longer than a gather of few rows.
        self._source_gather = gather_of(source)

    def __len__(self) -> int:
        return len(self._source)

    def read(self, row: int) -> T_co:
        """The source's row."""
        return self._source[row]

    def read_many(self, rows: list[int]) -> Sequence[T_co]:
        """The source's rows, with its `__getitems__` if it has one."""
        return read_items(self._source, rows_in_range(rows, len(self)))

    @property
    def batched(self) -> bool:
        """Whether the source has a `__getitems__`."""
        return getattr(self._source, "__getitems__", None) is not None

    @property
    def gather(self) -> Gather | None:
        """The source's own gather."""
        return self._source_gather

    @property
    def rowwise(self) -> bool:
        """What the source says of itself; False if it says nothing."""
        return getattr(self._source, "rowwise", False) is True

    @property
    def calls_user_code(self) -> bool:
        """True: the source is the user's."""
        return True

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The source as it is in `epoch`."""
        at_epoch: Callable[[int], Dataset[T_co]] | None = getattr(self._source, "at_epoch", None)
        if at_epoch is None:
            return self
        source = at_epoch(epoch)
        if source is self._source:
            return self
        moved = IndexedDataset(source)
        moved.in_epoch = epoch
        return moved

    def fingerprint(self) -> dict[str, Any]:
        """The source's own fingerprint, or its length."""
        fingerprint: Callable[[], Mapping[str, Any]] | None = getattr(self._source, "fingerprint", None)
        return dict(fingerprint()) if callable(fingerprint) else super().fingerprint()

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The source's own, or the number of rows if it has no fingerprint."""
        own: Any = getattr(self._source, "prefix_fingerprint", None)
        if callable(own):
            return cast("Any", own(rows))
        return None if callable(getattr(self._source, "fingerprint", None)) else {"rows": rows}

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:
        """The source's own, or as of any dataset."""
        own: Any = getattr(self._source, "rows_agreeing", None)
        return cast("int", own(saved, epoch)) if callable(own) else super().rows_agreeing(saved, epoch)

    def __reduce__(self) -> tuple[type[IndexedDataset[T_co]], tuple[Dataset[T_co]]]:
        return type(self), (self._source,)

    def describe(self) -> str:
        """The source's type and length."""
        return f"IndexedDataset({type(self._source).__name__} of {len(self)} rows)"


def check_indexable(source: object) -> None:
    """Refuses what has no rows.

    Raises:
        TypeError: If `source` cannot be counted or read by number, has keys instead of rows, or is a table of Pandas,
            Polars or Arrow, which give columns, or rows by label, for `[i]`.
    """
    kind = type(source).__name__
    check_not_table(source)
    if isinstance(source, Mapping):
        raise TypeError(f"a {kind} has keys, not rows; use ArrayDataset for a dict of arrays, or list(d.items())")
    if isinstance(source, str | bytes):
        raise TypeError(f"a {kind} is one item, not a dataset: {source[:40]!r}; put it in a list")
    if not hasattr(type(source), "__len__") or not hasattr(type(source), "__getitem__"):
        fix = "; list(...) makes rows of an iterable that fits in memory" if isinstance(source, Iterable) else ""
        raise TypeError(f"a dataset needs len() and [i], which {kind} does not have{fix}")
