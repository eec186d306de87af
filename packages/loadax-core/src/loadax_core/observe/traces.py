"""Stages by name in the traces of `jax.profiler`, for a program that takes one; this module does not import JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, TypeVar

from ..plan.steps import Step

T = TypeVar("T")
Annotate: TypeAlias = Callable[..., AbstractContextManager[Any]]
"""`jax.profiler.TraceAnnotation`: a block of a name, with arguments."""

NAMES = {
    "reading": "loadax.read",
    "batching": "loadax.batch",
    "placing": "loadax.place",
    "waiting": "loadax.wait",
}
"""The name of each stage in a trace. A name has no colon: viewers show only what follows one."""


IMPORT_SECONDS = 0.005
"""How often it is looked up whether the program has imported JAX."""


def tracer() -> tuple[Annotate | None, Callable[[], bool] | None]:
    """What marks a block in a trace, and what says whether one is being taken; None in a program without JAX."""
    annotation: Any = getattr(sys.modules.get("jax.profiler"), "TraceAnnotation", None)
    return annotation, getattr(annotation, "is_enabled", None)


def block(annotate: Annotate, stage: str, step: Step) -> AbstractContextManager[Any]:
    """A stage of a step, as a block in a trace."""
    return annotate(NAMES[stage], epoch=step.epoch, step=step.number)


def marked_wait(annotate: Annotate, take: Callable[[], T]) -> T:
    """Calls a function that waits for a batch, and marks the wait in the trace that is being taken."""
    with annotate(NAMES["waiting"]):
        return take()


class Tracing:
    """Whether a trace of `jax.profiler` is being taken: asked by the consumer at each call, read by all threads.

    Attributes:
        annotate: What marks a block in the trace; None while none is taken.
        due: The value of `perf_counter` from which on `look` is to be called; 0 once the program has imported JAX.
    """

    __slots__ = ("_annotate", "_is_taken", "annotate", "due")

    def __init__(self) -> None:
        self.annotate: Annotate | None = None
        self._annotate: Annotate | None = None
        self._is_taken: Callable[[], bool] | None = None
        self.due = 0.0

    def look(self, now: float) -> None:
        """Asks JAX whether a trace is being taken; until the program has imported it, looks for it.

        Args:
            now: The value of `perf_counter`.
        """
        if self._is_taken is None:
            self._annotate, self._is_taken = tracer()
            self.due = now + IMPORT_SECONDS if self._is_taken is None else 0.0
        if self._is_taken is not None:
            self.annotate = self._annotate if self._is_taken() else None
