"""The packages of this workspace, for the other scripts of this folder."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Package:
    """One package, read from its `pyproject.toml`."""

    name: str
    version: str
    folder: Path
    dependencies: tuple[str, ...]
    """As in `pyproject.toml`, for example `numpy>=1.26`."""

    @property
    def module(self) -> str:
        """The name by which Python imports it."""
        return self.name.replace("-", "_")

    @property
    def area(self) -> str:
        """The folder of its tests in `tests/`."""
        return self.name.removeprefix("loadax-") if self.name != "loadax" else "meta"

    @property
    def tag(self) -> str:
        """The git tag of its current version."""
        return f"{self.name}=={self.version}"

    @property
    def siblings(self) -> tuple[str, ...]:
        """The names of the packages of this workspace that it depends on directly."""
        names = (re.split(r"[^a-z-]", dependency)[0] for dependency in self.dependencies)
        return tuple(name for name in names if name.startswith("loadax-"))


def packages(root: Path = ROOT) -> dict[str, Package]:
    """All packages of a working tree by name. Each comes after the packages that it depends on."""
    found: dict[str, Package] = {}
    for path in root.glob("packages/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        found[project["name"]] = Package(
            project["name"], project["version"], path.parent, tuple(project["dependencies"])
        )
    return {name: found[name] for name in sorted(found, key=lambda name: (len(closure(found, name)), name))}


def closure(found: dict[str, Package], name: str) -> list[str]:
    """A package and all siblings that it needs, directly or indirectly."""
    needed = {name}
    for sibling in found[name].siblings:
        needed.update(closure(found, sibling))
    return sorted(needed)


def released_versions(package: str, root: Path = ROOT) -> list[str]:
    """The versions of a package for which this clone has tags, newest first."""
    if not (root / ".git").exists():
        return []  # an archive of the sources
    tags = git("tag", "--list", f"{package}==*", "--sort=-version:refname", root=root).split()
    return [tag.partition("==")[2] for tag in tags]


def last_tag(package: str, root: Path = ROOT) -> str | None:
    """The tag of a package's last release among the tags of this clone; None if there is none."""
    return next((f"{package}=={version}" for version in released_versions(package, root)), None)


def git(*arguments: str, root: Path = ROOT) -> str:
    """The output of a git command in a working tree."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
