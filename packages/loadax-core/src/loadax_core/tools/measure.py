"""Measures how much faster training would be with a perfect loader."""

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
from ..iterator import LoaderIterator
from ..loader import Loader
from ..observe.stats import Stats
from ..observe.timeline import Timeline

B = TypeVar("B")

CACHED = 4
"""Batches that the loop without a loader uses over and over, one after the other."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The time of a loop with a loader, and of the same loop with batches in memory; made by `measure`.

    Attributes:
        steps: Number of timed steps in each of the two loops.
        seconds: Seconds of a step with the loader.
        cached_seconds: Seconds of a step with batches in memory.
        stats: The statistics of the loader's iterator, from its first batch on, which is not timed here.
        timeline: The timeline of the loop with the loader, if it was asked for.

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
        """The factor by which a perfect loader would speed up training; at least 1."""
        return max(1.0, self.seconds / self.cached_seconds) if self.cached_seconds else 1.0

    def __str__(self) -> str:
        return (
            f"{self.seconds * 1e3:.3f} ms a step, {self.cached_seconds * 1e3:.3f} ms with batches in memory: "
            f"training could be {self.headroom:.2f}x as fast with a perfect loader"
        )


def measure(
    loader: Loader[B], step: Callable[[B], object], batches: int = 100, *, timeline: bool = False
) -> Measurement:
    """Times a training loop with a loader, and then the same loop with a few batches in memory.

    The first step is not timed: JAX compiles it, and its batch could not be loaded ahead. Each step is timed until its
    result is computed.

    Args:
        loader: The loader.
        step: The training step; takes a batch. It must not donate the batch, since it gets the batch several times. The
            loop waits for the arrays that it returns, such as the loss.
        batches: Number of batches to load, at least 2; a loader with fewer batches is run to its end.
        timeline: Whether to record a timeline of the loop with the loader.

    Returns:
        The times of both loops.

    Raises:
        TypeError: If `loader` is none, `step` cannot be called, or `batches` is not an integer.
        ValueError: If `batches` is less than 2, or the loader has fewer than 2 batches.

    Example:
        >>> from loadax_core import DataLoader
        >>> measurement = measure(DataLoader().batch_size(2).build(range(10)), lambda batch: batch.sum())
        >>> measurement.steps, measurement.headroom >= 1
        (4, True)
    """
    if not isinstance(loader, Loader | LoaderIterator):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"measure takes a loader, and then the step, got {type(loader).__name__}: {loader!r:.80}")
    if not callable(step):
        raise TypeError(f"the step is a function of a batch, got {type(step).__name__}: {step!r:.80}")
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
        raise ValueError(f"measure needs a loader of at least 2 batches; this one has {len(kept)}")
    began = perf_counter()
    for batch in islice(cycle(kept), 1, 1 + steps):
        finish(step(batch))
    return Measurement(steps, seconds / steps, (perf_counter() - began) / steps, stats, line)


def finish(result: object) -> None:
    """Waits until the arrays in `result` are computed."""
    jax: Any = sys.modules.get("jax")
    if jax is not None:
        jax.block_until_ready(result)
        return
    for _, leaf in tree.leaves(result):
        wait = getattr(leaf, "block_until_ready", None)
        if wait is not None:
            wait()
