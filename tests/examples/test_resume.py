"""A run that is killed and started again reads the rows, and has the losses, of one that was not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "resume.py"


def start(directory: Path) -> subprocess.Popen[bytes]:
    options = ["--directory", str(directory), "--epochs", "2", "--batch-size", "128", "--save-every", "4"]
    return subprocess.Popen([sys.executable, str(SCRIPT), *options])


def entries(directory: Path) -> list[dict[str, Any]]:
    log = directory / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def kill_after(steps: int, directory: Path) -> None:
    """Lets a run go on until `steps` more steps are logged, then sends SIGKILL."""
    wanted = len(entries(directory)) + steps
    with start(directory) as process:
        while len(entries(directory)) < wanted:
            assert process.poll() is None, "the run ended before it could be killed"
        process.kill()
    assert process.returncode == -9


@pytest.mark.timeout(300)
def test_killed_runs_continue_exactly(tmp_path: Path) -> None:
    assert start(tmp_path / "whole").wait() == 0
    whole = entries(tmp_path / "whole")
    assert [entry["step"] for entry in whole] == list(range(1, 31))
    rows = [row for entry in whole for row in entry["rows"]]
    assert sorted(rows) == sorted([*range(1797)] * 2)

    killed = tmp_path / "killed"
    kill_after(10, killed)  # within the first epoch
    kill_after(12, killed)  # within the second
    assert start(killed).wait() == 0
    log = entries(killed)
    # Steps after the last checkpoint were done again, with the same rows and losses.
    assert len(log) > len(whole)
    assert sorted({entry["step"]: entry for entry in log}) == [entry["step"] for entry in whole]
    for entry in log:
        assert entry == whole[entry["step"] - 1]
