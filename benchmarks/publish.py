"""`python -m benchmarks.publish` copies the summaries of works into `published.json`, which the documentation shows.

`results.json` holds the last run, which may have had few works and loaders. `published.json` keeps, for each work, one
run with its date and its machine. So a work that was measured again replaces its own table, and no other. After a run
with `--merge`, name the works of that run: the results date the others as if they had been measured with them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .summary import Spread, summarise

HERE = Path(__file__).parent


def published(results: dict[str, Any], works: list[str]) -> dict[str, Any]:
    """What the documentation shows of a run.

    Args:
        results: The results of the runner.
        works: The works to show.

    Returns:
        For each work its title, date, machine, versions, and rows, the fastest loader first.

    Raises:
        ValueError: If the run was a quick one, or has none of a work.
    """
    if results["quick"]:
        raise ValueError("these results are of a quick run, which shows no speeds; measure without --quick")
    shown: dict[str, Any] = {}
    for work in works:
        rows = [line for line in summarise(results) if line.work == work]
        if not rows:
            raise ValueError(f"the results have no {work}; they have {', '.join(results['works'])}")
        counts = [
            sum(run["work"] == work and run["loader"] == row.loader for run in results["runs"])
            for row in rows
            if row.value
        ]
        shown[work] = {
            "title": results["works"][work]["title"],
            "measure": results["works"][work]["measure"],
            "date": results["machine"]["date"],
            "machine": {key: results["machine"][key] for key in ("cpu", "cores", "python")},
            "versions": {row.loader.partition("-")[0]: _version(results, row.loader) for row in rows},
            "repeats": min(counts),
            "rows": [
                {
                    "loader": row.loader,
                    "value": _rounded(row.value),
                    "to_limit": _rounded(row.to_limit),
                    "waited": _rounded(row.waited),
                    **({"tokens_s": _rounded(row.tokens_s), "padding": _rounded(row.padding)} if row.tokens_s else {}),
                    "note": row.note,
                }
                for row in rows
            ],
        }
    return shown


def _version(results: dict[str, Any], loader: str) -> str:
    library = loader.partition("-")[0]
    return results["versions"].get({"limit": "numpy", "loadax_core": "loadax"}.get(library, library), "")


def _rounded(spread: Spread | None) -> list[float] | None:
    return spread and [float(f"{number:.6g}") for number in spread]


def main() -> None:
    """Replaces the works that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__)
    parser.add_argument("--work", help="works that the last run measured, such as W8; left out, all")
    parser.add_argument("--results", type=Path, default=HERE / "results.json", help="the results of a run")
    parser.add_argument("--out", type=Path, default=HERE / "published.json", help="what the documentation shows")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text())
    kept = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    works = arguments.work.split(",") if arguments.work else list(results["works"])
    text = json.dumps({**kept, **published(results, works)}, indent=1)
    arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
