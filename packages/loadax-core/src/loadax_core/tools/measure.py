"""How much faster training would be with a perfect loader."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter
from typing import Any, TypeVar

from .. import tree
from ..checks import check_int
from ..loader import Loader
from ..observe.stats import Stats
from ..observe.timeline import Timeline

B = TypeVar("B")

CACHED = 4
"""How many batches stand for all, where a perfect loader is wanted."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A loop over a loader, and the same loop over batches that are there already; made by `measure`.

    Attributes:
        steps: Steps that were timed, in each of the two loops.
        seconds: Seconds that a step took, with the loader.
        cached_seconds: Seconds that a step took, with batches in memory.
        stats: What the loader's iterator did, the step before the first one timed included.
        timeline: The loop with the loader, if it was asked for.

    Example:
        >>> print(Measurement(steps=10, seconds=0.00345, cached_seconds=0.003, stats=Stats(10, 40, 1, 0, 0, 0, 0)))
        3.450 ms a step, 3.000 ms with batches in memory: training could be 1.15x as fast with a perfect loader
    """

    steps: int
    seconds: float
    cached_seconds: float
    stats: Stats
    timeline: Timeline | None = None

    @property
    def headroom(self) -> float:
        """How many times as fast training could be with a perfect loader; at least 1."""
        return max(1.0, self.seconds / self.cached_seconds) if self.cached_seconds else 1.0

    def __str__(self) -> str:
        return (
            f"{self.seconds * 1e3:.3f} ms a step, {self.cached_seconds * 1e3:.3f} ms with batches in memory: "
            f"training could be {self.headroom:.2f}x as fast with a perfect loader"
        )


def measure(
    loader: Loader[B], step: Callable[[B], object], batches: int = 100, *, timeline: bool = False
) -> Measurement:
    """Times a training loop with a loader, and then with a few batches that are in memory.

    The first step is not timed: it compiles, and nothing could be loaded before it. Every other step is waited for, so
    that a step that JAX only starts counts until it is done.

    Args:
        loader: The loader.
        step: Does with a batch what training does. It must not donate the batch, which it gets several times. What it
            returns, such as the loss, is waited for.
        batches: How many batches to load, at least 2; fewer if the loader has fewer.
        timeline: Record a timeline of the loop with the loader.

    Returns:
        What a step took in both.

    Raises:
        TypeError: If `batches` is not an integer.
        ValueError: If it is less than 2, or the loader has fewer than two batches.

    Example:
        >>> from loadax_core import DataLoader
        >>> measurement = measure(DataLoader().batch_size(2).build(range(10)), lambda batch: batch.sum())
        >>> measurement.steps, measurement.headroom >= 1
        (4, True)
    """
    most = check_int("batches", batches, 2)
    kept: list[B] = []
    with iter(loader) as iterator:
        for batch in islice(iterator, 1):
            finish(step(batch))
            kept.append(batch)
        with iterator.timeline(most=max(10_000, 10 * most)) if timeline else nullcontext() as line:
            steps, began = 0, perf_counter()
            for batch in islice(iterator, most - 1):
                finish(step(batch))
                steps += 1
                if len(kept) < CACHED:
                    kept.append(batch)
            seconds = perf_counter() - began
        stats = iterator.stats()
    if not steps:
        raise ValueError(f"to measure needs two batches at least; the loader has {len(kept)}")
    began = perf_counter()
    for batch in islice(cycle(kept), 1, 1 + steps):
        finish(step(batch))
    return Measurement(steps, seconds / steps, (perf_counter() - began) / steps, stats, line)


def finish(result: object) -> None:
    """Waits for arrays that are still being computed."""
    jax: Any = sys.modules.get("jax")
    if jax is not None:
        jax.block_until_ready(result)
        return
    for _, leaf in tree.leaves(result):
        wait = getattr(leaf, "block_until_ready", None)
        if wait is not None:
            wait()
