"""A timeline as a picture."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .span import Span

COLORS = {"reading": "#4477aa", "batching": "#ccbb44", "placing": "#228833", "waiting": "#ee6677"}
"""Paul Tol's bright scheme, which colour-blind people can tell apart."""

TRAINING = "#e8e8ef"
"""What training does when it does not wait."""

STAGES = {"reading": "read", "batching": "batch", "placing": "place", "waiting": "wait for data"}

LABEL_WIDTH = 0.014
"""A span gets the number of its step if it is at least this share of the picture wide."""


def plot(lanes: dict[str, list[Span]], seconds: float, path: Path) -> None:
    """Draws a lane for the training loop and each worker, and writes the picture to `path`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        new_figure: Any = import_module("matplotlib.figure").Figure
        new_patch: Any = import_module("matplotlib.patches").Patch
    except ModuleNotFoundError as error:
        raise ImportError("pictures need matplotlib: pip install 'loadax-core[plots]'", name=error.name) from error
    unit, scale = ("s", 1.0) if seconds >= 1 else ("ms", 1e3)
    names = list(lanes)
    figure = new_figure(figsize=(11, 1.6 + 0.5 * len(names)), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    if waits := lanes.get("training"):
        whole = [(waits[0].began * scale, (seconds - waits[0].began) * scale)]
        axes.broken_barh(whole, (names.index("training") - 0.38, 0.76), facecolors=TRAINING)
    for y, (lane, spans) in enumerate(lanes.items()):
        axes.broken_barh(
            [(span.began * scale, (span.ended - span.began) * scale) for span in spans],
            (y - 0.38, 0.76),
            facecolors=[COLORS[span.stage] for span in spans],
            edgecolor="white",
            # It would hide short waits.
            linewidth=0.0 if lane == "training" else 0.3,
        )
        for span in spans:
            if span.ended - span.began > LABEL_WIDTH * seconds:
                axes.text(
                    (span.began + span.ended) / 2 * scale,
                    y,
                    str(span.step),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if span.stage in ("reading", "placing") else "black",
                )
    axes.set_yticks(range(len(names)), names, fontsize=10)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, seconds * scale)
    axes.set_xlabel(f"time ({unit}); numbers are steps", fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    seen = {span.stage for spans in lanes.values() for span in spans}
    handles = [new_patch(facecolor=COLORS[stage], label=text) for stage, text in STAGES.items() if stage in seen]
    handles.append(new_patch(facecolor=TRAINING, label="train"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=10)
    figure.savefig(path, dpi=150)
