"""Worker processes: each worker thread has a process of its own, which does the thread's tasks.

What holds:

1.  Processes are spawned, never forked: forking a process that runs JAX deadlocks.
2.  Each process is tied to this one by a lifeline, a socket whose other end it reads. It ends when that socket closes:
    when the run ends, when the iterator is collected, and when this process dies. A process that cannot read it, since
    native code holds the GIL or a signal has stopped it, is killed: by its thread when the run ends, at the exit of the
    interpreter (`lifelines`), and on Linux by the kernel, when the thread that started it is gone (`child`).
3.  A process that dies is noticed at once, since its sockets close, and becomes an error at the step that it was at.
4.  Nothing that is shared has a name in the file system that could be left behind (`memory`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from ..memory.pickled import dumps_with_modules
from ..memory.shared import Shared
from ..read.fetch import Fetch
from . import child
from .base import Engine
from .jax_settings import jax_settings
from .pickling import check_picklable
from .spawned import Setup, Spawned

MAIN = {"__main__", "__mp_main__"}
"""The names of the main program, in the process that runs it and in one that was spawned."""


class Processes:
    """The crew of a window whose worker threads have processes do the work.

    Args:
        fetch: How rows become batches. It is pickled here, and sent to each process once.
        setting: The call that asked for processes, for errors.
        initializer: Is called in each process before the dataset is unpickled there.
        timeout: Seconds that unpickling the dataset may take in a process, or None.

    Raises:
        TypeError: If the dataset, the batcher, the initializer or a setting of JAX cannot be pickled; names the part
            that cannot. Or if the main program, which defines a part, cannot be imported by other processes.
        RuntimeError: If the platform cannot do it, or this is a worker process that imports the main program.
    """

    def __init__(
        self, fetch: Fetch, setting: str, initializer: Callable[[], object] | None, timeout: float | None
    ) -> None:
        if child.starting.is_set():
            raise RuntimeError(
                f"{setting} was reached by a worker process that imports the main program; put what "
                'the program does under `if __name__ == "__main__":`'
            )
        if not hasattr(socket, "send_fds"):
            raise RuntimeError(f"{setting} needs Linux or macOS; use threads here: .workers(n)")
        try:
            shared = Shared(fetch.elsewhere())
        except Exception as error:
            check_picklable(fetch.batcher, setting, "the batcher")
            check_picklable(fetch.elsewhere(), setting)
            raise TypeError(
                f"{setting} sends the dataset to other processes, but it cannot be pickled: {error}"
            ) from error
        try:
            body, modules = dumps_with_modules(initializer)
        except Exception:
            check_picklable(initializer, setting, "initializer")
            raise
        needs_main = bool((shared.modules | modules) & MAIN)
        if needs_main:
            _check_main(setting)
        self._setting = setting
        self._setup = Setup(shared, body, needs_main, jax_settings(setting), timeout, fetch.pin)
        self._arguments = fetch, setting, initializer, timeout

    def __reduce__(self) -> tuple[type[Processes], tuple[object, ...]]:
        return Processes, self._arguments

    def crew(self) -> _Crew:
        """The crew for one run, whose processes have the settings that JAX has now, in this thread."""
        return _Crew(replace(self._setup, jax_settings=jax_settings(self._setting)))


class _Crew:
    unit_seconds = 4e-3
    remote = True

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._pid = os.getpid()
        # Of each process, the lifeline and the socket with its tasks, where its thread may wait.
        self._sockets: list[socket.socket] = []
        self._stopped = False

    def engine(self) -> Engine:
        """A process."""
        return Spawned(self._setup, self._add)

    def _add(self, line: socket.socket, work: socket.socket) -> None:
        self._sockets += [line, work]
        if self._stopped:
            self.stop()

    def stop(self) -> None:
        """Ends all processes, whatever they are doing."""
        if os.getpid() != self._pid:
            # This is the copy in a process that was forked; they go on for the one that started them.
            return
        self._stopped = True
        with contextlib.suppress(IndexError):
            while True:
                # Shut down rather than closed, since a thread may be using it.
                end = self._sockets.pop()
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _check_main(setting: str) -> None:
    """Refuses a main program that another process cannot import.

    Raises:
        TypeError: If it is none, and says how it was started.
    """
    main = sys.modules["__main__"]
    if main.__spec__ is None:
        # A program that comes from standard input has a file too, which is none.
        if os.path.exists(getattr(main, "__file__", "")):
            return
        defined = "an interactive program"
    elif main.__spec__.name == "__main__" or main.__spec__.name.endswith(".__main__"):
        defined = f"{main.__spec__.origin}, the main program of a package or folder"
    else:
        return
    raise TypeError(
        f"{setting} sends the dataset to other processes, which cannot import what was defined in {defined}; move its "
        "functions and classes to a module"
    )
