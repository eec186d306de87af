"""Records the public names of each package, so that no change of them goes unnoticed.

`packages/<name>/api.txt` has one line for every public name: functions and methods with their signatures, classes with
their bases, attributes with their types. A change needs a new record, and the name under "Unreleased" in the changelog:

    python scripts/api.py           # fails and shows the difference if one of the two is missing
    python scripts/api.py --write   # records the public names as they are
"""

from __future__ import annotations

import argparse
import ast
import difflib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import griffe
from changelog import section, unreleased
from workspace import ROOT, Package, git, last_tag, packages, released_versions

PUBLIC_MODULES = ("testing", "loadax.distributed", "loadax.extend", "loadax.orbax")
"""Modules that users import by name, in any package or in one. They import all other names from the package."""

UNRECORDED = {"__repr__", "__str__", "__getstate__", "__setstate__", "__reduce__"}
"""Methods with only one possible signature, which no user calls by name."""


def public_api(package: Package) -> list[str]:
    """One line for each public name of a package, sorted."""
    root = package.folder.parents[1]
    loader = griffe.GriffeLoader(search_paths=[member.folder / "src" for member in packages(root).values()])
    for name in packages(root):
        loader.load(name.replace("-", "_"))
    loader.resolve_aliases(external=False)
    module = cast(griffe.Module, loader.modules_collection[package.module])
    modules = [module, *(one for one in module.modules.values() if {one.name, one.path} & {*PUBLIC_MODULES})]
    exports = {path: target for one in modules for path, target in _reexports(one)}
    public = {target.path for target in exports.values()}
    lines = {line for one in modules[1:] for line in _definitions(one, public)}
    for path, target in exports.items():
        if not target.path.startswith(f"{package.module}."):
            # The package that defines it records it.
            lines.add(f"{path} is {target.path.split('.')[0]}.{path.split('.')[-1]}")
        elif isinstance(target, griffe.Module):
            lines.update(_definitions(target, public))
        else:
            lines.update(_lines(path, target, public))
    return sorted(lines)


def _reexports(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """The paths and objects that a module re-exports, by imports of the form `from .module import Name as Name`."""
    for node in ast.walk(ast.parse(cast(Path, module.filepath).read_text())):
        if isinstance(node, ast.ImportFrom):
            # Not `module.members[name]`: if a function and a module have the same name, that is the module.
            origin = ".".join(part for part in (module.path if node.level else "", node.module) if part)
            for alias in node.names:
                if alias.name == alias.asname:
                    yield f"{module.path}.{alias.name}", _target(module.modules_collection[f"{origin}.{alias.name}"])


def _target(member: griffe.Object | griffe.Alias) -> griffe.Object:
    return member.final_target if isinstance(member, griffe.Alias) else member


def _definitions(parent: griffe.Module | griffe.Class, public: set[str], path: str = "") -> Iterator[str]:
    """The lines of what a module or class defines itself under a public name."""
    for name, member in parent.members.items():
        special = name.startswith("__") and isinstance(member, griffe.Function) and name not in UNRECORDED
        if not isinstance(member, griffe.Alias) and (special or not name.startswith("_")):
            yield from _lines(f"{path or parent.path}.{name}", member, public)


def _lines(path: str, item: griffe.Object | griffe.Alias, public: set[str]) -> Iterator[str]:
    if isinstance(item, griffe.Class):
        yield f"{path}: class({', '.join(str(base) for base in item.bases)})"
        yield from _members(path, item, public)
    elif isinstance(item, griffe.Function):
        for function in item.overloads or [item]:
            yield function.signature(name=path) + _labels(item)
    elif isinstance(item, griffe.Attribute):
        value = f" = {item.value}" if "module-attribute" in item.labels else ""
        yield f"{path}: {item.annotation or 'Any'}{value}{_labels(item)}"


def _members(path: str, item: griffe.Class, public: set[str]) -> Iterator[str]:
    """The lines of a class's members, with those of private bases, without those that a public base has already."""
    lines: dict[str, list[str]] = {}
    known: set[str] = set()
    for base in (*reversed(item.mro()), item):
        own = list(_definitions(base, public, path))
        lines.update((name, [line for line in own if _name(line) == name]) for name in map(_name, own))
        if base.path in public and base is not item:
            known.update(own)
    yield from (line for found in lines.values() for line in found if line not in known)


def _labels(item: griffe.Object) -> str:
    shown = sorted(item.labels & {"async", "classmethod", "property", "staticmethod"})
    return f"  # {', '.join(shown)}" if shown else ""


def _name(line: str) -> str:
    return line.split("(", maxsplit=1)[0].split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0]


def unmentioned(before: list[str], after: list[str], changes: str) -> list[str]:
    """The public names that differ, if the changelog names neither them nor what they belong to.

    Args:
        before: The recorded lines of the last release.
        after: The lines of the tree.
        changes: The entries of the changelog since then; names are in backticks.
    """
    words = {word for code in re.findall(r"`([^`]+)`", changes) for word in re.findall(r"\w+", code)}
    # The changelog of the package that defines a name has to mention it, not that of a package that re-exports it.
    changed = {_name(line) for line in set(before) ^ set(after) if " is " not in line}
    return sorted(name for name in changed if not words.intersection(name.split(".")[1:]))


def check(package: Package, *, write: bool) -> list[str]:
    """The problems of a package's record and changelog; an empty list if there are none."""
    record, api = package.folder / "api.txt", public_api(package)
    recorded = record.read_text().splitlines() if record.exists() else api
    released = _released(package) or recorded
    missing = unmentioned(released, api, _changes(package))
    problems = [f"{package.name}: {name} changed; say so in its CHANGELOG.md, under Unreleased" for name in missing]
    if write and not problems:
        record.write_text("".join(f"{line}\n" for line in api))
    elif recorded != api:
        problems.append(f"{package.name}: its public names are not those in api.txt; record them with `make api`")
        problems.extend(difflib.unified_diff(recorded, api, "recorded", "now", n=0, lineterm=""))
    return problems


def _changes(package: Package) -> str:
    """The entries since the last release: those that are unreleased, and those of a version that is planned."""
    log = (package.folder / "CHANGELOG.md").read_text()
    planned = package.version not in released_versions(package.name, package.folder.parents[1])
    return unreleased(log) + (section(log, package.version) if planned and f"\n## [{package.version}]" in log else "")


def _released(package: Package) -> list[str]:
    """The record of a package's last release; empty if there was none, or if its tag was not fetched."""
    root = package.folder.parents[1]
    tag = last_tag(package.name, root)
    if tag is None:
        return []
    try:
        return git("show", f"{tag}:packages/{package.name}/api.txt", root=root).splitlines()
    except subprocess.CalledProcessError:
        return []


def main() -> int:
    """Checks or writes the records, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Check or write the records of public names.")
    parser.add_argument("--write", action="store_true", help="record the public names as they are")
    parser.add_argument("--root", type=Path, default=ROOT, help="the working tree (default: this one)")
    options = parser.parse_args()
    problems = [line for package in packages(options.root).values() for line in check(package, write=options.write)]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
