"""A change of public names is noticed, and needs an entry in the changelog."""

from __future__ import annotations

from pathlib import Path

import api
import pytest
from workspace import Package, git, packages

SOURCES = {
    "__init__.py": """
from . import shapes as shapes
from .work import Public as Public
from .work import run as run
from .run import imported
VISIBLE_NOWHERE = 1
""",
    "work.py": """
from typing import overload

class _Base:
    def inherited(self, x: int = 1) -> int: ...
    def overridden(self) -> int: ...

class Public(_Base):
    kind: str
    def __init__(self, n: int) -> None:
        self._hidden = n
    @property
    def size(self) -> int: ...
    def overridden(self, extra: bool) -> int: ...
    def __len__(self) -> int: ...
    def __repr__(self) -> str: ...
    def _private(self) -> None: ...

@overload
def run(x: int) -> int: ...
@overload
def run(x: str) -> str: ...
def run(x): ...
""",
    "run.py": "def imported() -> None: ...\n",
    "shapes.py": "def area(r: float, /, *, unit: str = 'm') -> float: ...\ndef _helper(): ...\n",
    "testing.py": "def check() -> None: ...\n",
    "internal.py": "def internal() -> None: ...\n",
}

LINES = [
    "loadax_toy.Public.__init__(n: int) -> None",
    "loadax_toy.Public.__len__() -> int",
    "loadax_toy.Public.inherited(x: int = 1) -> int",
    "loadax_toy.Public.kind: str",
    "loadax_toy.Public.overridden(extra: bool) -> int",
    "loadax_toy.Public.size: int  # property",
    "loadax_toy.Public: class(_Base)",
    "loadax_toy.run(x: int) -> int",
    "loadax_toy.run(x: str) -> str",
    "loadax_toy.shapes.area(r: float, /, *, unit: str = 'm') -> float",
    "loadax_toy.testing.check() -> None",
]


class Toy:
    """A workspace of one package, in a repository of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "packages" / "loadax-toy"
        self.source = self.folder / "src" / "loadax_toy"
        self.source.mkdir(parents=True)
        for name, text in SOURCES.items():
            (self.source / name).write_text(text)
        (self.folder / "pyproject.toml").write_text(
            '[project]\nname = "loadax-toy"\nversion = "0.3.0"\ndependencies = []\n'
        )
        self.log("")
        git("init", "--quiet", root=root)

    @property
    def package(self) -> Package:
        return packages(self.root)["loadax-toy"]

    def log(self, entry: str) -> None:
        """Makes an entry the only one of the changelog."""
        (self.folder / "CHANGELOG.md").write_text(
            f"# Changelog\n\n## [Unreleased]\n\n{entry}\n\n## [0.2.0]\n\n- `area`\n"
        )

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.source / name).read_text()
        assert old in text
        (self.source / name).write_text(text.replace(old, new))

    def check(self, *, write: bool = False) -> list[str]:
        return api.check(self.package, write=write)

    def release(self) -> None:
        """Commits everything and tags it as the release that the version says."""
        git("add", "--all", root=self.root)
        git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "Release", root=self.root)
        git("tag", self.package.tag, root=self.root)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr(api, "PUBLIC_MODULES", ("loadax_toy.testing",))
    toy = Toy(tmp_path)
    assert toy.check(write=True) == []
    return toy


def test_record(toy: Toy) -> None:
    assert (toy.folder / "api.txt").read_text().splitlines() == LINES
    assert toy.check() == []


@pytest.mark.parametrize(
    ("module", "old", "new", "name"),
    [
        ("shapes.py", "unit: str = 'm'", "unit: str = 'cm'", "shapes.area"),
        ("shapes.py", "def area(r: float, /", "def area(r: float", "shapes.area"),
        ("shapes.py", "def _helper", "def helper", "shapes.helper"),
        ("work.py", "x: str) -> str", "x: bytes) -> bytes", "run"),
        ("work.py", "def inherited", "def _inherited", "Public.inherited"),
        ("work.py", "    @property\n", "", "Public.size"),
        ("work.py", "class Public(_Base)", "class Public(_Base, RuntimeError)", "Public"),
        ("__init__.py", "from .work import run as run", "", "run"),
        ("__init__.py", "import imported", "import imported as imported", "imported"),
        ("testing.py", "check()", "check(strict: bool)", "testing.check"),
    ],
)
def test_change_needs_an_entry_and_a_record(toy: Toy, module: str, old: str, new: str, name: str) -> None:
    toy.edit(module, old, new)
    entry_missing = f"loadax-toy: loadax_toy.{name} changed; say so in its CHANGELOG.md, under Unreleased"
    record_missing = "loadax-toy: its public names are not those in api.txt; record them with `make api`"
    assert toy.check()[:2] == [entry_missing, record_missing]
    assert entry_missing in toy.check(write=True)
    assert (toy.folder / "api.txt").read_text().splitlines() == LINES
    toy.log(f"- Something about `{name.rsplit('.', maxsplit=1)[-1]}(...)`.")
    assert toy.check()[0] == record_missing
    assert toy.check(write=True) == []
    assert toy.check() == []


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("internal.py", "internal()", "internal(x: int)"),
        ("work.py", "def _private(self)", "def _private(self, x: int)"),
        ("work.py", "self._hidden", "self._more"),
        ("run.py", "imported()", "imported(x: int)"),
    ],
)
def test_private_changes_need_nothing(toy: Toy, module: str, old: str, new: str) -> None:
    toy.edit(module, old, new)
    assert toy.check() == []


def test_entry_of_another_name_does_not_do(toy: Toy) -> None:
    toy.edit("shapes.py", "'m'", "'cm'")
    toy.log("- Changed: the area of `Public`, and areas.")
    assert "loadax_toy.shapes.area changed" in toy.check()[0]


def test_record_that_was_edited_by_hand_does_not_do(toy: Toy) -> None:
    toy.release()
    toy.edit("testing.py", "check()", "check(strict: bool)")
    record = toy.folder / "api.txt"
    record.write_text(record.read_text().replace("check()", "check(strict: bool)"))
    assert ["loadax_toy.testing.check changed" in problem for problem in toy.check()] == [True]
    toy.log("- `check` is strict if asked to.")
    assert toy.check() == []


def test_released_names_are_the_ones_that_count(toy: Toy) -> None:
    """What comes and goes between two releases, nobody has seen."""
    toy.release()
    toy.edit("testing.py", "check()", "check(strict: bool)")
    toy.log("- `check` is strict if asked to.")
    assert toy.check(write=True) == []
    toy.edit("testing.py", "check(strict: bool)", "check()")
    toy.log("")
    assert toy.check(write=True) == []
    assert toy.check() == []
