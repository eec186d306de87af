"""Releases one package: a new version, a changelog for it, checks, built files in `dist/`, a commit and a tag.

    make release PACKAGE=loadax-core BUMP=minor

`BUMP` is `major`, `minor` or `patch`, or `none` to release the version that the tree has. The script uploads nothing:
pushing the tag publishes the release. If a check fails, the script restores all files.

If the range of a sibling does not admit the new version, the sibling gets a range that does, and an entry in its
changelog. The tests of this tree have run with both. Release the sibling next.
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
    """The next version; the same version for `none`."""
    major, minor, patch = (int(number) for number in version.split("."))
    if bump == "none":
        return version
    if bump == "patch":
        return f"{major}.{minor}.{patch + 1}"
    return f"{major}.{minor + 1}.0" if bump == "minor" else f"{major + 1}.0.0"


def prepare(root: Path, name: str, bump: str, date: dt.date) -> Package:
    """Writes the new version, the changelog and the ranges of the siblings into a working tree.

    Returns:
        The package with its new version.

    Raises:
        ValueError: If there is nothing to release, or the version has been released before.
    """
    found = packages(root)
    package = found[name]
    version = bumped(package.version, bump)
    if version in released_versions(name, root):
        raise ValueError(f"{name} {version} has been released; BUMP=patch, minor or major makes another version")
    log = package.folder / "CHANGELOG.md"
    log.write_text(changelog.rolled(log.read_text(), version, date, planned=bump == "none"))
    _replace(package.folder / "pyproject.toml", f'\nversion = "{package.version}"\n', f'\nversion = "{version}"\n')
    locked = f'name = "{name}"\nversion = "{{}}"\nsource = {{{{ editable = '
    _replace(root / "uv.lock", locked.format(package.version), locked.format(version))
    for sibling in found.values():
        for line in sibling.dependencies:
            if Requirement(line).name == name and not Requirement(line).specifier.contains(version):
                _require(sibling, line, f"{name}{_range(version)}")
    return packages(root)[name]


def _range(version: str) -> str:
    """The range of compatible versions: below 1.0 a minor version may break, from 1.0 on only a major version."""
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
    """Checks that users can install a package once it is published.

    Raises:
        ValueError: If no release of a required sibling lies in the required range.
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
        # Their output is not captured: they take minutes, and print their progress.
        if subprocess.run([sys.executable, *script], cwd=root / "scripts", check=False).returncode:
            raise SystemExit(f"failed: scripts/{' '.join(script)}")


def release(root: Path, name: str, bump: str, date: dt.date, *, checks: bool = True) -> Package:
    """Makes a release; if anything fails, it changes nothing.

    Raises:
        ValueError: If the tree has changes that are not committed, or something in it prevents a release.
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
    """Releases the package that the command line names, and returns the exit status."""
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
