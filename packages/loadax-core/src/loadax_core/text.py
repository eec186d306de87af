"""Writes names, datasets, numbers and tables, as text and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .protocols import Numbers

# Jupyter stripes tables and aligns them to the right. No colour is set, so that dark and light pages keep theirs.
CELL = "text-align: left; vertical-align: top; padding: 0.1em 1em 0.1em 0; border: none; background: none"


MOST_SHOWN = 10_000
"""Most characters of a dataset's `repr`; a longer one shows its contents, and the type is written instead."""

WORKERS = {
    "thread": ("thread", "threads"),
    "process": ("process", "processes"),
    "executor": ("worker of an executor", "workers of an executor"),
}
"""The names of one worker and of several workers, by their kind."""


def name_of(fn: Callable[..., Any]) -> str:
    """The qualified name of a function; of any other object its `repr`."""
    name: str | None = getattr(fn, "__qualname__", None)
    return name or repr(fn)


def dataset_text(dataset: object) -> str:
    """The `repr` of a dataset if that is a description; its type if it would show the contents."""
    kind = type(dataset)
    plain = kind.__repr__ is object.__repr__ or issubclass(kind, list | tuple | np.ndarray)
    try:
        shown = kind.__name__ if plain else repr(dataset)
    except Exception:
        # A `repr` that raises must not stop the program.
        shown = kind.__name__
    return shown if len(shown) <= MOST_SHOWN else kind.__name__


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun, such as "3 rows"; the plural is the singular and an s, unless `many` is given."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def rate(per_second: float, unit: str) -> str:
    """A number per second with its unit, such as "1,234 tokens/s"; less than 10 has two digits."""
    return f"{per_second:{',.0f' if abs(per_second) >= 9.95 else '.2g'}} {unit}/s"


def size(nbytes: int) -> str:
    """A number of bytes with its unit, such as "64.0 MiB"."""
    if nbytes < 1024:
        return f"{nbytes} B"
    power = min((nbytes.bit_length() - 1) // 10, 4)
    return f"{nbytes / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def duration(seconds: float) -> str:
    """Seconds with a unit: "1.50 s", or "850 us" and "2.4 ms" where two digits after the point would hold nothing."""
    if not seconds:
        return "0 s"
    if seconds >= 0.01:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def columns(cells: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines of text, with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]


def table(cells: Sequence[Sequence[str]]) -> str:
    """Rows of cells as an HTML table that keeps line breaks and spaces."""
    from html import escape  # noqa: PLC0415 - rarely needed, and slow to import

    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}; white-space: pre-wrap">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in cells
    )
    return f'<table style="border: none; font-family: monospace"><tbody>{body}</tbody></table>'


def titled(title: str, body: str) -> str:
    """HTML below a title in bold letters."""
    from html import escape  # noqa: PLC0415 - rarely needed, and slow to import

    return f"<div><b>{escape(title)}</b>{body}</div>"


def describe(rows: Numbers) -> str:
    """Row numbers as an error message shows them."""
    count = len(rows)
    if count > 2 and int(rows[-1]) - int(rows[0]) == count - 1 and _neighbours(rows):
        return f"{int(rows[0])} to {int(rows[-1])}"
    shown = ", ".join(str(int(row)) for row in rows[:8])
    return f"{shown}, … ({count} rows)" if count > 8 else shown


def _neighbours(rows: Numbers) -> bool:
    """Whether each row follows the one before; of very many, as far as the first of them tell."""
    return isinstance(rows, range) or all(int(b) - int(a) == 1 for a, b in pairwise(rows[:4096]))
