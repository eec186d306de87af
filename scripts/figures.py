"""Draws the figures of the documentation, and fills in its tables of measurements.

    python scripts/figures.py           # writes docs/assets/figures/*.svg and fills docs/benchmarks.md, docs/index.md
    python scripts/figures.py --check   # writes nothing, and fails if one of them would change
    python scripts/figures.py --record  # first records the two runs of the timeline

Each figure is drawn from the code or the data that it shows: the import contract, the docstrings of the rooms,
`simulate_hosts`, a packed dataset, recorded runs, and `benchmarks/published.json`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from drawing import architecture, bars, goals, mesh, packing, path, results, timeline
from workspace import ROOT

FOLDER = ROOT / "docs" / "assets" / "figures"
PAGES = [ROOT / "docs" / "index.md", ROOT / "docs" / "benchmarks.md"]

FIGURES: dict[str, Callable[[], str]] = {
    "packages": architecture.packages,
    **{f"rooms-{name}": partial(architecture.rooms, name) for name in ("core", "datasets")},
    "path": path.draw,
    "mesh": mesh.draw,
    "packing": packing.draw,
    "timeline": timeline.draw,
    **{f"bars-{name}": partial(bars.draw, name) for name in results.GROUPS},
}

TABLES: dict[str, Callable[[], str]] = {
    **{name: partial(results.table, name) for name in results.GROUPS},
    "gpu": goals.gpu,
    "goals": goals.goals,
    "numbers": goals.numbers,
}

TABLE = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with each table between its markers."""
    return TABLE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n\n{place[3]}", page)


def wanted() -> dict[Path, str]:
    """All files that this script writes, with their contents."""
    files = {FOLDER / f"{name}.svg": draw() for name, draw in FIGURES.items()}
    return files | {page: filled(page.read_text()) for page in PAGES}


def main() -> int:
    """Writes or checks the files, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Draw the figures of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    parser.add_argument("--record", action="store_true", help="first record the runs of the timeline")
    options = parser.parse_args()
    if options.record:
        timeline.record()
    changed = {file: text for file, text in wanted().items() if not file.exists() or file.read_text() != text}
    for file, text in changed.items():
        if not options.check:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        print(f"{'differs' if options.check else 'wrote'}: {file.relative_to(ROOT)}")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
