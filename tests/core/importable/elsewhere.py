"""Datasets that worker processes can import."""

from __future__ import annotations

import ctypes
import json
import os
import queue
import socket
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from loadax_core import Tolerance, timed_transform


class Numbers:
    """Integers; those named raise, are never read to the end, or end the process."""

    def __init__(self, rows: int, errors: dict[int, BaseException] | None = None) -> None:
        self.rows = rows
        self.errors = errors or {}

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        if row in self.errors:
            raise self.errors[row]
        return row


class OnlyHere(Numbers):
    """Can be pickled, but not unpickled in another process."""

    def __reduce__(self) -> Any:
        return only_in, (os.getpid(), self.rows)


def only_in(process: int, rows: int) -> Numbers:
    if os.getpid() != process:
        raise FileNotFoundError("no such mount")
    return OnlyHere(rows)


class Transforming(Numbers):
    """Rows that take 4 ms to read, 3 ms of which are a transform that reads a transformed row itself."""

    def __getitem__(self, row: int) -> int:
        time.sleep(0.001)
        return timed_transform(self.change, row)

    def change(self, row: int) -> int:
        timed_transform(time.sleep, 0.003)
        return row


class TransformingAtOnce(Transforming):
    """The same, in one call for many rows.

    It takes longer than the time between two reads that are measured, so that each of them is.
    """

    def gather(self, rows: Any, alloc: Any) -> Any:
        return np.array([self[row] for row in rows.tolist()])


class Gathered(Numbers):
    def gather(self, rows: Any, alloc: Any) -> Any:
        return np.array([self[row] for row in rows.tolist()])


class Rotating(Numbers):
    """Another order in each epoch."""

    shift = 0

    def at_epoch(self, epoch: int) -> Rotating:
        rotated = Rotating(self.rows)
        rotated.shift = epoch
        return rotated

    def __getitem__(self, row: int) -> int:
        return (row + self.shift) % self.rows


class Wide:
    """Rows large enough to be shared rather than sent."""

    def __init__(self, rows: int, width: int = 5000, slow: float = 0.0) -> None:
        self.rows = rows
        self.width = width
        self.slow = slow

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> dict[str, Any]:
        time.sleep(self.slow)
        return {"x": np.full(self.width, row, np.float32), "name": f"row {row}", "row": row}


class Meeting(Numbers):
    """Each read waits until two processes read, and says which one it is."""

    def __init__(self, rows: int, folder: Path) -> None:
        super().__init__(rows)
        self.folder = folder

    def __getitem__(self, row: int) -> int:
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < 2:
            time.sleep(0.001)
        return os.getpid()


class Stuck(Numbers):
    """From row 4 on, reads say who reads, and never end."""

    def __init__(self, rows: int, folder: Path) -> None:
        super().__init__(rows)
        self.folder = folder

    def __getitem__(self, row: int) -> int:
        if row >= 4:
            partial = self.folder / f"{os.getpid()}.partial"
            partial.write_text(str(row))
            partial.rename(self.folder / str(os.getpid()))
            threading.Event().wait()
        return row


class PeculiarError(Exception):
    """Cannot be made from its own arguments, which is how pickle would do it."""

    def __init__(self, what: str, where: int) -> None:
        super().__init__(f"{what} at {where}")
        self.where = where


class PeculiarHere(OnlyHere):
    """Raises an error of that kind where it is unpickled."""

    def __reduce__(self) -> Any:
        return peculiar_in, (os.getpid(), self.rows)


def peculiar_in(process: int, rows: int) -> Numbers:
    if os.getpid() != process:
        raise PeculiarError("no such mount", rows)
    return PeculiarHere(rows)


class Foreign(Numbers):
    """Arrays in the other byte order."""

    def __getitem__(self, row: int) -> Any:
        return np.arange(row, row + 2, dtype=">i4")


class EchoError(Exception):
    """Its message grows whenever pickle makes it anew."""

    def __init__(self, what: object) -> None:
        super().__init__(f"broken: {what}")


class NoFileError(FileNotFoundError):
    """Keeps what it says in attributes of `OSError`."""

    def __init__(self, path: str) -> None:
        super().__init__(2, "no shard", path)


class NotTextError(UnicodeDecodeError):
    def __init__(self, where: str) -> None:
        super().__init__("utf-8", b"\xff", 0, 1, f"no text in {where}")


