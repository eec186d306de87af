"""The examples that train on real data learn from it in a short form too, and say what they learnt and how fast."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "programs" / "one_after_another.py"

pytestmark = pytest.mark.timeout(300)

RUNS = {
    "bytes_lm.py": "--steps 50",
    "tabular.py": "--epochs 3",
    "huggingface_local.py": "--epochs 3",
    "image_folder.py": "--epochs 2",
}


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """What each example prints."""
    commands = [f"{script} {options}" for script, options in RUNS.items()]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *commands], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed
    assert "Warning" not in printed
    return dict(zip(RUNS, re.split("(?m)^running .*\n", printed)[1:], strict=True))


def check_stats(text: str, batches: str, rows: str) -> None:
    assert re.search(rf"(?m)^{batches} batches, {rows} rows in .* waited .* for data", text), text


def scores(text: str, pattern: str) -> tuple[float, float]:
    """What the network reached on what is held out, and the baseline."""
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in:\n{text}"
    return float(found[1]), float(found[2])


def test_language_model(texts: dict[str, str]) -> None:
    bits, frequencies = scores(texts["bytes_lm.py"], r"held-out bits per byte (\S+); from .* alone, (\S+)")
    assert 4 < frequencies < 5, "the entropy of single bytes of source code"
    assert bits < frequencies - 0.5
    assert "\ndef __init__(self, " in texts["bytes_lm.py"], "a sample"
    check_stats(texts["bytes_lm.py"], "50", "800")


def test_tabular(texts: dict[str, str]) -> None:
    sqlite, polars = re.split("(?m)^from .*:\n", texts["tabular.py"])[1:]
    learnt = [text[: text.index("batches")].rsplit("\n", 1)[0] for text in (sqlite, polars)]
    assert learnt[0] == learnt[1], "the two sources give the same batches"
    accuracy, majority = scores(sqlite, r"held-out accuracy (\S+); .* benign, (\S+)")
    assert 0.6 < majority < 0.7
    assert accuracy > 0.9
    for text in (sqlite, polars):
        check_stats(text, "42", "1,344")


def test_hugging_face(texts: dict[str, str]) -> None:
    # How many docstrings there are depends on the version of Python.
    accuracy, majority = scores(texts["huggingface_local.py"], r"held-out accuracy (\S+); .* one package, (\S+)")
    assert majority < 0.3
    assert accuracy > 0.6
    check_stats(texts["huggingface_local.py"], r"\d+", r"\d,\d{3}")


def test_image_folder(texts: dict[str, str]) -> None:
    accuracy, guessed = scores(texts["image_folder.py"], r"held-out accuracy (\S+); by guessing, (\S+)")
    assert guessed == 0.1
    assert accuracy > 0.85
    check_stats(texts["image_folder.py"], "88", "2,816")
