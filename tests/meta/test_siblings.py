"""A combination of packages that do not fit together is refused on import, and the error names what to upgrade."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from loadax import siblings

FITTING = {
    "loadax": ("0.3.0", ["loadax-core>=0.3,<0.4", "loadax-datasets<0.4,>=0.3", "loadax-distributed>=0.3,<0.4"]),
    "loadax-core": ("0.3.0", ["numpy>=1.26"]),
    "loadax-datasets": ("0.3.0", ["loadax-core>=0.3,<0.4", "numpy>=1.26"]),
    "loadax-distributed": ("0.3.0", ["jax>=0.6", "loadax-core>=0.3,<0.4", "loadax-core>=0.3,<0.4; extra == 'x'"]),
}
"""Version and requirements of each package."""


def install(folder: Path, packages: dict[str, tuple[str, list[str]]]) -> None:
    """Writes the metadata of packages into a folder, as an installer does."""
    for name, (version, requirements) in packages.items():
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = [f"Requires-Dist: {requirement}\n" for requirement in requirements]
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{''.join(lines)}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages hide those that are installed."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


@pytest.mark.parametrize("version", ["0.3.0", "0.3.12", "0.3.1rc1", "0.3.0.post1"])
def test_versions_that_fit(site: Path, version: str) -> None:
    install(site, {name: (version, requirements) for name, (_, requirements) in FITTING.items()})
    siblings.check_siblings()
    assert siblings.versions() == dict.fromkeys(FITTING, version)


@pytest.mark.parametrize(
    ("package", "version", "problem", "upgrade"),
    [
        ("loadax-core", "0.2.9", "loadax-datasets 0.3.0 needs loadax-core>=0.3,<0.4, but 0.2.9", "loadax-core"),
        (
            "loadax-core",
            "0.4.0",
            "loadax-datasets 0.3.0 needs loadax-core>=0.3,<0.4, but 0.4.0",
            "loadax loadax-datasets loadax-distributed",
        ),
        ("loadax-core", "0.4.0rc1", "but 0.4.0rc1 is installed", "loadax loadax-datasets loadax-distributed"),
        ("loadax-core", "1.0.0", "but 1.0.0 is installed", "loadax loadax-datasets loadax-distributed"),
        ("loadax-datasets", "0.2.0", "loadax 0.3.0 needs loadax-datasets>=0.3,<0.4, but 0.2.0", "loadax-datasets"),
        ("loadax-datasets", "0.10.0", "loadax 0.3.0 needs loadax-datasets>=0.3,<0.4, but 0.10.0", "loadax"),
    ],
)
def test_versions_that_do_not_fit(site: Path, package: str, version: str, problem: str, upgrade: str) -> None:
    install(site, FITTING | {package: (version, FITTING[package][1])})
    message = f"do not fit together: .*{re.escape(problem)}.* pip install --upgrade {upgrade}$"
    with pytest.raises(ImportError, match=message):
        siblings.check_siblings()


def test_missing_sibling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    install(tmp_path, {name: FITTING[name] for name in FITTING if name != "loadax-distributed"})
    with pytest.raises(ImportError, match=r"loadax 0\.3\.0 needs loadax-distributed\S+, but none is installed"):
        siblings.check_siblings()


def test_sources_that_are_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ImportError, match="not installed, so that its version is not known: install it"):
        siblings.check_siblings()


def test_import_is_refused_before_a_name_is_missed(tmp_path: Path) -> None:
    install(tmp_path, {"loadax-core": ("0.2.0", [])})
    # This core lacks every name that `loadax` imports from it.
    (tmp_path / "loadax_core.py").write_text("")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import loadax"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"\nImportError: .* pip install --upgrade loadax-core\n$", done.stderr), done.stderr


@pytest.mark.parametrize("package", [*FITTING, "numpy"])
def test_what_is_installed_is_what_the_standard_library_finds(package: str) -> None:
    assert siblings.installed(package) == (metadata.version(package), metadata.requires(package) or [])


def test_the_first_folder_of_the_path_counts(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    install(site, FITTING)
    first = tmp_path_factory.mktemp("first")
    sys.path.insert(0, str(first))
    # Half an installation, of which nothing can be read, is passed over.
    (first / "loadax_core-9.0.0.dist-info").mkdir()
    assert siblings.versions()["loadax-core"] == "0.3.0"
    install(first, {"loadax-core": ("0.3.7", [])})
    assert siblings.versions()["loadax-core"] == "0.3.7"
    assert siblings.versions()["loadax"] == "0.3.0"


def test_a_longer_name_is_another_package(site: Path) -> None:
    (site / "loadax-core-9.0.0.dist-info").mkdir()
    (site / "loadax-core-9.0.0.dist-info" / "METADATA").write_text("Name: loadax-core\nVersion: 9.0.0\n")
    install(site, FITTING)
    assert siblings.versions()["loadax"] == "0.3.0"


def test_packages_that_only_the_standard_library_finds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in an archive."""
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, (number, requirements) in FITTING.items():
            lines = [f"Requires-Dist: {requirement}\n" for requirement in requirements]
            about = f"Metadata-Version: 2.4\nName: {name}\nVersion: {number}\n{''.join(lines)}"
            archive.writestr(f"{name.replace('-', '_')}-{number}.dist-info/METADATA", about)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "all.zip")])
    assert siblings.check_siblings() == dict.fromkeys(FITTING, "0.3.0")


def test_importing_does_not_import_the_standard_library_s_way() -> None:
    code = "import sys, numpy, loadax; print(loadax.__version__, 'importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [siblings.versions()["loadax"], "False"]
