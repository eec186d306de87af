"""How much of a read is spent in the dataset's transforms, measured in a sample of the reads.

Transforms run inside `dataset[i]` and `dataset.gather`, where a loader does not see them. To read the clock before and
after each would take longer than many rows take. So each worker measures the transforms of one read in 5 ms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Clock(threading.local):
    """What a thread measures.

    Attributes:
        transforms: Seconds of transforms in the read that is measured; None while none is.
    """

    transforms: float | None = None


_CLOCK = _Clock()


def timed_transform(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a transform from a dataset's `[i]`, `__getitems__` or `gather`, so that `Stats.transforming` knows of it.

    Args:
        fn: The transform.
        *args: What it takes.
        **kwargs: What it takes.

    Returns:
        What it returns.

    Example:
        >>> timed_transform(str.upper, "a")
        'A'
    """
    before = _CLOCK.transforms
    if before is None:
        return fn(*args, **kwargs)
    # A transform may read a dataset that has transforms, which must not count twice.
    _CLOCK.transforms = None
    began = perf_counter()
    try:
        return fn(*args, **kwargs)
    finally:
        _CLOCK.transforms = before + perf_counter() - began


def begin_measuring() -> None:
    """From now on, this thread's transforms are measured."""
    _CLOCK.transforms = 0.0


def end_measuring() -> float:
    """Ends the measurement; returns the seconds of the transforms."""
    seconds, _CLOCK.transforms = _CLOCK.transforms or 0.0, None
    return seconds
