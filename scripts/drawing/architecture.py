"""The packages, and the rooms of two of them, as `.importlinter` orders them."""

from __future__ import annotations

import ast
import configparser
import textwrap

from workspace import ROOT

from drawing.svg import Sheet

HOLDS = {
    "loadax": "every public name, and the commands loadax bench, doctor and store",
    "loadax-datasets": "sources, shuffles, maps, mixtures, packing, caches",
    "loadax-distributed": "rows for each device of a mesh, global batches, placement",
    "loadax-core": "builder, loader, iterator, batchers, prefetching workers, statistics",
}
NEEDS = {"loadax-core": "needs NumPy", "loadax-datasets": "needs NumPy", "loadax-distributed": "needs JAX"}


def packages() -> str:
    """Four packages, and which of them import which."""
    title = "Four packages: loadax imports loadax-datasets and loadax-distributed, and both import loadax-core"
    sheet = Sheet(720, 312, title)
    _package(sheet, "loadax", 20, 20, 680, 60)
    _package(sheet, "loadax-datasets", 20, 116, 328, 80)
    _package(sheet, "loadax-distributed", 372, 116, 328, 80)
    _package(sheet, "loadax-core", 20, 232, 680, 60)
    for x in (184, 536):
        sheet.arrow((x, 82), (x, 113))
        sheet.arrow((x, 198), (x, 229))
    for y in (102, 218):
        sheet.text(360, y, "imports", size=13, anchor="middle", fill="soft")
    return sheet.svg()


def _package(sheet: Sheet, name: str, x: float, y: float, width: float, height: float) -> None:
    sheet.box(x, y, width, height, edge="ours")
    sheet.text(x + 14, y + 25, name, size=15, bold=True, mono=True, fill="ours")
    if name in NEEDS:
        sheet.text(x + width - 14, y + 25, NEEDS[name], size=12, anchor="end", fill="soft")
    sheet.paragraph(x + 14, y + 46, HOLDS[name], 40 if width < 400 else 86, size=12.5)


def rooms(package: str) -> str:
    """The layers of a package, `core` or `datasets`: rooms with what they do, and the modules between them."""
    layers = [{name: promise(package, name) for name in line} for line in layers_of(package)]
    heights = [_height(layer) for layer in layers]
    title = f"The rooms of loadax-{package}, each above those that it may import"
    sheet = Sheet(720, sum(heights) + 8 * len(layers) + 62, title)
    sheet.text(20, 32, f"loadax-{package}: a line imports only lines below it", size=15, bold=True)
    y = 50.0
    for layer, height in zip(layers, heights, strict=True):
        x = 20.0
        for (name, text), width in zip(layer.items(), _widths(layer), strict=True):
            sheet.box(x, y, width, height, fill="tint" if text else "card", edge="ours" if text else "edge")
            sheet.text(x + 12, y + 21, name, mono=True, bold=bool(text))
            sheet.paragraph(x + 12, y + 40, text, _columns(width))
            x += width + 12
        y += height + 8
    return sheet.svg()


def _widths(layer: dict[str, str]) -> list[float]:
    """Modules are as wide as their names, and rooms share the rest; without a room, modules share the line."""
    gaps = 12 * (len(layer) - 1)
    modules = {name: 9 * len(name) + 24 for name, text in layer.items() if not text}
    if len(modules) == len(layer):
        return [(680 - gaps) / len(layer)] * len(layer)
    rest = (680 - gaps - sum(modules.values())) / (len(layer) - len(modules))
    return [modules.get(name, rest) for name in layer]


def _height(layer: dict[str, str]) -> float:
    texts = zip(layer.values(), _widths(layer), strict=True)
    return 32 + 17.6 * max(len(textwrap.wrap(text, _columns(width))) for text, width in texts)


def _columns(width: float) -> int:
    """How many letters fit into a box, in the widest of the usual fonts."""
    return int((width - 24) / 7.2)


def layers_of(package: str) -> list[list[str]]:
    """The layers of a package, the highest first, as the import contract has them."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    layers = contracts[f"importlinter:contract:{package}-rooms"]["layers"].strip().splitlines()
    return [line.split(" | ") for line in layers]


def promise(package: str, name: str) -> str:
    """The first sentence of a room's docstring; nothing for a module."""
    path = ROOT / "packages" / f"loadax-{package}" / "src" / f"loadax_{package}" / name / "__init__.py"
    if not path.exists():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.partition("\n")[0].replace("`", "").removesuffix(".")