class NotParsedError(SyntaxError):
    def __init__(self, where: str) -> None:
        super().__init__("not parsed", (where, 3, 4, "text"))


class NotImportedError(ImportError):
    def __init__(self, where: str) -> None:
        super().__init__("not imported", name="plugin", path=where)


class SlottedError(Exception):
    __slots__ = ("code",)

    def __init__(self, code: str) -> None:
        super().__init__("slotted")
        self.code = code

    def __str__(self) -> str:
        return f"the code is {self.code}"


class NoFile(Numbers):
    def __getitem__(self, row: int) -> int:
        raise NoFileError("/data/shard")


class Echo(Numbers):
    def __getitem__(self, row: int) -> int:
        raise EchoError(row)


class Peculiar(Numbers):
    def __getitem__(self, row: int) -> int:
        raise PeculiarError("broken", row)


class LockedError(PeculiarError):
    """Cannot be pickled in any way."""

    def __init__(self, what: str, where: int) -> None:
        super().__init__(what, where)
        self.lock = threading.Lock()


class Locked(Numbers):
    def __getitem__(self, row: int) -> int:
        raise LockedError("broken", row)


class Lines(Numbers):
    """Its errors forget their notes when they are pickled."""

    def __getitem__(self, row: int) -> int:
        return json.loads("{" if row == 1 else str(row))


class Ragged(Numbers):
    def __getitem__(self, row: int) -> Any:
        return np.zeros(2 + (row == 1))


class Batches:
    """A batcher whose batches are no tree that a stack would make."""

    def __call__(self, items: list[Any]) -> Any:
        return {
            "sum": sum(items),
            "set": set(items),
            "big": np.full((300, 300), items[0]),
            "view": np.arange(90_000)[::2],
        }


class Modules(Numbers):
    """Which of the modules that take long to import are there."""

    def __getitem__(self, row: int) -> int:
        return int("jax" in sys.modules)


class Marking:
    """Changes its own data when it is read."""

    def __init__(self) -> None:
        self.data = np.zeros(100_000, np.int64)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, row: int) -> int:
        self.data[0] += 1
        return int(self.data[0])


class Repeated(Numbers):
    """The same memory for four batches of five rows, one after the other."""

    last: tuple[int, Any] = -1, None

    def gather(self, rows: Any, alloc: Any) -> Any:
        number = int(rows[0]) // 20
        if self.last[0] != number:
            self.last = number, alloc((5, 20_000), np.int64)
            self.last[1][:] = number
        return self.last[1]


class HoldsTheInterpreter(Stuck):
    """From row 4 on, reads say who reads, and then nothing else runs in the process."""

    def __getitem__(self, row: int) -> int:
        if row >= 4:
            (self.folder / str(os.getpid())).touch()
            ctypes.PyDLL(None).sleep(60)
        return row


class UnprintableError(Exception):
    """Has no message, and cannot be pickled."""

    def __init__(self, what: str, where: int) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise LookupError("no message")


class Unprintable(Numbers):
    def __getitem__(self, row: int) -> int:
        raise UnprintableError("broken", row)


def as_words(items: list[int]) -> list[str]:
    return [f"row {item}" for item in items]


def first(items: list[Any]) -> Any:
    return items[0]


def debugs(items: list[int]) -> bool:
    return __debug__


def with_descriptors(items: list[Any]) -> dict[str, Any]:
    """The first item, and how many files this process has open."""
    return {"item": items[0], "open": len(os.listdir("/proc/self/fd"))}


def wait_forever() -> None:
    threading.Event().wait()


class NeverOpened(Numbers):
    """Another process that opens it waits for ever."""

    def __reduce__(self) -> Any:
        return wait_forever, ()


def returns_a_lock(items: list[int]) -> Any:
    return threading.Lock()


def platforms(items: list[int]) -> str | None:
    return os.environ.get("JAX_PLATFORMS")


class Unopenable:
    """Can be pickled, and not be made again."""

    def __reduce__(self) -> Any:
        return refuse, ()


def refuse() -> None:
    raise LookupError("not here")


def unopenable(items: list[int]) -> Unopenable:
    return Unopenable()


def as_columns(items: list[int]) -> Any:
    """A batcher whose batches have their rows in the second dimension."""
    return np.array([items])


