"""Stopwatches: batches per second, and the rate of a training step beside a loader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any

CHUNKS = 20
"""How often a measurement reads the clock: enough to end in time, and too rarely to cost anything."""


def rate(batches: Iterator[Any], seconds: float, held: int) -> float:
    """Batches per second of an endless iterator, in the steady state.

    Args:
        batches: Yields batches without end.
        seconds: How long to measure. The warm-up before takes a third of this.
        held: The number of batches that the consumer holds.
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
    """The rate of a step with batches from a loader, relative to its rate with one batch on the device.

    Args:
        batches: Yields batches on the device, without end.
        step: Takes a batch and returns when its computation is done.
        on_device: A batch that is on the device already.
        seconds: How long to measure. The step alone is measured for as long, half of it before and half after.

    Returns:
        `value`: steps per second with the loader, divided by those without. `waited`: the share of the time that the
        loop waited for batches. `step_ms`: the time of the step alone.
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
    loaded(seconds / 3)  # uses up what was prefetched meanwhile
    speed, waited = loaded(seconds)
    reference = (before + alone()) / 2
    return {"value": speed / reference, "waited": waited, "step_ms": 1e3 / reference}
