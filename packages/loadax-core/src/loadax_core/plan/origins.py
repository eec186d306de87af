"""Where rows come from: the rows of the lowest datasets, which read no other dataset, and a digest of their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ..protocols import Rows


class Origin(NamedTuple):
    """A row of a lowest dataset, which a row of a loader was made from.

    Attributes:
        path: Which source it was at each dataset with several sources, such as a mixture, a concatenation or a zip,
            from the top down, counted from 0.
        epoch: The epoch of the lowest dataset; in a mixture, the pass over the source.
        row: The row of the lowest dataset.
        start: Where in that row the values begin, such as the tokens of a packed piece.
        length: How many values these are; None for all of the row.
        name: The name of a source that has names, such as a file or a table; otherwise empty.
    """

    path: tuple[int, ...]
    epoch: int
    row: int
    start: int = 0
    length: int | None = None
    name: str = ""


class Traced(NamedTuple):
    """The rows of one lowest dataset that some rows are made from. Arrays are int64, of shape `(n,)`.

    Attributes:
        of: For each entry, the place of its row among the rows that were asked for.
        rows: The rows of the lowest dataset.
        path: See `Origin`.
        epoch: See `Origin`.
        starts: See `Origin`; None if all begin at 0.
        lengths: See `Origin`; None if they are whole rows.
        names: Returns the names of rows; None if they have none.
        total: The number of rows of the lowest dataset; 0 if that is not known.
        windows: Whether `starts` say where a row of the lowest dataset lies in its data, and not what part of it this
            is.
    """

    of: Rows
    rows: Rows
    path: tuple[int, ...] = ()
    epoch: int = 0
    starts: Rows | None = None
    lengths: Rows | None = None
    names: Callable[[Rows], Sequence[str] | None] | None = None
    total: int = 0
    windows: bool = False


def trace(dataset: Any, rows: Rows, epoch: int) -> Sequence[Traced]:
    """Where rows of a dataset come from, without reading them; see `SupportsTrace`.

    Args:
        dataset: The dataset, as it is in `epoch`.
        rows: Rows in range, of shape `(n,)`.
        epoch: Which epoch that is.
    """
    own: Any = getattr(dataset, "trace", None)
    if callable(own):
        return cast("Sequence[Traced]", own(rows, epoch))
    return [Traced(np.arange(len(rows)), rows, epoch=epoch, total=len(dataset))]


def origins_of(traced: Sequence[Traced], count: int) -> list[tuple[Origin, ...]]:
    """The origins of each of `count` rows that were traced."""
    if len(traced) == 1 and len(traced[0].of) == count and bool((traced[0].of == np.arange(count)).all()):
        return list(zip(_origins(traced[0]), strict=True))
    found: list[list[Origin]] = [[] for _ in range(count)]
    for group in traced:
        places: list[int] = group.of.tolist()
        for place, origin in zip(places, _origins(group), strict=True):
            found[place].append(origin)
    return [tuple(origins) for origins in found]


def _origins(group: Traced) -> Iterable[Origin]:
    starts = repeat(0) if group.starts is None else group.starts.tolist()
    lengths = repeat(None) if group.lengths is None else group.lengths.tolist()
    names = (None if group.names is None else group.names(group.rows)) or repeat("")
    return map(Origin._make, zip(repeat(group.path), repeat(group.epoch), group.rows.tolist(), starts, lengths, names))


class OrderDigest:
    """A hash of the origins of rows, to which more rows can be added; the same on every host and in every run."""

    def __init__(self) -> None:
        self._hash = _blake2b(b"", 16)

    def add(self, traced: Sequence[Traced], first: tuple[int, int] = (0, 0)) -> None:
        """Adds the origins of rows, in their order.

        Args:
            traced: The origins.
            first: The epoch of the rows, and the number of the first one in it.
        """
        table = np.concatenate([_table(group, *first) for group in traced] or [np.empty((0, 7), np.int64)])
        # Stable: the origins of one row stay in their order. How rows were grouped does not matter.
        self._hash.update(np.ascontiguousarray(table[table[:, 0].argsort(kind="stable")], "<i8").data)

    def hexdigest(self) -> str:
        """The hash, in 32 hexadecimal digits."""
        return self._hash.hexdigest()


def _blake2b(data: bytes, size: int) -> Any:
    import hashlib  # noqa: PLC0415 - takes 2 ms, a tenth of the import of the core, and few programs need it

    return hashlib.blake2b(data, digest_size=size)


def _table(group: Traced, epoch: int, first: int) -> npt.NDArray[np.int64]:
    """A line for each origin: the row and its epoch, a hash of the path, the epoch, the row, the start, the length."""
    path = int.from_bytes(_blake2b(repr(group.path).encode(), 8).digest(), "little", signed=True)
    starts = 0 if group.starts is None else group.starts
    lengths = -1 if group.lengths is None else group.lengths
    table = np.empty((len(group.of), 7), np.int64)
    for column, values in enumerate((group.of + first, epoch, path, group.epoch, group.rows, starts, lengths)):
        table[:, column] = values
    return table
