"""Random numbers as a function of a key and a position: the generator splitmix64, which can be read at any place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

# Multiplier, shift and multiplier, for words of 32 and of 64 bits.
_LOW = {32: (0x7FEB352D, 15, 0x846CA68B), 64: (_MIX_1, 27, _MIX_2)}

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]


def random_words(key: int, positions: npt.NDArray[np.integer]) -> U64:
    """The numbers at some positions of a sequence. No two positions have the same number.

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
    mix_low(values)


def mix_low(values: U32 | U64) -> None:
    """Mixes numbers that differ only in their lower halves, in place, so that their upper bits look random.

    Words of 64 bits get `mix` without its first step, which brings upper bits down. Words of 32 bits get the same steps
    of Wellons's hash "lowbias32".
    """
    word = values.dtype.type
    first, shift, second = _LOW[8 * values.itemsize]
    values *= word(first)
    values ^= values >> word(shift)
    values *= word(second)


def mix_low_one(value: int, bits: int) -> int:
    """`mix_low` of one number, in words of `bits` bits."""
    first, shift, second = _LOW[bits]
    mask = (1 << bits) - 1
    value = value * first & mask
    return (value ^ value >> shift) * second & mask


def scale(values: U32 | U64, count: int) -> None:
    """Scales numbers into `range(count)`, in place. `count` is at most 2 to the power of half the bits of a word.

    The result is the upper half of the product of a number and `count` (Lemire, Fast Random Integer Generation in an
    Interval, 2019), computed from two products that each fit in a word.
    """
    word, half = values.dtype.type, 4 * values.itemsize
    lower = values & word((1 << half) - 1)
    lower *= word(count)
    lower >>= word(half)
    values >>= word(half)
    values *= word(count)
    values += lower
    values >>= word(half)
