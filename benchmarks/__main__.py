"""`python -m benchmarks` runs the suite, writes the results as JSON, and makes tables and figures of them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from .loaders import ADAPTERS
from .report import tables, write_between
from .runner import described, machine, run_suite
from .works import WORKS

HERE = Path(__file__).parent
ALL = [*WORKS, "W11"]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--work", default=",".join(ALL), help=f"works, of {','.join(ALL)}; W7 means all that begin so")
    parser.add_argument("--adapter", default=",".join(ADAPTERS), help=f"libraries, of {','.join(ADAPTERS)}")
    parser.add_argument("--loader", help="only these configurations, such as loadax,loadax-sync,grain")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each pair (default 5)")
    parser.add_argument("--quick", action="store_true", help="small data, to see that everything works; no speeds")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="where results go")
    parser.add_argument("--merge", action="store_true", help="keep other works that --out holds, of this machine")
    parser.add_argument("--report", action="store_true", help="run nothing; report on the results in --out")
    parser.add_argument("--readme", type=Path, help="a page to write tables into, such as benchmarks/README.md")
    parser.add_argument("--plots", type=Path, help="a folder to draw into, such as benchmarks/plots")
    arguments = parser.parse_args()
    arguments.work = choose(parser, "work", arguments.work, ALL)
    arguments.adapter = choose(parser, "adapter", arguments.adapter, list(ADAPTERS))
    arguments.loader = arguments.loader.split(",") if arguments.loader else None
    if arguments.repeats < 1:
        parser.error(f"--repeats is {arguments.repeats}; give at least 1")
    if arguments.merge and arguments.out.exists():
        before, now = described(json.loads(arguments.out.read_text())["machine"]), described(machine())
        if before != now:
            parser.error(f"--merge: {arguments.out} is of {before}, and this is {now}; give another --out")
    return arguments


def main() -> int:
    """Runs the suite. Returns 1 if the limit, Loadax or a hand-written loop failed; another loader may fail."""
    arguments = parse()
    if arguments.report:
        results = json.loads(arguments.out.read_text())
    else:
        results = run_suite(
            arguments.work,
            arguments.adapter,
            arguments.loader,
            arguments.repeats,
            arguments.quick,
            lambda line: print(line, flush=True),
        )
        if arguments.merge and arguments.out.exists():
            results = merged(json.loads(arguments.out.read_text()), results)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    text = tables(results)
    if arguments.readme:
        write_between(arguments.readme, "results", text)
    else:
        print(text)
    if arguments.plots:
        if importlib.util.find_spec("matplotlib"):
            from .plots import draw  # noqa: PLC0415 - measuring needs no matplotlib

            print("drew", *draw(results, arguments.plots))
        else:
            print("matplotlib is not installed; no plots")
    ours = ("limit", "loadax", "handwritten")
    failed = [run for run in results["runs"] if run["loader"].startswith(ours) and "error" in run]
    for run in failed:
        print(f"{run['work']} {run['loader']} failed: {run['error']}", file=sys.stderr)
    broken = [adapter for adapter in results["missing"] if adapter in ours]
    return 1 if failed or broken else 0


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new results, and the old results of the works that did not run this time."""
    kept = [work for work in old["works"] if work not in new["works"]]
    works = {**{work: old["works"][work] for work in kept}, **new["works"]}
    return {
        **new,
        "works": {work: works[work] for work in sorted(works, key=ALL.index)},
        "configurations": {**old["configurations"], **new["configurations"]},
        "versions": {**old["versions"], **new["versions"]},
        "runs": [*(run for run in old["runs"] if run["work"] in kept), *new["runs"]],
    }


def choose(parser: argparse.ArgumentParser, what: str, given: str, known: list[str]) -> list[str]:
    """The names that a comma-separated option stands for; `W7` stands for all that begin so."""
    chosen: list[str] = []
    for name in given.split(","):
        found = [one for one in known if one == name or one.partition("-")[0] == name]
        if not found:
            parser.error(f"--{what} {name} is unknown; there are {', '.join(known)}")
        chosen += found
    return chosen


if __name__ == "__main__":
    sys.exit(main())
