"""Documents of flat arrays in another order, and those of several flat arrays one after the other. No value is read."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from loadax_core import Rows, tree

from .rows import Wanted, as_array

Array = npt.NDArray[Any]


class FlatDocuments(Protocol):
    """Documents whose values lie one after the other in arrays, and which know their lengths."""

    @property
    def arrays(self) -> int:
        """How many arrays each leaf has."""
        ...

    @property
    def leaves(self) -> Sequence[Mapping[int, Array]]:
        """The arrays of each leaf, by number; each of shape `(values,)`."""
        ...

    @property
    def dtypes(self) -> list[np.dtype[Any]]:
        """The dtype of each leaf, in the machine's byte order."""
        ...

    @property
    def build(self) -> Callable[[list[Any]], Any]:
        """Makes a document from its leaves."""
        ...

    def __len__(self) -> int:
        """The number of documents."""
        ...

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        """The lengths of some documents, of shape `(n,)`, int64."""
        ...

    def bounds(self, documents: Rows) -> tuple[Rows, Rows, Rows]:
        """The numbers of the arrays that documents are in, where they begin there, and their lengths."""
        ...


class Chosen:
    """Some of the documents of flat arrays, in any order.

    Args:
        flat: The documents.
        count: How many are chosen.
        numbers: Returns which of them these are.
    """

    def __init__(self, flat: FlatDocuments, count: int, numbers: Callable[[Wanted], Wanted]) -> None:
        self._flat, self._count, self._numbers = flat, count, numbers
        self.arrays, self.leaves, self.dtypes, self.build = flat.arrays, flat.leaves, flat.dtypes, flat.build

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        wanted = range(*documents.indices(len(self))) if isinstance(documents, slice) else documents
        return self._flat[as_array(self._numbers(wanted))]

    def bounds(self, documents: Rows) -> tuple[Rows, Rows, Rows]:
        """See `FlatDocuments`."""
        return self._flat.bounds(as_array(self._numbers(documents)))


class Joined:
    """The documents of several parts, one part after the other. A part's arrays are numbered after those before it.

    Args:
        parts: Documents that are made of the same leaves; at least one part.
    """

    def __init__(self, parts: Sequence[FlatDocuments]) -> None:
        self._parts = list(parts)
        self._ends = np.array(list(accumulate(map(len, parts))), np.int64)
        counts = [part.arrays for part in parts]
        self._firsts = [0, *accumulate(counts[:-1])]
        self.arrays, self.dtypes, self.build = sum(counts), parts[0].dtypes, parts[0].build
        self.leaves = [
            JoinedLeaf([part.leaves[number] for part in parts], self._firsts) for number in range(len(self.dtypes))
        ]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        return self.bounds(np.arange(*documents.indices(len(self))) if isinstance(documents, slice) else documents)[2]

    def bounds(self, documents: Rows) -> tuple[Rows, Rows, Rows]:
        """See `FlatDocuments`."""
        which = self._ends.searchsorted(documents, "right")
        found = np.empty((3, len(documents)), np.int64)
        present: list[int] = np.unique(which).tolist()
        for number in present:
            here, part = which == number, self._parts[number]
            arrays, *rest = part.bounds(documents[here] - (self._ends[number] - len(part)))
            found[:, here] = arrays + self._firsts[number], *rest
        return found[0], found[1], found[2]


class JoinedLeaf(dict[int, Array]):
    """The arrays of one leaf in all parts, by number; asked for when they are first needed.

    Args:
        parts: The arrays of each part.
        firsts: The number of the first array of each part.
    """

    def __init__(self, parts: Sequence[Mapping[int, Array]], firsts: list[int]) -> None:
        super().__init__()
        self._parts, self._firsts = parts, firsts

    def __missing__(self, number: int) -> Array:
        part = bisect_right(self._firsts, number) - 1
        self[number] = values = self._parts[part][number - self._firsts[part]]
        return values


def joined(parts: Sequence[FlatDocuments | None]) -> FlatDocuments | None:
    """The documents of all parts; None if one of them has none, or is made of other leaves than the first."""
    known = [part for part in parts if part is not None]
    alike = len(known) == len(parts) and all(_form(part) == _form(known[0]) for part in known[1:])
    return Joined(known) if alike else None


def _form(flat: FlatDocuments) -> list[tuple[Any, ...]]:
    example = flat.build([np.empty(0, dtype) for dtype in flat.dtypes])
    return [(type(example),), *((path, leaf.dtype) for path, leaf in tree.leaves(example))]
