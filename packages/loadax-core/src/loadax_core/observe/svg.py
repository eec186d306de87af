"""A timeline as SVG for a notebook, without matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .plot import COLORS, STAGES, TRAINING

if TYPE_CHECKING:
    from .span import Span

WIDTH, LEFT, LANE, BAR = 960, 90, 26, 18
"""Pixels: the width of the time axis, of the names before it, the height of a lane, and of a bar in it."""


def svg(lanes: dict[str, list[Span]], seconds: float) -> str:
    """A bar for the training loop and each worker; a bar shows what it means if the mouse is on it.

    Args:
        lanes: The spans of each lane.
        seconds: Length of the time axis.
    """
    from html import escape  # noqa: PLC0415 - rarely needed, and slow to import

    scale = WIDTH / seconds if seconds else 0.0
    # Letters take the colour of the page, which may be dark.
    box = f"0 0 {LEFT + WIDTH} {LANE * (len(lanes) + 2)}"
    style = "max-width: 100%; font: 12px sans-serif"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" style="{style}" fill="currentColor">']
    for number, (lane, spans) in enumerate(lanes.items()):
        top = number * LANE
        parts.append(f'<text x="0" y="{top + 13}">{escape(lane)}</text>')
        if lane == "training" and spans:
            start = spans[0].began * scale
            parts.append(_bar(start, WIDTH - start, top, TRAINING, "train"))
        for began, ended, stage, first, last in _visible(spans, scale):
            steps = f"step {first}" if first == last else f"steps {first} to {last}"
            parts.append(_bar(began, ended - began, top, COLORS[stage], f"{STAGES[stage]}, {steps}"))
    below = LANE * len(lanes)
    unit = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
    parts.append(f'<text x="{LEFT}" y="{below + 14}">0</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{below + 14}" text-anchor="end">{unit}</text>')
    seen = {span.stage for spans in lanes.values() for span in spans}
    legend = [(COLORS[stage], text) for stage, text in STAGES.items() if stage in seen] + [(TRAINING, "train")]
    for number, (color, text) in enumerate(legend):
        left = LEFT + 130 * number
        parts.append(f'<rect x="{left}" y="{below + LANE + 3}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{left + 17}" y="{below + LANE + 13}">{text}</text>')
    return "".join([*parts, "</svg>"])


def _bar(left: float, width: float, top: int, color: str, title: str) -> str:
    return (
        f'<rect x="{LEFT + left:.1f}" y="{top}" width="{max(width, 0.5):.1f}" height="{BAR}" fill="{color}">'
        f"<title>{title}</title></rect>"
    )


def _visible(spans: list[Span], scale: float) -> Iterator[tuple[float, float, str, int, int]]:
    """Where the spans begin and end in pixels, with their stage and their first and last step.

    Spans of one stage that are less than a pixel apart are one, since a notebook cannot hold 10,000 bars for a lane.
    """
    began = ended = 0.0
    stage, first, last = "", 0, 0
    for span in spans:
        left, right = span.began * scale, span.ended * scale
        if span.stage == stage and left - ended < 1:
            ended, last = right, span.step
            continue
        if stage:
            yield began, ended, stage, first, last
        began, ended, stage, first, last = left, right, span.stage, span.step, span.step
    if stage:
        yield began, ended, stage, first, last
