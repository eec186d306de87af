"""The measurements that the documentation shows, from `benchmarks/published.json`, under plain names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from workspace import ROOT

PUBLISHED = ROOT / "benchmarks" / "published.json"

LOADERS = {
    "limit": "the machine's limit",
    "loadax": "Loadax",
    "loadax-1": "Loadax, 1 worker",
    "loadax-sync": "Loadax, no worker",
    "loadax-process": "Loadax, processes",
    "loadax_core": "loadax-core alone",
    "handwritten": "hand-written loop",
    "handwritten-threads": "hand-written, threads",
    "handwritten-fork": "hand-written, processes",
    "grain": "Grain",
    "grain-prebatched": "Grain, batched source",
    "grain-default": "Grain, defaults",
    "grain_0_2_17": "Grain 0.2.17",
    "grain_0_2_17-prebatched": "Grain 0.2.17, batched",
    "grain_0_2_17-default": "Grain 0.2.17, defaults",
    "torch": "PyTorch",
    "torch-default": "PyTorch, defaults",
    "jax_dataloader": "jax-dataloader",
    "spdl": "SPDL",
    "spdl.pipeline": "SPDL",
    "tensorflow": "tf.data (TensorFlow)",
    "tensorflow-default": "tf.data, defaults",
    "datasets": "Hugging Face datasets",
    "datasets-numpy": "Hugging Face, NumPy format",
}
"""What readers see for each configuration of a loader; `benchmarks/README.md` says what each one sets."""

LIBRARIES = {
    "grain": "Grain",
    "grain_0_2_17": "Grain",
    "torch": "PyTorch",
    "jax_dataloader": "jax-dataloader",
    "spdl": "SPDL",
    "spdl.pipeline": "SPDL",
    "tensorflow": "TensorFlow",
    "datasets": "Hugging Face datasets",
}


class Bar(NamedTuple):
    """One loader's result: the median, the minimum and the maximum of its runs."""

    loader: str
    median: float
    least: float
    most: float

    @property
    def label(self) -> str:
        """What readers see."""
        return LOADERS[self.loader]

    @property
    def kind(self) -> str:
        """`ours`, `hand` or `peer`."""
        return {"loadax": "ours", "loadax_core": "ours", "handwritten": "hand"}.get(
            self.loader.partition("-")[0], "peer"
        )


@dataclass(frozen=True)
class Group:
    """Works that share a figure and a table.

    Attributes:
        title: What the figure says.
        unit: `share` of the loop's time, `limit` for the share of the machine's limit, `us` or `ms`.
        works: The works, with their plain names.
        every: Whether to show every configuration, not only the best one of each library.
    """

    title: str
    unit: str
    works: dict[str, str]
    every: bool = False

    @property
    def higher_is_better(self) -> bool:
        """Whether the longest bar is the best."""
        return self.unit == "limit"


GROUPS = {
    "stalls": Group(
        "Share of the time that training waits for data",
        "share",
        {"W8": "MNIST arrays beside a step of 3 ms", "W10-step": "Batches of 38 MB of images beside a step"},
        every=True,
    ),
    "gathers": Group(
        "Batches of arrays: share of the machine's limit",
        "limit",
        {"W1": "MNIST arrays", "W2": "Images of 64 x 64 as bytes", "W6": "Token windows of a memory-mapped file"},
    ),
    "large": Group(
        "Large batches: share of the machine's limit",
        "limit",
        {"W10-38MB": "Image batches of 38 MB", "W10-150MB": "Image batches of 154 MB"},
    ),
    "items": Group(
        "Slow rows: share of the machine's limit",
        "limit",
        {"W3": "Rows that wait 2 ms, 16 workers", "W4": "JPEG decoding, 2 threads"},
    ),
    "packing": Group(
        "Packed documents: share of the machine's limit",
        "limit",
        {"W12-2048": "Rows of 2,048 tokens", "W12-8192": "Rows of 8,192 tokens"},
    ),
    "python": Group(
        "Pure Python: share of the machine's limit",
        "limit",
        {"W5": "Pure Python of 200 us a row, 2 workers"},
    ),
    "first": Group(
        "Time to the first batch of a shuffled dataset",
        "ms",
        {"W7-1e9": "10^9 rows"},
    ),
    "overhead": Group(
        "Time of a batch of numbers: the loader's own cost",
        "us",
        {
            "W9-1": "1 row, no worker",
            "W9-32": "32 rows, no worker",
            "W9-1-prefetch": "1 row, prefetch(2)",
            "W9-32-prefetch": "32 rows, prefetch(2)",
        },
    ),
    "import": Group("Time to import, beyond NumPy's", "ms", {"W11": "import"}),
}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def published() -> dict[str, Any]:
    """For each work its title, date, machine, versions and rows."""
    return json.loads(PUBLISHED.read_text())


