"""Names of functions, for `repr` and error messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def name_of(fn: Callable[..., Any]) -> str:
    """A function's name as `repr` and error messages show it."""
    name: str | None = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    return name or repr(fn)
