"""Bars of measurements: the best first, with a whisker from the minimum to the maximum of the runs."""

from __future__ import annotations

from drawing.results import GROUPS, Bar, Group, bars, measured, published, shown
from drawing.svg import Sheet

WIDTH, LEFT, RIGHT, LINE, HEAD = 520, 188, 440, 26, 40


def draw(name: str) -> str:
    """The figure of a group: a panel for each work."""
    group = GROUPS[name]
    panels = {work: bars(group, work) for work in group.works}
    height = 112 + sum(HEAD + LINE * len(found) for found in panels.values())
    sheet = Sheet(WIDTH, height, f"{group.title}. {measured(name).partition('. ')[0]}.")
    sheet.text(20, 32, group.title, size=15, bold=True)
    x = 20.0
    for fill, text in (("ours", "Loadax"), ("hand", "hand-written"), ("peer", "other libraries")):
        sheet.box(x, 47, 12, 12, fill=fill, radius=2)
        sheet.text(x + 18, 58, text, size=12.5, fill="soft")
        x += 46 + 6.6 * len(text)
    y = 72.0
    for work, found in panels.items():
        sheet.text(20, y + 16, group.works[work], size=13.5, bold=True)
        _panel(sheet, group, found, y + 26)
        y += HEAD + LINE * len(found)
    better = "Longer is better; dashed: the limit." if group.higher_is_better else "Shorter is better."
    sheet.text(20, height - 30, f"{better} Whiskers: minimum to maximum.", size=12, fill="soft")
    first = published()[next(iter(group.works))]
    machine = f"{first['machine']['cpu']}, {first['machine']['cores']} cores"
    when = f"{first['date']}, {machine}, medians of {first['repeats']} runs"
    sheet.text(20, height - 12, when, size=12, fill="soft")
    return sheet.svg()


def _panel(sheet: Sheet, group: Group, found: list[Bar], top: float) -> None:
    most = max(*(bar.most for bar in found), 1.0 if group.unit == "limit" else 0.0)
    scale = (RIGHT - LEFT) / most
    for index, bar in enumerate(found):
        y = top + LINE * index
        ours = bar.kind == "ours"
        sheet.text(LEFT - 10, y + 16, bar.label, size=13, anchor="end", bold=ours)
        sheet.box(LEFT, y + 3, max(scale * bar.median, 1.5), LINE - 8, fill=bar.kind, radius=2)
        middle = y + LINE / 2 - 1
        ends = LEFT + scale * bar.least, LEFT + scale * bar.most
        sheet.arrow(*((end, middle) for end in ends), stroke="ink", head=False)
        for end in ends:
            sheet.arrow((end, middle - 3.5), (end, middle + 3.5), stroke="ink", head=False)
        sheet.text(WIDTH - 16, y + 16, shown(group.unit, bar.median), size=13, anchor="end", bold=ours)
    if group.unit == "limit":
        sheet.arrow((LEFT + scale, top), (LEFT + scale, top + LINE * len(found)), stroke="ink", head=False, dashed=True)
