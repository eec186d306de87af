"""The journal and the lock of a store that is written, so that a program that is killed can go on.

`jagged_files` describes the store, and `jagged_writer` writes it.

Rules:

1. One process writes to a folder at a time, and one of its threads: `locked`. The system ends the lock with the
   process, however it ends.
2. The files of a shard get their names once their bytes are on the disk. A line of the journal follows. A shard without
   a line does not count, and is written again.
3. The manifest replaces the one before once all shards are in the journal, and the journal is deleted. So a folder has
   the manifest of all that was written, or of all before the append that is being written, or none.
4. A journal whose documents the manifest already has was left by a program that was killed before it could delete the
   journal. `Head.generation` tells.

The journal has a JSON object on each line: first `Head`, then the facts of each shard. A line that is cut short was
being written when the program ended, and does not count.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from . import jagged_files, jagged_manifest
from .folders import shown
from .jagged_files import JOURNAL, MANIFEST
from .jagged_manifest import Manifest, ShardFacts

LOCK = "lock"

OWN_FILE = re.compile(r"shard-(\d+)\..*\.npy(\.tmp)?")

_writing: dict[tuple[int, str], object] = {}
"""The folders that this process writes to. A lock of `fcntl` does not keep other threads of the same process out."""


class Head(NamedTuple):
    """What a call writes; the first line of its journal.

    Attributes:
        tree: How a document is made of arrays, as in the manifest.
        source: What the writer was told about the source.
        dataset: Facts about the dataset; None for an iterable.
        append: Whether documents may be there already.
        generation: How many calls have written documents before.
    """

    tree: Any
    source: Any
    dataset: Any
    append: bool
    generation: int


class Found(NamedTuple):
    """What is in a folder.

    Attributes:
        manifest: Of the finished store; None if there is none.
        head: What was being written; None if nothing was.
        shards: The shards that were committed then.
        size: Bytes of the journal that are whole lines.
    """

    manifest: Manifest | None
    head: Head | None
    shards: list[ShardFacts]
    size: int


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Keeps other writers out of a folder.

    Raises:
        RuntimeError: If there is one.
    """
    key, mine = (os.getpid(), os.path.realpath(folder)), object()
    # In one step, as threads may be here at once.
    if _writing.setdefault(key, mine) is not mine:
        raise RuntimeError(f"another thread of this program is writing to {shown(folder)}; wait until it has finished")
    try:
        fd = _lock(folder / LOCK)
        try:
            yield
        finally:
            # Deleted while it is held: another writer that has opened it finds that it is gone.
            (folder / LOCK).unlink(missing_ok=True)
            os.close(fd)
    finally:
        del _writing[key]


def _lock(path: Path) -> int:
    # Windows does not have it, and reads stores all the same.
    import fcntl  # noqa: PLC0415

    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            # Unlike `flock`, it does not outlive the process in a child that was forked meanwhile.
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The writer before may have deleted it in between.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(fd).st_ino:
                    os.ftruncate(fd, 0)
                    os.write(fd, f"process {os.getpid()} on {os.uname().nodename}".encode())
                    return fd
        except (BlockingIOError, PermissionError):
            holder = os.read(fd, 300).decode(errors="replace") or "another process"
            os.close(fd)
            raise RuntimeError(
                f"{shown(path.parent)} is being written by {holder}; wait until it has finished, or write to another "
                "folder"
            ) from None
        except OSError as error:
            os.close(fd)
            raise OSError(
                error.errno,
                f"cannot lock {shown(path)}: {error.strerror}; write to a folder of a file system that has locks, and "
                "copy it afterwards",
            ) from error
        os.close(fd)


def find(folder: Path) -> Found:
    """Finds out what is in a folder, and checks the sizes of the files.

    Raises:
        FileNotFoundError: If a file of a shard that was committed is missing.
        ValueError: If files are damaged, or are not those of a store.
    """
    manifest = jagged_files.Store(folder).manifest if (folder / MANIFEST).exists() else None
    try:
        data = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        strange = [name for name in sorted(os.listdir(folder)) if not (name.startswith(".") or _is_own(name))]
        if strange and manifest is None:
            raise ValueError(
                f"{shown(folder)} has other files, such as {shown(Path(strange[0]))}; choose a new folder"
            ) from None
        return Found(manifest, None, [], 0)
    head, shards, size = _read_journal(data, folder / JOURNAL)
    if head is not None and head.generation == (0 if manifest is None else len(manifest.datasets)):
        first = 0 if manifest is None else len(manifest.shards)
        dtypes = list(jagged_manifest.form_dtypes(jagged_manifest.decode_form(head.tree)))
        for number, facts in enumerate(shards, first):
            jagged_files.check_shard(folder, number, facts, dtypes)
    return Found(manifest, head, shards, size)


def _is_own(name: str) -> bool:
    return name == LOCK or name.startswith(MANIFEST) or OWN_FILE.fullmatch(name) is not None


def _read_journal(data: bytes, file: Path) -> tuple[Head | None, list[ShardFacts], int]:
    """The head and the shards of a journal, and the number of bytes that they take."""
    lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
    if not lines:
        return None, [], 0
    try:
        first: Any = json.loads(lines[0])
        head = Head(**first["head"]) if first["version"] == jagged_manifest.VERSION else None
        if head is not None:
            leaves = len(list(jagged_manifest.form_dtypes(jagged_manifest.decode_form(head.tree))))
            shards = [jagged_manifest.check_facts(json.loads(line), leaves) for line in lines[1:]]
            return head, shards, sum(map(len, lines))
    except jagged_manifest.MALFORMED as error:
        raise ValueError(
            f"{shown(file)} is damaged: {error}; delete {shown(file.parent)}, and write it anew"
        ) from error
    raise ValueError(f"{shown(file)} is of another version of loadax-datasets; go on with that version")


def drop_journal(folder: Path) -> None:
    """Deletes the journal of what the manifest has."""
    (folder / JOURNAL).unlink(missing_ok=True)
    sync_folder(folder)


def sync(file: Any) -> None:
    """Brings the bytes of an open file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Brings the names of the files in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        # Not every file system can do it.
        with suppress(OSError):
            os.fsync(fd)
    finally:
        os.close(fd)
