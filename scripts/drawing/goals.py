"""What Loadax has to reach and has reached, and the runs on a GPU."""

from __future__ import annotations

import json
import statistics
from typing import NamedTuple

from workspace import ROOT

from drawing.results import GROUPS, bars, markdown, numbers_of, published, shown

GPU = ROOT / "benchmarks" / "gpu.json"
GPU_CASES = {
    "W1": "MNIST arrays beside a step of 3 ms",
    "W10": "Batches of 38 MB of images beside a step of 9 ms",
    "W10, short step": "Batches of 38 MB of images beside a step of 3 ms",
}


class Goal(NamedTuple):
    """What a work of Loadax has to reach.

    Attributes:
        what: The work, and what is measured.
        work: Its name in the results.
        loader: The configuration of Loadax that has to reach it.
        unit: `share`, `limit`, `rate` for a share of the step's own rate, `us`, `ms`, or `hand` for a multiple of the
            hand-written loop's time.
        bound: The least or the most that meets it.
    """

    what: str
    work: str
    loader: str
    unit: str
    bound: float

    def row(self) -> list[str]:
        """The line of the table."""
        rows = {row["loader"]: row for row in published()[self.work]["rows"]}
        if self.unit == "hand":
            reached = rows["handwritten"]["value"][0] / rows[self.loader]["value"][0]
        elif self.unit == "rate":
            reached = rows[self.loader]["value"][0]
        else:
            numbers = numbers_of(self.unit, rows[self.loader])
            assert numbers
            reached = numbers[0]
        higher = self.unit in ("limit", "rate")
        met = reached >= self.bound if higher else reached <= self.bound
        date = published()[self.work]["date"].replace("-", "\N{NON-BREAKING HYPHEN}")
        goal = f"at {'least' if higher else 'most'} {self._shown(self.bound)}"
        return ["met" if met else "**missed**", self.what, goal, self._shown(reached), date]

    def _shown(self, number: float) -> str:
        return f"{number:.2%}" if self.unit == "share" else shown(self.unit, number)


GOALS = (
    Goal("MNIST arrays beside a step: training waits", "W8", "loadax", "share", 0.01),
    Goal("MNIST arrays beside a step: of the step's own rate", "W8", "loadax", "rate", 0.95),
    Goal("38 MB of images beside a step: training waits", "W10-step", "loadax", "share", 0.01),
    Goal("38 MB of images beside a step: of the step's own rate", "W10-step", "loadax", "rate", 0.95),
    Goal("MNIST arrays: of the limit", "W1", "loadax-1", "limit", 0.9),
    Goal("Images of 64 x 64: of the limit", "W2", "loadax-1", "limit", 0.9),
    Goal("Rows that wait 2 ms: of the limit", "W3", "loadax", "limit", 0.98),
    Goal("JPEG decoding: of the limit", "W4", "loadax", "limit", 1.0),
    Goal("Pure Python: of the limit", "W5", "loadax-process", "limit", 0.95),
    Goal("Token windows: of the limit", "W6", "loadax-1", "limit", 0.85),
    Goal("Documents packed into rows of 2,048: of the limit", "W12-2048", "loadax", "limit", 0.6),
    Goal("Documents packed into rows of 8,192: of the limit", "W12-8192", "loadax", "limit", 0.6),
    Goal("First batch of 10^9 rows", "W7-1e9", "loadax", "ms", 10),
    Goal("1 row with `prefetch`: of the hand-written loop's time", "W9-1-prefetch", "loadax", "hand", 0.75),
    Goal("32 rows with `prefetch`: of the hand-written loop's time", "W9-32-prefetch", "loadax", "hand", 0.75),
    Goal("Import of `loadax_core`", "W11", "loadax_core", "ms", 30),
    Goal("Import of `loadax`", "W11", "loadax", "ms", 60),
)


def goals() -> str:
    """The table of what Loadax has to reach, with what is missed first."""
    rows = sorted((goal.row() for goal in GOALS), key=lambda row: row[0] == "met")
    return markdown(["", "what", "goal", "reached", "measured"], rows)


def numbers() -> str:
    """The three numbers of the front page, as cards."""
    shown_of = {"stalls": "W8", "first": "W7-1e9", "items": "W4"}
    stall, first, images = (
        next(bar for bar in bars(GROUPS[group], work) if bar.loader == "loadax") for group, work in shown_of.items()
    )
    other = next(bar for bar in bars(GROUPS["stalls"], "W8") if bar.kind != "ours")
    cards = {
        shown("share", stall.median): "of the time, training waits for data, with MNIST arrays and a step of 3 ms. "
        f"The best other is a {other.label}, with {shown('share', other.median)}.",
        shown("ms", first.median): "until the first batch of 10^9 shuffled rows. No order is stored.",
        shown("limit", images.median): "of twice the speed of one thread, when two threads decode JPEG.",
    }
    lines = [f"- **{number}**\n\n    {text}" for number, text in cards.items()]
    works = [published()[work] for work in shown_of.values()]
    machines = sorted({f"{work['machine']['cpu']} with {work['machine']['cores']} cores" for work in works})
    days = sorted({work["date"] for work in works})
    where = f"Measured on {' and '.join(days)}: {' and '.join(machines)}."
    return "\n\n".join(['<div class="grid cards numbers" markdown>', *lines, "</div>", where])


def gpu() -> str:
    """The table of the runs on a GPU."""
    found = json.loads(GPU.read_text())
    rows: list[list[str]] = []
    for case, name in GPU_CASES.items():
        waits: list[str] = []
        for loader in ("loadax", "handwritten"):
            waited = [run["waited"] for run in found["runs"] if run["case"] == case and run["loader"] == loader]
            waits.append(f"{statistics.median(waited):.1%} ({min(waited):.1%}-{max(waited):.1%})".replace("%-", "-"))
        rows.append([name, *waits])
    table = markdown(["training waits for", "**Loadax**", "hand-written loop"], rows)
    machine = found["machine"]
    where = f"{machine['device']}, {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}"
    runs = [(run["case"], run["loader"]) for run in found["runs"]]
    counts = {runs.count(pair) for pair in runs}
    return (
        f"{table}\n\nMeasured on {machine['date']}: {where}. Medians of {min(counts)} or {max(counts)} runs, with the "
        "minimum and the maximum. Repeat it with `python -m benchmarks.gpu`."
    )
