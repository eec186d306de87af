"""Releases one package: a new version, a changelog for it, checks, built files in `dist/`, a commit and a tag.

    make release PACKAGE=loadax-core BUMP=minor

`BUMP` is `major`, `minor` or `patch`, or `none` to release the version that the tree has. Nothing is uploaded: pushing
the tag is what publishes. If a check fails, the files are put back as they were.

A sibling whose range does not admit the new version gets one that does, and an entry in its changelog; it works with
what it was tested with, and it was tested with this tree. It is released in turn.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
from pathlib import Path

import changelog
from packaging.requirements import Requirement
from wheels import UV, build, check_metadata, run
from workspace import ROOT, Package, git, packages, released_versions

BUMPS = ("none", "patch", "minor", "major")


def bumped(version: str, bump: str) -> str:
    """The version that follows; `none` leaves it as it is."""
    major, minor, patch = (int(number) for number in version.split("."))
    if bump == "none":
        return version
    if bump == "patch":
        return f"{major}.{minor}.{patch + 1}"
    return f"{major}.{minor + 1}.0" if bump == "minor" else f"{major + 1}.0.0"


def prepare(root: Path, name: str, bump: str, date: dt.date) -> Package:
    """Writes the new version, the changelog and the siblings' ranges into a working tree.

    Returns:
        The package in its new version.

    Raises:
        ValueError: If there is nothing to release, or the version has been released before.
    """
    found = packages(root)
    package = found[name]
    version = bumped(package.version, bump)
    if version in released_versions(name, root):
        raise ValueError(f"{name} {version} has been released; BUMP=patch, minor or major makes another version")
    log = package.folder / "CHANGELOG.md"
    log.write_text(changelog.rolled(log.read_text(), version, date))
    _replace(package.folder / "pyproject.toml", f'\nversion = "{package.version}"\n', f'\nversion = "{version}"\n')
    locked = f'name = "{name}"\nversion = "{{}}"\nsource = {{{{ editable = '
    _replace(root / "uv.lock", locked.format(package.version), locked.format(version))
    for sibling in found.values():
        for line in sibling.dependencies:
            if Requirement(line).name == name and not Requirement(line).specifier.contains(version):
                _require(sibling, line, f"{name}{_range(version)}")
    return packages(root)[name]


def _range(version: str) -> str:
    """The versions that promise to be compatible: before 1.0 a minor version may break, after it a major one."""
    major, minor, _ = (int(number) for number in version.split("."))
    return f">={major}.{minor},<{f'0.{minor + 1}' if major == 0 else major + 1}"


def _require(sibling: Package, old: str, new: str) -> None:
    _replace(sibling.folder / "pyproject.toml", f'"{old}"', f'"{new}"')
    log = sibling.folder / "CHANGELOG.md"
    log.write_text(changelog.with_entry(log.read_text(), f"Requires `{new}`."))


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"expected once in {path}, found {text.count(old)} times: {old!r}")
    path.write_text(text.replace(old, new))


def check_order(root: Path, package: Package) -> None:
    """Checks that a package can be installed once it is published.

    Raises:
        ValueError: If a sibling that it requires has no release that it admits.
    """
    for line in package.dependencies:
        requirement = Requirement(line)
        if requirement.name in package.siblings:
            versions = released_versions(requirement.name, root)
            if not any(requirement.specifier.contains(version) for version in versions):
                raise ValueError(f"{package.tag} requires {line}; release {requirement.name} first")


def check(root: Path, package: Package) -> None:
    """Runs the checks that depend on the version: the lock file, the records, the wheels, the siblings as released.

    Raises:
        SystemExit: If one fails.
    """
    run(UV, "lock", "--check", cwd=root)
    for script in (["api.py"], ["check_wheels.py", package.name], ["check_tagged.py", package.name]):
        # Not captured: they take minutes, and say what they do.
        if subprocess.run([sys.executable, *script], cwd=root / "scripts", check=False).returncode:
            raise SystemExit(f"failed: scripts/{' '.join(script)}")


def release(root: Path, name: str, bump: str, date: dt.date, *, checks: bool = True) -> Package:
    """Makes a release, all of it or nothing.

    Raises:
        ValueError: If the tree has changes that are not committed, or if it is not fit to be released.
        SystemExit: If a check fails.
    """
    if git("status", "--porcelain", root=root):
        raise ValueError("there are changes that are not committed; a release is made of a commit")
    try:
        package = prepare(root, name, bump, date)
        check_order(root, package)
        if checks:
            check(root, package)
        wheels = build([package], root / "dist")
        check_metadata(package, wheels[name])
    except BaseException:
        git("restore", ".", root=root)
        raise
    git("commit", "--quiet", "--all", "--message", f"Release {name} {package.version}", root=root)
    notes = changelog.section((package.folder / "CHANGELOG.md").read_text(), package.version)
    git("tag", "--annotate", package.tag, "--cleanup=verbatim", "--message", f"{package.tag}\n\n{notes}\n", root=root)
    return package


def main() -> int:
    """Releases what the command line says, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Release one package; nothing is uploaded.")
    parser.add_argument("package", choices=list(packages()))
    parser.add_argument("bump", choices=BUMPS)
    options = parser.parse_args()
    try:
        package = release(ROOT, options.package, options.bump, dt.datetime.now(dt.UTC).date())
    except ValueError as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    print(f"{package.tag} is committed, tagged, and built in dist/. To publish it: git push --follow-tags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
