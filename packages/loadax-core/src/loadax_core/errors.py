"""The errors that are Loadax's own; everything that a dataset, transform or batcher raises arrives as it was raised."""

from __future__ import annotations


class StackError(ValueError):
    """Items that cannot become one batch.

    Attributes:
        items: Positions in the batch of the item that set the expectation and of the one that broke it.
    """

    def __init__(self, message: str, items: tuple[int, int]) -> None:
        super().__init__(message)
        self.items = items

    def __reduce__(self) -> tuple[type[StackError], tuple[str, tuple[int, int]]]:
        return type(self), (str(self), self.items)


class StateError(ValueError):
    """A saved state that does not fit the iterator it is given to."""


class ClosedError(RuntimeError):
    """An iterator that is used after `close()`."""
