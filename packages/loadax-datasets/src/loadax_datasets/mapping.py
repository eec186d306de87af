"""Memory-mapped arrays that are pickled as a reference to their file instead of as its contents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt


class MappedArray:
    """Where the elements of an array stand in a file: what is pickled in place of a mapped array.

    Args:
        path: The file.
        start: Position of the first byte that the mapping covers.
        nbytes: Number of bytes that the mapping covers.
        offset: Position of the array's first element, counted from `start`.
        like: The array, whose shape, strides and dtype are kept.
    """

    def __init__(self, path: Path, start: int, nbytes: int, offset: int, like: npt.NDArray[Any]) -> None:
        self.path, self.start, self.nbytes, self.offset = path, start, nbytes, offset
        self.shape, self.strides, self.dtype = like.shape, like.strides, like.dtype

    def open(self) -> npt.NDArray[Any]:
        """Maps the file again, read-only.

        Returns:
            An array of the same elements.

        Raises:
            FileNotFoundError: If the file is gone.
            ValueError: If the file is shorter than it was.
        """
        size = self.path.stat().st_size
        if size < self.start + self.nbytes:
            raise ValueError(
                f"{self.path} has shrunk: {size} bytes, mapped were {self.start + self.nbytes}; make it again"
            )
        buffer = np.memmap(self.path, np.uint8, "r", self.start, (self.nbytes,))
        return np.ndarray(self.shape, self.dtype, buffer, self.offset, self.strides)


def reference(array: npt.NDArray[Any]) -> npt.NDArray[Any] | MappedArray:
    """What to pickle for `array`.

    Args:
        array: Any array.

    Returns:
        A reference to the file that the array, or what it is a view of, is mapped from; the array itself if it is not
        mapped, or mapped copy-on-write, when the file may not hold what the array does.
    """
    root: Any = array
    while isinstance(root, np.ndarray):
        # Only the array that made the mapping knows where in the file it starts; views of it inherit that number.
        if isinstance(root, np.memmap) and not isinstance(root.base, np.ndarray):
            mapped = cast("Any", root)
            if mapped.filename is None or mapped.mode == "c":
                break
            offset = _address(array) - _address(mapped)
            return MappedArray(Path(mapped.filename), mapped.offset, mapped.nbytes, offset, array)
        root = cast("Any", root).base
    return array


def _address(array: npt.NDArray[Any]) -> int:
    return array.__array_interface__["data"][0]