def bars(group: Group, work: str) -> list[Bar]:
    """The results of a work, the best first."""
    found: list[Bar] = []
    for row in published()[work]["rows"]:
        numbers = numbers_of(group.unit, row)
        if numbers and row["loader"] != "limit":
            found.append(Bar(row["loader"], *numbers))
    found.sort(key=lambda bar: bar.median, reverse=group.higher_is_better)
    if group.every or group.unit == "ms":
        return found
    best: dict[str, Bar] = {}
    for bar in found:
        best.setdefault(bar.loader.partition("-")[0], bar)
    return list(best.values())


def numbers_of(unit: str, row: dict[str, Any]) -> tuple[float, float, float] | None:
    """The median, the minimum and the maximum of a row in a unit; None if the row has none."""
    key = {"share": "waited", "limit": "to_limit"}.get(unit, "value")
    numbers = cast("list[float] | None", row[key])
    if numbers is None:
        return None
    median, least, most = numbers
    if unit == "us":  # a rate is shown as the time of a batch: the highest rate is the shortest time
        return 1e6 / median, 1e6 / most, 1e6 / least
    scale = 1e3 if unit == "ms" else 1.0
    return scale * median, scale * least, scale * most


def shown(unit: str, number: float) -> str:
    """A number as text, with its unit."""
    if unit == "share":
        return f"{number:.1%}"
    if unit in ("limit", "rate", "hand"):
        return f"{number:.2f}"
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def table(name: str) -> str:
    """The table of a group, as Markdown, with where and when it was measured and how to repeat it.

    Raises:
        ValueError: If its works were measured on different days or machines.
    """
    group = GROUPS[name]
    found = {work: bars(group, work) for work in group.works}
    loaders = list(dict.fromkeys(bar.loader for bars_ in found.values() for bar in bars_))
    lines: list[list[str]] = []
    for loader in loaders:
        cells = [_cell(group.unit, next((bar for bar in found[work] if bar.loader == loader), None)) for work in found]
        lines.append([f"**{LOADERS[loader]}**" if loader.startswith("loadax") else LOADERS[loader], *cells])
    rows = markdown(["loader", *group.works.values()], lines)
    return f'<div class="measures" markdown>\n\n{rows}\n\n</div>\n\n{measured(name)}'


def _cell(unit: str, bar: Bar | None) -> str:
    if bar is None:
        return ""
    least, most = (shown(unit, number).partition(" ")[0].removesuffix("%") for number in (bar.least, bar.most))
    return f"{shown(unit, bar.median)} ({least}-{most})"


def measured(name: str) -> str:
    """When, where and with which versions a group was measured, and the command that repeats it.

    Raises:
        ValueError: If its works were measured on different days or machines.
    """
    works = [published()[work] for work in GROUPS[name].works]
    dates = {(work["date"], *work["machine"].values(), work["repeats"]) for work in works}
    if len(dates) != 1:
        raise ValueError(f"the works of {name} were measured on different days or machines: {sorted(dates)}")
    date, cpu, cores, python, repeats = dates.pop()
    versions = {
        f"{LIBRARIES[library]} {version}"
        for work in works
        for library, version in work["versions"].items()
        if library in LIBRARIES and version
    }
    libraries = f", with {', '.join(sorted(versions, key=str.lower))}" if versions else ""
    command = f"python -m benchmarks --work {','.join(GROUPS[name].works)}"
    return (
        f"Measured on {date}: {cpu}, {cores} cores, Python {python}{libraries}. Medians of {repeats} runs, with the "
        f"minimum and the maximum. Repeat it with `{command}`."
    )
