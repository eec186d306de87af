"""Writes the results as tables into `README.md`, between markers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from .runner import described
from .summary import Line, Spread, summarise

BEGIN, END = "<!-- begin {} -->", "<!-- end {} -->"


def tables(results: dict[str, Any]) -> str:
    """An overview, a table for each work, and the configuration of each loader."""
    lines = summarise(results)
    where = f"Measured on {results['machine']['date']}: {described(results['machine'])}"
    counts = repeats([(run["work"], run["loader"]) for run in results["runs"] if "value" in run])
    parts = [f"{where}; {counts}, medians with the minimum and the maximum."]
    if results["quick"]:
        parts.append("**Quick mode: small data and short measurements. These numbers say nothing about speed.**")
    parts += [_overview(results, lines)]
    for work, group in groupby(lines, key=lambda line: line.work):
        parts += [f"### {work}: {results['works'][work]['title']}", _work_table(results, list(group))]
    parts += ["### Versions and configurations", _versions(results), _configurations(results)]
    return "\n\n".join(parts) + "\n"


def repeats(pairs: Sequence[tuple[str, str]]) -> str:
    """How often each pair of a work and a loader ran, as text. The number may differ between runs that were merged."""
    counts = Counter(pairs).values()
    least, most = min(counts), max(counts)
    return f"{least} to {most} repeats" if least < most else f"{most} repeat{'s' * (most > 1)}"


def write_between(path: Path, name: str, text: str) -> None:
    """Replaces the text of a file between the markers of a name.

    Raises:
        ValueError: If the file lacks the markers.
    """
    begin, end = BEGIN.format(name), END.format(name)
    page = path.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no place for {name}: it needs the lines {begin} and {end}")
    head, tail = page.partition(begin)[0], page.partition(end)[2]
    path.write_text(f"{head}{begin}\n\n{text.strip()}\n\n{end}{tail}")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def value(measure: str, spread: Spread | None, note: str = "") -> str:
    """A measured value as text, in the unit that is easiest to read."""
    if spread is None:
        return note
    if measure == "step":
        return _ratio(spread)
    if measure in ("first", "import"):
        return _times([1e3 * seconds for seconds in spread], "ms")
    # A rate is shown as the time of a batch: the lowest rate is the longest time.
    seconds = [1 / spread.median, 1 / spread.most, 1 / spread.least]
    unit, scale = ("us", 1e6) if seconds[0] < 1e-3 else ("ms", 1e3)
    return _times([second * scale for second in seconds], unit)


def _times(numbers: Sequence[float], unit: str) -> str:
    median, least, most = (f"{number:.3g}" if number < 1000 else f"{number:,.0f}" for number in numbers)
    return f"{median} {unit} ({least}-{most})"


def _ratio(spread: Spread | None) -> str:
    return f"{spread.median:.2f} ({spread.least:.2f}-{spread.most:.2f})" if spread else ""


def _overview(results: dict[str, Any], lines: list[Line]) -> str:
    """One row for each work: Loadax, the hand-written loop, the best other loader, and the bar."""
    rows: list[list[str]] = []
    for work, about in results["works"].items():
        ran = [line for line in lines if line.work == work and line.value]
        ours = next((line for line in ran if line.loader.startswith("loadax")), None)
        hand = next((line for line in ran if line.loader.startswith("handwritten")), None)
        peers = [line for line in ran if not line.loader.startswith(("loadax", "handwritten", "limit"))]
        cells = [_brief(about["measure"], line) for line in (ours, hand, peers[0] if peers else None)]
        rows.append([work, *cells, about["bar"]])
    return markdown(["work", "Loadax", "hand-written", "best peer", "bar"], rows)


def _brief(measure: str, line: Line | None) -> str:
    if line is None or line.value is None:
        return ""
    absolute = value(measure, line.value).partition(" (")[0]
    shown = f"{line.to_limit.median:.2f}" if line.to_limit else absolute
    waited = f", waits {line.waited.median:.1%}" if line.waited else ""
    return f"{shown}{waited} ({line.loader})"


def _work_table(results: dict[str, Any], lines: list[Line]) -> str:
    measure = results["works"][lines[0].work]["measure"]
    what = {"rate": "a batch", "first": "first batch", "step": "of the step's own rate", "import": "import"}[measure]
    columns: list[tuple[str, Any]] = [
        ("loader", lambda line: line.loader),
        (what, lambda line: value(measure, line.value, line.note)),
    ]
    if any(line.to_limit for line in lines):
        columns.append(("of the limit", lambda line: _ratio(line.to_limit)))
    if any(line.to_handwritten for line in lines) and measure != "import":
        columns.append(("times hand-written", lambda line: _ratio(line.to_handwritten)))
    if any(line.tokens_s for line in lines):
        columns.append(("tokens/s", lambda line: f"{line.tokens_s.median / 1e6:,.0f}M" if line.tokens_s else ""))
        columns.append(("padding", lambda line: f"{line.padding.median:.2%}" if line.padding else ""))
    if any(line.waited for line in lines):
        columns.append(("the loop waits", lambda line: f"{line.waited.median:.1%}" if line.waited else ""))
    if any(line.added_mb is not None for line in lines):
        columns.append(("memory added", lambda line: "" if line.added_mb is None else f"{line.added_mb:,.0f} MB"))
    return markdown([name for name, _ in columns], [[show(line) for _, show in columns] for line in lines])


def _versions(results: dict[str, Any]) -> str:
    known = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if name != "handwritten")
    left_out = "".join(f"\n\nLeft out: {name} ({reason})." for name, reason in results["missing"].items())
    return f"{known}.{left_out}"


def _configurations(results: dict[str, Any]) -> str:
    ran = {(run["work"], run["loader"]) for run in results["runs"]}
    rows: list[list[str]] = []
    for loader, works in results["configurations"].items():
        texts: dict[str, list[str]] = {}
        for work, text in works.items():
            if (work, loader) in ran:
                texts.setdefault(text, []).append(work)
        rows += [[loader, ", ".join(names), text] for text, names in texts.items()]
    return markdown(["loader", "works", "configuration"], rows)
