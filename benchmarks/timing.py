"""Stopwatches: batches per second, and the share of a training loop that is left for the steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any

CHUNKS = 20
"""The clock is read about this many times in a measurement: often enough to end in time, too rarely to be noticed."""


def rate(batches: Iterator[Any], seconds: float, held: int) -> float:
    """Batches per second of an endless iterator, in the steady state.

    Args:
        batches: Yields batches without end.
        seconds: How long to measure, after a third as long to warm up.
        held: How many batches the consumer holds on to.
    """
    chunk = 1
    began = perf_counter()
    while (now := perf_counter()) - began < seconds / 3:
        deque(islice(batches, chunk), held)
        if perf_counter() - now < seconds / CHUNKS / 2:
            chunk *= 2
    count = 0
    began = perf_counter()
    while (elapsed := perf_counter() - began) < seconds:
        deque(islice(batches, chunk), held)
        count += chunk
    return count / elapsed


def beside_a_step(
    batches: Iterator[Any], step: Callable[[Any], None], on_device: Any, seconds: float
) -> dict[str, float]:
    """How much of the speed of a step is left when batches come from a loader.

    Args:
        batches: Yields batches on the device, without end.
        step: Takes a batch and returns when its computation is done.
        on_device: A batch that is there already.
        seconds: How long to measure; as long again is spent on the step alone, half of it before and half after.

    Returns:
        `value`: steps per second with the loader over steps per second without. `waited`: the share of the loop's time
        spent waiting for batches. `step_ms`: the step alone.
    """

    def alone() -> float:
        count, began = 0, perf_counter()
        while perf_counter() - began < seconds / 2:
            step(on_device)
            count += 1
        return count / (perf_counter() - began)

    def loaded(duration: float) -> tuple[float, float]:
        count, waited, began = 0, 0.0, perf_counter()
        while (now := perf_counter()) - began < duration:
            batch = next(batches)
            waited += perf_counter() - now
            step(batch)
            count += 1
        elapsed = perf_counter() - began
        return count / elapsed, waited / elapsed

    step(on_device)  # compiles
    before = alone()
    loaded(seconds / 3)  # what was prefetched meanwhile is used up
    speed, waited = loaded(seconds)
    reference = (before + alone()) / 2
    return {"value": speed / reference, "waited": waited, "step_ms": 1e3 / reference}
