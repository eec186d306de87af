"""The order of a run's rows, step by step, without reading them: where they come from, and a digest of that."""

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
"""Rows that are traced at once, at most, but for those of one step."""


def digest_before(plan: Plan, fetch: Fetch, step: int) -> str:
    """The digest of the steps since the last thousand, up to but without `step`."""
    digest = OrderDigest()
    begin = max(0, step - 1) // WINDOW * WINDOW
    for first, traced in traced_steps(fetch, steps_between(plan, begin, step)):
        digest.add(traced, first)
    return digest.hexdigest()


def steps_between(plan: Plan, begin: int, end: int) -> Iterator[Step]:
    """The steps of some numbers, without those that are skipped."""
    steps = (plan.find(number) for number in range(begin, end))
    return (step for step in steps if plan.number(step) not in plan.skipped)


def traced_steps(fetch: Fetch, steps: Iterable[Step]) -> Iterator[tuple[tuple[int, int], list[Traced]]]:
    """Traces steps, several at once: yields their epoch and first row, and where their rows come from."""
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
