"""A sheet to draw on, which becomes an SVG file with both colour schemes.

A file names its colours once, for light and for dark pages, and has a background of its own. So it can be read where a
page and the browser disagree about the scheme.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import Literal

Anchor = Literal["start", "middle", "end"]

COLOURS = {
    # name: (light, dark)
    "panel": ("#f8fafb", "#1a2327"),
    "card": ("#ffffff", "#222e33"),
    "ink": ("#1d2a30", "#e3eaed"),
    "soft": ("#586971", "#a0b0b7"),
    "edge": ("#cfd8dc", "#3a4a51"),
    "ours": ("#0b7285", "#4cc3d9"),
    "tint": ("#d9eef2", "#18424c"),
    "peer": ("#90a4ae", "#6b7f88"),
    "hand": ("#5f7480", "#8fa3ad"),
    "wait": ("#e8590c", "#ff8f4d"),
    "void": ("#e9eef0", "#2b383e"),
    "a": ("#a5d8e6", "#1f5f6d"),
    "b": ("#ffd8a8", "#7a4a16"),
    "c": ("#c3dfb0", "#3d6127"),
    "d": ("#dcc9ee", "#5c4380"),
    "e": ("#fbc4d0", "#7d3548"),
    "f": ("#f2e5a1", "#6a5c15"),
}
"""The colours of all figures, each for light and for dark pages; `a` to `f` tell things of one kind apart."""

SERIES = "abcdef"
"""The colours that tell things of one kind apart, in the order in which they are used."""

NAMESPACE = "http://www.w3.org/2000/svg"
SANS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class Sheet:
    """Shapes and text, in pixels from the top left.

    Args:
        width: The width of the figure; 720 is as wide as the text of a page.
        height: The height of the figure.
        title: What the figure shows, for those who cannot see it.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        self._width, self._height = _number(width), _number(height)
        self._title = title
        self._parts: list[str] = []
        self.box(0.5, 0.5, width - 1, height - 1, fill="panel", edge="edge", radius=8)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str = "card",
        edge: str | None = None,
        radius: float = 5,
        dashed: bool = False,
    ) -> None:
        """A rectangle, in colours of `COLOURS`."""
        line = f' stroke="var(--{edge})"' if edge else ""
        line += ' stroke-dasharray="4 3"' if dashed else ""
        place = f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'
        self._parts.append(f'<rect {place} rx="{_number(radius)}" fill="var(--{fill})"{line}/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 14,
        anchor: Anchor = "start",
        fill: str = "ink",
        bold: bool = False,
        mono: bool = False,
    ) -> None:
        """One line of text, with its baseline at `y`."""
        look = f' font-size="{_number(size)}"' if size != 14 else ""
        look += f' text-anchor="{anchor}"' if anchor != "start" else ""
        look += f' fill="var(--{fill})"' if fill != "ink" else ""
        look += ' font-weight="600"' if bold else ""
        look += ' class="m"' if mono else ""
        self._parts.append(f'<text x="{_number(x)}" y="{_number(y)}"{look}>{escape(text, quote=False)}</text>')

    def paragraph(self, x: float, y: float, text: str, columns: int, *, size: float = 13, fill: str = "soft") -> float:
        """Text of several lines; returns the baseline of the line that would follow."""
        for line in textwrap.wrap(text, columns):
            self.text(x, y, line, size=size, fill=fill)
            y += 1.35 * size
        return y

    def arrow(
        self, *points: tuple[float, float], stroke: str = "soft", head: bool = True, dashed: bool = False
    ) -> None:
        """A line through points, with a head at the last one."""
        path = " L".join(f"{_number(x)} {_number(y)}" for x, y in points)
        look = ' stroke-dasharray="4 3"' if dashed else ""
        look += f' marker-end="url(#{stroke})"' if head else ""
        self._parts.append(f'<path d="M{path}" fill="none" stroke="var(--{stroke})" stroke-width="1.5"{look}/>')

    def svg(self) -> str:
        """The file."""
        light, dark = ("; ".join(f"--{name}: {pair[k]}" for name, pair in COLOURS.items()) for k in (0, 1))
        heads = "".join(
            f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="var(--{name})"/></marker>'
            for name in ("soft", "ours", "wait")
        )
        place = f'width="{self._width}" height="{self._height}" viewBox="0 0 {self._width} {self._height}"'
        lines = [
            f'<svg xmlns="{NAMESPACE}" {place} role="img" aria-labelledby="title">',
            f'<title id="title">{escape(self._title, quote=False)}</title>',
            "<style>",
            f"svg {{ {light} }}",
            f"@media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}",
            f"text {{ font-family: {SANS} }}",
            f"text.m {{ font-family: {MONO} }}",
            "</style>",
            f'<defs>{heads}</defs><g font-size="14" fill="var(--ink)">',
            *self._parts,
            "</g></svg>\n",
        ]
        return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
