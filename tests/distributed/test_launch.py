from __future__ import annotations

import ast
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loadax_distributed import launch
from loadax_distributed.launch.__main__ import main

PROGRAMS = Path(__file__).parent / "programs"
MISBEHAVE = PROGRAMS / "misbehave.py"


def test_a_script_is_one_process_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    output = io.StringIO()
    codes = launch(PROGRAMS / "show.py", ["-x", 3], processes=2, devices_per_process=3, output=output, timeout=100)
    assert codes == [0, 0]
    lines = output.getvalue().splitlines()
    assert capsys.readouterr().out == ""
    for number in (0, 1):
        own = [line[4:] for line in lines if line.startswith(f"[{number}] ")]
        assert f"process {number} complains" in own
        assert own[-1] == "no newline at the end"
        facts = ast.literal_eval(next(line for line in own if line.startswith("{")))
        assert facts == {
            "argv": ["-x", "3"],
            "name": "__main__",
            "processes": 2,
            "devices": 3,
            "platform": "cpu",
            "stdin": "",
        }


def test_a_function_by_name_finds_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "greeting.py").write_text("import os\ndef greet(word): print(word, os.environ['GREETED'])\n")
    monkeypatch.chdir(tmp_path)
    assert launch("greeting:greet", ["hello"], processes=1, env={"GREETED": "all"}) == [0]
    assert capsys.readouterr().out == "[0] hello all\n"


def test_a_function_of_the_main_module() -> None:
    done = subprocess.run([sys.executable, PROGRAMS / "main_module.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["[0] hello 0", "[1] hello 1"]


@pytest.mark.parametrize(
    ("way", "code", "says"),
    [("raise", 1, "[1] RuntimeError: the reason"), ("message", 1, "[1] the reason"), ("signal", -6, "")],
)
def test_one_failure_stops_the_others(way: str, code: int, says: str) -> None:
    output = io.StringIO()
    codes = launch(MISBEHAVE, [way], processes=2, devices_per_process=1, output=output, timeout=100)
    assert codes == [-signal.SIGKILL, code]
    assert says in output.getvalue()


def test_timeout_names_who_still_runs() -> None:
    with pytest.raises(TimeoutError, match=r"longer than 1 s; process 0, 1 had not ended"):
        launch(MISBEHAVE, ["wait"], processes=2, devices_per_process=1, timeout=1)


def test_the_longest_timeout() -> None:
    arguments: dict[str, Any] = {"processes": 1, "devices_per_process": 1, "timeout": threading.TIMEOUT_MAX}
    assert launch(print, ["hello"], output=io.StringIO(), **arguments) == [0]


class FullDisk(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError("disk full")


@pytest.mark.parametrize(("way", "processes"), [("raise", 2), ("stands", 1)])
def test_output_that_cannot_be_written_stops_the_job(way: str, processes: int) -> None:
    with pytest.raises(OSError, match="disk full") as caught:
        launch(MISBEHAVE, [way], processes=processes, devices_per_process=1, output=FullDisk(), timeout=100)
    (note,) = caught.value.__notes__
    assert re.fullmatch(r"loadax: a line of process [01] could not be written to the output", note)


@contextmanager
def all_gone(path: Path) -> Generator[None]:
    """Waits at its end until every process that has opened the FIFO for writing is gone."""
    os.mkfifo(path)
    ended = threading.Event()

    def read() -> None:
        path.read_bytes()
        ended.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    yield
    assert ended.wait(30), "a process was left behind"
    reader.join()


def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    output = io.StringIO()
    with all_gone(tmp_path / "fifo"):
        arguments = ["orphan", tmp_path / "fifo"]
        assert launch(MISBEHAVE, arguments, processes=2, devices_per_process=1, output=output) == [0, 0]
    assert sorted(output.getvalue().splitlines()) == ["[0] stands", "[1] stands"]


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_all_end_with_the_launcher(stop: signal.Signals, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadax_distributed.launch", "-n", "2", "-d", "1"]
    with all_gone(tmp_path / "fifo"):
        launcher = subprocess.Popen(
            [*command, MISBEHAVE, "fifo", tmp_path / "fifo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert launcher.stdout is not None
        assert launcher.stderr is not None
        assert sorted(launcher.stdout.readline() for _ in range(2)) == ["[0] stands\n", "[1] stands\n"]
        launcher.send_signal(stop)
        assert launcher.wait(timeout=30) == status
    with launcher.stdout, launcher.stderr:
        assert launcher.stderr.read() == ""


def a_lambda() -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("nowhere.py", FileNotFoundError, r"there is no script .*nowhere\.py; give its path, 'module:function'"),
        (a_lambda(), TypeError, r"cannot send <function .*; define it at the top of a module"),
        (3, TypeError, r"cannot launch 3; give the path of a script"),
    ],
)
def test_impossible_targets_are_refused(target: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        launch(target)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"processes": 0}, ValueError, "processes is 0; give at least 1"),
        ({"processes": 1.5}, TypeError, r"processes is 1\.5; give a whole number"),
        ({"devices_per_process": 0}, ValueError, "devices_per_process is 0"),
        ({"timeout": 0}, ValueError, "timeout is 0; give a positive number"),
        ({"timeout": float("nan")}, ValueError, "timeout is nan; give a positive number"),
        ({"timeout": float("inf")}, ValueError, "timeout is inf; give a positive number .* or None for no limit"),
        ({"timeout": 1e12}, ValueError, "timeout is 1000000000000.0; .* at most 9223372036, or None for no limit"),
        ({"timeout": "5"}, TypeError, "timeout is '5'; give a number of seconds, or None for no limit"),
        ({"timeout": True}, TypeError, "timeout is True; give a number of seconds"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        launch(MISBEHAVE, **settings)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["-n", "2", "-d", "1", str(MISBEHAVE), "code"], 7, ""),
        (["-n", "1", "--timeout", "1", str(MISBEHAVE), "wait"], 124, "longer than 1.0 s; process 0 had not ended"),
        (["nowhere.py"], 2, "there is no script"),
        (["-n", "0", str(MISBEHAVE)], 2, "processes is 0"),
        (["--timeout", "inf", str(MISBEHAVE)], 2, "timeout is inf"),
    ],
)
def test_status_of_the_command(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert says in capsys.readouterr().err
