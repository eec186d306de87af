"""The origins of a run's rows, step by step, and digests of their order. Reads no row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from ..plan.origins import OrderDigest, Traced, trace
from ..plan.steps import Plan, Step
from .fetch import Fetch

WINDOW = 1000
"""Steps that share a digest."""

CHUNK = 1 << 16
"""The most rows that are traced at once, unless a single step has more."""


def digest_before(plan: Plan, fetch: Fetch, step: int) -> str:
    """The digest of the steps before `step`, from the last multiple of 1,000 on that is below it."""
    digest = OrderDigest()
    begin = max(0, step - 1) // WINDOW * WINDOW
    for first, traced in traced_steps(fetch, steps_between(plan, begin, step)):
        digest.add(traced, first)
    return digest.hexdigest()


def steps_between(plan: Plan, begin: int, end: int) -> Iterator[Step]:
    """The steps with the numbers `begin` to `end - 1`, without those that are skipped."""
    steps = (plan.find(number) for number in range(begin, end))
    return (step for step in steps if plan.number(step) not in plan.skipped)


def traced_steps(fetch: Fetch, steps: Iterable[Step]) -> Iterator[tuple[tuple[int, int], list[Traced]]]:
    """Traces several steps at a time: yields their epoch, their first row, and the origins of their rows."""
    for epoch, group in groupby(steps, key=lambda step: step.epoch):
        dataset = fetch.at_epoch(epoch).dataset
        for start, stop in _stretches(group):
            rows = np.arange(start, stop, dtype=np.int64)
            yield (epoch, start), list(trace(dataset, rows, epoch))


def _stretches(steps: Iterable[Step]) -> Iterator[tuple[int, int]]:
    """The rows of neighbouring steps as ranges of up to `CHUNK`."""
    start = stop = 0
    for step in steps:
        if step.start != stop or step.stop - start > CHUNK:
            if stop > start:
                yield start, stop
            start = step.start
        stop = step.stop
    if stop > start:
        yield start, stop
