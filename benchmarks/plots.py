"""Draws figures of the results: share of the limit, waiting, memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.patches
import matplotlib.pyplot as plt
import numpy as np

from .summary import Line, Spread, summarise

mpl.use("svg")
mpl.rcParams.update({
    "svg.hashsalt": "loadax",  # the same results give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
})  # fmt: skip

OURS, HAND, PEER = "#d1495b", "#8d96a3", "#30638e"


def _memory(line: Line) -> Spread | None:
    return None if line.added_mb is None else Spread(max(line.added_mb, 0.1), max(line.added_mb, 0.1), line.added_mb)


@dataclass(frozen=True)
class Figure:
    """A figure of bars.

    Attributes:
        name: The name of its file.
        title: What it shows.
        unit: The unit of its bars, and which of them are better.
        pick: The value of a line; None if it has none.
        highest_first: Whether the highest value is the best.
    """

    name: str
    title: str
    unit: str
    pick: Callable[[Line], Spread | None]
    highest_first: bool = False


FIGURES = (
    Figure("limit", "Batches per second", "share of the limit; longer is better", lambda line: line.to_limit, True),
    Figure("stall", "How long the loop waits for data", "% of its time; shorter is better", lambda line: line.waited),
    Figure("memory", "Memory that the loader adds", "MB; shorter is better", _memory),
)


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draws each figure for which there are results.

    Args:
        results: The results of the runner.
        folder: The folder for the files.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for line in summarise(results) if line.loader != "limit" and line.value]
    drawn: list[Path] = []
    titles = {work: f"{work}: {about['title']}" for work, about in results["works"].items()}
    for figure in FIGURES:
        chosen = [(line, spread) for line in lines if (spread := figure.pick(line))]
        if chosen:
            drawn.append(_bars(chosen, titles, figure, folder / f"{figure.name}.svg"))
    return drawn


def curves(series: dict[str, dict[str, list[float]]], unit: str, path: Path) -> Path:
    """Draws curves side by side, on logarithmic axes.

    Args:
        series: For each panel, its title and `x` and `y`.
        unit: The unit of `y`.
        path: The path of the file.
    """
    figure, panels = plt.subplots(1, len(series), figsize=(3.4 * len(series), 2.6), squeeze=False)
    figure.suptitle("The cost of a batch of numbers", fontweight="bold")
    for panel, (title, points) in zip(panels[0], series.items(), strict=True):
        panel.loglog(points["x"], points["y"], "o-", color=OURS, markersize=4)
        panel.set(xlabel=title, ylabel=unit, ylim=(min(points["y"]) / 3, max(points["y"]) * 3))
        panel.grid(alpha=0.3)
    return _save(figure, path)


def lanes(traces: dict[str, dict[str, Any]], path: Path) -> Path:
    """Draws when a device computed and received data, one panel for each trace.

    Args:
        traces: For each panel, its title, and the starts and ends of `kernels` and `transfers`, in seconds.
        path: The path of the file.
    """
    figure, panels = plt.subplots(len(traces), 1, figsize=(6.5, 1.1 * len(traces) + 0.6), squeeze=False)
    figure.suptitle("What a GPU does while batches are loaded", fontweight="bold")
    for panel, (title, trace) in zip(panels[:, 0], traces.items(), strict=True):
        for row, (kind, color) in enumerate((("kernels", HAND), ("transfers", OURS))):
            spans = [(1e3 * start, 1e3 * (stop - start)) for start, stop in trace[kind]]
            panel.broken_barh(spans, (row - 0.35, 0.7), color=color, edgecolor=color, lw=0.3)
        panel.set_yticks([0, 1], ["computing", "receiving"])
        panel.set_title(title, loc="left", fontweight="bold")
    panels[-1, 0].set_xlabel("ms")
    return _save(figure, path)


def _bars(chosen: list[tuple[Line, Spread]], titles: dict[str, str], figure: Figure, path: Path) -> Path:
    """Draws a panel for each work and a bar for each loader, with a whisker from the minimum to the maximum."""
    works = list(dict.fromkeys(line.work for line, _ in chosen))
    heights = [sum(line.work == work for line, _ in chosen) for work in works]
    sheet, panels = plt.subplots(
        len(works),
        1,
        figsize=(6.5, 0.21 * sum(heights) + 0.75 * len(works) + 0.8),
        height_ratios=heights,
        squeeze=False,
    )
    sheet.suptitle(figure.title, fontweight="bold")
    kinds = {"Loadax": OURS, "hand-written": HAND, "other libraries": PEER}
    patches = [mpl.patches.Patch(facecolor=color, label=label) for label, color in kinds.items()]
    sheet.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False)
    scale = 100 if figure.unit.startswith("%") else 1
    for panel, work in zip(panels[:, 0], works, strict=True):
        mine = [(line.loader, spread) for line, spread in chosen if line.work == work]
        mine.sort(key=lambda pair: pair[1].median, reverse=figure.highest_first)
        names = [name for name, _ in mine]
        medians = scale * np.array([spread.median for _, spread in mine])
        whiskers = scale * np.abs(np.array([[s.median - s.least, s.most - s.median] for _, s in mine]).T)
        colors = [OURS if n.startswith("loadax") else HAND if n.startswith("handwritten") else PEER for n in names]
        panel.barh(names, medians, xerr=whiskers, color=colors, height=0.7, error_kw={"lw": 0.8, "capsize": 2})
        panel.invert_yaxis()
        panel.set_xlim(left=0)
        panel.set_xlabel(figure.unit)
        panel.set_title(titles[work], loc="left", fontsize=8.5)
        panel.grid(axis="x", alpha=0.3)
        if figure.highest_first:
            panel.axvline(1.0, color="black", lw=0.8, ls="--")
            panel.set_xlim(right=max(1.05, panel.get_xlim()[1]))
    return _save(sheet, path)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
