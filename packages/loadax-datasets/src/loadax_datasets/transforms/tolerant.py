"""Rows that cannot be read, and other rows in their place."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar, cast

import numpy as np
from loadax_core import Alloc, Dataset, Gather, Replaced, Tolerance, add_note, is_interrupt

from ..base import take_from
from ..checks import check_int
from ..log import warn
from ..orders.permutation import Permutation
from ..rows import Wanted, as_array, rows_in_range
from .base import Transform
from .retried import RetriedDataset
from .unreadable import Unreadable, leaves_out

T_co = TypeVar("T_co", covariant=True)

CANDIDATES = 100
"""How many other rows are read in place of one. If every second row is broken, one in 2**100 rows finds none."""

TRANSIENT = ConnectionError, TimeoutError, InterruptedError, BlockingIOError
"""Types of `OSError` that may not come again; a missing file, for example, comes again."""


class TransientErrorWarning(UserWarning):
    """Rows are replaced after errors that may not come again, so that two runs may see different rows."""


class ToleratedDataset(Transform[T_co]):
    """The rows of a source; a row that cannot be read is replaced by another row.

    The other row follows from the seed, the epoch and the row: it is the same in every worker, on every host, and after
    a resume. Rows that fail have different replacements, unless a replacement fails too; then the next one is taken, up
    to 100. The length, the order and the fingerprint are the source's, so that a state saved without `tolerate` fits.

    More than `most` different rows are an error: that of the row that is one too many. In a loop, rows count when their
    batch is received, in this process and over all of its epochs and workers, so that the error arrives at the same
    step whatever the workers are. `stats().replaced` lists the rows that were replaced, and the logger
    `loadax.datasets` warns of the first. Row numbers are those of this dataset. A resumed run counts anew, and so does
    each host.

    - Tolerate first, then shuffle: behind a shuffle, a broken row has another number in each epoch, and counts anew.
    - Rows that belong together must be zipped first: a replaced image would have the label of another.
    - In a pack, a document that cannot be read becomes padding, since another one would have another length.
    - To filter or cache the rows, keep the replacements of one epoch: `.tolerate(10).frozen().cache()`. The cache then
      has the replacements. With `.cache().tolerate(10)` it has what could be read, and the rest is tried again.

    Errors that may not come again are for `.retry`. With `on=(OSError,)`, a host that cannot reach a server for a
    moment would see another row than a host that can, and two hosts that hold the same rows must not differ.

    Args:
        source: Any object with `len()` and `[i]`.
        most: How many different rows may be replaced, at least 1.
        on: The types of error after which a row is replaced, or one type. Other errors are raised.
        seed: Any integer of at least 0.

    Raises:
        TypeError: If `most` or `seed` is not an integer, or `on` has anything but exception types.
        ValueError: If `most` is less than 1, `seed` negative, or `on` empty.

    Warns:
        TransientErrorWarning: If `on` has errors that may not come again, such as `OSError`, and there is no `retry`
            below.

    Example:
        >>> from loadax_datasets import MappedDataset
        >>> numbers = MappedDataset(["7", "8", "nine", "10"], int)
        >>> list(ToleratedDataset(numbers, 1))
        [7, 8, 10, 10]
    """

    _changes_with_epoch = True

    def __init__(
        self,
        source: Dataset[T_co],
        most: int,
        *,
        on: type[Exception] | tuple[type[Exception], ...] = (ValueError,),
        seed: int = 0,
    ) -> None:
        super().__init__(source)
        self._most = check_int("most", most, 1)
        self._seed = check_int("seed", seed, 0)
        self._on = _kinds(on)
        # All epochs share it.
        self._tolerance = Tolerance(self._most, _announce)
        transient = [kind.__name__ for kind in self._on if _is_transient(kind)]
        if transient and not _retries(self._source):
            warnings.warn(
                f"tolerate(..., on={transient[0]}) replaces rows after errors that may not come again, so that two "
                "hosts or two runs may see different rows; put .retry(3) before .tolerate, or leave such errors out",
                TransientErrorWarning,
                stacklevel=3,
            )

    def read(self, row: int) -> T_co:
        """The source's row, or the one that is read in its place."""
        try:
            return self._source.read(row)
        except self._on as error:
            return self._read_other(row, error)[1]

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The items of `rows`, with others in place of those that cannot be read."""
        wanted = rows_in_range(rows, len(self))
        try:
            return list(self._source.read_many(wanted))
        except self._on as error:
            return list(self._source.read_many(self._mended(wanted, error)))

    @property
    def gather(self) -> Gather | None:
        """The source's gather; if it fails, that of the rows with others in place of those that cannot be read."""
        return None if self._source.gather is None else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        try:
            return take_from(self._source, rows, alloc)
        except self._on as error:
            # If each row can be read by itself, this raises the same error again.
            return take_from(self._source, np.array(self._mended(as_array(rows).tolist(), error), np.int64), alloc)

    def _mended(self, rows: list[int], error: Exception) -> list[int]:
        """The rows with others in place of those that cannot be read, found by reading each by itself.

        Args:
            rows: The rows.
            error: What a read of all of them has raised.
        """
        if is_interrupt(error):
            raise error
        mended: list[int] = []
        for row in rows:
            try:
                self._source.read(row)
            except self._on as own:
                mended.append(self._read_other(row, own)[0])
            else:
                mended.append(row)
        return mended

    def _read_other(self, row: int, error: Exception) -> tuple[int, T_co]:
        """Reads another row in place of one, and reports it.

        Args:
            row: The row that cannot be read.
            error: Why not.

        Returns:
            The number of the other row, and its item.
        """
        if leaves_out():
            self._tolerance.report(row, None, self.in_epoch, error)
            raise Unreadable(f"row {row} is left out: {error!r}") from error
        length = len(self)
        # It has each number once, so that rows that fail side by side get different rows.
        order = Permutation(length, self._seed, self.in_epoch, "tolerate")
        tried = 0
        for k in range(1, min(CANDIDATES, length) + 1):
            other = order.at((row + k) % length)
            if other == row:
                continue
            tried += 1
            try:
                item = self._source.read(other)
            except self._on as failure:
                if is_interrupt(failure):
                    raise
                continue
            except Exception as failure:
                add_note(failure, f"row {other} was read in place of row {row}, which could not be read: {error!r}")
                raise
            self._tolerance.report(row, other, self.in_epoch, error)
            return other, item
        add_note(error, f"row {row} is not replaced: the {tried} other rows that were tried cannot be read either")
        raise error

    def _own_contents(self) -> dict[str, Any]:
        """What decides which rows are replaced, and by which."""
        return {"tolerate": self._seed, "on": [kind.__qualname__ for kind in self._on]}

    def describe(self) -> str:
        """How many rows may be replaced, after which errors, and the seed."""
        kinds = ", ".join(kind.__name__ for kind in self._on)
        return f"ToleratedDataset(most={self._most}, on={kinds}, seed={self._seed})"


def _kinds(on: Any) -> tuple[type[Exception], ...]:
    """The types of error, checked."""
    kinds: tuple[Any, ...] = cast("tuple[Any, ...]", on) if isinstance(on, tuple) else (on,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise TypeError(f"on must be an exception type or a tuple of them, such as (ValueError,); got {on!r}")
    if not kinds:
        raise ValueError("on has no exception type, so that no row would be replaced; name one, such as ValueError")
    return kinds


def _is_transient(kind: type[Exception]) -> bool:
    return issubclass(OSError, kind) or issubclass(kind, TRANSIENT)


def _retries(source: Any) -> bool:
    """Whether reads are tried again somewhere below."""
    return isinstance(source, RetriedDataset) or any(map(_retries, source.sources))


def _announce(replaced: Replaced) -> None:
    warn("tolerate: replaced %s; stats().replaced lists all replaced rows", replaced)
