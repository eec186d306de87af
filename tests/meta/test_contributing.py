"""What CONTRIBUTING says of the code exists."""

from __future__ import annotations

import importlib
import re
from operator import attrgetter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = (ROOT / "CONTRIBUTING.md").read_text().partition("## The path of a batch")[2].partition("\n## ")[0]
HOPS = re.findall(r"^\| (\d+) \| `([\w/]+)\.py` \| `([\w.]+)` \|", PATH, re.MULTILINE)
SOURCES = ROOT / "packages" / "loadax-core" / "src" / "loadax_core"


def test_each_hop_of_a_batch_exists() -> None:
    assert [int(number) for number, _, _ in HOPS] == list(range(1, len(HOPS) + 1))
    assert 8 <= len(HOPS) <= 12
    for _, file, function in HOPS:
        found = attrgetter(function)(importlib.import_module(f"loadax_core.{file.replace('/', '.')}"))
        assert callable(found), function


def test_the_figure_shows_the_hops() -> None:
    figure = PATH.partition("```")[2].partition("```")[0]
    for number, _, function in HOPS:
        assert re.search(rf"\b{number} +{re.escape(function)}\b", figure), f"hop {number}, {function}"


def test_every_other_name_on_the_page_exists() -> None:
    modules = [
        importlib.import_module(".".join(["loadax_core", *file.relative_to(SOURCES).with_suffix("").parts]))
        for file in SOURCES.rglob("*.py")
        if file.name not in ("__init__.py", "child.py")
    ]
    names = set(re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", PATH))
    assert "Policy" in names
    for name in names:
        holder, _, member = name.partition(".")
        found = [getattr(module, holder) for module in modules if hasattr(module, holder)]
        assert found, name
        assert not member or any(hasattr(one, member) for one in found), name
    for file in re.findall(r"`((?:\w+/)*\w+\.py)`", PATH):
        assert (SOURCES / file).exists(), file
