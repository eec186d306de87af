"""A release is made whole, or not at all; here in a copy of the tree, without the slow checks of wheels."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import changelog
import check_tagged
import pytest
import release
import wheels
from packaging.requirements import Requirement
from workspace import ROOT, closure, git, last_tag, packages

DATE = dt.date(2030, 1, 2)
IGNORED = shutil.ignore_patterns("__pycache__", "dist")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the files of this tree, nothing of which has been released."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "a")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@b")
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "packages", root / "packages", ignore=IGNORED)
    for name in ("pyproject.toml", "uv.lock", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    for package in packages(root).values():
        log = package.folder / "CHANGELOG.md"
        if not changelog.unreleased(log.read_text()):
            log.write_text(changelog.with_entry(log.read_text(), "Something."))
    git("init", "--quiet", root=root)
    commit(root)
    return root


def commit(root: Path) -> None:
    git("add", "--all", root=root)
    git("commit", "--quiet", "--message", "Change", root=root)


def make(root: Path, name: str, bump: str) -> None:
    release.release(root, name, bump, DATE, checks=False)


def change(root: Path, name: str) -> None:
    """Commits a change of a package that is worth a release."""
    log = packages(root)[name].folder / "CHANGELOG.md"
    log.write_text(changelog.with_entry(log.read_text(), "Something else."))
    commit(root)


def locked(root: Path, name: str) -> str:
    found = tomllib.loads((root / "uv.lock").read_text())["package"]
    return next(package["version"] for package in found if package["name"] == name)


def assert_untouched(root: Path, head: str, tags: str) -> None:
    assert git("status", "--porcelain", root=root) == ""
    assert git("rev-parse", "HEAD", root=root) == head
    assert git("tag", root=root) == tags


def test_release(tree: Path) -> None:
    version = packages(tree)["loadax-core"].version
    make(tree, "loadax-core", "none")
    package = packages(tree)["loadax-core"]
    assert package.version == version
    assert last_tag("loadax-core", tree) == package.tag == f"loadax-core=={version}"
    assert last_tag("loadax", tree) is None
    assert git("cat-file", "-t", package.tag, root=tree) == "tag\n"
    assert git("log", "-1", "--format=%s %D", root=tree).startswith(f"Release loadax-core {version} HEAD -> ")
    assert git("status", "--porcelain", root=tree) == ""
    log = (package.folder / "CHANGELOG.md").read_text()
    assert changelog.unreleased(log) == ""
    assert f"\n## [{version}] - 2030-01-02\n" in log
    notes = changelog.section(log, version)
    assert notes in git("tag", "--list", "--format=%(contents)", package.tag, root=tree)
    built = sorted(path.name for path in (tree / "dist").iterdir() if path.name != ".gitignore")
    assert built == [f"loadax_core-{version}-py3-none-any.whl", f"loadax_core-{version}.tar.gz"]


def test_release_out_of_the_range_of_its_siblings(tree: Path) -> None:
    make(tree, "loadax-core", "none")
    change(tree, "loadax-core")
    make(tree, "loadax-core", "minor")
    found = packages(tree)
    version = found["loadax-core"].version
    assert version.endswith(".0")
    assert locked(tree, "loadax-core") == version
    for name in ("loadax", "loadax-datasets", "loadax-distributed"):
        ranges = {Requirement(line).name: Requirement(line).specifier for line in found[name].dependencies}
        assert ranges["loadax-core"].contains(version)
        assert not ranges["loadax-core"].contains(release.bumped(version, "minor"))
        line = next(line for line in found[name].dependencies if line.startswith("loadax-core"))
        assert f"- Requires `{line}`." in changelog.unreleased((found[name].folder / "CHANGELOG.md").read_text())


def test_patch_release_leaves_the_siblings_alone(tree: Path) -> None:
    before = packages(tree)
    make(tree, "loadax-core", "patch")
    changed = git("diff", "--name-only", "HEAD~1", root=tree).split()
    assert changed == ["packages/loadax-core/CHANGELOG.md", "packages/loadax-core/pyproject.toml", "uv.lock"]
    assert packages(tree)["loadax-core"].version == release.bumped(before["loadax-core"].version, "patch")


@pytest.mark.parametrize(
    ("bump", "version"), [("none", "0.3.1"), ("patch", "0.3.2"), ("minor", "0.4.0"), ("major", "1.0.0")]
)
def test_bumped(bump: str, version: str) -> None:
    assert release.bumped("0.3.1", bump) == version


def test_release_of_what_cannot_be_installed(tree: Path) -> None:
    head, tags = git("rev-parse", "HEAD", root=tree), git("tag", root=tree)
    with pytest.raises(ValueError, match=r"requires loadax-core.*; release loadax-core first"):
        make(tree, "loadax-datasets", "none")
    assert_untouched(tree, head, tags)
    for name in packages(tree):
        make(tree, name, "none")
    assert len(git("tag", root=tree).split()) == 4


def test_release_twice(tree: Path) -> None:
    make(tree, "loadax-core", "none")
    change(tree, "loadax-core")
    head, tags = git("rev-parse", "HEAD", root=tree), git("tag", root=tree)
    with pytest.raises(ValueError, match=r"loadax-core \S+ has been released; BUMP=patch"):
        make(tree, "loadax-core", "none")
    assert_untouched(tree, head, tags)


def test_release_without_changes(tree: Path) -> None:
    make(tree, "loadax-core", "none")
    head, tags = git("rev-parse", "HEAD", root=tree), git("tag", root=tree)
    with pytest.raises(ValueError, match="nothing to release"):
        make(tree, "loadax-core", "patch")
    assert_untouched(tree, head, tags)


def test_release_of_uncommitted_changes(tree: Path) -> None:
    (tree / "packages" / "loadax-core" / "README.md").write_text("# changed\n")
    with pytest.raises(ValueError, match="not committed"):
        make(tree, "loadax-core", "none")
    assert (tree / "packages" / "loadax-core" / "README.md").read_text() == "# changed\n"


def test_failing_check_leaves_nothing_behind(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: object) -> None:
        raise SystemExit("the wheel does not work")

    monkeypatch.setattr(release, "check", check)
    head, tags = git("rev-parse", "HEAD", root=tree), git("tag", root=tree)
    with pytest.raises(SystemExit, match="the wheel does not work"):
        release.release(tree, "loadax-core", "minor", DATE)
    assert_untouched(tree, head, tags)


def test_command_line() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "release.py")]
    done = subprocess.run([*script, "", ""], capture_output=True, text=True)
    assert done.returncode == 2
    assert "loadax-core" in done.stderr


def test_siblings_as_last_released(tree: Path, tmp_path: Path) -> None:
    """Which pairs are tested; that the tests run, a release shows."""
    core = packages(tree)["loadax-core"]
    assert check_tagged.check(core, "loadax-datasets", tmp_path, tree) == "loadax-datasets has not been released"
    make(tree, "loadax-core", "none")
    make(tree, "loadax-datasets", "none")
    datasets = packages(tree)["loadax-datasets"]
    assert check_tagged.admits(datasets, core)
    change(tree, "loadax-core")
    make(tree, "loadax-core", "minor")
    core = packages(tree)["loadax-core"]
    told = check_tagged.check(core, "loadax-datasets", tmp_path, tree)
    assert told == f"{datasets.tag} does not admit {core.tag}"


def test_order_of_packages() -> None:
    found = packages()
    assert list(found) == ["loadax-core", "loadax-datasets", "loadax-distributed", "loadax"]
    assert closure(found, "loadax") == sorted(found)
    assert closure(found, "loadax-datasets") == ["loadax-core", "loadax-datasets"]


def test_metadata_of_a_wheel(tree: Path, tmp_path: Path) -> None:
    package = packages(tree)["loadax-datasets"]
    wheels.check_metadata(package, wheels.build([package], tmp_path)[package.name])


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("pyproject.toml", 'license = "Apache-2.0"', 'license = "MIT"'),
        ("pyproject.toml", 'requires-python = ">=3.11"', 'requires-python = ">=3.10"'),
        ("pyproject.toml", '    "Typing :: Typed",\n', ""),
        ("pyproject.toml", "Issues = ", "Bugs = "),
        ("pyproject.toml", "src/loadax_core", "src"),
        ("README.md", "# loadax-core\n", "# loadax\n"),
        ("src/loadax_core/py.typed", "", None),
    ],
)
def test_wrong_metadata_is_caught(tree: Path, tmp_path: Path, path: str, old: str, new: str | None) -> None:
    package = packages(tree)["loadax-core"]
    file = package.folder / path
    if new is None:
        file.unlink()
    else:
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))
    with pytest.raises(AssertionError):
        wheels.check_metadata(package, wheels.build([package], tmp_path)[package.name])
