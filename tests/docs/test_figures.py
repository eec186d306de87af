"""The committed figures and tables are what `scripts/figures.py` writes, and can be read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import figures
import pytest
from drawing import results
from drawing.architecture import layers_of, promise
from drawing.svg import COLOURS, Sheet

ROOT = Path(__file__).parents[2]
SHOWN = "".join(page.read_text() for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
SVG = "{http://www.w3.org/2000/svg}"

LETTER = 0.57
"""The mean width of a letter as a share of its size, in Verdana, the widest of the usual fonts."""


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_committed_figure_is_what_the_script_draws(name: str) -> None:
    assert (figures.FOLDER / f"{name}.svg").read_text() == figures.FIGURES[name](), "run `make figures`"


def test_the_committed_tables_are_what_the_script_writes() -> None:
    pages = [page.read_text() for page in figures.PAGES]
    assert [figures.filled(page) for page in pages] == pages, "run `make figures`"
    assert set(re.findall(r"<!-- begin (\w+) -->", "".join(pages))) == set(figures.TABLES)


def test_a_change_is_noticed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- begin stalls -->\nold\n<!-- end stalls -->\n")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", [page])
    monkeypatch.setattr(figures, "FOLDER", tmp_path / "figures")
    monkeypatch.setattr(figures, "FIGURES", {"packages": figures.FIGURES["packages"]})
    monkeypatch.setattr(sys, "argv", ["figures.py", "--check"])
    assert figures.main() == 1
    assert capsys.readouterr().out == "differs: figures/packages.svg\ndiffers: page.md\n"
    monkeypatch.setattr(sys, "argv", ["figures.py"])
    assert figures.main() == 0
    assert "| **Loadax** |" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["figures.py", "--check"])
    assert figures.main() == 0


def test_each_figure_is_shown_and_nothing_else_lies_in_the_folder() -> None:
    assert {file.stem for file in figures.FOLDER.iterdir()} == set(figures.FIGURES)
    assert set(re.findall(r"assets/figures/([\w-]+)\.svg", SHOWN)) == set(figures.FIGURES)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_text_and_colours_of_a_figure_can_be_read(name: str) -> None:
    assert not unreadable((figures.FOLDER / f"{name}.svg").read_text())


def test_text_that_is_cut_off_is_noticed() -> None:
    sheet = Sheet(200, 100, "A sheet")
    sheet.text(20, 40, "fits")
    assert not unreadable(sheet.svg())
    sheet.text(20, 40, "is longer than the sheet is wide")
    sheet.text(20, 104, "is below")
    sheet.text(20, 40, "no colour", fill="green")
    assert unreadable(sheet.svg()) == ["is longer than the sheet is wide", "is below", "no colour"]


def unreadable(svg: str) -> list[str]:
    """The texts that leave the sheet, or whose colour has no dark counterpart."""
    root = ET.fromstring(svg)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    found: list[str] = []
    for text in root.iter(f"{SVG}text"):
        long = LETTER * float(text.get("font-size", 14)) * len(text.text or "")
        left = (
            float(text.attrib["x"]) - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")] * long
        )
        colour = text.get("fill", "var(--ink)").removeprefix("var(--").removesuffix(")")
        if left < 0 or left + long > width or float(text.attrib["y"]) > height - 6 or colour not in COLOURS:
            found.append(text.text or "")
    return found


@pytest.mark.parametrize("package", ["core", "datasets"])
def test_the_rooms_are_those_of_the_package(package: str) -> None:
    names = {name for layer in layers_of(package) for name in layer}
    source = ROOT / "packages" / f"loadax-{package}" / "src" / f"loadax_{package}"
    rooms = {path.parent.name for path in source.glob("*/__init__.py")}
    assert rooms == {name for name in names if promise(package, name)}


def test_a_table_is_of_one_day_and_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results.published()
    found["W8"]["date"] = "2020-01-01"
    monkeypatch.setattr(results, "published", lambda: found)
    with pytest.raises(ValueError, match="stalls were measured on different days or machines"):
        results.table("stalls")


def test_every_loader_that_was_measured_has_a_plain_name() -> None:
    measured = {row["loader"] for work in results.published().values() for row in work["rows"]}
    assert measured <= set(results.LOADERS)
    works = [work for group in results.GROUPS.values() for work in group.works]
    assert len(works) == len(set(works))
    assert set(works) <= set(results.published())
