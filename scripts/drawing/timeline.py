"""Two recorded runs of the same work: without workers, and with three of them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from loadax_core import DataLoader, Loader
from loadax_datasets import RangeDataset

from drawing.svg import Sheet

RUNS = Path(__file__).with_name("runs.json")

ROW_SECONDS, STEP_SECONDS, BATCH, BATCHES = 0.002, 0.010, 10, 12

STAGES = {"reading": "a", "batching": "b", "waiting": "wait"}
LEFT, TOP, LANE = 104, 84, 30


def record() -> None:
    """Runs both loaders beside the same step, and writes what they did into `runs.json`."""
    rows = RangeDataset(BATCH * BATCHES).map(_slow)
    base = DataLoader().batch_size(BATCH)
    runs = {
        "without workers": _timed(base.build(rows)),
        ".workers(3).prefetch(4)": _timed(base.workers(3).prefetch(4).build(rows)),
    }
    RUNS.write_text(json.dumps(runs, indent=1) + "\n")


def _slow(x: int) -> int:
    time.sleep(ROW_SECONDS)
    return x


def _timed(loader: Loader[Any]) -> dict[str, Any]:
    with iter(loader) as batches, batches.timeline() as timeline:
        for _ in batches:
            time.sleep(STEP_SECONDS)
        stats = batches.stats()
    lanes = {
        lane: [[span.stage, round(1e3 * span.began, 2), round(1e3 * span.ended, 2), span.step] for span in spans]
        for lane, spans in timeline.lanes.items()
    }
    return {
        "ms": round(1e3 * timeline.seconds, 2),
        "waited_ms": round(1e3 * stats.waited, 2),
        "first_ms": round(1e3 * stats.first_wait, 2),
        "lanes": lanes,
    }


def draw() -> str:
    """Both runs above each other, on one axis of time."""
    runs: dict[str, Any] = json.loads(RUNS.read_text())
    lanes = sum(len(run["lanes"]) for run in runs.values())
    most = max(run["ms"] for run in runs.values())
    height = TOP + LANE * lanes + 58 * len(runs) + 4
    sheet = Sheet(
        720, height, "Timelines of two runs: without workers, training waits; with three workers, it does not"
    )
    work = f"{BATCHES} steps of {1e3 * STEP_SECONDS:.0f} ms, {BATCH} rows a step, {1e3 * ROW_SECONDS:.0f} ms a row"
    sheet.text(20, 32, work, size=15, bold=True)
    _legend(sheet)
    scale = (700 - LEFT) / most
    y = float(TOP)
    for name, run in runs.items():
        sheet.text(20, y + 14, name, size=14, mono="(" in name, bold=True)
        waited = f"waited {run['waited_ms']:.0f} ms, {run['first_ms']:.0f} of them for the first batch"
        note = f"{run['ms']:.0f} ms; {waited}"
        sheet.text(700, y + 14, note, size=13, anchor="end", fill="soft")
        y += 24
        for lane, spans in run["lanes"].items():
            sheet.text(20, y + 18, lane, size=13, fill="soft")
            if lane == "training":
                sheet.box(LEFT, y + 3, scale * run["ms"], LANE - 8, fill="ours", radius=0)
            for stage, began, ended, step in spans:
                width = scale * (ended - began)
                if width >= 0.4:
                    sheet.box(LEFT + scale * began, y + 3, width, LANE - 8, fill=STAGES[stage], edge=None, radius=0)
                if stage == "reading" and width > 20:
                    sheet.text(LEFT + scale * (began + ended) / 2, y + 18, str(step), size=11.5, anchor="middle")
            y += LANE
        y += 18
    for ms in range(0, int(most) + 1, 50):
        x = LEFT + scale * ms
        sheet.arrow((x, y - 8), (x, y - 3), head=False)
        sheet.text(x, y + 12, f"{ms} ms" if ms else "0", size=12, anchor="middle", fill="soft")
    return sheet.svg()


def _legend(sheet: Sheet) -> None:
    x = 20.0
    for fill, text in (
        ("ours", "training"),
        ("wait", "training waits for data"),
        ("a", "rows are read, for the step of that number"),
    ):
        sheet.box(x, 48, 14, 14, fill=fill, radius=2)
        sheet.text(x + 20, 60, text, size=13, fill="soft")
        x += 44 + 7.2 * len(text)
