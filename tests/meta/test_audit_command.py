"""`loadax audit`: what a run will do, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadax.cli import main

PROGRAM = """
from loadax import DataLoader, RangeDataset

def make_loader():
    return DataLoader().batch_size(10).epochs(2).build(RangeDataset(45).shuffle(seed=1))

class Broken:
    def __len__(self):
        return 3
    def __getitem__(self, row):
        return row
    def trace(self, rows, epoch):
        raise KeyError("no rows")

broken = DataLoader().build(Broken())
"""


@pytest.fixture(autouse=True)
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audited.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)


def test_it_prints_the_audit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "audited:make_loader"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10 steps, 90 rows"
    assert "  epoch 1 ends in step 9" in lines
    assert lines[-1].startswith("order before step 10: ")
    assert main(["audit", "audited:make_loader", "--steps", "3"]) == 0
    assert capsys.readouterr().out.startswith("3 steps, 30 rows")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audited:make_loader", "--steps", "0"], "--steps must be at least 1, got 0"),
        (["audited:nothing"], "audited has no 'nothing'"),
        (["audited:broken"], "the order of the rows could not be found"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err
