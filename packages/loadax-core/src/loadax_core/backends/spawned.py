"""The parent's side of a worker process: starts it, sends it tasks, and receives their outcomes."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import spawn
from typing import Any, cast

from ..errors import WorkerError
from ..memory.mapped import Mapped
from ..memory.pool import Pin
from ..memory.segments import Packed
from ..memory.shared import Shared
from ..protocols import Alloc
from ..text import describe
from . import lifelines
from .channel import Channel
from .child import Start
from .task import Done, Task, Watch

ANSWER_SECONDS = 1.0
"""Seconds to wait for a process to say what it is doing. It cannot answer while native code holds the GIL."""

END_SECONDS = 1.0
"""Seconds that a process may take to end by itself, before it is killed."""

MOST_AHEAD = 1 << 12
"""Bytes of the largest task that is sent while the process does another one. A socket holds as much without a reader.

With more, both sides could wait for ever: this one for the process to read the task, the process for this one to read
its answer.
"""

STARTING = "starting a worker process for"

BOOT = "import sys; sys.path[:] = {path!r}; from loadax_core.backends.child import main; main({work}, {line}, {parent})"


@dataclass(frozen=True, slots=True)
class Setup:
    """What the processes of a run are started with.

    Attributes:
        shared: The dataset and the batcher.
        initializer: A function to be called before they are unpickled, or None; pickled.
        needs_main: Whether the dataset, the batcher or the initializer is defined in the main program.
        jax_settings: See `jax_settings`.
        timeout: Seconds that unpickling them may take, or None.
        pin: Prepares the memory of batches; see `Pool`.
    """

    shared: Shared
    initializer: bytes
    needs_main: bool
    jax_settings: bytes | None
    timeout: float | None
    pin: Pin | None


class Spawned:
    """One worker process: an `Engine`.

    Args:
        setup: What it begins with.
        add_sockets: Is given its sockets, which are to be shut down when the run ends.
    """

    def __init__(self, setup: Setup, add_sockets: Callable[[socket.socket, socket.socket], None]) -> None:
        self._setup = setup
        self._add_sockets = add_sockets
        self._mapped = Mapped(setup.pin)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._work: socket.socket | None = None
        self._line: socket.socket | None = None
        self._answers: Channel | None = None
        # How often the process was asked what it is doing. It may answer late, after the next question.
        self._asked = 0
        # The outcome of every task, once no task can be done any more.
        self._failed: Done | None = None
        # Tasks that were sent and not waited for, and the last of them if it was kept.
        self._sent = 0
        self._kept: bytes | None = None
        self._asking = threading.Lock()

    def open(self) -> None:
        """Starts the process, and waits until it has opened the dataset."""
        try:
            channel = self._start()
            done = self._receive(STARTING, None)
            if done.error is None:
                # It has imported what it needs, and begins to unpickle the dataset.
                channel.limit(self._setup.timeout)
                done = self._receive(STARTING, None)
                channel.limit(None)
        except BaseException as error:
            done = Done([], self._died(None) if _is_end(error) else error, STARTING)
        if done.error is not None:
            self._failed = done

    def send(self, task: Task, /) -> None:
        """Sends a task, or keeps it until the process is waiting for it, if it is large."""
        try:
            message = pickle.dumps((task, self._mapped.ended()))
        except BaseException as error:
            self._failed = Done([], error, "sending")
            return
        self._write_kept()
        self._sent += 1
        if self._sent > 1 and len(message) > MOST_AHEAD:
            self._kept = message
        else:
            self._write(message)

    def _write_kept(self) -> None:
        """Sends the task that was kept, if it is the only one, so that the process waits for it."""
        if self._sent == 1 and self._kept is not None:
            message, self._kept = self._kept, None
            self._write(message)

    def _write(self, message: bytes) -> None:
        # If the process has died, `perform` finds it again, and makes it the outcome.
        with contextlib.suppress(OSError):
            if self._channel is not None and self._failed is None:
                self._channel.send(message)

    def perform(self, task: Task, _alloc: Alloc, _watch: Watch, /) -> Done:
        """Waits for the outcome of a task."""
        if self._failed is not None:
            return self._failed.once_more()
        self._write_kept()
        self._sent -= 1
        return self._receive("receiving", task)

    def _receive(self, stage: str, task: Task | None) -> Done:
        """The next message of the process: an outcome, or an error that says why there is none."""
        assert self._channel is not None
        try:
            message, fds = self._channel.receive()
            packed: Packed = pickle.loads(message)
            self._mapped.add(packed, fds)
        except TimeoutError:
            return Done([], self._overdue(), stage)
        except BaseException as error:
            if _is_end(error):
                return Done([], self._died(task), "reading" if task else stage)
            # Memory that later messages refer to is lost.
            self._failed = Done([], error, stage)
            return self._failed.once_more()
        try:
            return self._mapped.unpack(packed)
        except BaseException as error:
            return Done([], error, stage)

    def where(self) -> tuple[int | None, float, str] | None:
        """Asks the process what it is doing. While it starts, no time passes; see `open`."""
        answers = self._answers
        if answers is None:
            return None
        with self._asking:
            self._asked += 1
            number = 0
            row, since, now, stack = -1, 0.0, 0.0, ""
            try:
                answers.send(b"%d" % self._asked)
                while number < self._asked:
                    number, row, since, now, stack = pickle.loads(answers.receive()[0])
            except (OSError, EOFError):
                return None
        if not since:
            # It is still starting, or between two tasks.
            return None, 0.0, stack
        return None if row < 0 else row, now - since, stack

    def close(self) -> None:
        """Ends the process and waits until it is gone."""
        if self._channel is not None:
            self._channel.close()
        if self._work is not None:
            lifelines.disconnect(self._work)
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        if self._process is not None:
            _reap(self._process)
        if self._line is not None:
            with self._asking:
                lifelines.disconnect(self._line)

    def _start(self) -> Channel:
        setup = self._setup
        with ExitStack() as theirs:
            self._work, work = lifelines.connect()
            theirs.callback(lifelines.disconnect, work)
            self._line, line = lifelines.connect()
            theirs.callback(lifelines.disconnect, line)
            self._add_sockets(self._line, self._work)
            channel = self._channel = Channel(self._work)
            self._answers = Channel(self._line)
            self._answers.limit(ANSWER_SECONDS)
            self._process = _spawn(work.fileno(), line.fileno())
        preparation: dict[str, Any] = spawn.get_preparation_data("loadax-worker")
        preparation["authkey"] = bytes(preparation["authkey"])
        if not setup.needs_main:
            # Importing the main program may take seconds, and runs what it does not guard.
            for key in ("init_main_from_name", "init_main_from_path"):
                preparation.pop(key, None)
        modules = sorted(setup.shared.modules)
        start = Start(preparation, setup.jax_settings, setup.initializer, modules, setup.shared.description())
        channel.send(pickle.dumps(start), [setup.shared.fd()])
        return channel

    def _died(self, task: Task | None) -> WorkerError:
        """The error that says how the process has ended."""
        assert self._process is not None
        code = _reap(self._process)
        how = f"exited with status {code}"
        if code < 0:
            # Real-time signals have numbers only.
            known = {number.value: number.name for number in signal.Signals}
            how = f"was killed by {known.get(-code, f'signal {-code}')}"
            if -code == signal.SIGKILL:
                how += ", perhaps because memory ran out"
        meanwhile = f"while it read rows {describe([int(row) for row in task.rows])}" if task else "while it started"
        return WorkerError(f"worker process {self._process.pid} {how} {meanwhile}")

    def _overdue(self) -> TimeoutError:
        """The error that the process has not opened the dataset within the timeout."""
        assert self._process is not None
        where = self.where()
        stack = where[2] if where else "  (it does not answer: native code holds the GIL, or a signal has stopped it)"
        return TimeoutError(
            f"opening the dataset in worker process {self._process.pid} has taken longer than the timeout of "
            f"{self._setup.timeout} s; the process stands at:\n{stack}"
        )


def _is_end(error: BaseException) -> bool:
    """Whether an error means that the process is gone."""
    return isinstance(error, EOFError | ConnectionError)


def _spawn(work: int, line: int) -> subprocess.Popen[bytes]:
    """Starts a process, with its ends of both sockets."""
    # An import looks at nothing else.
    path = [part for part in sys.path if isinstance(part, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
    code = BOOT.format(path=path, work=work, line=line, parent=os.getpid())
    # The process inherits this, and is safe from Ctrl-C until it ignores it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process = subprocess.Popen(
            [os.fsdecode(spawn.get_executable()), *_options(), "-c", code],
            pass_fds=[work, line],
            stdin=subprocess.DEVNULL,
            # The accelerators belong to this process.
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    lifelines.watch(process)
    return process


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Waits for a process that is about to end, and makes sure that it does; returns its exit status."""
    try:
        status = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    lifelines.unwatch(process)
    return status


def _options() -> list[str]:
    """The interpreter's options, on which it may depend what code does: -O, -W, -X and others."""
    return cast("Any", subprocess)._args_from_interpreter_flags()  # noqa: SLF001
