"""Documents of different lengths, packed into rows of one length.

The file is longer than others by the docstring of its class, which says what is in a row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, ArraySpec, Dataset, Gather, Rows, Traced, aligned_empty, tree

from ..checks import check_int
from ..flat_views import FlatDocuments
from ..forks import ForkLock
from ..orders.packing import BestFit, Lengths, Long
from ..orders.row_blocks import RowBlocks
from ..orders.stream import Stream
from ..rows import Wanted, rows_in_range
from .base import CHUNK, Transform
from .documents import OWN, FlatReader, ItemReader, Kind, Reader, numbers_of, plain_pad, trace_pieces
from .lengths import check_given, hash_lengths, lengths_of
from .pieces import Writer
from .sorted_files import sorted_documents

How = Literal["best", "split"]

NAMES = "tokens", "targets", *OWN, "loss_mask"
"""What is in a row of documents that are one array each."""


class PackedDataset(Transform[Any]):
    """Documents of different lengths, one after the other in rows of one length.

    A row of arrays is a dict of arrays of shape `(size,)`:

    - `"tokens"`: the documents, and `pad` where there is none.
    - `"targets"`: the token that follows in the same document, and `pad` where there is none.
    - `"segment_ids"`, int32: 1, 2, ... for the documents of the row, 0 for padding.
    - `"positions"`, int32: 0, 1, ... within each document of the row. A later piece of a document that was cut begins
      at 0 again.
    - `"loss_mask"`, bool: whether there is a target. There is none at a document's last token, nor in padding.

    A row of dicts of arrays keeps these under their names, beside `"segment_ids"` and `"positions"`. All documents have
    the same names, in any order.

    Which lengths share a row is planned once. In each epoch, other documents of these lengths share it, and the rows
    come in another order: the number of rows and the padding are the same in every epoch. A row is found without the
    rows before it. The plan takes the memory of one number for each document; it is not pickled, and made anew in each
    worker process. From 1,000,000 documents on, these numbers are kept in a file beside a store, if it can be written,
    and all processes map it.

    A document that a `tolerate` below cannot read becomes padding. If its length is not given either, it has none.

    Args:
        source: Documents: one-dimensional arrays, or dicts of such arrays that are equally long. They may not come in
            another order in each epoch.
        size: The length of a row.
        lengths: The length of each document; or a `.npy` file of them, which is written if it is not there. Left out,
            `source.lengths`; those of stores, if these are sliced, selected, split, filtered or concatenated; or else
            the lengths that reading all documents finds. Other lengths than those of a
            store are refused at once, and of other datasets when the document is read.
        how: `"best"` plans rows with hardly any padding, and cuts no document that fits into a row. `"split"` cuts the
            documents of an epoch into rows as one stream, without padding: only the last incomplete row is left out.
        seed: Any integer of at least 0.
        long: What becomes of documents longer than a row: `"cut"` into pieces, `"drop"`, or an `"error"`.
        pad: What padding is filled with; for dicts, one number, or a mapping from names to numbers.
        leave_out: Numbers of documents that become padding. Nothing else changes: a saved state still fits.
        align: Documents begin at a multiple of it in their row; only for `"best"`.
        max_documents: The most documents in a row; only for `"best"`.

    Raises:
        FileNotFoundError: If lengths are to be written into a folder that is not there.
        TypeError: If an argument is of a wrong type, or documents are neither arrays nor dicts of arrays.
        ValueError: If an argument is out of range, lengths do not fit, no document has a value, or the source has
            another order in each epoch.

    Example:
        >>> rows = PackedDataset([np.array([1, 2, 3]), np.array([11, 12])], 6)
        >>> rows
        PackedDataset(1 rows of 6: 2 documents a row, 16.67% padding)
        └─ IndexedDataset(list of 2 rows)
        >>> for name, values in rows[0].items():
        ...     print(f"{name:12}", *values.astype(int))
        tokens       1 2 3 11 12 0
        targets      2 3 0 12 0 0
        segment_ids  1 1 1 2 2 0
        positions    0 1 2 0 1 0
        loss_mask    1 1 0 1 0 0
    """

    _changes_with_epoch: ClassVar[bool] = True

    def __init__(
        self,
        source: Dataset[Any],
        size: int,
        *,
        lengths: npt.ArrayLike | str | os.PathLike[str] | None = None,
        how: How = "best",
        seed: int = 0,
        long: Long = "cut",
        pad: int | Mapping[str, int] = 0,
        leave_out: Sequence[int] = (),
        align: int = 1,
        max_documents: int | None = None,
    ) -> None:
        super().__init__(source)
        self._size, self._seed = check_int("size", size, 1), check_int("seed", seed, 0)
        self._align = check_int("align", align, 1)
        self._most = None if max_documents is None else check_int("max_documents", max_documents, 1)
        self._how, self._pad = how, plain_pad(pad)
        self._long: Long = long
        check_settings(how, long, self._size, self._align, self._most)
        if self._source._order_changes():  # noqa: SLF001
            raise ValueError(
                "pack deals the documents anew in each epoch, and needs a source in one order; leave out its shuffle, "
                f"or keep the order of one epoch with .frozen(epoch=0):\n{self._source!r}"
            )
        self._left_out = numbers_of(leave_out, len(self._source))
        # None if the source itself has them.
        flat = self._flat
        self._known = None if flat is not None and lengths is None else lengths_of(self._source, lengths)
        self._digest = None if self._known is None else hash_lengths(self._known)
        plan = self._make_plan()
        self._length = plan.rows
        if not plan.rows:
            raise ValueError(
                f"there is nothing to pack: the {len(self._source)} documents do not fill a row of {self._size}"
            )
        self._pieces_each, self._padding = plan.pieces / plan.rows, 1 - plan.values / (plan.rows * self._size)
        if flat is not None:
            if self._known is not None:
                check_given(self._known, flat, lengths)
            # Known without reading a document.
            _ = self._kind
        self._plan: BestFit | Stream | None = plan
        self._dealt: RowBlocks | None = None
        self._lock = ForkLock()

    def _make_plan(self) -> BestFit | Stream:
        if self._how == "split":
            return Stream(self._lengths, self._size, self._long)
        data = sorted_documents(self._lengths, self._size, self._long)
        return BestFit(self._lengths, data, self._size, self._align, self._most)

    @property
    def _flat(self) -> FlatDocuments | None:
        """The documents, if they lie in flat arrays."""
        return self._source._flat_documents()  # noqa: SLF001

    @property
    def _lengths(self) -> Lengths:
        lengths = self._flat if self._known is None else self._known
        assert lengths is not None, "lengths are known, unless the documents lie in flat arrays"
        return lengths

    def __len__(self) -> int:
        return self._length

    def read(self, row: int) -> Any:
        """The row, of arrays of shape `(size,)`."""
        return tree.map_leaves(lambda _, leaf: leaf[0], self._take(np.array([row]), aligned_empty))

    def read_many(self, rows: list[int]) -> Sequence[Any]:
        """Rows that are packed together, as views of the arrays of all."""
        batch = self._take(np.array(rows_in_range(rows, len(self)), np.int64), aligned_empty)
        return [tree.map_leaves(lambda _, leaf, i=i: leaf[i], batch) for i in range(len(rows))]

    @property
    def batched(self) -> bool:
        """True: documents of several rows are copied at once."""
        return True

    @property
    def gather(self) -> Gather:
        """Copies the documents of all rows into the arrays of the batch."""
        return self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        kind, size, placed = self._kind, self._size, self._rows()(rows)
        arrays, lost = self._reader.arrays(placed.which[placed.numbers > 0], kind)
        if len(lost):
            placed = placed.without(np.isin(placed.which, lost))
        leaves, own, more = ([alloc((len(rows), size), dtype) for dtype in dtypes] for dtypes in kind.dtypes_of_rows)
        writer = Writer(placed, len(rows) * size)
        for out, values, pad in zip(leaves, arrays, kind.pads, strict=True):
            writer.copy(values, out.reshape(-1), pad)
        writer.segments(*own)
        if kind.bare:
            targets, mask = more
            writer.targets(leaves[0].reshape(-1), arrays[0], targets.reshape(-1), kind.pads[0])
            writer.mask(mask.reshape(-1))
        return self._named((leaves, own, more))

    def _named(self, arrays: Sequence[list[Any]]) -> Any:
        """Leaves of documents, segments and positions, and of bare arrays targets and a mask, by their names."""
        leaves, own, more = arrays
        if self._kind.bare:
            return dict(zip(NAMES, (*leaves, *more[:1], *own, *more[1:]), strict=True))
        return {**self._kind.build(leaves), **dict(zip(OWN, own, strict=True))}

    def _rows(self) -> RowBlocks:
        """The rows of this epoch. They are planned when one is first read, in the process that reads it."""
        if self._dealt is None:
            with self._lock.held():
                if self._dealt is None:
                    if self._plan is None:
                        self._plan = self._make_plan()
                    find = self._plan.in_epoch(self._seed, self.in_epoch)
                    self._dealt = RowBlocks(find, len(self), self._size, self._reader.locate, self._left_out)
        return self._dealt

    @property
    def padding(self) -> float:
        """The share of padding, from 0 to 1."""
        return float(self._padding)

    def batch_spec(self, rows: int) -> Any:
        """The arrays of a row, with one row for each; None for documents of a source that must be read to tell."""
        if self._flat is None:
            return None
        kind = self._kind

        def spec(dtype: np.dtype[Any]) -> ArraySpec:
            return ArraySpec((rows, self._size), dtype, rows * self._size * dtype.itemsize)

        return self._named([[spec(np.dtype(dtype)) for dtype in dtypes] for dtypes in kind.dtypes_of_rows])

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The documents in the rows, without those that are left out, each with the part of it that is there."""
        return trace_pieces(self._source, self._rows().pieces(rows), self._left_out, epoch)

    def places(self, row: int, path: tuple[int, ...] = ()) -> list[int]:
        """The rows that have a piece of the document. Looks at all rows of the epoch."""
        documents = np.array(self._source.places(row, path), np.int64)
        found: list[int] = []
        for start in range(0, len(self), CHUNK):
            pieces = self._rows().pieces(range(start, min(start + CHUNK, len(self))))
            here = np.isin(pieces.documents, documents) & ~np.isin(pieces.documents, self._left_out)
            found += np.unique(start + pieces.rows[here]).tolist()
        return found

    @cached_property
    def _kind(self) -> Kind:
        return Kind(self._reader.example(), self._pad)

    @cached_property
    def _reader(self) -> Reader:
        flat = self._flat
        return ItemReader(self._source, self._lengths) if flat is None else FlatReader(flat)

    def _order_changes(self) -> bool:
        return True

    def _set_epoch(self, epoch: int) -> None:  # noqa: ARG002 (`in_epoch` is set)
        self._dealt, self._lock = None, ForkLock()
        vars(self).pop("_reader", None)
        if self._how == "split":
            # To add up all lengths takes long, and a worker calls this ahead of time.
            self._rows()

    def fingerprint(self) -> dict[str, Any]:
        """What fixes the rows: the settings, the lengths if they were given, and the source."""
        facts: dict[str, Any] = {
            "pack": self._size,
            "how": self._how,
            "seed": self._seed,
            "long": self._long,
            "align": self._align,
            "max_documents": self._most,
            "lengths": self._digest,
        }
        return facts | {"source": self._source.fingerprint()}

    def _own_contents(self) -> dict[str, Any]:
        """What padding is filled with, and the documents that are left out."""
        return {"pad": self._pad, "leave_out": self._left_out.tolist()}

    def describe(self) -> str:
        """The rows, the documents in each, and the share of padding."""
        each, padding = self._pieces_each, self._padding
        return f"PackedDataset({len(self)} rows of {self._size}: {each:.3g} documents a row, {padding:.2%} padding)"

    def __copy__(self) -> PackedDataset:
        """For another epoch, with the plan, which is the same in all of them."""
        new = object.__new__(type(self))
        vars(new).update(vars(self))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """Without the plan, which takes longer to send than to make."""
        state = vars(self) | {"_plan": None, "_dealt": None}
        for name in ("_kind", "_reader"):
            state.pop(name, None)
        return state


def check_settings(how: str, long: str, size: int, align: int, max_documents: int | None) -> None:
    """Checks the arguments that do not depend on the lengths.

    Raises:
        ValueError: If a setting is out of range, or does not fit the others.
    """
    if how not in get_args(How):
        raise ValueError(f"how must be 'best' or 'split', got {how!r}")
    if long not in get_args(Long):
        raise ValueError(f"long must be 'cut', 'drop' or 'error', got {long!r}")
    if size % align:
        raise ValueError(f"size must be a multiple of align={align}, got {size}")
    if how == "split" and (align > 1 or max_documents is not None):
        raise ValueError("align and max_documents need how='best': 'split' leaves no room between documents")
