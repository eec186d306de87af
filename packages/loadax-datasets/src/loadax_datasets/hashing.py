"""Numbers that look random and are a function of a key and a position: the generator splitmix64, read at any place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MASK = 2**64 - 1

_SHORT_1, _SHORT_2 = 0x7FEB352D, 0x846CA68B

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]


def random_words(key: int, positions: npt.NDArray[np.integer]) -> U64:
    """The numbers at some positions of a sequence; no two positions have the same number.

    Args:
        key: Which sequence, of 2**64.
        positions: Of shape `(n,)`, at least 0.

    Returns:
        Numbers in `range(2**64)`, of shape `(n,)`.
    """
    words = positions.astype(np.uint64)
    words *= np.uint64(_GAMMA)
    words += np.uint64(key)
    mix(words)
    words ^= words >> np.uint64(31)
    return words


def uniform(words: U64) -> npt.NDArray[np.float64]:
    """Random words as numbers between 0 and 1, both excluded."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def mix(values: U64) -> None:
    """The output function of splitmix64, in place, without its last shift, which only matters to the lower half."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(_MIX_1)
    values ^= values >> np.uint64(27)
    values *= np.uint64(_MIX_2)


def mix_one(value: int) -> int:
    """`mix` of one number."""
    value = (value ^ value >> 30) * _MIX_1 & _MASK
    return (value ^ value >> 27) * _MIX_2 & _MASK


def mix_short(values: U32) -> None:
    """Wellons's 32-bit hash "lowbias32", in place, without its last shift, which only matters to the lower half."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(_SHORT_1)
    values ^= values >> np.uint32(15)
    values *= np.uint32(_SHORT_2)


def mix_one_short(value: int) -> int:
    """`mix_short` of one number."""
    value = (value ^ value >> 16) * _SHORT_1 & 0xFFFFFFFF
    return (value ^ value >> 15) * _SHORT_2 & 0xFFFFFFFF
