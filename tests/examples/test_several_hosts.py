"""However the work is divided over processes and devices, an example has the losses of one process, to rounding."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from loadax_distributed import launch

PROGRAM = Path(__file__).parent / "programs" / "one_after_another.py"
STEPS = 44  # two epochs
# Sums of float32 come in another order; 5e-7 was seen after ten epochs. Other rows would show at 1e-2.
RTOL = 1e-5

pytestmark = pytest.mark.timeout(300)

EQUINOX = "fsdp_equinox.py"


class Report(NamedTuple):
    """What one run has printed, and its losses."""

    text: str
    losses: list[float]

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.text)
        assert match, f"no {pattern!r} in:\n{self.text}"
        return match.group(1)


def commands(runs: list[str], folder: Path) -> list[str]:
    return [f"{run} --epochs 2 --log {folder / str(number)}" for number, run in enumerate(runs)]


def reports(runs: list[str], folder: Path, output: str) -> dict[str, Report]:
    texts = re.split("(?m)^running .*\n", output)[1:]
    assert len(texts) == len(runs), output
    losses = [[float(line) for line in (folder / str(number)).read_text().splitlines()] for number in range(len(runs))]
    return {run: Report(text, steps) for run, text, steps in zip(runs, texts, losses, strict=True)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """What the others are compared with: ordinary programs, on one device."""
    folder, runs = tmp_path_factory.mktemp("alone"), ["several_hosts.py", EQUINOX]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    command = [sys.executable, str(PROGRAM), *commands(runs, folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return reports(runs, folder, done.stdout)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """Two processes with two devices each. What the second one prints is marked with `[1]`."""
    folder, output = tmp_path_factory.mktemp("launched"), io.StringIO()
    runs = [f"several_hosts.py --parallel {parallel}" for parallel in ("data", "fsdp", "model")] + [EQUINOX]
    codes = launch(PROGRAM, commands(runs, folder), processes=2, devices_per_process=2, timeout=250, output=output)
    assert codes == [0, 0], output.getvalue()
    return reports(runs, folder, re.sub(r"(?m)^\[0\] ", "", output.getvalue()))


def check_alike(launched: Report, alone: Report) -> None:
    assert len(alone.losses) == STEPS
    assert alone.losses[-1] < alone.losses[0] / 3, "nothing was learnt"
    np.testing.assert_allclose(launched.losses, alone.losses, rtol=RTOL)
    for pattern in (r"(?m)^held-out accuracy (.*)", r"(?m)^(44 batches, 2,816 rows) in .* waited .* for data"):
        assert launched.found(pattern) == alone.found(pattern)
    assert float(alone.found("held-out accuracy (.*)")) > 0.8
    assert not re.search(r"\[1\].*(loss|accuracy|batches)", launched.text), "only process 0 prints"


@pytest.mark.parametrize(
    ("parallel", "mesh", "held"),
    [
        ("data", "data=4, model=1", "9,610 of 9,610"),
        # A quarter of each kernel, and the biases.
        ("fsdp", "data=4, model=1", "2,506 of 9,610"),
        # Half of all but the last bias.
        ("model", "data=2, model=2", "4,810 of 9,610"),
    ],
)
def test_flax(parallel: str, mesh: str, held: str, launched: dict[str, Report], alone: dict[str, Report]) -> None:
    report = launched[f"several_hosts.py --parallel {parallel}"]
    check_alike(report, alone["several_hosts.py"])
    # With `model`, these are all data shards: the model axis crosses the processes.
    assert report.found(rf"mesh\({mesh}\), .* (process 0 .*)\)") == "process 0 of 2 holds shards 0-1"
    assert report.found("a device holds (.*) parameters") == held


def test_equinox(launched: dict[str, Report], alone: dict[str, Report]) -> None:
    report = launched[EQUINOX]
    check_alike(report, alone[EQUINOX])
    # A quarter of all but the last bias.
    assert report.found("a device holds (.*) parameters") == "2,410 of 9,610"
