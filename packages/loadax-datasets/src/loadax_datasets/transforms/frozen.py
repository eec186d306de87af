"""A dataset as it is in one epoch, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from loadax_core import Dataset, Rows, Traced

from ..base import BaseDataset
from ..checks import check_int
from .base import ForwardingDataset

T_co = TypeVar("T_co", covariant=True)


class FrozenDataset(ForwardingDataset[T_co]):
    """The rows of a source as they are in one epoch: that order and that randomness, whatever epoch is asked for.

    A slice of a shuffle has other rows in every epoch; a slice of a frozen shuffle has the same rows. What comes after
    it, such as another shuffle, changes with the epoch as usual.

    Args:
        source: Any object with `len()` and `[i]`.
        epoch: Which epoch, from 0.

    Raises:
        TypeError: If `epoch` is not an integer.
        ValueError: If it is negative.

    Example:
        >>> from loadax_datasets import ShuffledDataset
        >>> rows = FrozenDataset(ShuffledDataset(range(100), seed=1))
        >>> train, held_out = rows[:90], rows[90:]
        >>> set(train.at_epoch(5)) & set(held_out.at_epoch(7))
        set()
    """

    def __init__(self, source: Dataset[T_co], epoch: int = 0) -> None:
        self._epoch = check_int("epoch", epoch, 0)
        super().__init__(source)
        self._source = self._source.at_epoch(self._epoch)
        self.in_epoch = 0

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:
        """The dataset itself."""
        check_int("epoch", epoch, 0)
        return self

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:  # noqa: ARG002 (it is always the same)
        """The origins of the source's rows, in the epoch that is kept."""
        return self._source.trace(rows, self._epoch)

    def _order_changes(self) -> bool:
        return False

    def _leaking_part(self) -> BaseDataset[Any] | None:
        return None

    def fingerprint(self) -> dict[str, Any]:
        """The epoch and the source."""
        return {"frozen": self._epoch, "source": self._source.fingerprint()}

    def _own_contents(self) -> dict[str, Any]:
        """The epoch."""
        return {"frozen": self._epoch}

    def describe(self) -> str:
        """The epoch."""
        return f"FrozenDataset(epoch={self._epoch})"
