"""The worker processes of this program, and the sockets that tie them to it.

What holds:

1.  A process that is forked from this one closes its copies of the sockets. If it kept them, a worker process would not
    notice the death of this one, nor this one that of a worker process.
2.  A worker process that has not ended by itself when the interpreter exits is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import threading

EXIT_SECONDS = 1.0
"""Seconds that the exit of the interpreter waits for each process that it has killed."""

# Reentrant, since the garbage collector may run a function of the user's that forks, at any instruction.
_lock = threading.RLock()
_ends: set[socket.socket] = set()
_processes: set[subprocess.Popen[bytes]] = set()


def connect() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, to be closed by `disconnect`; a process that is forked from this one closes its copies."""
    with _lock:
        ends = socket.socketpair()
        _ends.update(ends)
    return ends


def disconnect(end: socket.socket) -> None:
    """Closes a socket of `connect`."""
    _ends.discard(end)
    end.close()


def watch(process: subprocess.Popen[bytes]) -> None:
    """Has a process killed at the exit of the interpreter, unless `unwatch` is called before."""
    _processes.add(process)


def unwatch(process: subprocess.Popen[bytes]) -> None:
    """Notes that a process has ended."""
    _processes.discard(process)


def _kill_all() -> None:
    processes = tuple(_processes)
    for process in processes:
        process.kill()
    for process in processes:
        # One that waits for a dead mount does not end even then.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(EXIT_SECONDS)


def _forget_all() -> None:
    """In a process that was forked: the sockets and processes are its parent's."""
    for end in _ends:
        end.close()
    _ends.clear()
    _processes.clear()
    _lock.release()


atexit.register(_kill_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget_all)
