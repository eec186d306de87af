"""A Dask cluster of processes loads what threads would, and the example trains with one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "dask_workers.py"
PROGRAMS = Path(__file__).parent / "programs"


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cluster_loads_what_threads_would() -> None:
    output = run(PROGRAMS / "dask_values.py")
    assert output == "the same 12 batches, from 2 other processes\nan error arrives: row 5 is broken\n"


def test_rows_of_a_class_of_the_program_arrive_unchanged_from_processes_that_do_not_run_it() -> None:
    assert run(PROGRAMS / "dask_main_classes.py") == "Counted [1, 1, 1, 1]\n" * 2


def test_the_example_trains() -> None:
    output = run(EXAMPLE, "--epochs", "4")
    found = re.search(r"loss \d\.\d+, held-out accuracy (\d\.\d+)", output)
    assert found
    assert float(found[1]) > 0.8
    assert "88 batches, 5,632 rows" in output
