"""The command `loadax`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from loadax import Timeline
from loadax.cli import main

MODULE = """
from loadax import DataLoader, RangeDataset

class Broken:
    def __len__(self):
        return 9
    def __getitem__(self, row):
        raise KeyError("no such row")

class namespace:
    loader = DataLoader().batch_size(4).build(RangeDataset(100))

def make():
    return DataLoader().batch_size(4).workers(1).build(RangeDataset(100))

def fails():
    raise OSError("no such disk")

def leaves():
    raise SystemExit(0)

class Leaving(Broken):
    def __getitem__(self, row):
        raise SystemExit(0)

counted = DataLoader().batch_size(4).count(tokens=lambda batch: 1000 * len(batch)).build(RangeDataset(100))
builder = DataLoader()
leaving = DataLoader().build(Leaving())
empty = DataLoader().build([])
endless = DataLoader().epochs(None).build([1])
uncounted = DataLoader().epochs(10**9).build(range(10**12))
broken = DataLoader().build(Broken())
short = DataLoader().build([1])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is started, with modules to name."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "spoilt.py").write_text("import nowhere_to_be_found")
    (tmp_path / "script.py").write_text("import sys; sys.exit(0)")
    (tmp_path / "folder.json").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["endless", "uncounted"])
def test_bench_measures_a_loader_that_has_no_length(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", f"mine:{name}", "--batches", "10"]) == 0
    assert "10 batches, 10 rows in " in capsys.readouterr().out


@pytest.mark.parametrize("place", ["mine:make", "mine:namespace.loader"])
def test_bench_measures_any_loader(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", place, "--batches", "10"]) == 0
    printed = capsys.readouterr().out
    assert "rows: 100" in printed
    assert "10 batches, 40 rows in " in printed
    # Ten batches may be too few to tell.
    assert "-bound: training waited for data" in printed or "Too early to say: " in printed
    assert "rows/s after the first batch" in printed
    assert "perfect loader" not in printed, "there is no step to compare with"


def test_bench_shows_what_the_loader_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "mine:counted", "--batches", "10"]) == 0
    (last,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith(" after the first batch")]
    rows, tokens = (float(part.split()[0].replace(",", "")) for part in last.split(", "))
    assert 999 < tokens / rows < 1001
    assert " rows/s, " in last
    assert " tokens/s after" in last


def test_bench_imitates_a_step_and_draws_a_timeline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "mine:make", "--batches", "10", "--step-ms", "2", "--plot", "run.json"]) == 0
    assert "training could be 1." in capsys.readouterr().out
    assert "loadax.read" in (folder / "run.json").read_text()


def test_bench_fails_below_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "mine:make", "--min-rows-per-s", "1"]) == 0
    assert main(["bench", "mine:make", "--step-ms", "10", "--batches", "5", "--min-rows-per-s", "1000"]) == 1
    assert " rows/s are fewer than 1,000\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mine", "'mine' is not of the form module:name, such as mypackage.data:make_loader"),
        ("./mine.py:make", "'./mine.py:make' is not of the form module:name"),
        (":make", "is not of the form"),
        ("absent:make", "there is no module 'absent', here or installed"),
        ("absent.inner:make", "there is no module 'absent', here"),
        ("spoilt:make", "the import of spoilt failed\nTraceback"),
        ("spoilt:make", "No module named 'nowhere_to_be_found'"),
        ("mine:absent", "mine has no 'absent'"),
        ("mine:fails", "mine:fails() failed\nTraceback"),
        ("mine:fails", "OSError: no such disk"),
        ("mine:builder", "mine:builder is of type DataLoader, not a Loader; does it end with .build(dataset)?"),
        ("mine:broken", "the loader failed\nTraceback"),
        ("mine:broken", "loadax: raised by row 0"),
        ("mine:short", "a loader of at least 2 batches; this one has 1"),
        ("mine:short", "loadax bench: bench needs a loader of at least 2 batches"),
        ("mine:empty", "a loader of at least 2 batches; this one has 0"),
        ("script:make", "the import of script failed\nTraceback"),
        ("script:make", "SystemExit: 0"),
        ("mine:leaves", "mine:leaves() failed\nTraceback"),
        ("mine:leaving", "the loader failed\nTraceback"),
        ("mine:make --min-rows-per-s nan", "--min-rows-per-s must be a positive number of rows, got nan"),
        ("mine:make --min-rows-per-s inf", "--min-rows-per-s must be a positive number of rows, got inf"),
        ("mine:make --min-rows-per-s -1", "--min-rows-per-s must be a positive number of rows, got -1.0"),
        ("mine:make --min-rows-per-s 0", "--min-rows-per-s must be a positive number of rows, got 0.0"),
        ("mine:make --plot folder.json", "--plot cannot write folder.json: Is a directory; name another file"),
        ("mine:make --batches 1", "--batches must be at least 2, got 1"),
        ("mine:make --step-ms -1", "--step-ms must be a number of milliseconds, got -1.0"),
        ("mine:make --step-ms nan", "--step-ms must be a number of milliseconds, got nan"),
        ("mine:make --plot run.gif", "--plot writes .svg, .png, .pdf, .json, by the ending of the name; got run.gif"),
        ("mine:make --plot nowhere/run.json", "--plot writes to nowhere, which is no folder; make it first"),
    ],
)
def test_wrong_input_is_refused(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments.split()]) == 2
    assert message in capsys.readouterr().err


def test_nothing_is_measured_for_a_file_that_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "run.json").symlink_to(folder / "no such folder" / "run.json")
    assert main(["bench", "mine:make", "--plot", "run.json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "loadax bench: --plot cannot write run.json: No such file or directory; name another file\n"


@pytest.mark.parametrize("before", [None, "mine"])
def test_a_file_is_written_only_after_measuring(before: str | None, folder: Path) -> None:
    plot = folder / "run.json"
    if before is not None:
        plot.write_text(before)
    assert main(["bench", "mine:broken", "--plot", "run.json"]) == 2
    assert (plot.read_text() if plot.exists() else None) == before


def test_a_disk_that_fills_up_is_no_slow_loader(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Timeline, "save", save)
    assert main(["bench", "mine:make", "--plot", "run.json"]) == 2
    assert "OSError: disk full" in capsys.readouterr().err


def test_pictures_need_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "mine:make", "--plot", "run.png"]) == 2
    assert "pip install 'loadax[plots]'" in capsys.readouterr().err


def test_the_command_is_installed(folder: Path) -> None:
    for command in (["-m", "loadax"], [str(Path(sys.executable).parent / "loadax")]):
        start = [sys.executable] if command[0] == "-m" else []
        done = subprocess.run([*start, *command, "bench", "mine:make"], capture_output=True, text=True, check=True)
        assert "25 batches, 100 rows" in done.stdout
    done = subprocess.run([sys.executable, "-m", "loadax"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "bench" in subprocess.run([sys.executable, "-m", "loadax", "-h"], capture_output=True, text=True).stdout
