"""Worker processes: each worker thread has one of its own, which does its tasks.

What holds:

1.  Processes are started afresh, never forked: forking a process that runs JAX deadlocks.
2.  Each is tied to this process by a lifeline, a socket whose other end it watches. It ends when that closes: when the
    run ends, when the iterator is collected, and when this process dies, however that comes about. One that cannot
    watch, since native code holds its interpreter, is killed by its thread, unless this process has died.
3.  A process that dies is noticed at once, since its socket closes, and becomes an error at the step that it was at.
4.  Nothing that is shared has a name that could be left behind (`segments`).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing import spawn
from typing import Any, cast

from ..errors import WorkerError
from ..memory.shared import Mapped, Packed, Shared
from ..protocols import Alloc
from ..read.fetch import Fetch
from ..text import describe
from . import child
from .base import Engine
from .channel import Channel
from .pickling import check_picklable, pack, unpack
from .task import Done, Task, Watch

ANSWER_SECONDS = 1.0
"""How long to wait for a process to say what it is doing; it cannot while native code holds the interpreter lock."""

END_SECONDS = 1.0
"""How long a process may take to end by itself."""

MOST_AHEAD = 1 << 12
"""Bytes of a task that may be sent while the process does another one: what a socket holds though nobody reads.

With more, both could wait for ever: this side to be read, and the process for its answer to be.
"""

BOOT = "import sys; sys.path[:] = {path!r}; from loadax_core.backends.child import main; main({work}, {line})"


class Processes:
    """The crew of a window whose worker threads have processes do the work.

    Args:
        fetch: How rows become batches; it is pickled here, and sent to each process once.
        setting: The call that asked for processes, for errors.

    Raises:
        TypeError: If the dataset or the batcher cannot be pickled; names the part that cannot.
        RuntimeError: If the platform cannot do it, or this is a worker process that imports the main program.
    """

    def __init__(self, fetch: Fetch, setting: str) -> None:
        if child.starting.is_set():
            raise RuntimeError(
                f"{setting} was reached by a worker process that imports the main program; put what "
                'the program does under `if __name__ == "__main__":`'
            )
        if not hasattr(socket, "send_fds"):
            raise RuntimeError(f"{setting} needs Linux or macOS; use threads here: .workers(n)")
        try:
            self.shared = Shared(fetch.elsewhere())
        except Exception as error:
            check_picklable(fetch.elsewhere(), setting)
            raise TypeError(
                f"{setting} sends the dataset to other processes, but it cannot be pickled: {error}"
            ) from error
        self.pin = fetch.pin
        self._fetch = fetch
        # The second is what it is called in a process that was spawned.
        self.needs_main = b"__main__" in self.shared.body or b"__mp_main__" in self.shared.body
        main = sys.modules["__main__"]
        # A program that comes from standard input has a file too, which is none.
        if self.needs_main and main.__spec__ is None and not os.path.exists(getattr(main, "__file__", "")):
            raise TypeError(
                f"{setting} sends the dataset to other processes, which cannot import what was defined in an "
                "interactive program; move its functions and classes to a module"
            )
        self.setting = setting

    def __reduce__(self) -> tuple[type[Processes], tuple[Fetch, str]]:
        return Processes, (self._fetch, self.setting)

    def crew(self) -> _Crew:
        """The crew for one run."""
        return _Crew(self)


class _Crew:
    unit_seconds = 4e-3
    remote = True

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._pid = os.getpid()
        # Of each process, the lifeline and the socket with its tasks, where its thread may wait.
        self.sockets: list[socket.socket] = []
        self.stopped = False

    def engine(self) -> Engine:
        """A process."""
        return _Process(self._processes, self)

    def stop(self) -> None:
        """Ends all processes, whatever they are doing."""
        if os.getpid() != self._pid:
            # This is the copy in a process that was forked; they go on for the one that started them.
            return
        self.stopped = True
        with contextlib.suppress(IndexError):
            while True:
                # Shut down rather than closed, since a thread may be using it.
                end = self.sockets.pop()
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


class _Process:
    """One worker process, as its thread sees it."""

    def __init__(self, processes: Processes, crew: _Crew) -> None:
        self._processes = processes
        self._crew = crew
        self._mapped = Mapped(processes.pin)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._line: socket.socket | None = None
        self._failed: Done | None = None
        # Tasks that were sent and not waited for, and the last of them if it was kept.
        self._sent = 0
        self._kept: bytes | None = None
        self._asking = threading.Lock()

    def open(self) -> None:
        """Starts the process, and waits until it has opened the dataset."""
        stage = "starting a worker process for"
        try:
            self._start()
            done = self._receive(stage, None)
        except (EOFError, ConnectionError):
            done = Done([], self._died(None), stage)
        except BaseException as error:
            done = Done([], error, stage)
        self._failed = done if done.error else None

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
        # That the process has died is found again when the outcome is waited for.
        with contextlib.suppress(OSError):
            if self._channel is not None and self._failed is None:
                self._channel.send(message)

    def perform(self, task: Task, _alloc: Alloc, _watch: Watch, /) -> Done:
        """Waits for the outcome of a task."""
        if self._failed is not None:
            # A copy, since each step adds its own notes. `copy` would call the type's `__init__`, as pickle does.
            assert self._failed.error is not None, "only what failed is kept"
            return replace(self._failed, error=unpack(pack(self._failed.error)))
        self._write_kept()
        self._sent -= 1
        return self._receive("receiving", task)

    def _receive(self, stage: str, task: Task | None) -> Done:
        assert self._channel is not None
        try:
            message, fds = self._channel.receive()
            packed: Packed = pickle.loads(message)
            return self._mapped.unpack(packed, fds)
        except (EOFError, ConnectionError):
            return Done([], self._died(task), "reading" if task else stage)
        except BaseException as error:
            return Done([], error, stage)

    def where(self) -> tuple[int | None, float, str] | None:
        """Asks the process what it is doing."""
        line = self._line
        if line is None:
            return None
        with self._asking:
            try:
                line.settimeout(ANSWER_SECONDS)
                channel = Channel(line)
                channel.send(b"?")
                row, since, now, stack = pickle.loads(channel.receive()[0])
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
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        if self._process is not None:
            self._reap(self._process)
        if self._line is not None:
            with self._asking:
                self._line.close()

    def _start(self) -> None:
        work, work_there = socket.socketpair()
        line, line_there = socket.socketpair()
        with work_there, line_there:
            passed = [work_there.fileno(), line_there.fileno()]
            # An import looks at nothing else.
            path = [part for part in sys.path if isinstance(part, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
            code = BOOT.format(path=path, work=passed[0], line=passed[1])
            self._line, self._channel = line, Channel(work)
            # The process inherits this, and is safe from Ctrl-C until it ignores it.
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            self._process = subprocess.Popen(
                [os.fsdecode(spawn.get_executable()), *_options(), "-c", code],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                # The accelerators belong to this process.
                env={**os.environ, "JAX_PLATFORMS": "cpu"},
            )
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._crew.sockets += [line, work]
        if self._crew.stopped:
            self._crew.stop()
        preparation: dict[str, Any] = spawn.get_preparation_data("loadax-worker")
        preparation["authkey"] = bytes(preparation["authkey"])
        if not self._processes.needs_main:
            # Importing the main program may take seconds, and runs what it does not guard.
            for key in ("init_main_from_name", "init_main_from_path"):
                preparation.pop(key, None)
        shared = self._processes.shared
        self._channel.send(pickle.dumps((preparation, shared.description())), [shared.fd()])

    def _died(self, task: Task | None) -> WorkerError:
        """What became of the process, as an error."""
        assert self._process is not None
        code = self._reap(self._process)
        how = f"exited with status {code}"
        if code < 0:
            # Real-time signals have numbers only.
            known = {number.value: number.name for number in signal.Signals}
            how = f"was killed by {known.get(-code, f'signal {-code}')}"
            how += ", perhaps because memory ran out" * (-code == signal.SIGKILL)
        meanwhile = f"while it read rows {describe([int(row) for row in task.rows])}" if task else "while it started"
        return WorkerError(f"worker process {self._process.pid} {how} {meanwhile}")

    @staticmethod
    def _reap(process: subprocess.Popen[bytes]) -> int:
        """Waits for a process that is about to end, and makes sure that it does; returns its exit status."""
        try:
            return process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def _options() -> list[str]:
    """The interpreter's options, on which it may depend what code does: -O, -W, -X and others."""
    return cast("Any", subprocess)._args_from_interpreter_flags()  # noqa: SLF001
