"""The files of a store of documents: flat arrays, and the places where documents begin.

A store is a folder. It has one manifest, and any number of shards of whole documents:

    manifest.json               what the store holds, in JSON
    shard-000000.offsets.npy    where each document begins, and the last one ends: uint64 of shape (documents + 1,)
    shard-000000.values-0.npy   the values of the documents, one after the other, of shape (values,)
    shard-000000.values-1.npy   those of the second leaf, if documents are trees of several arrays

All shards are NumPy's `.npy` files, which `np.load` opens. Numbers are little-endian, and the elements begin after
`HEADER` bytes. So a shard is mapped with the dtype and the lengths of the manifest, and no header is parsed: CPython
before 3.11.8 parses headers with a parser that several threads cannot use at once; see `item_files`.

The manifest is an object with these entries:

    format, version     `FORMAT` and `VERSION` of `jagged_manifest`
    tree                how a document is made of arrays: {"array": "<u2"}, {"dict": {name: tree}}, {"list": [tree]} or
                        {"tuple": [tree]}
    source              any fact that the writer was given, such as the name of a tokenizer
    datasets            for each call that wrote documents, facts about the dataset that they came from, or null
    offset_hashes       hashes of all offsets of the store, `fingerprints.PART` of them each, as if there were one shard
    shards              for each shard [documents, values, [crc32, ...]], with the CRC-32 of the elements of each leaf

It names no file: the names follow from the number of a shard. It is written last, and replaced as a whole when
documents are appended. While a store is written, `jagged_journal` keeps a journal and a lock beside these files.

Files whose names begin with `ORDER` hold documents sorted by length, for packing. They can be made anew at any time,
and are deleted when documents are appended.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .fingerprints import PART, OffsetsHash, digest
from .folders import local_path, shown
from .jagged_manifest import ShardFacts, decode_manifest, form_dtypes
from .memory_map import map_file

Array = npt.NDArray[Any]

MANIFEST, JOURNAL, ORDER = "manifest.json", "writing.jsonl", ".order-"

HEADER = 128
"""Bytes of a `.npy` file before its elements; a number of 21 digits still fits."""

OFFSETS = np.dtype("<u8")


class Store:
    """A finished store, as its manifest says it is.

    Args:
        path: The folder.
        identity: A hash of the manifest that the folder must have; None for any.

    Raises:
        FileNotFoundError: If there is no such folder, or a file of a shard is missing.
        ValueError: If the folder has no finished store, the manifest is not one that this version reads, a file has
            another size than it says, or the store has changed.
    """

    def __init__(self, path: str | os.PathLike[str], identity: str | None = None) -> None:
        self.path = local_path(path, "JaggedDataset")
        data = _read_manifest(self.path)
        self.identity = digest(data)
        if identity is not None and identity != self.identity:
            raise ValueError(
                f"{shown(self.path)} has changed since it was opened: it was appended to or written anew; open it "
                "again, JaggedDataset(folder)"
            )
        self.manifest = decode_manifest(data, self.path / MANIFEST)
        self.dtypes = list(form_dtypes(self.manifest.form))
        self._found = [
            check_shard(self.path, number, facts, self.dtypes) for number, facts in enumerate(self.manifest.shards)
        ]

    def hash_offsets(self, count: int) -> OffsetsHash:
        """The hash of the first offsets, as if there were one shard. Reads those after the last whole part."""
        known = OffsetsHash(self.manifest.offset_hashes[: count // PART])
        begin = count // PART * PART
        if begin == 0:
            known.add(np.zeros(1, np.uint64)[:count])
        # The offset that comes first in a shard is the last one of the shard before.
        first, base = 1, 0
        for number, facts in enumerate(self.manifest.shards):
            here = slice(1 + max(0, begin - first), 1 + max(0, min(facts.documents, count - first)))
            if here.start < here.stop:
                known.add(self.map_shard(number)[1][here] + np.uint64(base))
            first, base = first + facts.documents, base + facts.values
        return known

    def map_shard(self, number: int) -> tuple[list[Array], Array]:
        """Maps a shard, read-only.

        Returns:
            The values of each leaf, and the offsets.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is not as the manifest says, or was replaced since the store was opened.
        """
        facts = self.manifest.shards[number]
        if check_shard(self.path, number, facts, self.dtypes) != self._found[number]:
            raise ValueError(
                f"shard {number} of {shown(self.path)} was written anew since the store was opened; open it again, "
                "JaggedDataset(folder)"
            )
        # Reading a mapping beyond the end of its file would end the process, so the sizes have been checked.
        offsets, *values = (
            _map(file, dtype, count) for file, dtype, count in shard_files(self.path, number, facts, self.dtypes)
        )
        if offsets[0] != 0 or offsets[-1] != facts.values:
            raise ValueError(
                f"the offsets of shard {number} of {shown(self.path)} do not run from 0 to its {facts.values} values; "
                "write the store anew"
            )
        return values, offsets


def shard_files(
    path: Path, number: int, facts: ShardFacts, dtypes: list[np.dtype[Any]]
) -> Iterator[tuple[str, np.dtype[Any], int]]:
    """Yields the path, the dtype and the length of each file of a shard, first those of the offsets."""
    names = shard_names(number, len(dtypes))
    lengths = [facts.documents + 1, *[facts.values] * len(dtypes)]
    folder = os.fspath(path)
    for name, dtype, length in zip(names, [OFFSETS, *dtypes], lengths, strict=True):
        # For thousands of files, `path / name` would take longer than to look at them.
        yield f"{folder}/{name}", dtype, length


def shard_names(number: int, leaves: int) -> list[str]:
    """The names of the files of a shard, first that of the offsets."""
    parts = ["offsets", *(f"values-{leaf}" for leaf in range(leaves))]
    return [f"shard-{number:06d}.{part}.npy" for part in parts]


def check_shard(path: Path, number: int, facts: ShardFacts, dtypes: list[np.dtype[Any]]) -> list[tuple[int, int]]:
    """Checks that the files of a shard are there, and have the sizes that they should have.

    Returns:
        What tells each file from one that replaces it: its number in the file system, and its time.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file has another size.
    """
    return [_check_size(file, dtype, length) for file, dtype, length in shard_files(path, number, facts, dtypes)]


def _check_size(file: str, dtype: np.dtype[Any], length: int) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{shown(Path(file))} is missing; copy it here again, or write the store anew"
        ) from None
    size = HEADER + length * dtype.itemsize
    # To open a pipe would wait for its other end.
    if not stat.S_ISREG(found.st_mode) or found.st_size != size:
        raise ValueError(
            f"{shown(Path(file))} has {found.st_size} bytes and should be a file of {size}: it was cut short or "
            "replaced; copy it here again, or write the store anew"
        )
    return found.st_ino, found.st_mtime_ns


def _map(file: str, dtype: np.dtype[Any], length: int) -> Array:
    data = map_file(Path(file), HEADER + length * dtype.itemsize)
    if data[:HEADER].tobytes() != npy_header(dtype, length):
        raise ValueError(f"{shown(Path(file))} is not a .npy file of {length} numbers of {dtype}; write the store anew")
    return data[HEADER:].view(dtype)


def npy_header(dtype: np.dtype[Any], length: int) -> bytes:
    """The first `HEADER` bytes of a `.npy` file of shape `(length,)`."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': ({length},), }}"
    size = HEADER - 10
    return b"\x93NUMPY\1\0" + struct.pack("<H", size) + text.ljust(size - 1).encode() + b"\n"


def _read_manifest(path: Path) -> bytes:
    try:
        return (path / MANIFEST).read_bytes()
    except NotADirectoryError:
        raise ValueError(f"{shown(path)} is a file; give the folder that write_jagged made") from None
    except FileNotFoundError:
        if (path / JOURNAL).exists():
            raise ValueError(
                f"{shown(path)} is not finished; call write_jagged again with the same arguments: it goes on where it "
                "was"
            ) from None
        raise ValueError(
            f"{shown(path)} has no {MANIFEST}: it is no store of documents; make one with write_jagged"
        ) from None
