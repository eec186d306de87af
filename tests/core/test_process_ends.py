"""However a program ends, it ends soon and with its own status, and no worker process outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np
import pytest
from elsewhere import Numbers
from loadax_core import DataLoader

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks for processes as Linux shows them")

FOREVER = 20.0
SOON = 5.0
"""Seconds; what is waited for would take a minute, or for ever. A program waits up to 1 s for its processes to end."""

PROGRAM = """
import sys
sys.path.append({importable!r})
import os, signal, threading
from pathlib import Path
from faults import Ending
from loadax_core import DataLoader

dataset = Ending(12, Path({folder!r}), {how!r}, {lonely!r})
batches = iter(DataLoader().batch_size(4).workers({workers}, kind="process").prefetch(2).build(dataset))
next(batches)
print("began", flush=True)
sys.stdin.readline()
{exit}
"""


def process_that_got_stuck(folder: Path) -> int:
    deadline = perf_counter() + FOREVER
    while perf_counter() < deadline:
        for path in folder.iterdir():
            if not path.suffix:
                return int(path.name)
        sleep(0.005)
    raise AssertionError("nobody got stuck")


def has_ended(process: int) -> bool:
    """Whether a process runs no more; one that nobody waits for stays as a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


EXITS: list[Any] = [
    ("sys.exit(3)", 3),
    ("raise LookupError('the program\\'s own')", 1),
    ("os._exit(3)", 3),
    ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ("os.abort()", -signal.SIGABRT),
]


@pytest.mark.parametrize(("exit_by", "status"), EXITS, ids=[name.partition("(")[0] for name, _ in EXITS])
@pytest.mark.parametrize("how", ["in Python", "with the GIL", "stopped"])
def test_programs_end_with_their_own_status_and_their_worker_processes_with_them(
    how: str, exit_by: str, status: int, tmp_path: Path
) -> None:
    check_end(tmp_path, how, exit_by, status)


@pytest.mark.parametrize("how", ["with the GIL", "stopped"])
def test_a_normal_exit_kills_what_the_kernel_would_not(how: str, tmp_path: Path) -> None:
    """As on macOS, where a process is not told that its parent has gone."""
    check_end(tmp_path, how, "sys.exit(3)", 3, lonely=True)


def check_end(folder: Path, how: str, exit_by: str, status: int, lonely: bool = False) -> None:
    program = PROGRAM.format(
        importable=str(Path(__file__).parent / "importable"),
        folder=str(folder),
        how=how,
        lonely=lonely,
        workers=1,
        exit=exit_by,
    )
    command = [sys.executable, "-W", "always", "-c", program]
    streams: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, **streams, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stderr is not None
        assert parent.stdout.readline() == "began\n"
        worker = process_that_got_stuck(folder)
        assert not has_ended(worker)
        began = perf_counter()
        parent.stdin.write("\n")
        parent.stdin.flush()
        # A pipe is at its end only when the worker, which has it too, is gone.
        errors = parent.stderr.read()
        assert parent.wait() == status
        while not has_ended(worker) and perf_counter() - began < SOON:
            sleep(0.005)
        assert perf_counter() - began < SOON
    assert ("LookupError: the program's own" in errors) == ("LookupError" in exit_by)
    assert "Warning" not in errors
    assert "loadax" not in errors


def test_a_run_that_ends_kills_a_process_that_is_stopped(tmp_path: Path) -> None:
    program = PROGRAM.format(
        importable=str(Path(__file__).parent / "importable"),
        folder=str(tmp_path),
        how="stopped",
        lonely=True,
        workers=1,
        exit=textwrap.dedent(
            """
            batches.close()
            while any(thread.name == "loadax-0" for thread in threading.enumerate()):
                pass
            print("closed", flush=True)
            sys.stdin.readline()
            """
        ),
    )
    streams: Any = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-X", "dev", "-c", program], **streams, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == "began\n"
        worker = process_that_got_stuck(tmp_path)
        began = perf_counter()
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "closed\n"
        assert has_ended(worker)
        assert perf_counter() - began < SOON
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.wait() == 0


def test_a_run_outlives_the_thread_that_has_begun_it() -> None:
    """On Linux, a worker process ends with the thread that started it."""
    batches = iter(DataLoader().batch_size(4).workers(2, kind="process").prefetch(2).build(Numbers(400)))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, batches).result()
    assert np.concatenate([first, *batches]).tolist() == list(range(400))
