"""Stages by name in the traces of `jax.profiler`, for a program that takes one; this module does not import JAX."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from ..plan.steps import Step

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


def block(annotate: Annotate, stage: str, step: Step) -> AbstractContextManager[Any]:
    """A stage of a step, as a block in a trace."""
    return annotate(NAMES[stage], epoch=step.epoch, step=step.number)
