"""Checks that the installed packages of Loadax fit together.

Each package is released on its own, and an environment may hold any combination of versions. Without this check,
versions that do not fit would fail later, with a missing name.
"""

from __future__ import annotations

import operator
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

PACKAGES = ("loadax", "loadax-core", "loadax-datasets", "loadax-distributed")

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


class Installed(NamedTuple):
    """The metadata of an installed package: its version, and its requirements, one a line."""

    version: str
    requires: list[str]


def versions() -> dict[str, str]:
    """The versions of Loadax's packages, each of which is released on its own.

    Returns:
        The installed version of each package, by its name.

    Example:
        >>> list(versions())
        ['loadax', 'loadax-core', 'loadax-datasets', 'loadax-distributed']
    """
    return _versions({name: installed(name) for name in PACKAGES})


def check_siblings() -> dict[str, str]:
    """Checks that the version of every installed package of Loadax lies in the ranges that the others require.

    Returns:
        The installed version of each package, by its name.

    Raises:
        ImportError: If a version does not, or if `loadax` itself is not installed; the error names the packages to
            upgrade.
    """
    found = {name: installed(name) for name in PACKAGES}
    if not found["loadax"]:
        raise ImportError(
            "loadax is imported from a folder where it is not installed, so that its version is not known: install it "
            "with `pip install loadax`, or in a working tree of it with `uv sync --all-packages`"
        )
    problems: list[str] = []
    outdated: set[str] = set()
    for package, about in found.items():
        if not about:
            continue
        for name, lower, upper in _ranges(about.requires):
            sibling = found[name]
            if sibling and release(lower) <= release(sibling.version) < release(upper):
                continue
            needed = f"{package} {about.version} needs {name}>={lower},<{upper}"
            problems.append(f"{needed}, but {sibling.version if sibling else 'none'} is installed")
            # If the sibling is too new, the package that requires it is too old.
            too_new = sibling and release(sibling.version) >= release(upper)
            outdated.add(package if too_new else name)
    if problems:
        raise ImportError(
            f"the installed packages of Loadax do not fit together: {'; '.join(problems)}. "
            f"Upgrade with: pip install --upgrade {' '.join(sorted(outdated))}"
        )
    return _versions(found)


def installed(package: str) -> Installed | None:
    """The metadata of an installed package; None if it is not installed.

    Installers write the metadata as headers into a folder beside the package. `importlib.metadata` finds every other
    form too, and takes as long to import as all other imports of `import loadax` together.
    """
    name = package.replace("-", "_")
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            # An archive, for example.
            continue
        for entry in entries:
            # The version follows the name; the folder of an old installer may have a longer name instead.
            ours = entry.startswith(f"{name}-") and entry[len(name) + 1 :][:1].isdigit()
            if ours and entry.endswith(".dist-info"):
                headers = _headers(os.path.join(folder, entry, "METADATA"))
                if headers:
                    return headers
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        other = distribution(package)
    except PackageNotFoundError:
        return None
    return Installed(other.version, other.requires or [])


def _versions(found: dict[str, Installed | None]) -> dict[str, str]:
    return {name: about.version for name, about in found.items() if about}


def _headers(path: str) -> Installed | None:
    version, requires = "", list[str]()
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.rstrip().partition(": ")
                if key == "Version":
                    version = value
                elif key == "Requires-Dist":
                    requires.append(value)
                elif not key:
                    # The description follows an empty line.
                    break
    except OSError:
        return None
    return Installed(version, requires) if version else None


def _ranges(requires: list[str]) -> list[tuple[str, str, str]]:
    """The siblings among requirements: name, lowest version, and the first version that is too new."""
    # Installers may write the two bounds in either order.
    found = [(re.match(r"(loadax-[a-z]+)", line), dict(re.findall(r"(>=|<)\s*([\d.]+)", line))) for line in requires]
    return [(name[1], bounds[">="], bounds["<"]) for name, bounds in found if name]


def fits(version: str, requirement: str) -> bool:
    """Whether a version lies in the range of a requirement; a requirement without a range takes any version."""
    bounds = re.findall(r"([<>=!]=|[<>])\s*([\d.]+)", requirement)
    return all(COMPARISONS[sign](release(version), release(bound)) for sign, bound in bounds)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version. A pre-release counts as its release, whose changes it may already have."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    assert numbers, version
    return tuple(int(number) for number in numbers[0].split("."))
