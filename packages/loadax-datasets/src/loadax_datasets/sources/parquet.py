"""Parquet files."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from loadax_core import Alloc, Rows, add_note

from ..checks import check_int
from ..files.fingerprints import digest
from ..files.folders import shown
from ..forks import renew_after_fork
from .arrow import ArrowColumns
from .list_lengths import check_counted, check_lists, count_elements
from .optional import require
from .parquet_files import File, common_fields, open_files, source_of, without_index
from .table import Column, TableDataset, check_columns, check_fill

MEMORY = 256 << 20
"""Bytes of row groups that are kept."""


class ParquetDataset(TableDataset):
    """Rows of Parquet files, as dicts from column names to values.

    Files are read a row group at a time, only the chosen columns, and the groups read last are kept, so that rows read
    in turn read each group once. A random order that visits all groups at once would read one for each row: use
    `.shuffle(seed, block=...)`, with the rows of a group as `block`, and `memory` for a window of them. Every thread
    that reads another group needs memory for it beyond `memory`; every worker process keeps its own.

    The files must not change from then on: one of another size, or written at another time, is not read. That goes for
    processes on other machines too, so copies for them should keep the time (`cp -p`, `rsync -t`).

    Numbers and booleans become NumPy scalars of their dtype; dates, times and durations `datetime64` and
    `timedelta64` (of UTC, where there is a time zone); strings and dictionaries of them `str`; binary `bytes`; lists
    of fixed size and tensors arrays of their shape; structs dicts; and other lists arrays, or lists of strings, which
    may differ in length from row to row, so that they need a `PadBatcher` and are not gathered. A list of structs
    becomes one dict of arrays, or of lists of strings. Other types are refused.

    A name of a subfolder such as `year=2024` is a column of the files below, after their own: an `int64` if it is a
    whole number in all such names, and a `str` otherwise. Of a file that is given by itself, the folders right above it
    count, as far as all have such names.

    A column has the same type in all files, with these exceptions: a file may have nothing but nulls in it, and may
    have a dictionary of the values where another has the values or another dictionary.

    Args:
        paths: A file; a folder, with all `.parquet` files in it and below, by name; or several of either, in that
            order. Files and folders whose name begins with `.` or `_` are left out of folders; links are followed.
            Neither patterns (`*.parquet`) nor URLs, nor `~` for the home folder.
        columns: The columns to read; left out, all of them, but for the index without a name that pandas may have
            written (`__index_level_0__`).
        fill_null: By column, what to put in place of nulls; of the column's own type. Elsewhere, reading one is an
            error.
        memory: Bytes of row groups to keep; the one read last is always kept.

    Raises:
        FileNotFoundError: If there is no such file, or no Parquet file in a folder.
        OSError: If a folder below cannot be read, or a link leads nowhere.
        ImportError: If PyArrow is not installed.
        TypeError: If a column's type has no counterpart in NumPy, `fill_null` is no mapping, or `columns` no names.
        ValueError: If a file is damaged or has other columns than the first one, if there is no such column, if
            `columns` names none, if one is chosen or stands in a file more than once, if a value of `fill_null` does
            not fit its column, or, when a row is read, if it has a null that nothing is given for, or its file has
            changed.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> folder = tempfile.mkdtemp()
        >>> pq.write_table(pa.table({"x": [1, 2], "name": ["a", "b"]}), f"{folder}/0.parquet")
        >>> pq.write_table(pa.table({"x": [3], "name": ["c"]}), f"{folder}/1.parquet")
        >>> rows = ParquetDataset(folder)
        >>> len(rows), rows[2]
        (3, {'x': np.int64(3), 'name': 'c'})
    """

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        columns: Sequence[str] | None = None,
        fill_null: Mapping[str, Any] | None = None,
        memory: int = MEMORY,
    ) -> None:
        require("pyarrow.parquet", "parquet", "ParquetDataset")
        columns = check_columns(columns)
        self._fill_facts = check_fill(fill_null)
        given = [paths] if isinstance(paths, str | os.PathLike) else paths
        files = open_files(given)
        if not files:
            raise ValueError("ParquetDataset needs at least one file, got an empty list")
        known = files[0].schema.names
        for name in [*(columns or ()), *(fill_null or ())]:
            if name not in known:
                raise ValueError(f"{shown(files[0].path)} has no column {name!r}; it has {known}")
        self._names = without_index(known) if columns is None else list(columns)
        arrow = require("pyarrow", "parquet", "ParquetDataset")
        self._columns = ArrowColumns(arrow.schema(common_fields(files, self._names, columns is None)), fill_null or {})
        self._groups: list[_Group] = [
            _Group(file, number, file.metadata.row_group(number).num_rows)
            for file in files
            for number in range(file.metadata.num_row_groups)
        ]
        self._files = files
        self._ends = np.cumsum([group.rows for group in self._groups], dtype=np.int64)
        self._memory = check_int("memory", memory, 0)
        self._kept = _Kept(self._memory)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def types(self) -> dict[str, str]:
        """The Arrow types."""
        return self._columns.types

    @property
    def rowwise(self) -> bool:
        """False: a file may be on a network, and an error of a read belongs to one step."""
        return False

    @property
    def _stacks(self) -> bool:
        """Whether there is no list of any size."""
        return self._columns.stacks

    def _columns_at(self, rows: Rows, alloc: Alloc) -> dict[str, Column]:
        """The columns of `rows`, read group by group."""
        arrow = require("pyarrow", "parquet", "ParquetDataset")
        groups = np.searchsorted(self._ends, rows, side="right")
        order = np.argsort(groups, kind="stable")
        visited, firsts = np.unique(groups[order], return_index=True)
        numbers: list[int] = visited.tolist()
        parts: list[Rows] = np.split(order, firsts[1:])
        pieces: list[Any] = []
        # Without rows, there is one part, and no group.
        for number, places in zip(numbers, parts, strict=False):
            local = rows[places] - (int(self._ends[number]) - self._groups[number].rows)
            pieces.append(self._columns.decoded(self._kept.get(number, self._read).take(arrow.array(local))))
        if not pieces:
            return self._columns.of(self._columns.empty(), alloc)
        # Back from the order of the groups to that of the rows.
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return self._columns.of(arrow.concat_tables(pieces).take(arrow.array(back)), alloc)

    def lengths(self, column: str) -> Rows:
        """The number of elements of each row's list in a column of lists, such as to pack documents by their lengths.

        Only this column is read, one row group at a time, and nothing of it is kept. Parquet stores no offsets, so that
        PyArrow decodes the column to make them; the values become neither NumPy arrays nor Python objects.

        Args:
            column: The name of a column that the dataset reads. Of lists of lists, the outer ones count.

        Returns:
            The lengths, of shape `(rows,)`, int64. A null is as long as what `fill_null` gives for it.

        Raises:
            OSError: If a file cannot be read.
            TypeError: If the column has no lists. Text has no length that counts tokens.
            ValueError: If there is no such column, a null for which nothing is given, or a file that has changed.
        """
        check_lists(column, self.types, self._columns.kinds)
        fill, lengths = self._columns.fill_length(column), np.zeros(len(self), np.int64)
        for number, (end, group) in enumerate(zip(self._ends.tolist(), self._groups, strict=True)):
            first = end - group.rows
            counts = count_elements(self._read_stored(number, [column]).column(column), fill)
            lengths[first:end] = check_counted(counts, column, first)
        return lengths

    def _read(self, number: int) -> Any:
        file, _, rows = self._groups[number]
        table = self._read_stored(number, [name for name in self._names if name not in file.folders])
        for name in self._names:
            if name in file.folders:
                table = table.append_column(name, self._folder_column(file, name, rows))
        return table.select(self._names).cast(self._columns.schema).combine_chunks()

    def _read_stored(self, number: int, names: list[str]) -> Any:
        """Columns of a row group as they are in the file, which must not have changed."""
        parquet = require("pyarrow.parquet", "parquet", "ParquetDataset")
        file, index, _ = self._groups[number]
        try:
            found = file.path.stat()
            # Of the same size, it may still hold other rows.
            if (found.st_size, found.st_mtime_ns) != (file.size, file.modified):
                raise ValueError(
                    f"{shown(file.path)} has changed: it had {file.size} bytes, written at another time; make the "
                    "dataset anew"
                )
            with source_of(file.path) as source, parquet.ParquetFile(source, metadata=file.metadata) as opened:
                # Loading is parallel already, by the workers.
                return opened.read_row_group(index, columns=names, use_threads=False)
        except OSError as error:
            add_note(error, f"raised while reading row group {index} of {shown(file.path)}")
            raise

    def _folder_column(self, file: File, name: str, rows: int) -> Any:
        """The same value in each of `rows` rows."""
        arrow = require("pyarrow", "parquet", "ParquetDataset")
        dtype, value = file.schema.field(name).type, file.folders[name]
        return arrow.repeat(arrow.scalar(value, arrow.string()).cast(dtype), rows)

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The file of each row."""
        groups: list[int] = np.searchsorted(self._ends, rows, "right").tolist()
        return [str(self._groups[group].file.path) for group in groups]

    def fingerprint(self) -> dict[str, Any]:
        """The columns, and of each file the name, the size, the number of rows, and a hash of a few of its bytes."""
        return {"rows": len(self), "columns": self.types, "files": _digest_of(self._files)}

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The columns, and the facts of the files that hold these rows; None if the last of them holds more."""
        count, stop = 0, 0
        while count < rows:
            count, stop = count + self._files[stop].metadata.num_rows, stop + 1
        if count > rows:
            return None
        return {"rows": rows, "columns": self.types, "files": _digest_of(self._files[:stop])}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept = _Kept(self._memory)


def _digest_of(files: Sequence[File]) -> str:
    facts = [(file.path.name, file.size, file.metadata.num_rows, file.content, *file.folders.items()) for file in files]
    return digest(repr(facts).encode())


class _Group(NamedTuple):
    """One row group."""

    file: File
    number: int
    rows: int


class _Kept:
    """The tables used last, within a budget of bytes. Threads that want the same one wait for one to load it."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self.renew_locks()
        renew_after_fork(self)

    def renew_locks(self) -> None:
        """Starts empty."""
        self._lock = threading.Lock()
        self._tables: OrderedDict[int, tuple[Any, int]] = OrderedDict()
        self._size = 0
        self._loading: dict[int, threading.Lock] = {}

    def get(self, key: int, load: Callable[[int], Any]) -> Any:
        """The table for `key`, from `load(key)` if it is not there."""
        with self._lock:
            if key in self._tables:
                self._tables.move_to_end(key)
                return self._tables[key][0]
            loading = self._loading.setdefault(key, threading.Lock())
        with loading:
            with self._lock:
                if key in self._tables:
                    return self._tables[key][0]
            try:
                table = load(key)
                size: int = table.nbytes
            except BaseException:
                with self._lock:
                    self._loading.pop(key, None)
                raise
            with self._lock:
                # At once, so that nobody finds neither.
                self._loading.pop(key, None)
                # A thread that waited while the table was loaded, kept and dropped again has loaded it a second time.
                self._size -= self._tables.pop(key, (None, 0))[1]
                self._tables[key] = table, size
                self._size += size
                while self._size > self._budget and len(self._tables) > 1:
                    self._size -= self._tables.popitem(last=False)[1][1]
            return table
