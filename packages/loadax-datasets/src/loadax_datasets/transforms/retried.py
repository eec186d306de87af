"""Reads that are tried again after an error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from numbers import Real
from threading import TIMEOUT_MAX
from typing import Any, TypeVar, cast

from loadax_core import Alloc, Dataset, Gather, add_note, is_interrupt

from ..base import take_from
from ..checks import check_int
from ..rows import Wanted, rows_in_range
from .base import Transform

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class RetriedDataset(Transform[T_co]):
    """The rows of a source whose reads may fail at times, as over a network, and are tried again.

    Args:
        source: Any object with `len()` and `[i]`.
        attempts: The number of attempts before the error is raised, at least 1.
        on: The types of error after which a read is tried again. Other errors are raised at once.
        backoff: Seconds before the second attempt; doubled before each further one.

    Raises:
        TypeError: If `attempts` is not an integer, `backoff` not a number, or `on` has anything but exception types.
        ValueError: If `attempts` is less than 1, or `backoff` negative or not finite.

    Example:
        >>> list(RetriedDataset(["a", "b"], attempts=3))
        ['a', 'b']
    """

    def __init__(
        self,
        source: Dataset[T_co],
        attempts: int,
        *,
        on: tuple[type[Exception], ...] = (OSError,),
        backoff: float = 0.1,
    ) -> None:
        super().__init__(source)
        self._attempts = check_int("attempts", attempts, 1)
        kinds: tuple[Any, ...] | None = on if isinstance(on, tuple) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if kinds is None or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise TypeError(f"on must be a tuple of exception types, such as (OSError,); got {on!r}")
        if isinstance(backoff, bool) or not isinstance(cast("object", backoff), Real):
            raise TypeError(f"backoff must be a number of seconds, got {backoff!r}")
        if not 0 <= backoff < math.inf:
            raise ValueError(f"backoff must be at least 0 seconds and finite, got {backoff!r}")
        self._on = on
        self._backoff = backoff

    def read(self, row: int) -> T_co:
        """The source's row."""
        return self._try(lambda: self._source.read(row))

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The items of `rows`, tried again as a whole."""
        wanted = rows_in_range(rows, len(self))
        return self._try(lambda: list(self._source.read_many(wanted)))

    @property
    def gather(self) -> Gather | None:
        """The source's gather, tried again as a whole."""
        return None if self._source.gather is None else self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> Any:
        return self._try(lambda: take_from(self._source, rows, alloc))

    def describe(self) -> str:
        """The number of attempts and the types of error."""
        return f"RetriedDataset(attempts={self._attempts}, on={', '.join(kind.__name__ for kind in self._on)})"

    def _try(self, read: Callable[[], R]) -> R:
        # A wait that is doubled without end would be longer than a thread can sleep, and than a float can say.
        wait = float(min(self._backoff, TIMEOUT_MAX))
        for _ in range(1, self._attempts):
            try:
                return read()
            except self._on as error:
                if is_interrupt(error):
                    # A signal handler's, such as a time limit of the program: no read has failed.
                    raise
                time.sleep(wait)
                wait = min(2 * wait, TIMEOUT_MAX)
        try:
            return read()
        except self._on as error:
            add_note(error, f"gave up after {self._attempts} attempt{'s' if self._attempts > 1 else ''}")
            raise
