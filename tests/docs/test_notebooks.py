"""The notebooks of the site run as programs. Building the site runs them as notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("docs/notebooks/*.py"))


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"digits", "elastic", "packing"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path: Path, tmp_path: Path) -> None:
    """Each ends with an assertion of what it shows, and warns of nothing."""
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_text().splitlines()[-1].startswith("assert ")
