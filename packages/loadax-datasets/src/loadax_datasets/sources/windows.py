"""Windows of one length, each a run of a flat array, copied many at a time."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import check_int
from ..rows import Wanted

CHUNK = 1 << 16
"""The most bytes that are copied twice at a time, where once is not possible: what stays in a core's cache."""


class Windows:
    """Windows that start at every `stride`-th element.

    Args:
        array: A flat array, which has all elements of all windows.
        size: The elements of a window, at least 1.
        stride: The elements from the start of a window to that of the next.
        count: The number of windows.
    """

    def __init__(self, array: npt.NDArray[Any], size: int, stride: int, count: int) -> None:
        if stride == size or not count:
            # Windows side by side are the rows of a contiguous array.
            self.view = array[: count * size].reshape(count, size)
        else:
            self.view = np.lib.stride_tricks.sliding_window_view(array, size)[::stride][:count]
        flags = self.view.flags
        # `take` would copy another array as a whole first.
        self.takes = flags.c_contiguous and flags.aligned
        self._has_gaps = not array.flags.c_contiguous
        self._few = max(1, CHUNK // (size * array.itemsize))

    @cached_property
    def records(self) -> npt.NDArray[np.void]:
        """The windows as raw bytes, of shape `(count,)`, of an array without gaps.

        NumPy copies rows of raw bytes two to four times as fast as rows of numbers.
        """
        return self.view.view(np.dtype((np.void, self.view.shape[1] * self.view.itemsize)))[:, 0]

    def copy(self, rows: Wanted, out: npt.NDArray[Any]) -> None:
        """Copies windows into an array of shape `(len(rows), size)`, of a dtype that has all numbers of the windows."""
        view = self.view
        if isinstance(rows, range):
            np.copyto(out, view[rows.start : rows.stop])
        elif self.takes and out.dtype == view.dtype:
            # With mode="raise", `take` goes through a temporary array whenever it has an `out`.
            view.take(rows, 0, out, "clip")
        elif len(rows) <= self._few:
            np.copyto(out, self._fetch(rows))
        else:
            for begin in range(0, len(rows), self._few):
                end = begin + self._few
                np.copyto(out[begin:end], self._fetch(rows[begin:end]))

    def _fetch(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        if self.takes:
            return self.view.take(rows, 0, mode="clip")
        if self._has_gaps:
            return self.view[rows]
        return self.records[rows].view(self.view.dtype).reshape(len(rows), -1)


def padded(array: npt.NDArray[Any], size: int, pad: int) -> npt.NDArray[Any]:
    """The first elements of an array, followed by `pad` up to `size`, in the machine's byte order."""
    out = np.full(size, pad, array.dtype.newbyteorder("="))
    out[: len(array)] = array[:size]
    return out


def check_pad(pad: int, dtype: np.dtype[Any]) -> int:
    """What the last window is filled with, checked.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If tokens of the dtype cannot have that number.
    """
    limits = np.iinfo(dtype)
    pad = check_int("pad", pad, int(limits.min))
    if pad > limits.max:
        raise ValueError(f"pad must be at most {limits.max}, the most of {dtype}, got {pad}")
    return pad


def count_windows(name: str, tokens: int, spare: int, size: int, stride: int, targets: int, drops: bool) -> int:
    """The number of windows over tokens.

    Args:
        name: Where the tokens come from, for the error.
        tokens: The number of tokens.
        spare: How many tokens later windows may start.
        size: The length of a window.
        stride: From the start of one window to that of the next.
        targets: 1 if a window has a target for its last token, else 0.
        drops: Whether tokens that do not fill a window are left out.

    Raises:
        ValueError: If there is not one window.
    """
    room, window = tokens - spare, size + targets
    least = window if drops else 1 + targets
    if room < least:
        moved = f", if it starts up to {spare} tokens later" if spare else ""
        raise ValueError(
            f"{name} has {tokens} tokens, fewer than the {least} of one window"
            f"{' and its last target' if targets else ''}{moved}; choose a smaller length"
        )
    full = max(0, (room - window) // stride + 1)
    # The tokens after the last full window are one more, unless that window ends with the last token, or there is no
    # token at the place where the next window starts.
    ends_with_last = full > 0 and (room - window) % stride == 0
    if drops or ends_with_last or full * stride + targets >= room:
        return full
    return full + 1
