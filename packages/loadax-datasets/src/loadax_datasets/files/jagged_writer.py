"""Writing the shards and the manifest of a store of documents.

`jagged_files` describes the files, and `jagged_journal` the rules by which a program that is killed can go on.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import numpy as np

from . import jagged_files
from .fingerprints import PART, OffsetsHash
from .jagged_files import HEADER, JOURNAL, MANIFEST, OFFSETS, ORDER, Array
from .jagged_journal import OWN_FILE, Found, Head, drop_journal, sync, sync_folder
from .jagged_manifest import VERSION, Manifest, ShardFacts, form_dtypes

BUFFER = 1 << 20
"""Bytes that are collected before they are written to a file."""

SHARD_SECONDS = 120
"""After this time, a shard is committed though it is not full: so much work of a slow tokenizer may be lost."""


class ShardWriter:
    """Writes one shard of documents, in constant memory but for the offsets.

    Args:
        folder: The folder of the store.
        number: The number of the shard.
        dtypes: The dtype of each leaf.
    """

    def __init__(self, folder: Path, number: int, dtypes: list[np.dtype[Any]]) -> None:
        self._folder, self._dtypes = folder, dtypes
        self._names = jagged_files.shard_names(number, len(dtypes))
        self._ends, self._checksums = array("Q", [0]), [0] * len(dtypes)
        self._files: list[BinaryIO] = []
        for name in self._names[1:]:
            self._files.append(self._temporary(name).open("wb", BUFFER))
            self._files[-1].write(bytes(HEADER))
        self.nbytes = 0
        self.begun = monotonic()

    def add(self, leaves: list[Array]) -> None:
        """Adds a document, as arrays of equal length in the dtypes of the store."""
        for number, leaf in enumerate(leaves):
            data = leaf.data if leaf.flags.c_contiguous else leaf.tobytes()
            self._files[number].write(data)
            self._checksums[number] = zlib.crc32(data, self._checksums[number])
        self._ends.append(self._ends[-1] + len(leaves[0]))
        self.nbytes += document_bytes(leaves)

    def commit(self) -> tuple[ShardFacts, Array]:
        """Gives the files their names, once they are on the disk.

        Returns:
            The facts about the shard, and its offsets.
        """
        offsets = np.frombuffer(self._ends, np.uint64).astype(OFFSETS, copy=False)
        facts = ShardFacts(len(offsets) - 1, offsets.item(-1), self._checksums)
        self._files.insert(0, self._temporary(self._names[0]).open("wb", BUFFER))
        self._files[0].write(bytes(HEADER))
        self._files[0].write(offsets.data)
        lengths = [len(offsets), *[facts.values] * len(self._dtypes)]
        for file, dtype, length in zip(self._files, [OFFSETS, *self._dtypes], lengths, strict=True):
            file.seek(0)
            file.write(jagged_files.npy_header(dtype, length))
            sync(file)
            file.close()
        for name in self._names:
            self._temporary(name).replace(self._folder / name)
        sync_folder(self._folder)
        return facts, offsets

    def close(self) -> None:
        """Deletes the files of a shard that was not committed."""
        for file in self._files:
            # A disk that is full has been reported already.
            with suppress(OSError):
                file.close()
        for name in self._names:
            self._temporary(name).unlink(missing_ok=True)

    def _temporary(self, name: str) -> Path:
        return self._folder / f"{name}.tmp"


class StoreWriter:
    """Adds documents to the store of a folder that is `locked`.

    Args:
        folder: The folder.
        form: A document, with dtypes in place of arrays.
        head: What is written.
        found: What was in the folder.
        shard_bytes: The size of a shard, in bytes of values and offsets. A larger document has a shard of its own.
    """

    def __init__(self, folder: Path, form: Any, head: Head, found: Found, shard_bytes: int) -> None:
        self._folder, self._form, self._head, self._shard_bytes = folder, form, head, shard_bytes
        self._dtypes = list(form_dtypes(form))
        self._manifest = found.manifest
        before = [] if found.manifest is None else found.manifest.shards
        self._before, self._shards = len(before), [*before, *found.shards]
        self._values = sum(shard.values for shard in self._shards)
        self._hash = self._resumed_hash()
        self._writer: ShardWriter | None = None
        self._journal = (folder / JOURNAL).open("ab")
        self._journal.truncate(found.size)
        if not found.size:
            self._record({"version": VERSION, "head": head._asdict()})

    @property
    def committed(self) -> int:
        """How many documents of this call are committed."""
        return sum(shard.documents for shard in self._shards[self._before :])

    def add(self, leaves: list[Array]) -> None:
        """Adds a document, as arrays of equal length in the dtypes of the store."""
        writer = self._writer
        if writer is not None:
            full = writer.nbytes + document_bytes(leaves) > self._shard_bytes
            if full or monotonic() - writer.begun >= SHARD_SECONDS:
                self._commit(writer)
                writer = None
        if writer is None:
            self._writer = writer = ShardWriter(self._folder, len(self._shards), self._dtypes)
        writer.add(leaves)

    def finish(self) -> None:
        """Commits the last shard, and makes what was written the store of the folder."""
        if self._writer is not None:
            self._commit(self._writer)
        self._delete_leftovers()
        datasets = [*([] if self._manifest is None else self._manifest.datasets), self._head.dataset]
        manifest = Manifest(self._form, self._head.source, datasets, self._hash.hashes, self._shards)
        temporary = self._folder / f"{MANIFEST}.tmp"
        with temporary.open("wb") as file:
            file.write(manifest.encode())
            sync(file)
        temporary.replace(self._folder / MANIFEST)
        sync_folder(self._folder)
        drop_journal(self._folder)

    def close(self) -> None:
        """Closes the files, and deletes those of a shard that was not committed."""
        self._journal.close()
        if self._writer is not None:
            self._writer.close()

    def _commit(self, writer: ShardWriter) -> None:
        facts, offsets = writer.commit()
        self._record(facts)
        self._writer = None
        self._hash.add(offsets[1:] + np.uint64(self._values))
        self._shards.append(facts)
        self._values += facts.values

    def _record(self, line: Any) -> None:
        self._journal.write(json.dumps(line).encode() + b"\n")
        sync(self._journal)
        sync_folder(self._folder)

    def _resumed_hash(self) -> OffsetsHash:
        """The hash of all offsets so far. Reads those that came after the last whole part of the manifest."""
        done = 0
        if self._manifest is not None:
            done = (1 + sum(shard.documents for shard in self._manifest.shards)) // PART
        known = OffsetsHash() if self._manifest is None else OffsetsHash(self._manifest.offset_hashes[:done])
        for part in self._offsets_from(done * PART):
            known.add(part)
        return known

    def _offsets_from(self, position: int) -> Iterator[Array]:
        """Yields the offsets of the store from one on, as if there were one shard."""
        if position == 0:
            yield np.zeros(1, np.uint64)
        first, base = 1, 0
        for number, facts in enumerate(self._shards):
            if position < first + facts.documents:
                ((file, dtype, length), *_) = jagged_files.shard_files(self._folder, number, facts, self._dtypes)
                offsets = np.memmap(file, dtype, "r", HEADER, (length,))
                for start in range(1 + max(0, position - first), length, PART):
                    yield offsets[start : start + PART] + np.uint64(base)
            first, base = first + facts.documents, base + facts.values

    def _delete_leftovers(self) -> None:
        """Deletes what a program that was killed may have left, and orders of the documents before."""
        for name in os.listdir(self._folder):
            found = OWN_FILE.fullmatch(name)
            if found is not None and (found[2] or int(found[1]) >= len(self._shards)):
                (self._folder / name).unlink()
            elif name.startswith(ORDER):
                # A program that packs the documents before may be about to rename it.
                (self._folder / name).unlink(missing_ok=True)


def document_bytes(leaves: list[Array]) -> int:
    """The bytes that a document takes in a shard, its offset included."""
    return OFFSETS.itemsize + sum(leaf.nbytes for leaf in leaves)
