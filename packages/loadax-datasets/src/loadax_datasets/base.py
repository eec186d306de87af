"""The base class of all datasets: indexing as on a list, chaining, and a `repr` that shows the tree.

The file is longer than others, since the class has a method for each transform: its chain is the interface that users
see, and is not divided.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt
from loadax_core import (
    Alloc,
    Dataset,
    EpochLeakWarning,
    Gather,
    Origin,
    Rows,
    StackBatcher,
    Traced,
    check_rows,
    origins_of,
)

from .checks import check_bool, check_int
from .flat_views import FlatDocuments
from .hints import FILTER, MAP, NO_TIMES, RANDOM_MAP, SHUFFLE, check_weights_by_name, elsewhere, seed_by_name, takes_no
from .layout import Layout
from .rows import INT64, Wanted, as_array, check_range, row_in_range, rows_in_range

T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")


class Classes:
    """The classes of this package, by name, each imported when a method of `BaseDataset` first makes one.

    Transforms subclass `BaseDataset`, and its methods make transforms, so that this module cannot import theirs above.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.modules["loadax_datasets"], name)


datasets = Classes()

MOST_AT_ONCE = 256
"""The most rows that an iteration over a dataset reads in one call."""


class BaseDataset(ABC, Generic[T_co]):
    """Rows that are counted with `len()`, read with `[i]`, and transformed by chaining methods.

    A dataset reads no row before one is asked for. Only `filter` reads all rows, once, to know its length. No transform
    changes the dataset that it is called on.

    A subclass defines `__len__` and `read`, and may define `read_many` (with `batched`), `gather`, `at_epoch`,
    `fingerprint` and `describe`. All reads must be thread-safe, and the dataset must survive pickling.

    A subclass whose arguments decide which row comes when (a seed, a length of windows, a list of files) must define
    `fingerprint`, and name them there. A loader compares fingerprints before it resumes from a saved state; without
    one, a state that was saved with other arguments is taken, and the run goes on with the wrong rows.
    `loadax_core.testing.check_dataset(dataset, other=...)` compares the fingerprints of two orders.

    Raises:
        IndexError: When a row is out of range.
        TypeError: When a row is not an integer.

    Example:
        >>> class Squares(BaseDataset[int]):
        ...     def __init__(self, start: int) -> None:
        ...         self.start = start
        ...     def __len__(self) -> int:
        ...         return 5
        ...     def read(self, row: int) -> int:
        ...         return (self.start + row) ** 2
        ...     def fingerprint(self) -> dict[str, Any]:
        ...         return super().fingerprint() | {"start": self.start}
        >>> list(Squares(0)[1:].map(float))
        [1.0, 4.0, 9.0, 16.0]
        >>> Squares(0).fingerprint()
        {'rows': 5, 'start': 0}
    """

    in_epoch: int = 0
    """The epoch that `at_epoch` has made this dataset for; 0 for a new one, and for one that no epoch changes."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # An inherited fast path may not call the method that a subclass overrides. Such a path becomes the default.
        for new, others in (
            ("read", ("read_many", "batched", "gather", "_batch_layout", "_takes_casts", "_flat_documents")),
            ("gather", ("_batch_layout", "_takes_casts")),
            ("_take", ("_batch_layout", "_takes_casts")),
            ("read_many", ("read_range", "_read_numbers")),
        ):
            for other in others:
                if _depth(cls, new) < _depth(cls, other):
                    setattr(cls, other, vars(BaseDataset)[other])

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, row: int) -> T_co:
        """The row at `row`, an `int` in `range(len(self))`: `self[row]` after the check of `row`."""

    def read_many(self, rows: list[int]) -> Sequence[T_co]:
        """The items of `rows`, in that order."""
        return [self.read(row) for row in rows_in_range(rows, len(self))]

    def read_range(self, rows: range) -> Sequence[T_co]:
        """`read_many` of neighbouring rows."""
        check_range(rows, len(self))
        return self.read_many(list(rows))

    def _read_numbers(self, rows: Rows) -> Sequence[T_co]:
        """`read_many` of rows that are known to be in range."""
        return self.read_many(rows.tolist())

    @property
    def batched(self) -> bool:
        """Whether `read_many` is faster than to read one row after the other."""
        return any(source.batched for source in self.sources)

    @property
    def __getitems__(self) -> Callable[[list[int]], Sequence[T_co]] | None:
        # None if `read_many` reads one by one: then a loader divides the rows among workers, and names one that fails.
        return self.read_many if self.batched else None

    @property
    def gather(self) -> Gather | None:
        """Reads many rows as one stacked tree, or None where rows can only be read one at a time."""
        return None

    @property
    def rowwise(self) -> bool:
        """Whether rows read together have the bits that each has alone, and no read fails for a passing reason.

        Then a loader may gather several steps in one call, and divide a slow step among its workers. A dataset that is
        computed from many rows at once, as by a matrix product, or read over a network, is not: it is asked for exactly
        the rows of one step. True for transforms of sources that are.
        """
        return bool(self.sources) and all(source.rowwise for source in self.sources)

    @property
    def calls_user_code(self) -> bool:
        """Whether a gather or `at_epoch` calls a user's function; True for classes that are not this package's."""
        own = type(self).__module__.startswith("loadax_datasets.")
        return not own or any(source.calls_user_code for source in self.sources)

    def gather_range(self, rows: range, alloc: Alloc, /) -> Any:
        """Gathers neighbouring rows, without a check of each number. Only for datasets that have a `gather`."""
        check_range(rows, len(self))
        return take_from(self, rows, alloc)

    def _gather(self, rows: Rows, alloc: Alloc, /) -> Any:
        """The `gather` of datasets that define `_take`."""
        check_rows(rows, len(self))
        return self._take(rows if rows.dtype == INT64 else rows.astype(INT64), alloc)

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        """Gathers rows that are known to be in range."""
        raise NotImplementedError(f"{type(self).__name__} has `_gather` as its gather, and no `_take`")

    def _batch_layout(self) -> Layout | None:
        """The layout of a gathered batch, if it is known without reading; such a dataset defines `_write_rows`."""
        return None

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        """Writes `rows`, which are in range, to `places` of the `records` of a batch's arrays; see `Layout`."""
        raise NotImplementedError(f"{type(self).__name__} has a `_batch_layout`, and no `_write_rows`")

    def batch_spec(self, rows: int) -> Any:
        """What a gathered batch of some rows consists of, without reading one.

        Args:
            rows: The number of rows.

        Returns:
            The batch with an `ArraySpec` in place of each array; None if only reading would tell.
        """
        layout = self._batch_layout()
        return None if layout is None else layout.spec(rows)

    def _takes_casts(self) -> bool:
        """Whether a gather can write whole numbers in another dtype at once; such a dataset defines `_take_as`."""
        return False

    def _take_as(self, rows: Wanted, alloc: Alloc, dtypes: Any) -> Any:
        """`_take` with each leaf in a dtype that has all its numbers; `dtypes` is a tree like the batch."""
        raise NotImplementedError(f"{type(self).__name__} has `_takes_casts`, and no `_take_as`")

    def _flat_documents(self) -> FlatDocuments | None:
        """The rows as documents in flat arrays, which know their lengths; None if rows must be read to tell."""
        return None

    @property
    def sources(self) -> tuple[BaseDataset[Any], ...]:
        """The datasets that this one reads from."""
        return ()

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:  # noqa: ARG002 (an override's business)
        """The dataset as it is in `epoch` (0, 1, ...); the dataset itself if nothing in it depends on the epoch."""
        return self

    def fingerprint(self) -> dict[str, Any]:
        """JSON-able facts that fix the order of the rows; the same in every epoch.

        By default the number of rows. A subclass whose arguments change the order adds them:
        `super().fingerprint() | {"seed": self.seed}`.
        """
        return {"rows": len(self)}

    def rows_agreeing(self, saved: Mapping[str, Any], epoch: int) -> int:  # noqa: ARG002 (an override's business)
        """How many rows, from the start of an epoch on, are those of the dataset that a saved fingerprint is of.

        A loader resumes from a state if its position is not beyond them. By default all rows, if this dataset has the
        same fingerprint, and otherwise none. A dataset that knows its order to be the same up to a row, such as a
        mixture whose weights change later, says so.

        Args:
            saved: What `fingerprint()` returned, as read from JSON.
            epoch: The epoch of the position. Rows of the epochs before must agree, too.
        """
        return len(self) if as_json(self.fingerprint()) == saved else 0

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """What `append_only` compares: JSON-able facts that fix the order of the first rows, whatever follows them.

        Args:
            rows: How many rows, up to `len(self)`.

        Returns:
            The facts. By default their number, if this dataset has no sources and no fingerprint of its own, and
            otherwise None: it cannot tell.
        """
        own = _depth(type(self), "fingerprint") < _depth(type(self), "prefix_fingerprint")
        return None if own or self.sources else {"rows": rows}

    def origins(self, row: int) -> tuple[Origin, ...]:
        """Where a row comes from, without reading it: the rows of the lowest datasets that it is made from.

        Args:
            row: A row of this dataset; from the end if negative.

        Returns:
            One origin; of a zip one for each source, and of a packed row one for each document.

        Raises:
            IndexError: If there is no such row.
            TypeError: If `row` is not an integer.
        """
        rows = np.array([row_in_range(row, len(self))], np.int64)
        return origins_of(self.trace(rows, self.in_epoch), 1)[0]

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """`origins` of many rows at once, as arrays. By default, this dataset is a lowest one.

        Args:
            rows: Rows in range, int64 of shape `(n,)`.
            epoch: The epoch that this dataset is in.
        """
        return [Traced(np.arange(len(rows)), rows, epoch=epoch, names=self.names_of, total=len(self))]

    def names_of(self, rows: Rows) -> Sequence[str] | None:  # noqa: ARG002 (an override's business)
        """The names that `origins` gives rows: the files or the table that they are in. By default they have none.

        Args:
            rows: Rows in range, int64 of shape `(n,)`.
        """
        return None

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows of this dataset that are made from a row of a lowest dataset: the inverse of `origins`.

        Args:
            row: A row of the lowest dataset.
            path: Which source to follow at each dataset with several, as in `Origin.path`.

        Returns:
            The rows, in no particular order.

        Raises:
            ValueError: If there is no such row, or no such source.
        """
        if path or not 0 <= row < len(self):
            at = f" at path {path}" if path else ""
            raise ValueError(f"the data have no row {row}{at}: {self.describe()} has {len(self)} rows")
        return [row]

    def content_fingerprint(self) -> list[dict[str, Any]]:
        """JSON-able facts that fix the content of the rows, of this dataset and of all its sources.

        A cache directory compares them, beside the fingerprint, to refuse the rows of another dataset.
        """
        return [self._own_contents(), *(facts for source in self.sources for facts in source.content_fingerprint())]

    def _own_contents(self) -> dict[str, Any]:
        """The `content_fingerprint` of this dataset, without its sources."""
        return {}

    def frozen(self, epoch: int = 0) -> BaseDataset[T_co]:
        """The rows as they are in one epoch, whatever epoch is asked for.

        Args:
            epoch: The epoch, counted from 0.

        Raises:
            TypeError: If `epoch` is not an integer.
            ValueError: If `epoch` is negative.
        """
        return datasets.FrozenDataset(self, epoch)

    def build_warnings(self) -> list[Warning]:
        """What `DataLoader.build` is to warn of: a part of an order that changes from epoch to epoch."""
        part = self._leaking_part()
        return [] if part is None else [EpochLeakWarning(_leak(part))]

    def _leaking_part(self) -> BaseDataset[Any] | None:
        """A dataset in this tree that takes a part of an order that changes from epoch to epoch."""
        parts = (source._leaking_part() for source in self.sources)  # noqa: SLF001
        return next((part for part in parts if part is not None), None)

    def _order_changes(self) -> bool:
        """Whether some row of this dataset is another row of the data in another epoch."""
        return any(source._order_changes() for source in self.sources)  # noqa: SLF001

    def describe(self) -> str:
        """The dataset's own line in `repr`, without its sources."""
        return f"{type(self).__name__}({len(self)} rows)"

    if not TYPE_CHECKING:
        # A type checker that saw it would accept any name.
        def __getattr__(self, name: str) -> Any:
            message = elsewhere(type(self).__name__, name)
            if message is not None:
                raise AttributeError(message, name=name, obj=self)
            # Python's own words; those of a property that failed, too.
            return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return "\n".join(_tree(self))

    def _repr_html_(self) -> str:
        from html import escape  # noqa: PLC0415 - slow to import, and only needed in notebooks

        return f"<pre>{escape(repr(self))}</pre>"

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T_co: ...
    @overload
    def __getitem__(self, index: slice, /) -> BaseDataset[T_co]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> T_co | BaseDataset[T_co]:
        if type(index) is int and 0 <= index < len(self):
            return self.read(index)
        if isinstance(index, slice):
            return datasets.SlicedDataset(self, index)
        return self.read(row_in_range(index, len(self)))

    def __iter__(self) -> Iterator[T_co]:
        start, count = 0, 1
        while start < len(self):
            rows = range(start, min(start + count, len(self)))
            yield from self._read_few(rows) if len(rows) > 1 else (self.read(start),)
            # Twice as many rows in each read, if reading many is faster. A caller that stops soon has read few in vain.
            start, count = rows.stop, min(2 * count, MOST_AT_ONCE) if self.batched else 1

    def _read_few(self, rows: range) -> Iterator[T_co]:
        try:
            items = self.read_range(rows)
        except Exception:
            # Yields the rows before the one that fails. If no row fails when it is read alone, the error is raised at
            # the end.
            yield from map(self.read, rows)
            raise
        if len(items) != len(rows):
            raise ValueError(
                f"{type(self).__name__}.read_range was asked for {len(rows)} items, gave {len(items)}; it must return "
                "one for each row"
            )
        yield from items

    @overload
    def map(self, fn: Callable[[T_co], U], *, vectorized: Literal[False] = False) -> BaseDataset[U]: ...
    @overload
    def map(self, fn: Callable[[Any], Any], *, vectorized: Literal[True]) -> BaseDataset[Any]: ...
    @takes_no(MAP)
    def map(self, fn: Callable[[Any], Any], *, vectorized: bool = False) -> BaseDataset[Any]:
        """Passes every item through `fn` when it is read. `MappedDataset` says more.

        Args:
            fn: Takes an item and returns the new one. Worker threads call it, several at a time. If `vectorized`, takes
                the stacked items of the rows of a step, each leaf of shape `(n, ...)`, and returns leaves of shape
                `(n, ...)`.
            vectorized: Whether `fn` takes many rows at once, which saves a Python call for each row.

        Raises:
            TypeError: If `fn` is not callable, or `vectorized` not a bool.
        """
        if check_bool("vectorized", vectorized):
            return datasets.MappedDataset(self, fn, vectorized=True)
        return datasets.MappedDataset(self, fn)

    @takes_no(RANDOM_MAP)
    @seed_by_name("the seed is given by name: random_map({first}seed={given})")
    def random_map(self, fn: Callable[[T_co, np.random.Generator], U], *, seed: int = 0) -> BaseDataset[U]:
        """Passes every item through `fn(item, rng)`, with other random numbers each epoch.

        The random numbers depend on the seed, the epoch and the row. `RandomMappedDataset` says more.

        Args:
            fn: Takes an item and a `numpy.random.Generator`, and returns the new item. Must be thread-safe.
            seed: Any integer of at least 0.

        Raises:
            TypeError: If `fn` is not callable or `seed` not an integer.
            ValueError: If `seed` is negative.
        """
        return datasets.RandomMappedDataset(self, fn, seed=seed)

    def cast(self, dtype: npt.DTypeLike | Mapping[Any, npt.DTypeLike]) -> BaseDataset[Any]:
        """The same items, with numbers of another dtype. `CastDataset` says which casts are allowed.

        Args:
            dtype: The dtype of every leaf; or, for items that are dicts, a mapping from names of entries to dtypes,
                which leaves the other entries as they are.

        Raises:
            TypeError: If `dtype` is not one of numbers.
            ValueError: If `dtype` names no entry.
        """
        return datasets.CastDataset(self, dtype)

    @takes_no(FILTER)
    def filter(self, predicate: Callable[[T_co], object]) -> BaseDataset[T_co]:
        """Keeps the items for which `predicate` returns true. `FilteredDataset` says more.

        All rows are read once, when the length or a row is first asked for.

        Args:
            predicate: Takes an item and returns whether it is kept.

        Raises:
            TypeError: If `predicate` is not callable.
            ValueError: If this dataset changes with the epoch: filter first, then shuffle or augment.
        """
        return datasets.FilteredDataset(self, predicate)

    @takes_no(SHUFFLE)
    @seed_by_name("the seed is given by name, shuffle(seed={given}); there is no buffer: all rows are shuffled")
    def shuffle(self, *, seed: int = 0, block: int | None = None, window: int | None = None) -> BaseDataset[T_co]:
        """The rows in a random order, each exactly once, in another order each epoch.

        There is no buffer: all rows are shuffled, in constant memory. `ShuffledDataset` says more.

        Args:
            seed: Any integer of at least 0.
            block: The number of rows that are stored together, such as in a row group; None to shuffle single rows.
                Blocks are shuffled then, and the rows of every `window` blocks.
            window: The number of blocks whose rows are mixed, by default 16. Only together with `block`.

        Raises:
            TypeError: If an argument is not an integer.
            ValueError: If `seed` is negative, `block` or `window` less than 1, or `window` given without `block`.
        """
        return datasets.ShuffledDataset(self, seed=seed, block=block, window=window)

    @seed_by_name("what follows the count is given by name: sample({first}replace=..., weights=..., seed=...)")
    def sample(
        self, count: int, *, replace: bool = False, weights: npt.ArrayLike | None = None, seed: int = 0
    ) -> BaseDataset[T_co]:
        """Draws rows at random, other ones each epoch. `SampledDataset` says more.

        Args:
            count: How many rows to draw.
            replace: Whether a row may be drawn more than once.
            weights: How likely each row is to be drawn, relative to the others; of shape `(len(self),)`. Left out, all
                rows are equally likely.
            seed: Any integer of at least 0.

        Raises:
            TypeError: If `count` or `seed` is not an integer, or `replace` not a bool.
            ValueError: If `count` or `seed` is negative, if the weights are not one finite number of at least 0 for
                each row, or a masked array, or if there are too few rows to draw from.
        """
        return datasets.SampledDataset(self, count, replace=replace, weights=weights, seed=seed)

    @takes_no({}, NO_TIMES)
    def repeat(self, times: int) -> BaseDataset[T_co]:
        """The rows several times over, in the same order each time, as one epoch.

        For another order in each pass, use `DataLoader().epochs(n)` instead.

        Args:
            times: The number of repetitions, at least 0.

        Raises:
            TypeError: If `times` is not an integer.
            ValueError: If `times` is negative, or there would be more rows than `len()` can count.
        """
        return datasets.RepeatedDataset(self, times)

    def concat(self, *others: Dataset[U]) -> BaseDataset[T_co | U]:
        """The rows of this dataset, then those of `others`; also written `self + other`.

        Args:
            *others: Objects with `len()` and `[i]`.

        Raises:
            TypeError: If one of them cannot be counted or read by number.
            ValueError: If there are more rows than `len()` can count.
        """
        # All sources side by side: hundreds of nested concatenations would exceed Python's limit of recursion.
        own = self.sources if type(self) is datasets.ConcatenatedDataset else (self,)
        return datasets.ConcatenatedDataset[Any](*own, *others)

    def __add__(self, other: Dataset[U], /) -> BaseDataset[T_co | U]:
        return self.concat(other)

    @overload
    def zip(self, other: Dataset[U], /) -> BaseDataset[tuple[T_co, U]]: ...
    @overload
    def zip(self, *others: Dataset[Any]) -> BaseDataset[tuple[Any, ...]]: ...
    def zip(self, *others: Dataset[Any]) -> BaseDataset[Any]:
        """The rows of this dataset and of `others` side by side, as tuples.

        Args:
            *others: Objects with `len()` and `[i]`, as long as this dataset.

        Raises:
            TypeError: If one of them cannot be counted or read by number.
            ValueError: If their lengths differ.
        """
        return datasets.ZippedDataset(self, *others)

    def mix(
        self,
        *others: Dataset[U],
        weights: Sequence[float] | Mapping[int, Sequence[float] | tuple[str, Sequence[float], int]] | None = None,
        seed: int = 0,
        until: Literal["first", "all"] | None = None,
        rows: int | None = None,
    ) -> BaseDataset[T_co | U]:
        """Rows of this dataset and of `others` in random alternation, each with its share and in its own order.

        Shuffle the sources, not the mixture. `MixedDataset` says more.

        Args:
            *others: Objects with `len()` and `[i]`.
            weights: The shares of this dataset and of `others`, relative to each other; left out, all are equal. Or a
                mapping from rows of the mixture to the weights from there on, the first of them 0:
                `{0: [3, 1], 10_000: ("linear", [1, 1], 50_000)}` changes them over 50,000 rows.
            seed: Any integer of at least 0.
            until: When the mixture ends, if `rows` is not given. `"first"`, as if left out: with the first source that
                has no row left. `"all"`: when every source has been read to its end at least once.
            rows: The number of rows of an epoch. A source that ends starts again, and the next epoch goes on in each
                source where this one has ended.

        Raises:
            TypeError: If a source cannot be counted or read by number, a number is not an integer, or weights are given
                by position.
            ValueError: If there is not one finite weight of at least 0 for each source, if all are 0, if `until` is
                neither of the above or given beside `rows`, or if a source that is to be read is empty.
        """
        if weights is None:
            check_weights_by_name(others)
        return datasets.MixedDataset[Any]([self, *others], weights, seed=seed, until=until, rows=rows)

    def pack(
        self,
        size: int,
        *,
        lengths: npt.ArrayLike | str | os.PathLike[str] | None = None,
        how: Literal["best", "split"] = "best",
        seed: int = 0,
        long: Literal["cut", "drop", "error"] = "cut",
        pad: int | Mapping[str, int] = 0,
        leave_out: Sequence[int] = (),
        align: int = 1,
        max_documents: int | None = None,
    ) -> BaseDataset[dict[str, npt.NDArray[Any]]]:
        """Puts documents of different lengths into rows of one length, other ones together in each epoch.

        Items are one-dimensional arrays, or dicts of such arrays that are equally long. A row is a dict of arrays of
        shape `(size,)`: `tokens`, `targets`, `segment_ids`, `positions`, `loss_mask`. `PackedDataset` says more.

        Args:
            size: The length of a row.
            lengths: The length of each document; or a `.npy` file of them, which is written if it is not there. Left
                out, `self.lengths`; those of stores, if these are sliced, selected, split, filtered or concatenated; or
                else the lengths that reading all documents finds.
            how: `"best"` plans rows with hardly any padding, and cuts no document that fits into a row. `"split"` cuts
                the documents of an epoch into rows as one stream, without padding.
            seed: Any integer of at least 0.
            long: What becomes of documents longer than a row: `"cut"` into pieces, `"drop"`, or an `"error"`.
            pad: What padding is filled with; for dicts, one number, or a mapping from names to numbers.
            leave_out: Numbers of documents that become padding. Nothing else changes: a saved state still fits.
            align: Documents begin at a multiple of it in their row; only for `"best"`.
            max_documents: The most documents in a row; only for `"best"`.

        Raises:
            FileNotFoundError: If lengths are to be written into a folder that is not there.
            TypeError: If an argument is of a wrong type, or documents are neither arrays nor dicts of arrays.
            ValueError: If an argument is out of range, lengths do not fit, no document has a value, or this dataset has
                another order in each epoch.
        """
        return datasets.PackedDataset(
            self,
            size,
            lengths=lengths,
            how=how,
            seed=seed,
            long=long,
            pad=pad,
            leave_out=leave_out,
            align=align,
            max_documents=max_documents,
        )

    def append_only(self) -> BaseDataset[T_co]:
        """The same rows; a state that was saved when there were fewer is accepted, if these are still the first ones.

        Raises:
            TypeError: If the first rows cannot be compared: see `AppendOnlyDataset`.
        """
        return datasets.AppendOnlyDataset(self)

    def cache(self, directory: str | os.PathLike[str] | None = None) -> BaseDataset[T_co]:
        """Reads each row once, and keeps it. `CachedDataset` says when a directory is refused.

        Args:
            directory: The directory of the rows, which outlives the program; None for memory.

        Raises:
            ValueError: If this dataset changes with the epoch (cache first, then shuffle or augment); or if the
                directory is a URL, or begins with `~`, or belongs to another dataset.
        """
        return datasets.CachedDataset(self, directory)

    def retry(
        self, attempts: int, *, on: tuple[type[Exception], ...] = (OSError,), backoff: float = 0.1
    ) -> BaseDataset[T_co]:
        """Tries reads again that fail, as over a network they may.

        Args:
            attempts: The number of attempts before the error is raised, at least 1.
            on: The types of error after which a read is tried again. Other errors are raised at once.
            backoff: Seconds before the second attempt; doubled before each further one.

        Raises:
            TypeError: If `attempts` is not an integer, `backoff` not a number, or `on` has anything but exception
                types.
            ValueError: If `attempts` is less than 1, or `backoff` negative or not finite.
        """
        return datasets.RetriedDataset(self, attempts, on=on, backoff=backoff)

    def tolerate(
        self, most: int, *, on: type[Exception] | tuple[type[Exception], ...] = (ValueError,), seed: int = 0
    ) -> BaseDataset[T_co]:
        """The rows, with others in place of those that cannot be read, the same ones in every worker and on every host.

        The length, the order and the fingerprint stay. `ToleratedDataset` says how rows count, and what a pack does.

        Args:
            most: How many different rows may be replaced in this process, at least 1; one more is an error in the loop.
            on: The types of error after which a row is replaced, or one type. Errors that may not come again, such as
                `OSError`, are for `retry`.
            seed: Any integer of at least 0.

        Raises:
            TypeError: If `most` or `seed` is not an integer, or `on` has anything but exception types.
            ValueError: If `most` is less than 1, `seed` negative, or `on` empty.
        """
        return datasets.ToleratedDataset(self, most, on=on, seed=seed)

    def pad_to_multiple(self, multiple: int) -> BaseDataset[tuple[T_co, bool]]:
        """Pairs of an item and whether it is real, padded so that their number is a multiple of the batch size.

        Padding repeats the first rows. Multiply the loss or the metric by the flag.

        Args:
            multiple: The length becomes a multiple of this number, which is at least 1.

        Raises:
            TypeError: If `multiple` is not an integer.
            ValueError: If `multiple` is less than 1.
        """
        return datasets.PaddedDataset(self, multiple)

    def select(self, rows: Sequence[int] | npt.NDArray[Any]) -> BaseDataset[T_co]:
        """The rows of these numbers, in the order of the numbers, or the rows for which a mask is true.

        Args:
            rows: Row numbers of shape `(n,)`, which may repeat, and count from the end if negative; or a mask of bools,
                of shape `(len(self),)`.

        Raises:
            IndexError: If there is no such row.
            TypeError: If `rows` are no sequence, or neither integers nor bools.
            ValueError: If they are not one-dimensional, a mask of another length than this dataset, or a masked array.
        """
        return datasets.SelectedDataset(self, rows)

    @seed_by_name("the seed is given by name: random_split({first}seed={given})")
    def random_split(self, parts: Sequence[float], *, seed: int = 0) -> tuple[BaseDataset[T_co], ...]:
        """Divides the rows at random, such as to train and to test, in the same way in every epoch.

        Args:
            parts: The size of each part: fractions that sum to 1, or numbers of rows that sum to `len(self)`.
            seed: Any integer of at least 0.

        Returns:
            A dataset for each part. The rows of a part come in a random order; `shuffle` the part to train on.

        Raises:
            TypeError: If `parts` is no list of numbers, or `seed` is not an integer.
            ValueError: If the parts have another sum, if one is negative, or a fraction above 0 leaves a part without
                rows; if `seed` is negative; or if the rows change with the epoch.
        """
        first = datasets.SplitDataset(self, parts, 0, seed=seed)
        return first, *(datasets.SplitDataset(self, parts, part, seed=seed) for part in range(1, len(parts)))

    def take(self, count: int) -> BaseDataset[T_co]:
        """The first `count` rows, or all if there are fewer.

        Args:
            count: A number of rows, at least 0.

        Raises:
            TypeError: If `count` is not an integer.
            ValueError: If `count` is negative.
        """
        return self[: check_int("count", count, 0)]

    def skip(self, count: int) -> BaseDataset[T_co]:
        """All rows but the first `count`.

        Args:
            count: A number of rows, at least 0.

        Raises:
            TypeError: If `count` is not an integer.
            ValueError: If `count` is negative.
        """
        return self[check_int("count", count, 0) :]


