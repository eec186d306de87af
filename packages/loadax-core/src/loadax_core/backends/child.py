"""The program that a worker process runs: it reads batches for its parent, and ends with it.

What holds:

1.  It ends at once when the parent closes the lifeline, be it by will or by dying, whatever it is doing then.
2.  It answers every task with one message. What the dataset, a transform or the batcher raises is an answer too.
3.  It does not import JAX; if the dataset's own code does, it finds CPU devices only, since the accelerators belong to
    the parent.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from multiprocessing import spawn
from time import perf_counter
from typing import Any

from ..memory.shared import Segments, open_shared
from ..read.epochs import Epochs
from ..read.fetch import Fetch
from .channel import Channel
from .pickling import explain_arrival
from .remote import Stopwatch, failed, perform_remotely
from .task import Done

starting = threading.Event()
"""Set while this process is a worker that imports what it needs."""


def main(work: int, lifeline: int) -> None:
    """Serves the parent until it is gone.

    Args:
        work: Descriptor of the socket with the tasks.
        lifeline: Descriptor of the socket on which the parent asks what this process is doing.
    """
    # Ctrl-C goes to every process of the terminal; the parent decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    watch = Stopwatch()
    line = Channel(socket.socket(fileno=lifeline))
    threading.Thread(
        target=_answer, args=(line, watch, threading.get_ident()), name="loadax-lifeline", daemon=True
    ).start()
    channel = Channel(socket.socket(fileno=work))
    try:
        _serve(channel, watch)
    except (EOFError, OSError):
        return


def _serve(channel: Channel, watch: Stopwatch) -> None:
    message, fds = channel.receive()
    segments = Segments()
    epochs: Epochs | Done
    try:
        epochs = Epochs(_start(message, fds))
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


def _start(message: bytearray, fds: list[int]) -> Fetch:
    """Makes this process like its parent, as far as the dataset needs it, and opens the dataset."""
    preparation, (body, places, nbytes) = pickle.loads(message)
    starting.set()
    try:
        spawn.prepare(preparation)
        return open_shared(body, places, nbytes, fds[0])
    finally:
        starting.clear()


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
            line.receive()
            frame = sys._current_frames().get(main)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame)) if frame else ""
            answer: Any = (*watch.now, perf_counter(), stack)
            line.send(pickle.dumps(answer))
        except (EOFError, OSError):
            _end()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)
