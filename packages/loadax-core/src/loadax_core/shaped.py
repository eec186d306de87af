"""Arrays of other libraries that have a shape, but no `len()`."""

from __future__ import annotations

from typing import Any


def with_length(dataset: Any) -> Any:
    """Gives an array that lacks `len()`, such as Zarr's, the one that its shape says.

    Args:
        dataset: Any object.

    Returns:
        Rows of the array, read when they are asked for; anything but such an array as it is.

    Example:
        >>> class Stored:
        ...     shape = (3, 2)
        ...
        ...     def __getitem__(self, row: int) -> list[int]:
        ...         return [row, row]
        >>> rows = with_length(Stored())
        >>> len(rows), rows[2]
        (3, [2, 2])
    """
    shape: Any = getattr(dataset, "shape", None)
    if hasattr(dataset, "__len__") or not isinstance(shape, tuple) or not shape:
        return dataset
    return ShapedRows(dataset)


class ShapedRows:
    """The rows of an array of shape `(rows, ...)`."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return int(self._array.shape[0])

    def __getitem__(self, row: int) -> Any:
        return self._array[row]

    def __repr__(self) -> str:
        return f"{type(self._array).__name__} of shape {self._array.shape}"