class SlowEpochs:
    """Integers whose every epoch but the first takes `seconds` to open."""

    def __init__(self, rows: int, seconds: float) -> None:
        self.rows, self.seconds = rows, seconds

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        return row

    def at_epoch(self, epoch: int) -> SlowEpochs:
        time.sleep(self.seconds if epoch else 0.0)
        return SlowEpochs(self.rows, self.seconds)


@dataclass(frozen=True, slots=True)
class Halved:
    """A container whose constructor changes what it is given."""

    x: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", self.x / 2)


class HalvedRows:
    """Rows that are such containers, gathered or read one by one."""

    def __init__(self, gathers: bool) -> None:
        self.gather = self._gather if gathers else None

    def __len__(self) -> int:
        return 16

    def __getitem__(self, row: int) -> Halved:
        return Halved(np.float64(row))

    def _gather(self, rows: Any, alloc: Any) -> Any:
        return Halved(np.asarray(rows, np.float64))


class Pair(NamedTuple):
    x: Any
    y: Any


class Swapped(Pair):
    __slots__ = ()

    def __new__(cls, x: Any, y: Any) -> Self:
        return super().__new__(cls, y, x)


class Doubled(Pair):
    note: str

    def __new__(cls, number: Any) -> Self:
        return super().__new__(cls, number, 2 * number)


class Reduced(Pair):
    """Says itself how it is pickled."""

    def __reduce__(self) -> Any:
        return Reduced, (self.x, -self.y)


class Noted(Numbers):
    """Integers; each read leaves a file of the row's name."""

    def __init__(self, rows: int, folder: Path) -> None:
        super().__init__(rows)
        self.folder = folder

    def __getitem__(self, row: int) -> int:
        (self.folder / str(row)).touch()
        return row


class Working(Numbers):
    """Rows that take one kind of work each; see `WORK`."""

    def __init__(self, rows: int, work: str) -> None:
        super().__init__(rows)
        self.work = work

    def __getitem__(self, row: int) -> int:
        WORK[self.work](row)
        return row


def wait_on_a_socket(row: int) -> None:
    """Takes 2 ms, as an answer over a network might."""
    ends = SOCKETS.get()
    try:
        ends[0].settimeout(0.002)
        ends[0].recv(1)
    except TimeoutError:
        pass
    finally:
        SOCKETS.put(ends)


class Sockets:
    """Pairs of connected sockets, made as they are needed."""

    def __init__(self) -> None:
        self.idle: queue.SimpleQueue[tuple[socket.socket, socket.socket]] = queue.SimpleQueue()

    def get(self) -> tuple[socket.socket, socket.socket]:
        try:
            return self.idle.get_nowait()
        except queue.Empty:
            return socket.socketpair()

    def put(self, ends: tuple[socket.socket, socket.socket]) -> None:
        self.idle.put(ends)

    def close(self) -> None:
        while not self.idle.empty():
            for end in self.idle.get():
                end.close()


SOCKETS = Sockets()
BLOCK = bytes(range(256)) * 4096


def compute_in_python(row: int) -> None:
    sum(i * i for i in range(20_000))


def compute_in_c(row: int) -> None:
    """Releases the GIL, so that threads run side by side if there is a core for each."""
    zlib.compress(BLOCK[: 2**18], 6)


def compute_and_wait(row: int) -> None:
    """A quarter of the time on a core, without the GIL: four threads use one core together."""
    began = time.thread_time()
    compute_in_c(row)
    time.sleep(3 * (time.thread_time() - began))


WORK = {
    "wait": wait_on_a_socket,
    "python": compute_in_python,
    "c": compute_in_c,
    "both": compute_and_wait,
}


class SlowEpoch(Numbers):
    """Opening it takes 0.5 s."""

    def at_epoch(self, epoch: int) -> SlowEpoch:
        time.sleep(0.5)
        return self


def slow_import() -> None:
    """Stands for the imports of a process."""
    time.sleep(0.5)


class Replacing(Numbers):
    """Integers; in place of those that raise come others, of which loaders are told."""

    def __init__(self, rows: int, errors: dict[int, BaseException], most: int) -> None:
        super().__init__(rows, errors)
        self.tolerance = Tolerance(most)

    def __getitem__(self, row: int) -> int:
        try:
            return super().__getitem__(row)
        except ValueError as error:
            self.tolerance.report(row, row + 1, 0, error)
            return row + 1
