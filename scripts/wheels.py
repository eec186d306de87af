"""Builds the wheels of the packages, and checks their metadata."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from email.message import Message
from pathlib import Path

from workspace import Package

UV = os.environ.get("UV", "uv")
"""The uv to call; `uv run` sets the variable to its own path."""

URLS = {"Homepage", "Documentation", "Source", "Changelog", "Issues"}


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Runs a command and returns what it prints.

    Args:
        command: The program and its arguments.
        cwd: The folder to run it in.
        env: All environment variables of the command; left out, those of this process.

    Raises:
        SystemExit: If the command fails; the message has its output.
    """
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(packages: Iterable[Package], out: Path) -> dict[str, Path]:
    """Builds source distributions, and wheels from them.

    Returns:
        The wheel of each package, by its name.
    """
    for package in packages:
        run(UV, "build", "--quiet", "--python", sys.executable, "--out-dir", out, package.folder)
    return {package.name: wheel_in(out, package) for package in packages}


def wheel_in(folder: Path, package: Package) -> Path:
    """The wheel of a package's current version, in a folder of wheels."""
    return folder / f"{package.module}-{package.version}-py3-none-any.whl"


def check_metadata(package: Package, wheel: Path) -> None:
    """Checks the metadata of a wheel.

    Raises:
        AssertionError: If it differs from the tree, or if something is missing.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = f"{package.module}-{package.version}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    # Only the package and its metadata: no tests, no stray top-level module.
    assert {name.split("/")[0] for name in names} == {package.module, info}, names
    assert f"{package.module}/py.typed" in names
    assert f"{info}/licenses/LICENSE" in names
    assert (metadata["Name"], metadata["Version"]) == (package.name, package.version)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Summary"]
    assert str(metadata.get_payload()).startswith(f"# {package.name}\n")
    required = {line for line in _all(metadata, "Requires-Dist") if "extra ==" not in line}
    assert required == {_normal(line) for line in package.dependencies}, required
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(_all(metadata, "Classifier"))
    urls = dict(line.split(", ") for line in _all(metadata, "Project-URL"))
    assert set(urls) == URLS, urls
    assert urls["Changelog"].endswith(f"/packages/{package.name}/CHANGELOG.md")


def _all(metadata: Message, field: str) -> list[str]:
    return [_normal(value) for value in metadata.get_all(field, [])]


def _normal(line: str) -> str:
    """A requirement with its bounds sorted; other lines unchanged."""
    found = re.fullmatch(r"([a-z-]+)([<>=][^;]*)", line)
    return f"{found[1]}{','.join(sorted(found[2].split(',')))}" if found else line
