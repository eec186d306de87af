"""How documents share rows, as `pack` of Loadax deals them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from loadax_datasets import InMemoryDataset

from drawing.svg import SERIES, Sheet

LENGTHS = (9, 4, 12, 7, 16, 3, 5, 6)
SIZE = 16
LEFT, CELL = 150, 33.75


def draw() -> str:
    """The documents, the packed rows, and all leaves of one row."""
    # Document k is k repeated, so that the rows show where each document went.
    documents = InMemoryDataset([np.full(length, number, np.int32) for number, length in enumerate(LENGTHS)])
    rows = documents.pack(SIZE)
    packed = [rows[row] for row in range(len(rows))]
    count = len(LENGTHS)
    sheet = Sheet(720, 306 + 34 * len(packed), f"{count} documents packed into {len(packed)} rows of {SIZE} tokens")
    sheet.text(20, 30, f"{count} documents, of {min(LENGTHS)} to {max(LENGTHS)} tokens", size=15, bold=True)
    scale = 680 / sum(LENGTHS)
    x = 20.0
    for number, length in enumerate(LENGTHS):
        _piece(sheet, x, 42, scale * length - 3, number, str(length))
        x += scale * length
    sheet.text(20, 104, f"documents.pack({SIZE})", size=15, bold=True, mono=True)
    sheet.text(230, 104, "places whole documents; grey is padding", size=13, fill="soft")
    for index, row in enumerate(packed):
        top = 116 + 34 * index
        sheet.text(20, top + 19, f"row {index}", size=13, fill="soft")
        for first, last, segment in _runs(row["segment_ids"]):
            x, width = LEFT + CELL * first, CELL * (last - first) - 3
            if segment:
                _piece(sheet, x, top, width, int(row["tokens"][first]), "")
            else:
                sheet.box(x, top, width, 28, fill="void")
    _leaves(sheet, packed, 156 + 34 * len(packed))
    return sheet.svg()


def _leaves(sheet: Sheet, packed: list[dict[str, Any]], top: float) -> None:
    """The numbers of the row that has the most documents."""
    chosen = max(range(len(packed)), key=lambda index: int(packed[index]["segment_ids"].max()))
    row = packed[chosen]
    sheet.text(20, top, f"What row {chosen} holds", size=15, bold=True)
    for line, name in enumerate(("segment_ids", "positions", "loss_mask")):
        y = top + 14 + 32 * line
        sheet.text(20, y + 19, name, size=13, mono=True)
        for place in range(SIZE):
            segment = int(row["segment_ids"][place])
            fill = SERIES[int(row["tokens"][place]) % len(SERIES)] if segment else "void"
            sheet.box(LEFT + CELL * place, y, CELL - 3, 27, fill=fill, radius=3)
            number = int(row[name][place])
            sheet.text(LEFT + CELL * place + CELL / 2 - 1.5, y + 18, str(number), size=12.5, anchor="middle")
    text = "Positions begin again with each document. Its last token has no target: its loss mask is 0."
    sheet.text(20, top + 132, text, size=13, fill="soft")


def _piece(sheet: Sheet, x: float, y: float, width: float, number: int, text: str) -> None:
    sheet.box(x, y, width, 28, fill=SERIES[number % len(SERIES)])
    label = text or (f"document {number}" if width > 90 else str(number))
    sheet.text(x + width / 2, y + 19, label, size=12.5, anchor="middle")


def _runs(ids: npt.NDArray[np.integer]) -> list[tuple[int, int, int]]:
    """The first place, the end and the value of each run of equal numbers."""
    edges = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    return [(first, last, int(ids[first])) for first, last in pairwise(edges)]
