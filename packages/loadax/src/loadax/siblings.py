"""Whether the installed packages of Loadax fit together.

They are released one by one, and an environment may hold any combination of them. One that their ranges rule out would
otherwise show as a missing name, somewhere, later.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

PACKAGES = ("loadax", "loadax-core", "loadax-datasets", "loadax-distributed")


def versions() -> dict[str, str]:
    """The versions of the packages that Loadax consists of; they are released one by one.

    Returns:
        The installed version of each package, by its name.

    Example:
        >>> list(versions())
        ['loadax', 'loadax-core', 'loadax-datasets', 'loadax-distributed']
    """
    return {name: version(name) for name in PACKAGES}


def check_siblings() -> None:
    """Checks that every installed package of Loadax lies in the ranges of the others.

    Raises:
        ImportError: If one does not, or is not installed, naming the packages to upgrade.
    """
    problems: list[str] = []
    outdated: set[str] = set()
    for package in PACKAGES:
        for name, lower, upper in _requirements(package):
            installed = version_of(name)
            if installed is not None and release(lower) <= release(installed) < release(upper):
                continue
            needed = f"{package} {version(package)} needs {name}>={lower},<{upper}"
            problems.append(f"{needed}, but {installed or 'none'} is installed")
            # What is too new for a package was released after it.
            too_new = installed is not None and release(installed) >= release(upper)
            outdated.add(package if too_new else name)
    if problems:
        raise ImportError(
            f"the installed packages of Loadax do not fit together: {'; '.join(problems)}. "
            f"Upgrade with: pip install --upgrade {' '.join(sorted(outdated))}"
        )


def version_of(package: str) -> str | None:
    """The installed version of a package, None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _requirements(package: str) -> list[tuple[str, str, str]]:
    """The siblings that an installed package requires: name, lowest version, and the first one that is too new."""
    lines = (requires(package) or []) if version_of(package) else []
    # Installers may write the two bounds in either order.
    found = [(re.match(r"(loadax-[a-z]+)", line), dict(re.findall(r"(>=|<)\s*([\d.]+)", line))) for line in lines]
    return [(name[1], bounds[">="], bounds["<"]) for name, bounds in found if name]


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version. A pre-release counts as the release it leads to, whose changes it may hold."""
    numbers = re.match(r"\d+(\.\d+)*", version)
    assert numbers, version
    return tuple(int(number) for number in numbers[0].split("."))