def as_json(facts: Any) -> Any:
    """Facts as they are read back from JSON: tuples are lists, and all keys are strings."""
    return json.loads(json.dumps(facts))


def take_from(dataset: BaseDataset[Any], rows: Wanted, alloc: Alloc) -> Any:
    """Gathers rows, known to be in range; of a dataset without a `gather`, the stack of its items."""
    gather: Any = dataset.gather
    if gather is None:
        # A mixture gathers if its sources do, and in another pass a user's dataset may be read otherwise.
        return StackBatcher().stack(list(dataset.read_many(as_array(rows).tolist())), alloc)
    if getattr(gather, "__func__", None) is _OWN:
        return gather.__self__._take(rows, alloc)  # noqa: SLF001
    # A user's own gather may write to the row numbers, so it gets a copy.
    return gather(np.array(rows, np.int64), alloc)


_OWN: Any = vars(BaseDataset)["_gather"]
"""The `gather` that checks its rows and calls `_take`."""


def _leak(part: BaseDataset[Any]) -> str:
    tree = "\n".join(f"  {line}" for line in repr(part).splitlines())
    return (
        "a slice, take, skip or select has other rows in each epoch, since the order that it is a part of changes with "
        f"the epoch:\n{tree}\nTo have the same rows in every epoch, take the part first and shuffle then, "
        "dataset[:900].shuffle(seed=0); or divide the dataset, dataset.random_split([0.9, 0.1], seed=0); or keep the "
        "order of one epoch, dataset.shuffle(seed=0).frozen(epoch=0)[:900]. If another part in each epoch is what is "
        "meant, draw it: dataset.sample(900, seed=0)"
    )


def _depth(cls: type, name: str) -> int:
    """The position in a class's method resolution order of the first class that defines `name`."""
    return next(i for i, base in enumerate(cls.__mro__) if name in vars(base))


def _tree(dataset: BaseDataset[Any]) -> list[str]:
    lines = [dataset.describe()]
    for i, source in enumerate(dataset.sources):
        last = i == len(dataset.sources) - 1
        first, *rest = _tree(source)
        lines.append(("└─ " if last else "├─ ") + first)
        lines.extend(("   " if last else "│  ") + line for line in rest)
    return lines
