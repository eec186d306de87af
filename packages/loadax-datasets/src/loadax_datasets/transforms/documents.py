"""Reading the documents that are packed: from flat arrays, or as items of any dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Rows, Traced, add_note, tree

from ..base import BaseDataset
from ..checks import check_int
from ..flat_views import FlatDocuments
from ..orders.packing import Lengths, Pieces
from .lengths import document_length
from .pieces import Arrays
from .unreadable import LEFT_OUT, read_readable

Array = npt.NDArray[Any]

OWN = "segment_ids", "positions"
"""The names of what every packed row has beside the leaves of its documents."""


class Kind:
    """What documents are made of.

    Args:
        example: A document.
        pad: What padding is filled with: one number, or a number for each name.

    Attributes:
        bare: Whether a document is one array.
        paths: The place of each leaf in a document.
        dtypes: The dtype of each leaf.
        dtypes_of_rows: Those of a packed row: of the leaves, of what all rows have, and of what rows of arrays have.
        pads: What padding is filled with, for each leaf.
        build: Makes the tree of a document, or of many.

    Raises:
        TypeError: If a document is neither an array nor a dict of arrays, or the padding is no number.
        ValueError: If a name is taken, or the padding does not fit.
    """

    def __init__(self, example: Any, pad: int | Mapping[str, int]) -> None:
        leaves, self.build = tree.flatten(example)
        document_length(leaves)
        self.paths = [path for path, _ in tree.leaves(example)]
        self.bare = isinstance(example, np.ndarray)
        self.dtypes = [cast("Array", leaf).dtype.newbyteorder("=") for leaf in leaves]
        names = set[str]() if self.bare else _names(example)
        if isinstance(pad, Mapping) and not names.issuperset(pad):
            raise ValueError(f"pad={pad!r} names what documents do not have: they have {sorted(names) or 'no names'}")
        by_step = {f"[{name!r}]": value for name, value in pad.items()} if isinstance(pad, Mapping) else {}
        int32 = np.dtype(np.int32)
        more = [self.dtypes[0], np.dtype(np.bool_)] if self.bare else []
        self.dtypes_of_rows = self.dtypes, [int32, int32], more
        self.pads: list[Any] = []
        for path, dtype in zip(self.paths, self.dtypes, strict=True):
            value = by_step.get(path[0], 0) if isinstance(pad, Mapping) else pad
            self.pads.append(_padding(value, "".join(path), dtype))


def _names(example: Any) -> set[str]:
    if not isinstance(example, Mapping):
        raise TypeError(
            f"a document must be an array, or a dict of arrays, got a {type(example).__name__}; convert it with .map"
        )
    names = set(cast("Mapping[str, Any]", example))
    for name in OWN:
        if name in names:
            raise ValueError(f"{name!r} is a name that packed rows have of their own; rename it with .map")
    return names


def plain_pad(pad: int | Mapping[str, int]) -> Any:
    """Padding as JSON and pickle hold it: numbers of NumPy as Python's."""
    if isinstance(pad, Mapping):
        return {name: plain_pad(value) for name, value in pad.items()}
    return cast("Any", pad).item() if isinstance(pad, np.number) else pad


def _padding(value: Any, leaf: str, dtype: np.dtype[Any]) -> Any:
    """A number as one of the dtype."""
    if not isinstance(value, int | float | complex | np.number):
        raise TypeError(f"pad must be a number, got {value!r}")
    found = np.array(value).astype(dtype)
    if found != value:
        raise ValueError(f"pad={value!r} does not fit into {dtype}, the dtype of the documents{leaf}")
    return found


class Reader(Protocol):
    """Reads the documents of a dataset."""

    def example(self) -> Any:
        """A document, perhaps without values."""
        ...

    def locate(self, documents: Rows, skips: Rows) -> tuple[Rows, Rows]:
        """In which of the arrays values are, and where there.

        Args:
            documents: The documents that the values are of, of shape `(n,)`.
            skips: Their places in these.
        """
        ...

    def arrays(self, which: Rows, kind: Kind) -> tuple[list[Arrays], Rows]:
        """For each leaf, the arrays with these numbers; and the numbers of those that cannot be read and are left out.

        Args:
            which: Numbers that `locate` returned.
            kind: What documents are made of.
        """
        ...


