"""Draws figures of the results: share of the limit, waiting, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
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
    for name, title, pick in (
        ("limit", "Share of the machine's limit", lambda line: line.to_limit),
        ("stall", "Share of the loop's time spent waiting for data", lambda line: line.waited),
        ("memory", "Memory added by the loader, MB", _memory),
    ):
        chosen = [(line, spread) for line in lines if (spread := pick(line))]
        if chosen:
            drawn.append(_bars(chosen, title, folder / f"{name}.svg", 1.0 if name == "limit" else None))
    return drawn


def curves(series: dict[str, dict[str, list[float]]], unit: str, path: Path) -> Path:
    """Draws curves side by side, on logarithmic axes.

    Args:
        series: For each panel, its title and `x` and `y`.
        unit: The unit of `y`.
        path: The path of the file.
    """
    figure, panels = plt.subplots(1, len(series), figsize=(3.4 * len(series), 2.6), squeeze=False)
    for panel, (title, points) in zip(panels[0], series.items(), strict=True):
        panel.loglog(points["x"], points["y"], "o-", color=OURS, markersize=4)
        panel.set(title=title, ylabel=unit, ylim=(min(points["y"]) / 3, max(points["y"]) * 3))
        panel.grid(alpha=0.3)
    return _save(figure, path)


def lanes(traces: dict[str, dict[str, Any]], path: Path) -> Path:
    """Draws when a device computed and received data, one panel for each trace.

    Args:
        traces: For each panel, its title, and the starts and ends of `kernels` and `transfers`, in seconds.
        path: The path of the file.
    """
    figure, panels = plt.subplots(len(traces), 1, figsize=(6.5, 1.1 * len(traces) + 0.3), squeeze=False)
    for panel, (title, trace) in zip(panels[:, 0], traces.items(), strict=True):
        for row, (kind, color) in enumerate((("kernels", HAND), ("transfers", OURS))):
            spans = [(1e3 * start, 1e3 * (stop - start)) for start, stop in trace[kind]]
            panel.broken_barh(spans, (row - 0.35, 0.7), color=color, edgecolor=color, lw=0.3)
        panel.set_yticks([0, 1], ["computing", "receiving"])
        panel.set_title(title, loc="left", fontweight="bold")
    panels[-1, 0].set_xlabel("ms")
    return _save(figure, path)


def _memory(line: Line) -> Spread | None:
    return None if line.added_mb is None else Spread(max(line.added_mb, 0.1), max(line.added_mb, 0.1), line.added_mb)


def _bars(chosen: list[tuple[Line, Spread]], title: str, path: Path, line_at: float | None) -> Path:
    """Draws a panel for each work and a bar for each loader, with a whisker from the minimum to the maximum."""
    works = list(dict.fromkeys(line.work for line, _ in chosen))
    heights = [sum(line.work == work for line, _ in chosen) for work in works]
    figure, panels = plt.subplots(
        len(works),
        1,
        figsize=(6.5, 0.21 * sum(heights) + 0.55 * len(works) + 0.4),
        height_ratios=heights,
        squeeze=False,
    )
    figure.suptitle(title)
    for panel, work in zip(panels[:, 0], works, strict=True):
        mine = [(line.loader, spread) for line, spread in chosen if line.work == work]
        names = [name for name, _ in mine]
        medians = np.array([spread.median for _, spread in mine])
        whiskers = np.abs(np.array([[s.median - s.least, s.most - s.median] for _, s in mine]).T)
        colors = [OURS if n.startswith("loadax") else HAND if n.startswith("handwritten") else PEER for n in names]
        panel.barh(names, medians, xerr=whiskers, color=colors, height=0.7, error_kw={"lw": 0.8, "capsize": 2})
        panel.invert_yaxis()
        panel.set_xlim(left=0)
        panel.set_title(work, loc="left", fontweight="bold")
        panel.grid(axis="x", alpha=0.3)
        if line_at is not None:
            panel.axvline(line_at, color="black", lw=0.8, ls="--")
            panel.set_xlim(right=max(1.05 * line_at, panel.get_xlim()[1]))
    return _save(figure, path)


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
