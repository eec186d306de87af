"""Starts the processes of a job on this machine, and ends all of them.

What always holds:

1. When `launch` returns or raises, none of its processes runs, and no process that they started in their group.
2. When the launcher itself is killed, they end too: the standard input of each is a pipe of the launcher, and a process
   ends when its pipe closes.
3. When a process fails, the others are killed at once; a JAX process would wait for the dead one for minutes.
4. No thread polls. For each process, one thread waits for its end and one reads its output.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..checks import count, seconds
from .job import describe

_DEVICE_COUNT = "--xla_force_host_platform_device_count"


def launch(
    target: str | os.PathLike[str] | Callable[..., Any],
    args: Sequence[Any] = (),
    *,
    processes: int = 4,
    devices_per_process: int = 2,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    output: TextIO | None = None,
) -> list[int]:
    """Runs a target in several new Python processes that form one JAX job on CPU devices.

    Each process calls `jax.distributed.initialize` before the target starts; a script that runs elsewhere too checks
    `jax.distributed.is_initialized()` first. When a process fails, the others are killed. All processes are killed on
    Ctrl-C, and when the process that called `launch` ends.

    Args:
        target: The path of a script, which runs as `__main__`; or `"module:function"`; or a function that can be
            pickled. A function of the main module needs that module to guard its own work with
            `if __name__ == "__main__":`.
        args: The script's `sys.argv[1:]`, or the function's arguments.
        processes: Number of processes.
        devices_per_process: Number of CPU devices of each process.
        timeout: Seconds after which all processes are killed; None sets no limit.
        env: Environment variables to add.
        output: The file to write lines to, each with the number of its process; left out, `sys.stdout`.

    Returns:
        The exit code of each process; for a killed process, minus the number of the signal.

    Raises:
        FileNotFoundError: If there is no such script.
        TimeoutError: If the job takes longer than `timeout`.
        TypeError: If the target cannot be launched, a count is not an integer, or `timeout` not a number.
        ValueError: If a number is not positive, or `timeout` is longer than a thread can wait.
        Exception: Whatever writing to `output` raises; the job is stopped.

    >>> from loadax_distributed import launch
    >>> launch(print, ["hello"], processes=1)
    [0] hello
    [0]
    """
    processes = count("processes", processes)
    devices_per_process = count("devices_per_process", devices_per_process)
    if timeout is not None:
        timeout = seconds("timeout", timeout)
    with _reserved_port() as port, tempfile.TemporaryDirectory(prefix="loadax-launch-") as folder:
        job = describe(target, args, f"127.0.0.1:{port}", processes)
        job_file = Path(folder) / "job"
        job_file.write_bytes(pickle.dumps(job))
        environment = _environment(devices_per_process, env or {})
        printer = _Printer(sys.stdout if output is None else output, len(str(processes - 1)))
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        members: list[_Member] = []
        try:
            for number in range(processes):
                members.append(_Member(number, job_file, environment, printer, ended))  # noqa: PERF401
            _wait(members, ended, timeout)
        finally:
            for member in members:
                member.kill()
            codes = [member.finish() for member in members]
        for member in members:
            if member.unwritten is not None:
                raise member.unwritten
        return codes


class _Printer:
    """Writes whole lines, each with the number of its process."""

    def __init__(self, output: TextIO, width: int) -> None:
        self._output = output
        self._width = width
        self._lock = threading.Lock()

    def line(self, number: int, text: str) -> None:
        with self._lock:
            self._output.write(f"[{number:{self._width}}] {text.rstrip()}".rstrip() + "\n")
            self._output.flush()


class _Member:
    """One process, the thread that reads its output, and the thread that waits for its end."""

    def __init__(
        self,
        number: int,
        job_file: Path,
        environment: dict[str, str],
        printer: _Printer,
        ended: queue.SimpleQueue[int],
    ) -> None:
        self.number = number
        self.unwritten: Exception | None = None
        # `-P` leaves the current folder out of the import path; the job names all folders to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "loadax_distributed.launch.child", str(job_file), str(number)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

        def read() -> None:
            assert self._process.stdout is not None
            with self._process.stdout as lines:
                try:
                    for line in lines:
                        printer.line(number, line)
                except Exception as error:
                    error.add_note(f"loadax: a line of process {number} could not be written to the output")
                    self.unwritten = error
                    ended.put(number)

        def reap() -> None:
            self._process.wait()
            self._kill_group()
            ended.put(number)

        self._threads = [threading.Thread(target=work, daemon=True) for work in (read, reap)]
        for thread in self._threads:
            thread.start()

    @property
    def code(self) -> int | None:
        """The exit code, once the process has ended."""
        return self._process.returncode

    def kill(self) -> None:
        """Kills the process, if it still runs, and all processes that it has started."""
        if self.code is None:
            self._kill_group()

    def finish(self) -> int:
        """Waits for the end and for the last line of output; returns the exit code."""
        assert self._process.stdin is not None
        read, reap = self._threads
        reap.join()
        # A process that has left the group may hold the pipe open; nobody waits for its output.
        read.join(timeout=5)
        self._process.stdin.close()
        return self._process.returncode

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()


def _wait(members: list[_Member], ended: queue.SimpleQueue[int], timeout: float | None) -> None:
    """Waits until all processes have ended with 0, until one has failed, or until output cannot be written."""
    deadline = None if timeout is None else time.monotonic() + timeout
    for _ in members:
        try:
            number = ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            running = ", ".join(str(member.number) for member in members if member.code is None)
            raise TimeoutError(f"the job ran longer than {timeout} s; process {running} had not ended") from None
        if members[number].code != 0 or members[number].unwritten is not None:
            return


@contextlib.contextmanager
def _reserved_port() -> Generator[int]:
    """A free port on the loopback interface, reserved while JAX's coordinator uses it."""
    with socket.socket() as holder:
        # Bound and shareable, but not listening: the coordinator can bind the port too, and no other program gets it.
        if hasattr(socket, "SO_REUSEPORT"):
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        if not hasattr(socket, "SO_REUSEPORT"):
            holder.close()
        yield port


def _environment(devices: int, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of the processes: that of this process, with CPU devices."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_NUM_CPU_DEVICES"}
    flags = [flag for flag in environment.get("XLA_FLAGS", "").split() if not flag.startswith(_DEVICE_COUNT)]
    environment["XLA_FLAGS"] = " ".join([*flags, f"{_DEVICE_COUNT}={devices}"])
    environment["JAX_PLATFORMS"] = "cpu"
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONIOENCODING"] = "utf-8"
    if any(key.lower().endswith("_proxy") for key in environment):
        environment["no_grpc_proxy"] = "127.0.0.1"  # the coordinator is here, not behind a proxy
    return {**environment, **extra}
