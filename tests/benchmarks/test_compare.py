"""The commands that compare versions and switch parts off run, and compute what they say. Nothing depends on speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_two_versions_are_compared() -> None:
    works = ("--works", "W9-1,W7-1e12,W11", "--repeats", "2", "--quick")
    done = run("benchmarks.compare", sys.executable, sys.executable, *works)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["W9-1", "loadax"],
        ["W7-1e12", "loadax"],
        ["W11", "loadax_core"],
        ["W11", "loadax"],
    ]
    for row in rows:
        ratio, least, most = map(float, row[4].replace("(", "").replace(")", "").replace("-", " ").split())
        assert 0 < least <= ratio <= most


def test_a_ratio_is_time_after_over_time_before_in_the_same_turn(part: Any) -> None:
    compare = part("compare")
    # The machine is half as fast in the second turn, which the ratio must not show.
    pairs = [(compare.Timed(t, None, 0.5, 1.0), compare.Timed(2 * t, None, 0.6, 1.1)) for t in (1e-6, 2e-6, 1e-6)]
    cells = compare.row("W1", "loadax", pairs)
    assert cells[2:] == ["1 (1-2) us", "2 (2-4) us", "2.00 (2.00-2.00)", "", "0.50 / 1.00", "0.60 / 1.10"]
    step = [(compare.Timed(1.1, 0.01, 3, 9), compare.Timed(1.0, 0.02, 3, 9))]
    assert compare.row("W8", "loadax", step)[2:6] == [
        "1.1 (1.1-1.1)",
        "1 (1-1)",
        "0.91 (0.91-0.91)",
        "1.0%, 2.0%",
    ]


def test_a_rate_becomes_a_time(part: Any) -> None:
    compare = part("compare")
    assert compare.timed(lambda: {"value": 4.0, "waited": 0.5}, inverse=True)[:2] == (0.25, 0.5)
    assert compare.timed(lambda: {"value": 4.0}, inverse=False)[:2] == (4.0, None)
    with pytest.raises(part("runner").FailedError, match="too large"):
        compare.timed(lambda: {"unsupported": "too large"}, inverse=True)


def test_a_version_that_is_no_checkout_is_refused(part: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compare = part("compare")
    assert compare.checkout(sys.executable) == ROOT
    installed = tmp_path / "env" / "lib" / "site-packages" / "loadax_core" / "__init__.py"

    def answer(*_: object, **__: object) -> str:
        return f"{installed}\n"

    monkeypatch.setattr(compare, "in_python", answer)
    with pytest.raises(ValueError, match=r"no checkout of Loadax; install it there with `pip install -e`"):
        compare.checkout("python")


def test_recording_can_be_switched_off(part: Any) -> None:
    recording, silent = part("recording_cost").loops("W9-32", 2)
    assert [next(recording) for _ in range(5)] == [next(silent) for _ in range(5)]
    assert recording.stats().waited > 0
    assert recording.stats().reading > 0
    assert silent.stats().waited == silent.stats().reading == 0
    done = run("benchmarks.recording_cost", "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| W9-") == 4


@pytest.mark.parametrize("name", ["group", "parts", "freed", "depth"])
def test_a_heuristic_can_be_switched_off(part: Any, name: str) -> None:
    heuristics = part("heuristics")
    found = heuristics.measure(name, heuristics.HEURISTICS[name].loops[0], 2, 0.01)
    assert len(found) == 2
    assert all(seconds > 0 for turn in found for seconds in turn[::2])


def test_an_unknown_heuristic_is_refused() -> None:
    done = run("benchmarks.heuristics", "luck")
    assert done.returncode == 2
    assert "luck is unknown; there are group," in done.stderr
