"""The import contracts hold, and a violation of each is caught."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of all packages' sources, to be spoiled."""
    for package in sorted(ROOT.glob("packages/*/src/*/")):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(sources: Path) -> tuple[int, str]:
    """The exit status and output of the import linter on `sources`, instead of on the installed packages."""
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", str(ROOT / ".importlinter"), "--no-cache"],
        cwd=sources,
        env=os.environ | {"PYTHONPATH": str(sources), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_contracts_hold(sources: Path) -> None:
    status, output = lint_imports(sources)
    assert status == 0, output
    assert "5 kept, 0 broken" in output


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("loadax_core", "loadax_datasets"),
        ("loadax_core", "loadax_distributed"),
        ("loadax_datasets", "loadax_distributed"),
        ("loadax_distributed", "loadax_datasets"),
        ("loadax_distributed", "loadax"),
        ("loadax_core", "jax"),
        ("loadax_datasets", "jaxlib"),
        ("loadax_datasets", "loadax_core.run.window"),
        ("loadax_distributed", "loadax_core.protocols"),
        ("loadax", "loadax_datasets.base"),
        ("loadax", "loadax_distributed.mesh"),
    ],
)
def test_violation_is_caught(sources: Path, importer: str, imported: str) -> None:
    # Within a function, where it is easiest to overlook.
    (sources / importer / "sly.py").write_text(f"def load():\n    import {imported}\n")
    status, output = lint_imports(sources)
    assert status == 1, output
    assert f"{importer}.sly -> {imported}" in output
