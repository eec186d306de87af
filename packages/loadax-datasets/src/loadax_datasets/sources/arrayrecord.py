"""ArrayRecord files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from loadax_core import add_note

from ..base import BaseDataset
from ..files.fingerprints import digest, sample_file
from ..rows import rows_in_range
from .optional import require


class ArrayRecordDataset(BaseDataset[bytes]):
    """Records of ArrayRecord files, as `bytes`.

    Files are opened when one of their records is first read, by each process for itself. What the bytes mean is for a
    `.map` to say.

    Args:
        paths: A file, or several, in that order.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If `array_record` is not installed; there are packages for Linux and macOS.
        ValueError: If there is no file, or one is damaged.

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
        library = require("array_record.python.array_record_data_source", "arrayrecord", "ArrayRecordDataset")
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        self._paths = [Path(path).absolute() for path in given]
        if not self._paths:
            raise ValueError("ArrayRecordDataset needs at least one file, got an empty list")
        # One for each file, so that an error can name the file.
        self._readers: list[Any] = []
        for path in self._paths:
            if not path.is_file():
                raise FileNotFoundError(f"there is no file {str(path)!r}")
            try:
                self._readers.append(library.ArrayRecordDataSource(str(path)))
            except RuntimeError as error:
                raise ValueError(f"{path} is not an ArrayRecord file, or is cut short: {error}") from error
        self._ends = list(accumulate(len(reader) for reader in self._readers))
        self._samples = [sample_file(path) for path in self._paths]

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
            start = self._ends[file] - len(self._readers[file])
            try:
                found = self._readers[file].__getitems__([wanted[place] - start for place in places])
            except RuntimeError as error:
                add_note(error, f"raised while reading {self._paths[file]}")
                raise
            for place, record in zip(places, found, strict=True):
                records[place] = record
        return records

    def fingerprint(self) -> dict[str, Any]:
        """The names of the files, their numbers of records, and a hash of a few bytes of each."""
        files = [
            (path.name, len(reader), content)
            for path, reader, content in zip(self._paths, self._readers, self._samples, strict=True)
        ]
        return {"rows": len(self), "files": digest(repr(files).encode())}

    def describe(self) -> str:
        """The number of records and files."""
        return f"ArrayRecordDataset({len(self)} rows in {len(self._paths)} files)"