class FlatReader:
    """A `Reader` of documents that lie in flat arrays; each shard has its own."""

    def __init__(self, flat: FlatDocuments) -> None:
        self._flat = flat

    def example(self) -> Any:
        """See `Reader`."""
        return self._flat.build([np.empty(0, dtype) for dtype in self._flat.dtypes])

    def locate(self, documents: Rows, skips: Rows) -> tuple[Rows, Rows]:
        """See `Reader`."""
        which, starts, _ = self._flat.bounds(documents)
        return which, starts + skips

    def arrays(self, which: Rows, kind: Kind) -> tuple[list[Arrays], Rows]:  # noqa: ARG002 (all are there)
        """See `Reader`."""
        return list(self._flat.leaves), np.empty(0, np.int64)


class ItemReader:
    """A `Reader` of documents that are items of a dataset; each has its own arrays.

    Args:
        source: The dataset.
        lengths: The lengths that the plan was made from.
    """

    def __init__(self, source: BaseDataset[Any], lengths: Lengths) -> None:
        self._source, self._lengths = source, lengths

    def example(self) -> Any:
        """The first document that can be read."""
        for row in range(len(self._source)):
            document = read_readable(self._source, [row])[0]
            if document is not LEFT_OUT:
                return document
        raise ValueError(f"none of the {len(self._source)} documents can be read")

    def locate(self, documents: Rows, skips: Rows) -> tuple[Rows, Rows]:
        """See `Reader`."""
        return documents, skips

    def arrays(self, which: Rows, kind: Kind) -> tuple[list[Arrays], Rows]:
        """See `Reader`."""
        documents = np.unique(which)
        found: list[dict[int, Array]] = [{} for _ in kind.dtypes]
        lost: list[int] = []
        expected = self._lengths[documents].tolist()
        numbers = documents.tolist()
        for document, item, length in zip(numbers, read_readable(self._source, numbers), expected, strict=True):
            if item is LEFT_OUT:
                lost.append(document)
                continue
            for known, leaf in zip(found, self._leaves(item, document, length, kind), strict=True):
                known[document] = leaf
        return list(found), np.array(lost, np.int64)

    def _leaves(self, item: Any, document: int, length: int, kind: Kind) -> list[Array]:
        """The leaves of a document in the order of those of the first one, checked."""
        try:
            leaves = _in_order(dict(tree.leaves(item)), kind.paths)
            if document_length(leaves) != length:
                raise ValueError(
                    f"it has {len(leaves[0])} values, but its length was given as {length}; find the lengths anew"
                )
            for leaf, dtype in zip(leaves, kind.dtypes, strict=True):
                if leaf.dtype.newbyteorder("=") != dtype:
                    raise TypeError(f"it has the dtype {leaf.dtype}, and the first document has {dtype}; cast it")
        except (TypeError, ValueError) as error:
            add_note(error, f"document {document} of the dataset that is packed")
            raise
        return leaves


def _in_order(found: dict[tree.Path, Any], paths: list[tree.Path]) -> list[Any]:
    """The leaves at given paths. The entries of a dict may have been added in another order."""
    if len(found) != len(paths):
        raise ValueError(f"it has {len(found)} arrays, and the first document has {len(paths)}")
    for path in paths:
        if path not in found:
            raise ValueError(
                f"it has no {''.join(path)}, which the first document has; give all documents the same entries"
                if path
                else "it is not an array alone, as the first document is"
            )
    return [found[path] for path in paths]


def numbers_of(documents: Sequence[int], count: int) -> Rows:
    """Documents that are left out, by number, sorted and checked.

    Raises:
        TypeError: If `documents` is no sequence, or a number is not an integer.
        ValueError: If there is no such document.
    """
    given: Any = documents
    if not isinstance(given, Iterable):
        raise TypeError(f"leave_out has numbers of documents, as in leave_out=[3], got {given!r}")
    found = np.unique(np.array([check_int("leave_out", number, 0) for number in documents], np.int64))
    if len(found) and found[-1] >= count:
        raise ValueError(f"leave_out names document {found[-1]}, but there are only {count}")
    return found


def trace_pieces(source: BaseDataset[Any], pieces: Pieces, left_out: Rows, epoch: int) -> list[Traced]:
    """The origins of the documents in packed rows, each with the part of it that is there.

    Args:
        source: The documents.
        pieces: What is in the rows.
        left_out: The documents that are left out, sorted.
        epoch: The epoch of the source.
    """
    kept = ~np.isin(pieces.documents, left_out)
    of, starts, lengths = pieces.rows[kept], pieces.skips[kept], pieces.lengths[kept]
    return [
        group._replace(
            of=of[group.of],
            starts=starts[group.of] if group.starts is None else group.starts + starts[group.of],
            lengths=lengths[group.of],
            windows=False,
        )
        for group in source.trace(pieces.documents[kept], epoch)
    ]
