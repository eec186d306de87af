"""What each package tells an installer: uv ignores ranges between the workspace's own packages, an index does not."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import metadata, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
NAMES = [folder.name for folder in FOLDERS]

STANDARD_LIBRARY = sys.stdlib_module_names

DEPENDENCIES = {
    "loadax": {"loadax-core", "loadax-datasets", "loadax-distributed"},
    "loadax-core": {"numpy"},
    "loadax-datasets": {"loadax-core", "numpy"},
    "loadax-distributed": {"jax", "loadax-core", "numpy"},
}


OPTIONAL = {"orbax.py": {"orbax"}}
"""Modules that only users of an extra import, and what they need."""


def project(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]


def required(name: str) -> list[Requirement]:
    return [Requirement(line) for line in project(name)["dependencies"]]


def test_there_are_four_packages() -> None:
    assert set(NAMES) == set(DEPENDENCIES)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_folder_is_complete(folder: Path) -> None:
    source = folder / "src" / folder.name.replace("-", "_")
    assert (source / "py.typed").is_file()
    assert (source / "__init__.py").is_file()
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    assert "## [" in (folder / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_metadata(folder: Path) -> None:
    about, declared = metadata(folder.name), project(folder.name)
    assert about["Name"] == declared["name"] == folder.name
    # If these differ, the installation is older than the tree: `make setup`.
    assert about["Version"] == declared["version"]
    installed = {Requirement(line) for line in requires(folder.name) or []}
    assert {requirement for requirement in installed if not requirement.marker} == set(required(folder.name))
    assert about["Requires-Python"] == ">=3.11"
    assert about["License-Expression"] == "Apache-2.0"
    assert about.get_all("License-File") == ["LICENSE"]
    assert about["Summary"]
    classifiers = about.get_all("Classifier") or []
    assert "Typing :: Typed" in classifiers
    assert "Programming Language :: Python :: 3.11" in classifiers
    urls = dict(line.split(", ") for line in about.get_all("Project-URL") or [])
    assert urls == declared["urls"]
    assert set(urls) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}


@pytest.mark.parametrize("name", NAMES)
def test_version_is_above_the_unrelated_releases_of_that_name(name: str) -> None:
    assert Version(project(name)["version"]) >= Version("0.3.0")


@pytest.mark.parametrize("name", NAMES)
def test_dependencies(name: str) -> None:
    assert {requirement.name for requirement in required(name)} == DEPENDENCIES[name]
    for requirement in required(name):
        assert ">=" in str(requirement.specifier), f"{name} requires {requirement} without a lower bound"


@pytest.mark.parametrize("name", NAMES)
def test_ranges_of_siblings_admit_their_versions(name: str) -> None:
    for requirement in required(name):
        if requirement.name in NAMES:
            current = Version(project(requirement.name)["version"])
            assert requirement.specifier.contains(current, prereleases=True), f"{name}: {requirement}, not {current}"
            # The next version that may break what this one promises.
            following = f"{current.major + 1}.0.0" if current.major else f"0.{current.minor + 1}.0"
            assert not requirement.specifier.contains(following), f"{name}: {requirement} admits {following}"


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_only_declared_packages_are_imported(folder: Path) -> None:
    allowed = {name.replace("-", "_") for name in DEPENDENCIES[folder.name] | {folder.name}}
    for path in folder.glob("src/**/*.py"):
        # At its top; what is optional is imported within functions.
        nodes = ast.parse(path.read_text()).body
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
        here = allowed | STANDARD_LIBRARY | OPTIONAL.get(path.name, set())
        assert {name.partition(".")[0] for name in imported} <= here, path
