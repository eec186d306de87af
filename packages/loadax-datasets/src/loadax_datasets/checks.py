"""Checks of arguments that several datasets share."""

from __future__ import annotations

import operator
from typing import cast

import numpy as np


def check_int(name: str, value: object, minimum: int) -> int:
    """An integer argument, checked.

    Args:
        name: What the argument is called.
        value: What was given; NumPy integers count as integers, bools do not.
        minimum: The least valid value.

    Returns:
        The value as an `int`.

    Raises:
        TypeError: If it is not an integer.
        ValueError: If it is less than `minimum`.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        # Arrays look as if they were integers.
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def check_bool(name: str, value: object) -> bool:
    """A flag, checked. Without the check, any string would count as True.

    Raises:
        TypeError: If it is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(cast("bool", value))


def check_unmasked(name: str, value: object) -> None:
    """Refuses a masked array for an argument: as an array, it would hold what its mask hides.

    Raises:
        ValueError: If it is one.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array, whose mask would be lost; fill it with .filled(value)")
