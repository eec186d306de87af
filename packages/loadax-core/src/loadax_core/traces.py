"""Stages by name in the traces of `jax.profiler`, for a program that takes one; this module does not import JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from .fetch import Fetch, Numbers
from .plan import Step
from .protocols import Alloc, Rows

Annotate: TypeAlias = Callable[..., AbstractContextManager[Any]]
"""`jax.profiler.TraceAnnotation`: a block of a name, with arguments."""

NAMES = {
    "reading": "loadax.read",
    "batching": "loadax.batch",
    "placing": "loadax.place",
    "waiting": "loadax.wait",
}
"""What each stage is called in a trace, whose viewers would show only what is behind a colon."""


def tracer() -> tuple[Annotate | None, Callable[[], bool] | None]:
    """What marks a block in a trace, and what says whether one is being taken; None in a program without JAX."""
    annotation: Any = getattr(sys.modules.get("jax.profiler"), "TraceAnnotation", None)
    return annotation, getattr(annotation, "is_enabled", None)


class TracedFetch:
    """A fetch, each stage of which is a block in a trace."""

    def __init__(self, fetch: Fetch, annotate: Annotate, step: Step) -> None:
        self._fetch, self._annotate, self._step = fetch, annotate, step
        self.gathers, self.places = fetch.gathers, fetch.places

    def rows(self, steps: Sequence[Step]) -> Numbers:
        """As of `Fetch`."""
        return self._fetch.rows(steps)

    def gather(self, rows: Rows | range, count: int, alloc: Alloc) -> list[Any]:
        """As of `Fetch`."""
        with block(self._annotate, "reading", self._step):
            return self._fetch.gather(rows, count, alloc)

    def read(self, rows: list[int] | range) -> Sequence[Any]:
        """As of `Fetch`."""
        with block(self._annotate, "reading", self._step):
            return self._fetch.read(rows)

    def batch(self, items: list[Any], rows: Numbers, alloc: Alloc) -> Any:
        """As of `Fetch`."""
        with block(self._annotate, "batching", self._step):
            return self._fetch.batch(items, rows, alloc)

    def place(self, batch: Any) -> Any:
        """As of `Fetch`."""
        with block(self._annotate, "placing", self._step):
            return self._fetch.place(batch)


def block(annotate: Annotate, stage: str, step: Step) -> AbstractContextManager[Any]:
    """A stage of a step, as a block in a trace."""
    return annotate(NAMES[stage], epoch=step.epoch, step=step.number)
