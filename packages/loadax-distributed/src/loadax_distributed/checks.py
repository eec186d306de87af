"""Checks of arguments."""

from __future__ import annotations

import operator
import threading
from typing import Any, cast

import numpy as np


def count(name: str, value: Any, least: int = 1) -> int:
    """Checks an integer argument.

    Args:
        name: The name of the argument.
        value: The argument.
        least: The smallest valid number.

    Returns:
        The number.

    Raises:
        TypeError: If `value` is not an integer.
        ValueError: If `value` is less than `least`.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is {value!r}; give a whole number")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"{name} is {number}; give at least {least}")
    return number


def flag(name: str, value: Any) -> bool:
    """Checks a flag. Python takes any string that is not empty for True.

    Args:
        name: The name of the argument.
        value: The argument.

    Returns:
        The flag.

    Raises:
        TypeError: If `value` is not a bool.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(cast("bool", value))


def seconds(name: str, value: Any) -> float:
    """Checks a time limit in seconds.

    Args:
        name: The name of the argument.
        value: The argument.

    Returns:
        The number.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is not positive, or longer than a thread can wait.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}; give a number of seconds, or None for no limit")
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise ValueError(
            f"{name} is {value}; give a positive number of seconds, at most {threading.TIMEOUT_MAX:.0f}, or None for "
            "no limit"
        )
    return value
