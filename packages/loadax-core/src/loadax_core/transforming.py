"""How much of a read is the dataset's own transforms, measured in a sample of the reads.

Transforms run inside `dataset[i]` and `dataset.gather`, where a loader cannot see them, and looking at the clock around
each would cost more than many a row. So a thread measures one read, then none for nine times as long as that took, or
until a twentieth of a second has passed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

UNMEASURED = 9
"""How much longer than it measures a thread does not."""

UNMEASURED_SECONDS = 0.05
"""The longest that it does not."""


class _Clock(threading.local):
    """What a thread measures.

    Attributes:
        transforms: Seconds of transforms in the read that is measured; None while none is.
        due: The value of `perf_counter` from which the next read is to be measured.
        sample: The seconds of the last read that was measured, and of its transforms.
    """

    transforms: float | None = None
    due = 0.0
    sample: tuple[float, float] | None = None


_CLOCK = _Clock()


def transformed(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a transform from a dataset's `[i]`, `__getitems__` or `gather`, so that `Stats.transforming` knows of it.

    Args:
        fn: The transform.
        *args: What it takes.
        **kwargs: What it takes.

    Returns:
        What it returns.

    Example:
        >>> transformed(str.upper, "a")
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


def sampled(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls a read, and measures it if it is time for that."""
    began = perf_counter()
    if began < _CLOCK.due:
        return read(*args, **kwargs)
    _CLOCK.transforms = 0.0
    try:
        return read(*args, **kwargs)
    finally:
        seconds = perf_counter() - began
        _CLOCK.sample = seconds, _CLOCK.transforms
        _CLOCK.transforms = None
        _CLOCK.due = began + seconds + min(UNMEASURED * seconds, UNMEASURED_SECONDS)


def take_sample() -> tuple[float, float] | None:
    """The seconds of this thread's last read and of its transforms, if it was measured."""
    sample, _CLOCK.sample = _CLOCK.sample, None
    return sample
