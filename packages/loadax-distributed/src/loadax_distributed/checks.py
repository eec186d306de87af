"""Checks of what callers pass."""

from __future__ import annotations

import operator
from typing import Any


def count(name: str, value: Any, least: int = 1) -> int:
    """Refuses what is not a count.

    Args:
        name: What the caller calls it.
        value: Any object.
        least: The smallest valid number.

    Returns:
        The number.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If it is too small.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}; give a whole number")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} is {number}; give at least {least}")
    return number
