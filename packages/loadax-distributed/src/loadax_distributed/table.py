"""Tables of the rows that devices hold, as text and as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

from .devices import Device, by_process


@dataclass(frozen=True)
class Table:
    """Rows of text cells under a header. It prints as text, and as an HTML table in a notebook.

    >>> from loadax_distributed import Table
    >>> print(Table(("process", "device", "rows"), (("0", "cpu:0", "0-3"), ("0", "cpu:1", "4-7"))))
    process  device  rows
    0        cpu:0   0-3
    0        cpu:1   4-7
    """

    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = (self.header, *self.cells)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_html_(self) -> str:
        header = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in self.cells
        )
        return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def device_table(rows: Mapping[Device, tuple[int, int]]) -> Table:
    """A table with a line for each device, sorted by process.

    Args:
        rows: For each device the first row that it holds, and the row after its last.
    """
    devices = sorted(rows, key=by_process)
    lines = [(str(one.process_index), f"{one.platform}:{one.id}", _span(*rows[one])) for one in devices]
    return Table(("process", "device", "rows"), tuple(lines))


def _span(start: int, stop: int) -> str:
    return f"{start}-{stop - 1}" if stop - start > 1 else f"{start}"
