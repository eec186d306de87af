"""Finding and opening Parquet files, and what columns they have together."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from ..files.fingerprints import sample_file
from ..files.folders import files_below, local_path, shown
from .arrow import common_type
from .optional import require

INDEX = re.compile(r"__index_level_\d+__")
"""The columns that pandas writes for an index without a name."""

INTEGER, NO_VALUE = re.compile(r"-?[0-9]{1,18}"), "__HIVE_DEFAULT_PARTITION__"
"""Values in the names of folders: one that is a number, and the one that stands for a null."""


class File(NamedTuple):
    """A file as it was when the dataset was made."""

    path: Path
    size: int
    modified: int
    content: str
    schema: Any
    metadata: Any
    folders: dict[str, str | None]


def open_files(paths: Sequence[str | os.PathLike[str]]) -> list[File]:
    """Looks at files, and at those in folders.

    Args:
        paths: Files and folders.

    Returns:
        The files in that order, and by name within a folder. Columns that the names of folders have are in the schemas.

    Raises:
        FileNotFoundError: If there is no such file, or no Parquet file in a folder.
        OSError: If a folder below cannot be read, or a link leads nowhere.
        ValueError: If a file is damaged.
    """
    found: list[File] = []
    for path in paths:
        root = local_path(path, "ParquetDataset")
        found.extend(_open(file, root) for file in _files(root))
    return _with_folders(found)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(files_below(path, {".parquet"}, hidden=(".", "_")))
    if not found:
        raise FileNotFoundError(f"there is no .parquet file in {shown(path)}")
    return found


def source_of(path: Path) -> Any:
    """A file, opened by its name in bytes, since PyArrow takes no names that are not UTF-8."""
    return require("pyarrow", "parquet", "ParquetDataset").OSFile(os.fsencode(path))


def _open(path: Path, root: Path) -> File:
    parquet = require("pyarrow.parquet", "parquet", "ParquetDataset")
    if not path.is_file():
        raise ValueError(f"{shown(path)} is not a file; a pipe or a device cannot be read twice")
    found = path.stat()
    try:
        with source_of(path) as source, parquet.ParquetFile(source) as opened:
            # The footer has the least and the largest values.
            content = sample_file(path, end=opened.metadata.serialized_size + 8)
            schema = opened.schema_arrow
            # A file may have the column, too.
            folders = {name: value for name, value in _folders(path, root).items() if name not in schema.names}
            return File(path, found.st_size, found.st_mtime_ns, content, schema, opened.metadata, folders)
    except (OSError, ValueError) as error:
        raise ValueError(f"{shown(path)} is not a Parquet file, or is cut short: {error}") from error


def without_index(names: Sequence[str]) -> list[str]:
    """The names of columns without that of a pandas index that has no name."""
    return [name for name in names if not INDEX.fullmatch(name)]


def _folders(path: Path, root: Path) -> dict[str, str | None]:
    """The columns in the names of folders, as Hive and Spark write them.

    Args:
        path: A file.
        root: The folder in which it was found, of which the folders below count. If it is the file itself, the folders
            right above it count, as far as all have such names.
    """
    parts = [shown(Path(part)) for part in (path.parts if path == root else path.relative_to(root).parts)[:-1]]
    if path == root:
        others = [i for i, part in enumerate(parts) if "=" not in part[1:]]
        parts = parts[others[-1] + 1 :] if others else parts
    pairs = [part.split("=", 1) for part in parts if "=" in part[1:]]
    return {name: None if value == NO_VALUE else unquote(value) for name, value in pairs}


def _with_folders(files: list[File]) -> list[File]:
    """The files, with the columns that the names of their folders have among those of their schemas."""
    arrow = require("pyarrow", "parquet", "ParquetDataset")
    values: dict[str, list[str]] = {}
    for file in files:
        for name, value in file.folders.items():
            values.setdefault(name, []).extend([] if value is None else [value])
    numbers = {name for name, given in values.items() if given and all(map(INTEGER.fullmatch, given))}
    found: list[File] = []
    for file in files:
        schema = file.schema
        for name in file.folders:
            schema = schema.append(arrow.field(name, arrow.int64() if name in numbers else arrow.string()))
        found.append(file._replace(schema=schema))
    return found


def common_fields(files: Sequence[File], names: Sequence[str], every: bool) -> list[Any]:
    """The fields of the columns, of types that hold the values of all files.

    Args:
        files: The files.
        names: The columns to read.
        every: Whether these are all columns, so that no file may have others.
    """
    first, *others = files
    _check_distinct(first, names)
    types: dict[str, Any] = {name: first.schema.field(name).type for name in names}
    for file in others:
        _check_distinct(file, names)
        known = set(file.schema.names)
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{shown(file.path)} has no column {name!r}, which {shown(first.path)} has; it has "
                    f"{file.schema.names}"
                )
            here = file.schema.field(name).type
            common = common_type(types[name], here)
            if common is None:
                raise ValueError(
                    f"column {name!r} is {here} in {shown(file.path)}, but {types[name]} in {shown(first.path)}; write "
                    "them alike, or leave it out with columns=[...]"
                )
            types[name] = common
        for name in without_index(file.schema.names) if every else ():
            if name not in types:
                raise ValueError(
                    f"{shown(file.path)} has a column {name!r}, which {shown(first.path)} does not have; choose "
                    "columns=[...] that all files have"
                )
    # Other files may have nulls where the first one says that it has none.
    return [first.schema.field(name).with_type(types[name]).with_nullable(True) for name in names]


def _check_distinct(file: File, columns: Sequence[str]) -> None:
    counts: Counter[str] = Counter(file.schema.names)
    for name in columns:
        if counts[name] > 1:
            raise ValueError(
                f"{shown(file.path)} has the column {name!r} more than once; choose columns=[...] without it, or give "
                "each a name of its own"
            )
