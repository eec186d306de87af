"""Checks of offsets: the places at which documents begin in a flat array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 20
"""Offsets that are checked at a time, so that those of a memory-mapped file are not copied as a whole: 8 MiB."""


def check_offsets(offsets: npt.NDArray[Any], name: str = "offsets") -> None:
    """Refuses offsets that documents cannot have.

    Args:
        offsets: Where documents begin.
        name: What error messages call the offsets.

    Raises:
        TypeError: If they are not integers.
        ValueError: If they are masked, have more than one dimension, do not begin with 0, or decrease.
    """
    if isinstance(offsets, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array, whose mask would be lost; give the offsets without a mask")
    if offsets.ndim != 1:
        raise ValueError(f"{name} must have one dimension, but has the shape {offsets.shape}; flatten it")
    if offsets.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, but has the dtype {offsets.dtype}; cast it")
    if not len(offsets) or offsets[0] != 0:
        found = f"begins with {offsets[0]}" if len(offsets) else "is empty"
        raise ValueError(f"{name} must begin with 0, where the first document begins, but {found}")
    for begin in range(0, len(offsets) - 1, CHUNK):
        some = offsets[begin : begin + CHUNK + 1]
        wrong = np.flatnonzero(some[1:] < some[:-1])
        if len(wrong):
            place = begin + wrong.item(0)
            raise ValueError(
                f"{name} must not decrease, but {offsets[place + 1]} follows {offsets[place]} at index {place + 1}; "
                "give the offsets in the order of the documents"
            )
