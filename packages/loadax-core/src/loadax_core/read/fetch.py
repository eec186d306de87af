"""Rows to a batch: how rows are read, made into a batch, and placed, and what an error on the way says.

The file is longer than others: what an error says of its rows needs the way that they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from .. import tree
from ..batch.merge import join_batches
from ..batch.pad import PadBatcher
from ..batch.stack import StackBatcher
from ..errors import StackError, add_note, is_interrupt
from ..memory.pool import Pin
from ..plan.steps import Step
from ..protocols import (
    Alloc,
    Dataset,
    GatherRange,
    Numbers,
    Placement,
    ReadMethod,
    ReadRange,
    ShardingStrategy,
)
from ..text import describe, name_of
from .access import ReadMany, calls_user_code, checked_items, gather_of, is_rowwise
from .counts import count

MOST_SEARCHED = 1 << 16
"""Rows of a batch that are read one by one to find the one that raised an error."""


class Fetch:
    """Reads the rows of a plan's steps, makes batches of them, and places them; immutable, and shared by all workers.

    Attributes:
        gathers: Whether whole batches are gathered, rather than read item by item and batched.
        counts: The functions of `DataLoader.count`, by name.
        places: Whether batches are placed on devices.
        pin: Page-locks memory that several batches are placed from; None if the placement has no `pin`.
        queued: Whether a transfer waits for all work that the device was given before; see `Placement`.
        read_method: How rows are read.
        divisible: Whether workers may share the rows of one batch: a row has the same bits whatever rows are read with
            it, and no function of the user's sees how many rows are read together.
        groups: Whether several batches may be gathered in one call; the condition is that of `divisible`.
        calls_user_code: Whether a read, or `at_epoch`, may call a function of the user's.
        helps: Whether the consumer may gather batches: no function of the user's is called for them.
        changes_with_epoch: Whether the dataset has an `at_epoch`, which may return another dataset for each epoch.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batcher: Callable[[list[Any]], Any],
        strategy: ShardingStrategy | None = None,
        place: Placement | None = None,
        *,
        divided: bool = False,
        counts: Mapping[str, Callable[[Any], Any]] = {},
    ) -> None:
        """Looks at what the dataset, the batcher and the placement can do.

        Args:
            dataset: The dataset.
            batcher: Makes items into batches.
            strategy: Says which rows of a batch this process reads; None for all of them.
            place: Places a batch on devices; None to leave it on the host.
            divided: Whether another process divides the batches by rows among devices. With `strategy` and `place`,
                this one does.
            counts: The functions of `DataLoader.count`, by name.
        """
        self._dataset = dataset
        self._batcher = batcher
        self._strategy = strategy
        self._place = place
        # Only the plain stack promises the same batch either way; a subclass may do anything.
        self._gather = gather_of(dataset) if type(batcher) is StackBatcher else None
        self._gather_range: GatherRange | None = getattr(dataset, "gather_range", None)
        self.gathers = self._gather is not None
        self.counts = counts
        self.places = place is not None
        mover = None if place is None else place if strategy is None else strategy
        self.pin: Pin | None = getattr(mover, "pin", None)
        self.queued: bool = getattr(mover, "queued", False)
        self._read_many: ReadMany | None = getattr(dataset, "__getitems__", None)
        self._read_range: ReadRange | None = getattr(dataset, "read_range", None)
        self.read_method: ReadMethod = "gather" if self.gathers else "items" if self._read_many is None else "many"
        rowwise = is_rowwise(dataset)
        self.divisible = rowwise or self.read_method == "items"
        self.groups = rowwise and self.gathers
        self.calls_user_code = calls_user_code(dataset)
        self.helps = self.groups and place is None and not counts and not self.calls_user_code
        self.changes_with_epoch = hasattr(dataset, "at_epoch")
        # A subclass may do more than these two.
        known = type(batcher) in (StackBatcher, PadBatcher)
        self._divided = divided or (strategy is not None and place is not None)
        self._stack = batcher.stack if known and isinstance(batcher, StackBatcher | PadBatcher) else None

    def __reduce__(self) -> tuple[Callable[..., Fetch], tuple[Any, ...]]:
        rebuild = partial(Fetch, divided=self._divided, counts=self.counts)
        return rebuild, (self._dataset, self._batcher, self._strategy, self._place)

    def elsewhere(self) -> Fetch:
        """The same for a process that is told which rows to read, and that neither counts nor places batches."""
        return Fetch(self._dataset, self._batcher, divided=self._divided)

    @property
    def dataset(self) -> Dataset[Any]:
        """The dataset."""
        return self._dataset

    @property
    def batcher(self) -> Callable[[list[Any]], Any]:
        """The batcher, which makes items into a batch."""
        return self._batcher

    @property
    def placement(self) -> Placement | None:
        """The placement of batches on devices, or None."""
        return self._place

    def at_epoch(self, epoch: int) -> Fetch:
        """The same, reading the dataset as it is in `epoch`.

        Raises:
            RuntimeError: If it has another length then, so that rows would be missing, or left out.
        """
        at_epoch = getattr(self._dataset, "at_epoch", None)
        if at_epoch is None:
            return self
        dataset = at_epoch(epoch)
        if dataset is not self._dataset and (rows := len(dataset)) != len(self._dataset):
            raise RuntimeError(
                f"{type(self._dataset).__name__}.at_epoch has returned {rows} rows for epoch {epoch}, and the dataset "
                f"has {len(self._dataset)}; every epoch of a dataset must have the same number of rows"
            )
        options: Any = {"divided": self._divided, "counts": self.counts}
        return Fetch(dataset, self._batcher, self._strategy, self._place, **options)

    def rows(self, steps: Sequence[Step]) -> Numbers:
        """The rows that this process loads of the batches of some steps, one batch after the other.

        Args:
            steps: Steps that follow each other in one epoch, and have the same number of rows.
        """
        first, last = steps[0], steps[-1]
        if self._strategy is None:
            return range(first.start, last.stop)
        local = np.asarray(self._strategy.local_rows(first.size), np.int64)
        rows = local + first.start if first is last else np.concatenate([local + step.start for step in steps])
        return rows if self.gathers else rows.tolist()

    def gather(self, numbers: Numbers, count: int, alloc: Alloc) -> list[Any]:
        """Several batches, in one call.

        Args:
            numbers: The row numbers of all batches, one batch after the other.
            count: The number of batches; all have the same number of rows.
            alloc: Provides memory.

        Returns:
            The batches, as views of memory that they share.

        Raises:
            BaseException: What the dataset raises. If `count` is 1, a note names the row.
        """
        assert self._gather is not None, "callers look at self.gathers"
        rows: Any = numbers
        try:
            if not isinstance(rows, range):
                if isinstance(numbers, list):
                    # The dataset of another epoch is read as items.
                    rows = np.array(numbers, np.int64)
                gathered = self._gather(rows, alloc)
            elif self._gather_range is None:
                gathered = self._gather(np.arange(rows.start, rows.stop, dtype=np.int64), alloc)
            else:
                gathered = self._gather_range(rows, alloc)
        except StackError as error:
            self._note_items(error, rows)
            raise
        except BaseException as error:
            if count == 1:
                self._note_culprit(error, rows)
            raise
        leaves, build = tree.flatten(gathered)
        each = (len(rows),)
        for leaf in leaves:
            if getattr(leaf, "shape", each)[:1] != each:
                raise self._miscounted(gathered, len(rows))
        if count == 1:
            return [gathered]
        size = len(rows) // count
        return [build([leaf[i * size : (i + 1) * size] for leaf in leaves]) for i in range(count)]

    def _miscounted(self, gathered: Any, rows: int) -> ValueError:
        shapes = ((path, getattr(leaf, "shape", (rows,))) for path, leaf in tree.leaves(gathered))
        path, shape = next((path, shape) for path, shape in shapes if shape[:1] != (rows,))
        return ValueError(
            f"{type(self._dataset).__name__}.gather was asked for {rows} rows, gave {tree.name(path)} of shape "
            f"{tuple(shape)}; each leaf must have one entry for each row"
        )

    def read(self, rows: Numbers, watch: Callable[[int], None] | None = None) -> list[Any]:
        """The items of `rows`, as a list: items that the dataset makes only when they are taken are made here.

        Args:
            rows: Row numbers.
            watch: Called with each row before it is read, if rows are read one by one.
        """
        if isinstance(rows, np.ndarray):
            # An array is of another epoch, whose dataset is gathered.
            rows = rows.tolist()
        if self._read_many is not None and len(rows) > 1:
            try:
                if self._read_range is not None and isinstance(rows, range):
                    return list(checked_items(self._read_range(rows), rows, self._dataset, "read_range"))
                wanted = list(rows)
                return list(checked_items(self._read_many(wanted), wanted, self._dataset))
            except BaseException as error:
                self._note_culprit(error, rows)
                raise
        items: list[Any] = []
        row = -1
        try:
            for row in rows:
                if watch is not None:
                    watch(row)
                items.append(self._dataset[row])
        except BaseException as error:
            _note(error, f"raised by row {row}")
            raise
        return items

    def join(self, parts: list[Any], rows: Numbers, alloc: Alloc) -> Any:
        """The batch of what was read in parts: gathered arrays, or items.

        Args:
            parts: In the order of the rows.
            rows: All row numbers of the batch.
            alloc: Provides memory.
        """
        if not self.gathers:
            return self.batch([item for part in parts for item in part], rows, alloc)
        ends = list(accumulate(len(next(iter(tree.flatten(part)[0]), ())) for part in parts))
        try:
            return join_batches(parts, [slice(i, j) for i, j in pairwise([0, *ends])], alloc)
        except StackError:
            # Parts may differ though the batch as a whole can be gathered: NumPy's strings are as wide as the longest
            # of those gathered together. If it cannot be gathered, the error is the same as without workers.
            return self.gather(rows, 1, alloc)[0]

    def batch(self, items: list[Any], rows: Numbers, alloc: Alloc) -> Any:
        """The batch that the batcher makes of `items`."""
        if self._stack:
            try:
                return self._stack(items, alloc)
            except StackError as error:
                self._note_items(error, rows)
                raise
            except BaseException as error:
                _note(error, f"made of rows {describe(rows)}")
                raise
        try:
            batch = self._batcher(items)
        except BaseException as error:
            _note(error, f"made of rows {describe(rows)}")
            raise
        if batch is None:
            raise TypeError(f"{name_of(self._batcher)} gave None for a batch; a batcher returns the batch")
        if self._divided:
            _check_divided(batch, len(items))
        return batch

    def count(self, batch: Any) -> dict[str, float]:
        """What is counted in a batch, by name.

        Raises:
            BaseException: What a function of the user's raises. A note names the count.
        """
        return count(self.counts, batch)

    def place(self, batch: Any) -> Any:
        """The batch on its devices; the batch itself if there is no placement."""
        return batch if self._place is None else self._place(batch)

    @staticmethod
    def _note_items(error: StackError, rows: Numbers) -> None:
        """Notes which rows the items of a batch are that do not fit together, or the one that does not fit."""
        items = [item for item in dict.fromkeys(error.items) if item < len(rows)]
        add_note(error, "loadax: " + ", ".join(f"item {item} is row {int(rows[item])}" for item in items))

    def _note_culprit(self, error: BaseException, rows: Numbers) -> None:
        """Finds which of the rows read together raised `error`, by reading them one at a time."""
        # If memory ran out, a single row would not tell why.
        if isinstance(error, Exception) and not isinstance(error, MemoryError):
            for row in map(int, rows[:MOST_SEARCHED]):
                try:
                    self._dataset[row]
                except Exception as again:
                    if type(again) is type(error):
                        for note in getattr(again, "__notes__", []):
                            add_note(error, note)
                        add_note(error, f"loadax: raised by row {row}")
                        return
        _note(error, f"raised by a read of rows {describe(rows)}")


def _note(error: BaseException, text: str) -> None:
    """Notes which rows an error is about, unless a signal handler has raised it: then it is about none."""
    if not is_interrupt(error):
        add_note(error, f"loadax: {text}")


def _check_divided(batch: Any, rows: int) -> None:
    """Refuses a batch of which the first dimension is not its rows, where that is divided among devices.

    Raises:
        ValueError: If there is a leaf of another one.
    """
    for path, leaf in _all_leaves(batch, ()):
        shape = getattr(leaf, "shape", ())
        if shape and shape[0] != rows:
            raise ValueError(
                f"{tree.name(path)} has shape {tuple(shape)}, made of {rows} rows, and .shard divides the first "
                "dimension among devices; let the batcher keep the rows there, and reshape in the training step"
            )


def _all_leaves(batch: Any, path: tree.Path) -> Iterator[tuple[tree.Path, Any]]:
    """Every leaf with its path, also in containers that only JAX opens."""
    for place, leaf in tree.leaves(batch, path):
        opened = None if hasattr(leaf, "__array__") else tree.registered(leaf)
        if opened is None:
            yield place, leaf
        else:
            for step, child in opened[0]:
                yield from _all_leaves(child, (*place, step))
