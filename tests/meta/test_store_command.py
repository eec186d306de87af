"""The command `loadax store`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from loadax import JaggedDataset, write_jagged
from loadax.cli import main

MODULE = """
import numpy as np
from loadax import RangeDataset

class Broken:
    def __len__(self):
        return 9
    def __getitem__(self, row):
        if row == 5:
            raise KeyError("no such document")
        return [row]

class Stopped(Broken):
    def __getitem__(self, row):
        raise KeyboardInterrupt

class namespace:
    documents = [[1, 2], [3]]

def make():
    return RangeDataset(40).map(np.arange)

def lines():
    yield [1, 70000]
    yield [2]

def fails():
    raise OSError("no such disk")

number = 7
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is started, with a module to name."""
    (tmp_path / "mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("mine:make", "40 documents, 780 values: int64"),
        ("mine:namespace.documents", "2 documents, 3 values: int64"),
        ("mine:lines", "2 documents, 3 values: int64"),
    ],
)
def test_documents_are_written(place: str, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", place, "tokens"]) == 0
    assert capsys.readouterr().out == f"JaggedDataset({expected}, in tokens)\n"
    assert len(JaggedDataset(folder / "tokens")) in (40, 2)


def test_settings_are_handed_on(folder: Path) -> None:
    arguments = ["store", "mine:make", "tokens", "--workers", "2", "--kind", "process", "--dtype", "uint16"]
    assert main([*arguments, "--source", "mine"]) == 0
    assert main([*arguments, "--source", "mine"]) == 0, "it is finished"
    assert main([*arguments, "--source", "mine", "--append"]) == 0
    documents = JaggedDataset(folder / "tokens")
    assert len(documents) == 80
    assert str(documents.flat.dtypes[0]) == "uint16"
    assert documents.fingerprint()["source"] == "mine"


def test_a_run_that_failed_goes_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "mine:Broken", "tokens"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("loadax store: the documents could not be read\nTraceback")
    assert "KeyError: 'no such document'" in printed
    assert "documents of this call are committed in" in printed
    assert main(["store", "mine:Stopped", "tokens"]) == 2
    assert capsys.readouterr().err == "loadax store: interrupted; start it again to go on\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mine tokens", "loadax store: 'mine' is not of the form module:name, such as mypackage.data:make_dataset\n"),
        ("absent:make tokens", "loadax store: there is no module 'absent', here or installed\n"),
        ("mine:absent tokens", "loadax store: mine has no 'absent'\n"),
        ("mine:number tokens", "loadax store: documents are a dataset or an iterable, got a int\n"),
        ("mine:make tokens --workers -1", "loadax store: --workers: workers must be at least 0, got -1\n"),
        ("mine:make tokens --kind process", "loadax store: --workers: workers must be at least 1"),
        ("mine:make tokens --dtype text", "loadax store: dtype is a dtype, such as np.uint16, "),
        ("mine:lines tokens --workers 2", "loadax store: workers read datasets, "),
        ("mine:make mine.py", "mine.py is a file; write_jagged writes to a folder: name another one\n"),
        ("mine:make others", "has other files, such as notes.txt; choose a new folder\n"),
        ("mine:make done", "has documents of the source 'words', and source=None is given; "),
        ("mine:fails tokens", "loadax store: mine:fails() failed\nTraceback"),
    ],
)
def test_wrong_input_is_refused(arguments: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jagged(folder / "done", [[1]], source="words")
    (folder / "others").mkdir()
    (folder / "others" / "notes.txt").touch()
    assert main(["store", *arguments.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("loadax store: ")
    assert "Traceback" in message or printed.err.count("\n") == 1


def test_a_document_that_is_refused_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "mine:lines", "tokens", "--dtype", "uint16"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "loadax store: document 0: 70000 does not fit uint16; choose a wider dtype"
    assert second.startswith("loadax: 0 documents of this call are committed in ")


def test_the_command_is_installed(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loadax", "store", "mine:make", "tokens"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "JaggedDataset(40 documents, 780 values: int64, in tokens)\n"
    assert "store" in subprocess.run([sys.executable, "-m", "loadax", "-h"], capture_output=True, text=True).stdout
