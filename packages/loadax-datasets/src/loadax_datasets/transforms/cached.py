"""Rows that are read from their source once."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy.typing as npt
from loadax_core import Dataset, add_note

from ..base import BaseDataset
from ..files import item_files
from ..files.folders import advice, shown
from ..rows import rows_in_range
from .base import Transform, check_constant
from .copies import copied

T_co = TypeVar("T_co", covariant=True)

FOLDER = 1000
"""The most files in one folder of a cache directory."""


class CachedDataset(Transform[T_co]):
    """The rows of a source, each read from it once and kept: in memory, or in a directory that outlives the program.

    Items are equal to those of the source. Arrays are read-only, since all readers get the same ones. The dicts, lists,
    tuples, named tuples and dataclasses around them are new for each read, so that a map may change them.

    A cache in memory grows up to the size of the dataset. Each worker process has its own. Objects of other kinds than
    those named above are kept as they are, and all readers get the same ones.

    In a directory, every row is a file; several processes may read and write at the same time. Items there are made of
    dicts, lists, tuples, arrays, numbers, strings and bytes; arrays of other libraries become NumPy arrays.

    The directory records the fingerprints of its source, and refuses another source. Fingerprints have the names of
    files and a few of their bytes. They do not tell whether a mapped function, the values of an array or of items in
    memory, or the rest of a file have changed: use a new directory then.

    Args:
        source: Any object with `len()` and `[i]`, the same in every epoch.
        directory: The directory of the rows; None for memory.

    Raises:
        OSError: If the directory cannot be made; or when a row cannot be written, as to a full disk, or not be read.
        TypeError: When an item has a part that the directory cannot hold.
        ValueError: If the source changes with the epoch (cache first, then shuffle or augment); if the directory is a
            URL, or begins with `~`, or belongs to another dataset; or when a file is damaged.

    Example:
        >>> rows = CachedDataset(["a", "b"])
        >>> rows[0], rows[0]
        ('a', 'a')
    """

    def __init__(self, source: Dataset[T_co], directory: str | os.PathLike[str] | None = None) -> None:
        super().__init__(source)
        check_constant(self._source, "cache")
        self._memory: dict[int, T_co] = {}
        self._directory = None if directory is None else Path(directory).absolute()
        if self._directory is not None and directory is not None:
            text = os.fspath(directory)
            if not self._directory.exists() and (text.startswith("~") or "://" in text):
                raise ValueError(f"directory={text!r} is no path of a folder{advice(directory)}")
            facts = {"dataset": self._source.fingerprint(), "contents": self._source.content_fingerprint()}
            _claim(self._directory, {"version": 3, **facts})

    def read(self, row: int) -> T_co:
        """The row, from the cache if it has it."""
        missing = object()
        item = self._recall(row, missing)
        return cast("T_co", copied(self._keep(row, self._source.read(row)) if item is missing else item))

    def read_many(self, rows: list[int]) -> list[T_co]:
        """The rows; those that the cache lacks, in one read."""
        wanted = rows_in_range(rows, len(self))
        missing = object()
        found = {row: self._recall(row, missing) for row in wanted}
        absent = [row for row, item in found.items() if item is missing]
        if absent:
            for row, item in zip(absent, self._source.read_many(absent), strict=True):
                found[row] = self._keep(row, item)
        return [copied(found[row]) for row in wanted]

    def at_epoch(self, epoch: int, /) -> BaseDataset[T_co]:  # noqa: ARG002 (its source is the same in every epoch)
        """The dataset itself."""
        return self

    def describe(self) -> str:
        """The directory, if there is one."""
        return f"CachedDataset({'in memory' if self._directory is None else repr(str(self._directory))})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_memory": {}}

    def _recall(self, row: int, missing: object) -> Any:
        if self._directory is None:
            return self._memory.get(row, missing)
        try:
            return item_files.load(self._path(self._directory, row))
        except FileNotFoundError:
            return missing

    def _keep(self, row: int, item: Any) -> Any:
        if self._directory is None:
            # If two threads read a row at once, both get the arrays of the first, as all later readers do.
            return self._memory.setdefault(row, copied(item, _read_only))
        path = self._path(self._directory, row)
        with _named(path):
            item_files.save(path, item)
        return item_files.load(path)

    def _path(self, directory: Path, row: int) -> Path:
        return directory / f"{row // FOLDER:06d}" / f"{row:09d}.row"


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Says of errors of writing which file it was: those of a full disk do not."""
    try:
        yield
    except OSError as error:
        add_note(error, f"raised while writing {shown(path)}")
        raise


def _claim(directory: Path, facts: dict[str, Any]) -> None:
    """Records in a new directory which dataset it is of, or checks that it is of this one."""
    marker = directory / "cache.json"
    text = json.dumps(facts, sort_keys=True)
    directory.mkdir(parents=True, exist_ok=True)
    if not marker.exists():
        with _named(marker):
            item_files.write_first(marker, text.encode())
    found = marker.read_text()
    if found != text:
        raise ValueError(
            f"{shown(directory)} is the cache of another dataset: it has {found:.300}, this dataset is {text:.300}; "
            "choose another directory, or delete this one"
        )
