"""Rows in a random order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from loadax_core import Dataset, Rows, Traced

from ..checks import check_int
from ..orders.block_order import BlockOrder
from ..orders.keys import nth_purpose
from ..orders.permutation import Permutation
from ..rows import Wanted
from .base import ReorderedDataset, count_kind

T_co = TypeVar("T_co", covariant=True)

WINDOW = 16
"""The default number of blocks whose rows are mixed."""


class ShuffledDataset(ReorderedDataset[T_co]):
    """The rows of a source in a random order, each exactly once; every epoch has another order.

    The order is computed, not stored: memory is constant, and the first row takes no longer for 10 billion rows than
    for 10. All rows are shuffled; there is no buffer.

    Where random reads are slow, as from spinning disks or compressed chunks, give `block`, the number of rows that are
    stored together. Then blocks are shuffled, and the rows of every `window` blocks, so that at most `window` blocks
    are read at any time. Wider windows mix better.

    Rows that are shuffled twice with one seed come in a new order, not in the first one applied twice.

    Args:
        source: Any object with `len()` and `[i]`.
        seed: Any integer of at least 0.
        block: The number of rows in a block; None to shuffle single rows.
        window: The number of blocks whose rows are mixed, by default 16. Only together with `block`.

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If `seed` is negative, `block` or `window` less than 1, or `window` given without `block`; or if
            there are so many rows that the last block, if it were full, would end beyond `2**63`.

    Example:
        >>> rows = ShuffledDataset(["a", "b", "c", "d"], seed=1)
        >>> sorted(rows), list(rows) == list(rows)
        (['a', 'b', 'c', 'd'], True)
    """

    _noun = "shuffle"
    _changes_with_epoch = True

    def __init__(
        self, source: Dataset[T_co], *, seed: int = 0, block: int | None = None, window: int | None = None
    ) -> None:
        super().__init__(source)
        if block is None and window is not None:
            raise ValueError(f"window={window} counts blocks; give block=..., the rows of each, or leave it out")
        self._seed = check_int("seed", seed, 0)
        self._block = None if block is None else check_int("block", block, 1)
        self._window = check_int("window", WINDOW if window is None else window, 1)
        # A second shuffle of the same seed has another order: one order applied twice is not random.
        self._before = count_kind(ShuffledDataset, self._source)
        self._set_epoch(0)

    def _source_row(self, row: int) -> int:
        """The source's row at `row` of the order."""
        return self._order.at(row)

    def _source_rows(self, rows: Wanted) -> Rows:
        """The source's rows at `rows` of the order."""
        return self._order(rows)

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The origins of the source's rows, without the block of the order that they are in."""
        order = self._order
        return self._source.trace(order.once(rows) if isinstance(order, Permutation) else order(rows), epoch)

    def _rows_of(self, source_row: int) -> list[int]:
        if isinstance(self._order, Permutation):
            return [self._order.inverse(source_row)]
        return super()._rows_of(source_row)

    def _order_changes(self) -> bool:
        return True

    def fingerprint(self) -> dict[str, Any]:
        """The seed, the blocks, the number of shuffles before, and the source."""
        blocks = {} if self._block is None else {"block": self._block, "window": self._window}
        before = {"before": self._before} if self._before else {}
        return {"shuffle": self._seed, **blocks, **before, "source": self._source.fingerprint()}

    def describe(self) -> str:
        """The seed and the blocks."""
        blocks = "" if self._block is None else f", block={self._block}, window={self._window}"
        return f"ShuffledDataset(seed={self._seed}{blocks})"

    def _set_epoch(self, epoch: int) -> None:
        self._order: Permutation | BlockOrder
        if self._block is None:
            self._order = Permutation(len(self), self._seed, epoch, nth_purpose("shuffle", self._before))
        else:
            self._order = BlockOrder(len(self), self._seed, epoch, self._block, self._window, self._before)
