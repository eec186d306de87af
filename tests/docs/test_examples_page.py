"""The page of the examples shows each of them, with what it printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import run_examples

PAGE = run_examples.README.read_text()
NAMES = sorted(path.stem for path in run_examples.README.parent.glob("*.py"))


def test_each_example_can_be_run_by_the_script() -> None:
    assert sorted(run_examples.COMMANDS) == NAMES
    for name, command in run_examples.COMMANDS.items():
        assert f"examples/{name}.py" in command


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_what_an_example_printed(name: str) -> None:
    assert f"[`{name}.py`]({name}.py)" in PAGE
    shown = PAGE.partition(f"<!-- begin {name} -->")[2].partition(f"<!-- end {name} -->")[0]
    found = re.fullmatch(
        r"\n\nOn \d{4}-\d\d-\d\d, on \d+ cores:\n\n```console\n\$ ([^\n]+)\n(.+)\n```\n\n", shown, re.DOTALL
    )
    assert found, f"run `python scripts/run_examples.py {name}`"
    assert found[1] == run_examples.COMMANDS[name].format(folder="/tmp/run")
    assert " rows in " in found[2], "it ends with the statistics of its loader"
    assert "Traceback" not in found[2]
    assert "Warning" not in found[2]
    # Only folders of the system, none of the machine that ran it.
    assert set(re.findall(r"'?(/[a-z]+)/", found[2])) <= {"/tmp"}


def test_an_output_takes_the_place_of_the_one_before() -> None:
    page = "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n"
    assert run_examples.with_output(page, "a", "new") == "before\n<!-- begin a -->\n\nnew\n\n<!-- end a -->\nafter\n"
    with pytest.raises(ValueError, match="no place for b"):
        run_examples.with_output(page, "b", "new")


def test_the_noise_of_collectives_is_left_out() -> None:
    printed = "[1] [Gloo] Rank 4 is connected\n[0] loss 1.750\n[Gloo] Rank 0 is connected\nend"
    assert run_examples.NOISE.sub("", printed) == "[0] loss 1.750\nend"


def test_an_example_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("print('so far'); 1 / 0")
    monkeypatch.setitem(run_examples.COMMANDS, "broken", f"python {tmp_path / 'broken.py'}")
    with pytest.raises(SystemExit, match=r"broken\.py failed:\nso far\nTraceback"):
        run_examples.output("broken")
