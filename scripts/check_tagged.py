"""Checks a package of this tree with the last releases of its siblings.

People upgrade one package and keep the others. The script takes each sibling that depends on the package from its last
tag. If its range admits the version in the tree, it installs the two together and runs the sibling's tests of that tag.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import tarfile
import tempfile
from pathlib import Path

from check_wheels import TESTS, install, install_alone, requirements, run_tests
from packaging.requirements import Requirement
from wheels import build
from workspace import ROOT, Package, closure, last_tag, packages


def tree_at(tag: str, folder: Path, root: Path = ROOT) -> Path:
    """Writes the files of a tag to a folder, and returns that folder."""
    archive = subprocess.run(["git", "archive", tag], cwd=root, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def admits(sibling: Package, package: Package) -> bool:
    """Whether the range that a sibling requires has the version of the package."""
    found = [Requirement(line) for line in sibling.dependencies]
    return all(one.specifier.contains(package.version) for one in found if one.name == package.name)


def check(package: Package, sibling: str, scratch: Path, root: Path = ROOT) -> str:
    """Checks one pair.

    Returns:
        The result in words.
    """
    tag = last_tag(sibling, root)
    if tag is None:
        return f"{sibling} has not been released"
    then = packages(tree_at(tag, scratch / sibling, root))
    if not admits(then[sibling], package):
        return f"{tag} does not admit {package.tag}"
    beside = [then[name] for name in closure(then, sibling) if name != package.name]
    wheels = build([package, *beside], scratch / f"{sibling}-dist")
    environment = scratch / f"{sibling}-environment"
    install_alone(environment, then[sibling], wheels)
    install(environment, "-r", requirements("unit", scratch))
    run_tests(environment, TESTS[sibling], scratch / sibling)
    return f"{tag} works with {package.tag}"


def main() -> None:
    """Checks all packages, or those that are named."""
    found = packages()
    parser = argparse.ArgumentParser(description="Check packages against their siblings as last released.")
    parser.add_argument("names", nargs="*", metavar="package", help=f"of {', '.join(found)}; all if left out")
    for name in parser.parse_args().names or list(found):
        for sibling in found:
            if name in closure(found, sibling) and name != sibling:
                with tempfile.TemporaryDirectory(prefix="tagged-") as scratch:
                    print(check(found[name], sibling, Path(scratch)), flush=True)


if __name__ == "__main__":
    main()
