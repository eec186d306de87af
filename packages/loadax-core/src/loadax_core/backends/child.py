"""The program that a worker process runs: it reads batches for its parent, and ends with it.

What holds:

1.  It ends at once when the parent closes the lifeline or dies, whatever it is doing then. On Linux the kernel kills it
    when the thread that started it ends, so that it ends also while native code holds the GIL, or while it is stopped.
2.  It answers every task with one message. What the dataset, a transform or the batcher raises is an answer too.
3.  It does not import JAX. If the user's code does, JAX finds CPU devices only, since the accelerators belong to the
    parent, and has the settings that it has in the parent.
4.  A process that it forks closes its copies of the sockets, by which the parent notices that this one has ended.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import spawn
from time import perf_counter
from typing import Any, NamedTuple

from ..memory.segments import Segments
from ..memory.shared import open_shared
from ..read.epochs import Epochs
from ..read.fetch import Fetch
from .channel import Channel
from .jax_settings import JaxSettings
from .pickling import explain_arrival
from .remote import Stopwatch, failed, perform_remotely
from .task import Done

PR_SET_PDEATHSIG = 1
"""Linux's number for "send this signal to this process when the thread that started it ends"."""

starting = threading.Event()
"""Set while this process is a worker that imports what it needs."""


class Start(NamedTuple):
    """What a process needs to begin.

    Attributes:
        preparation: What `multiprocessing` would send: `sys.argv`, the folder, the main program.
        jax_settings: See `jax_settings`.
        initializer: A function to be called before the dataset is opened, or None; pickled.
        modules: The modules of the dataset's classes and functions.
        description: See `Shared.description`; the file comes with the message.
    """

    preparation: dict[str, Any]
    jax_settings: bytes | None
    initializer: bytes
    modules: list[str]
    description: tuple[bytes, list[tuple[int, int]], int]


def main(work: int, lifeline: int, parent: int) -> None:
    """Serves the parent until it is gone.

    Args:
        work: Descriptor of the socket with the tasks.
        lifeline: Descriptor of the socket on which the parent asks what this process is doing.
        parent: The number of the parent's process.
    """
    _die_with(parent)
    # Ctrl-C goes to every process of the terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    ends = [socket.socket(fileno=lifeline), socket.socket(fileno=work)]
    for end in ends:
        # A program that it starts must not have them either.
        end.set_inheritable(False)
        os.register_at_fork(after_in_child=end.close)
    watch = Stopwatch()
    line, channel = map(Channel, ends)
    threading.Thread(
        target=_answer, args=(line, watch, threading.get_ident()), name="loadax-lifeline", daemon=True
    ).start()
    # These say that the parent has gone. The process then ends without Python's exit handlers: the lifeline may end it
    # at any instruction in any case.
    with contextlib.suppress(EOFError, ConnectionError):
        _serve(channel, watch)
    _end()


def _die_with(parent: int) -> None:
    """Has the kernel kill this process when the thread that started it ends, if the kernel can do that."""
    if sys.platform == "linux":
        # Python may have been built without it; then the lifeline remains.
        with contextlib.suppress(ImportError):
            import ctypes  # noqa: PLC0415

            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It was too late for that.
        _end()


def _serve(channel: Channel, watch: Stopwatch) -> None:
    message, fds = channel.receive()
    segments = Segments()
    epochs: Epochs | Done
    try:
        opens = _prepare(pickle.loads(message), fds[0])
        # The parent's timeout is for what follows.
        _send(channel, segments, Done([]))
        epochs = Epochs(opens())
    except BaseException as error:
        explain_arrival(error)
        # Every task gets it as its outcome.
        epochs = failed(error, "starting a worker process for")
    _send(channel, segments, epochs if isinstance(epochs, Done) else Done([]))
    while True:
        message, _ = channel.receive()
        task, seen = pickle.loads(message)
        segments.release(seen)
        done = epochs if isinstance(epochs, Done) else perform_remotely(epochs, task, segments, watch)
        _send(channel, segments, done)
        # While it waits, a worker must not keep memory from being filled again.
        del done


def _prepare(start: Start, fd: int) -> Callable[[], Fetch]:
    """Makes this process like its parent, as far as the dataset needs it, and imports what the dataset needs.

    Args:
        start: What the parent has sent.
        fd: The file with the dataset's large arrays.

    Returns:
        A function that opens the dataset.
    """
    starting.set()
    settings = JaxSettings(start.jax_settings)
    try:
        spawn.prepare(start.preparation)
        settings.apply()
        initializer = pickle.loads(start.initializer)
        if initializer is not None:
            initializer()
            settings.keep_changes()
        for module in start.modules:
            # If it cannot be imported, unpickling the dataset fails too, or can do without it.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    except BaseException:
        os.close(fd)
        starting.clear()
        raise

    def opens() -> Fetch:
        try:
            fetch: Fetch = open_shared(*start.description, fd)
            settings.apply()
            return fetch
        finally:
            starting.clear()

    return opens


def _send(channel: Channel, segments: Segments, done: Done) -> None:
    try:
        packed, fds = segments.pack(done)
    except BaseException as error:
        packed, fds = segments.pack(failed(error, "sending"))
    channel.send(pickle.dumps(packed), fds)
    segments.sent()


def _answer(line: Channel, watch: Stopwatch, main: int) -> None:
    """Tells the parent where this process stands, as often as it asks, and ends the process when it is gone."""
    while True:
        try:
            number = int(line.receive()[0])
            frame = sys._current_frames().get(main)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame)) if frame else ""
            answer: Any = (number, *watch.now, perf_counter(), stack)
            line.send(pickle.dumps(answer))
        except (EOFError, OSError):
            _end()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)
