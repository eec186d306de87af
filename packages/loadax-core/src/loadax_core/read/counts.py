"""Calls the functions of `DataLoader.count`, which count in each batch, such as its tokens."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from ..errors import add_note, is_interrupt


def count(functions: Mapping[str, Callable[[Any], Any]], batch: Any) -> dict[str, float]:
    """The numbers that functions count in a batch.

    Args:
        functions: What `DataLoader.count` was given.
        batch: The batch, on the host.

    Raises:
        TypeError: If a function returns no number.
        BaseException: What a function raises. A note names the count.
    """
    counted: dict[str, float] = {}
    for name, function in functions.items():
        try:
            counted[name] = _number(function(batch))
        except BaseException as error:
            if not is_interrupt(error):
                add_note(error, f"loadax: raised by the count {name!r}")
            raise
    return counted


def _number(value: Any) -> float:
    """A number as Python's own: an integer stays one, so that sums of integers are exact."""
    boolean: Any = np.bool_
    if isinstance(value, boolean):
        # NumPy 1 takes it as an index, and warns.
        return float(value)
    if getattr(value, "shape", ()) == ():
        with suppress(TypeError):
            return operator.index(value)
        # A string can be made a float too, and is no number.
        if hasattr(value, "__float__"):
            return float(value)
    raise TypeError(f"a count returns one number for a batch, such as batch['mask'].sum(), got {value!r:.80}")
