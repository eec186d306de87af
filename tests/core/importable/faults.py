"""Datasets, batchers and initializers for worker processes that start badly, end badly, or have little to work with."""

from __future__ import annotations

import copyreg
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from elsewhere import Numbers

log: list[str] = []
"""What has happened in this process."""


def says_so(folder: Path) -> None:
    """Leaves the number of this process in a folder, in one go."""
    partial = folder / f"{os.getpid()}.partial"
    partial.touch()
    partial.rename(folder / str(os.getpid()))


class Ending(Numbers):
    """From row 4 on, reads say who reads, and never end: in Python, in native code with the GIL, or stopped.

    With `lonely`, the kernel does not tell the process that its parent has gone, as on macOS.
    """

    def __init__(self, rows: int, folder: Path, how: str, lonely: bool = False) -> None:
        super().__init__(rows)
        self.folder = folder
        self.how = how
        self.lonely = lonely

    def __getitem__(self, row: int) -> int:
        if row < 4:
            return row
        if self.lonely:
            ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        says_so(self.folder)
        if self.how == "in Python":
            threading.Event().wait()
        elif self.how == "with the GIL":
            ctypes.PyDLL(None).sleep(60)
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        return row


class Dying(Numbers):
    """At row 4, the process starts another one that goes on for a minute, and is killed."""

    def __init__(self, rows: int, how: str) -> None:
        super().__init__(rows)
        self.how = how

    def __getitem__(self, row: int) -> int:
        if row == 4:
            if self.how == "fork":
                if not os.fork():
                    # The pipe to the test is at its end when all have closed it.
                    os.closerange(0, 3)
                    time.sleep(60)
                    os._exit(0)
            else:
                quiet: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
                subprocess.Popen(["sleep", "60"], close_fds=False, **quiet)
            os.kill(os.getpid(), signal.SIGKILL)
        return row


def opens_slowly(seconds: float, rows: int) -> Numbers:
    time.sleep(seconds)
    return Numbers(rows)


class OpensSlowly(Numbers):
    """Another process that opens it takes a while."""

    def __init__(self, rows: int, seconds: float) -> None:
        super().__init__(rows)
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return opens_slowly, (self.seconds, self.rows)


def opens_with_a_log(rows: int) -> Logged:
    log.append("dataset opened")
    return Logged(rows)


class Logged(Numbers):
    """Rows are what has happened in the process."""

    def __getitem__(self, row: int) -> Any:
        return ", ".join(log)

    def __reduce__(self) -> Any:
        return opens_with_a_log, (self.rows,)


def initialize() -> None:
    log.append("initialized")


def initialize_badly() -> None:
    raise LookupError("no such flag")


class Leaves(Numbers):
    """Rows with many large arrays."""

    def __init__(self, rows: int, leaves: int) -> None:
        super().__init__(rows)
        self.leaves = leaves

    def __getitem__(self, row: int) -> Any:
        return {f"leaf {i}": np.full(1 << 14, row + i, np.float32) for i in range(self.leaves)}


class Allocating(Numbers):
    """Batches that lie in new memory of the loader's, each larger than all before."""

    def gather(self, rows: Any, alloc: Any) -> Any:
        array = alloc((len(rows), (1 << 16) + int(rows[0]) * (1 << 14)), np.uint8)
        array[:] = rows[0]
        return array


class Stranger(type):
    """A metaclass whose classes are pickled as what makes them."""


def stranger() -> Any:
    return Stranger("stranger", (), {"__module__": "no_such_module"})


copyreg.pickle(Stranger, lambda _: (stranger, ()))


def numbered() -> Iterator[int]:
    yield from range(3)
