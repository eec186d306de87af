"""ArrayRecord files."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from loadax_core import Rows, add_note

from ..base import BaseDataset
from ..files.fingerprints import digest, sample_file
from ..files.folders import local_path, shown
from ..forks import check_threads_of, renew_after_fork
from ..rows import rows_in_range
from .optional import require

MOST_OPEN = 64
"""Files that are open at once. Many systems allow a process 1,024, some 256."""

READING = "readahead_buffer_size:0"
"""The reader's options: no reading ahead, as rows come in any order."""


class ArrayRecordDataset(BaseDataset[bytes]):
    """Records of ArrayRecord files, as `bytes`.

    A file is opened when one of its records is first read, by each process for itself. At most 64 are open at once: the
    one that was used longest ago is closed for another, and opened again when it is read. What the bytes mean is for a
    `.map` to say.

    The library reads in threads of its own, which a fork does not copy: a process that `os.fork` made after a dataset
    was used cannot use one.

    Args:
        paths: A file, or several, in that order.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If `array_record` is not installed; there are packages for Linux and macOS.
        OSError: When a file cannot be opened, or a record not be read; `.retry` tries again.
        RuntimeError: In a process that was forked after ArrayRecord files were read.
        ValueError: If no file is given, or one is damaged.

    Example:
        >>> import tempfile
        >>> from array_record.python.array_record_module import ArrayRecordWriter
        >>> file = os.path.join(tempfile.mkdtemp(), "words.array_record")
        >>> writer = ArrayRecordWriter(file, "group_size:1")
        >>> _ = writer.write(b"one"), writer.write(b"two"), writer.close()
        >>> list(ArrayRecordDataset(file).map(bytes.decode))
        ['one', 'two']
    """

    def __init__(self, paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        require("array_record.python.array_record_module", "arrayrecord", "ArrayRecordDataset")
        check_threads_of("ArrayRecord")
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self._paths = [local_path(path, "ArrayRecordDataset") for path in given]
        if not self._paths:
            raise ValueError("ArrayRecordDataset needs at least one file, got an empty list")
        counts: list[int] = []
        for path in self._paths:
            if not path.is_file():
                raise FileNotFoundError(f"{shown(path)!r} is not a file; give the files of a folder one by one")
            try:
                # Some errors come when the file is closed.
                with _named(path), closing(_open(path)) as reader:
                    counts.append(reader.num_records())
            except OSError as error:
                raise ValueError(f"{shown(path)} is not an ArrayRecord file, or is cut short: {error}") from error
        self._ends = list(accumulate(counts))
        self._samples = [sample_file(path) for path in self._paths]
        self._readers = _Readers(self._paths)

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, row: int) -> bytes:
        """The record at `row`."""
        return self.read_many([row])[0]

    @property
    def batched(self) -> bool:
        """True: the records of each file are read together."""
        return True

    def read_many(self, rows: list[int]) -> list[bytes]:
        """The records, those of each file in one read."""
        wanted = rows_in_range(rows, len(self))
        by_file: dict[int, list[int]] = {}
        for place, row in enumerate(wanted):
            by_file.setdefault(bisect_right(self._ends, row), []).append(place)
        records = [b""] * len(wanted)
        for file, places in by_file.items():
            start = self._start(file)
            with self._readers.use(file) as reader, _named(self._paths[file]):
                found = reader.read([wanted[place] - start for place in places])
            for place, record in zip(places, found, strict=True):
                records[place] = record
        return records

    def _start(self, file: int) -> int:
        return self._ends[file - 1] if file else 0

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The file of each row."""
        files: list[int] = np.searchsorted(self._ends, rows, "right").tolist()
        return [str(self._paths[file]) for file in files]

    def fingerprint(self) -> dict[str, Any]:
        """The names of the files, their numbers of records, and a hash of a few bytes of each."""
        files = [
            (path.name, end - self._start(file), content)
            for file, (path, end, content) in enumerate(zip(self._paths, self._ends, self._samples, strict=True))
        ]
        return {"rows": len(self), "files": digest(repr(files).encode())}

    def describe(self) -> str:
        """The number of records and files."""
        return f"ArrayRecordDataset({len(self)} rows in {len(self._paths)} files)"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_readers": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._readers = _Readers(self._paths)


class _Readers:
    """Open files, of which threads may share one. Beyond the limit there are only those that are being read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.renew_locks()
        renew_after_fork(self)

    def renew_locks(self) -> None:
        """Starts with no file open. After a fork, no file can be opened; see `check_threads_of`."""
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Opened] = OrderedDict()

    @contextmanager
    def use(self, file: int) -> Generator[Any]:
        """A reader of a file, which stays open until the block ends; the next one is a new one if the block raises."""
        with self._lock:
            if file not in self._open:
                self._make_room()
                self._open[file] = _Opened(_open(self._paths[file]))
            opened = self._open[file]
            self._open.move_to_end(file)
            opened.users += 1
        try:
            yield opened.reader
        except BaseException:
            with self._lock:
                # A reader that has failed once fails for ever.
                if self._open.get(file) is opened:
                    del self._open[file]
            raise
        finally:
            with self._lock:
                opened.users -= 1

    def _make_room(self) -> None:
        idle = [file for file, opened in self._open.items() if not opened.users]
        for file in idle[: max(0, len(self._open) - MOST_OPEN + 1)]:
            # The reader closes its file when it is collected. Its `close` would raise the error of a read once more.
            del self._open[file]


@dataclass(eq=False)
class _Opened:
    """An open file, and how many threads read it."""

    reader: Any
    users: int = 0


def _open(path: Path) -> Any:
    check_threads_of("ArrayRecord")
    library = require("array_record.python.array_record_module", "arrayrecord", "ArrayRecordDataset")
    with _named(path):
        # Small reads at random places, as the library's own data source has them. By the bytes of its name, as the
        # library takes no names that are not UTF-8.
        return library.ArrayRecordReader(os.fsencode(path), READING, file_reader_buffer_size=32768)


class ArrayRecordReadError(OSError, RuntimeError):
    """An error of reading, which `.retry` knows, and of the type that the library raises."""


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Makes the library's errors those of reading a file."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raised = ArrayRecordReadError(f"{shown(path)} cannot be read: {error}")
        add_note(raised, f"raised while reading {shown(path)}")
        raise raised from error
