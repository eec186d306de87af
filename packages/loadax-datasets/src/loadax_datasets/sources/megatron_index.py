"""The index of a pair of files that Megatron-LM writes: its parts, and what they say of the values.

The format is that of `megatron/core/datasets/indexed_dataset.py` in https://github.com/NVIDIA/Megatron-LM, at commit
00caa53. `prefix.bin` holds the values of the sequences, and nothing else. `prefix.idx` holds, all little-endian:

| part | dtype |
|---|---|
| `MMIDIDX` and two zeros | 9 bytes |
| the version, 1 | uint64 |
| the dtype code of the values | uint8 |
| the number of sequences | uint64 |
| the number of document indices | uint64 |
| the length of each sequence, in values | int32 |
| the pointer of each sequence: the byte of `prefix.bin` at which it begins | int64 |
| the document indices: the sequence with which each document begins, and the number of sequences | int64 |
| of multimodal data, the mode of each sequence | int8 |
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from loadax_core import Rows

from ..files.folders import shown
from .flat import Array
from .offsets import CHUNK, check_offsets

MAGIC, OLD_MAGIC, VERSION = b"MMIDIDX\0\0", b"TNTIDX\0\0", 1
"""The first bytes of an index, those of the format before it, and the only version."""

HEADER = struct.Struct("<9sQBQQ")
"""The magic, the version, the dtype code, and the numbers of sequences and of document indices: 34 bytes."""

DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float64", 7: "float32", 8: "uint16"}
"""The dtype codes of Megatron Core."""

FLOATS = {6: "float32", 7: "float64"}
"""The dtype codes that older writers numbered the other way round."""


class Sequences(NamedTuple):
    """A `Shard` of sequences, each with its own place in the values.

    Attributes:
        values: The values of all sequences, of shape `(values,)`.
        sizes: The number of values of each sequence, of shape `(sequences,)`, int32.
        pointers: The byte at which each sequence begins, of shape `(sequences,)`, int64.
    """

    values: list[Array]
    sizes: Array
    pointers: Array

    def __len__(self) -> int:
        return len(self.sizes)

    def bounds(self, documents: Rows) -> tuple[Rows, Rows]:
        """See `Shard`."""
        return self.pointers[documents] // self.values[0].itemsize, self.sizes[documents].astype(np.int64)

    def lengths(self) -> Rows:
        """See `Shard`."""
        return self.sizes.astype(np.int64)


class Documents(NamedTuple):
    """A `Shard` of documents, each of sequences that lie one after the other without gaps.

    Attributes:
        sequences: The sequences of all documents.
        firsts: The sequence with which each document begins, and the number of sequences: of shape `(documents + 1,)`.
    """

    sequences: Sequences
    firsts: Array

    @property
    def values(self) -> list[Array]:
        """See `Shard`."""
        return self.sequences.values

    def __len__(self) -> int:
        return len(self.firsts) - 1

    def bounds(self, documents: Rows) -> tuple[Rows, Rows]:
        """See `Shard`."""
        firsts, ends = self.firsts[documents], self.firsts[documents + 1]
        filled = firsts < ends
        starts, lengths = np.zeros((2, len(documents)), np.int64)
        starts[filled] = self.sequences.bounds(firsts[filled])[0]
        last_starts, last_lengths = self.sequences.bounds(ends[filled] - 1)
        lengths[filled] = last_starts + last_lengths - starts[filled]
        return starts, lengths

    def lengths(self) -> Rows:
        """See `Shard`."""
        ends = np.zeros(len(self.sequences) + 1, np.int64)
        np.cumsum(self.sequences.sizes, out=ends[1:])
        return np.diff(ends[self.firsts])


def read_index(index: Array, data: Array, path: Path) -> tuple[Sequences, Array]:
    """The parts of an index, as views; and the document indices.

    Args:
        index: The bytes of the index.
        data: The bytes of the values.
        path: The path of the index, for errors.

    Raises:
        ValueError: If the index is of another format or version, has an unknown dtype code, or another size than its
            header says.
    """
    name, size = shown(path), len(index)
    first = index[: len(MAGIC)].tobytes()
    if first.startswith(OLD_MAGIC):
        raise ValueError(
            f"{name} is of Megatron's old format TNTIDX, which cannot be mapped; tokenize the text anew with "
            "Megatron's tools/preprocess_data.py, with --dataset-impl mmap in versions that have this option"
        )
    if first != MAGIC[: len(first)]:
        raise ValueError(
            f"{name} begins with {first!r}, not with {MAGIC!r}; it is no index of Megatron's, or it is damaged"
        )
    if size < HEADER.size:
        raise ValueError(f"{name} is cut short: it has {size} bytes, and its header alone takes {HEADER.size}")
    _, version, code, count, documents = HEADER.unpack(index[: HEADER.size].tobytes())
    if version != VERSION:
        raise ValueError(f"{name} has version {version}, and only version {VERSION} is known; write it with Megatron")
    if code not in DTYPES:
        known = ", ".join(f"{number} ({dtype})" for number, dtype in DTYPES.items())
        raise ValueError(f"{name} has the dtype code {code}; known are {known}")
    # In such an index, two lengths stand in the place of the number of document indices.
    if size == HEADER.size - 8 + 12 * count and documents > count + 1:
        raise ValueError(
            f"{name} is an index of fairseq, which is like Megatron's, but without document indices; tokenize the text "
            "anew with Megatron's tools/preprocess_data.py"
        )
    needed = HEADER.size + 12 * count + 8 * documents
    if size not in (needed, needed + count):
        raise ValueError(
            f"{name} has {size} bytes, but {count} sequences and {documents} document indices take {needed} bytes, or "
            f"{needed + count} with modes; it is cut short, or damaged: copy or write it anew"
        )
    rest = index.view(np.ndarray)[HEADER.size : needed]
    sizes, pointers = rest[: 4 * count].view("<i4"), rest[4 * count : 12 * count].view("<i8")
    dtype = _dtype(code, sizes, pointers, len(data))
    values = data[: len(data) // dtype.itemsize * dtype.itemsize].view(dtype)
    return Sequences([values], sizes, pointers), rest[12 * count :].view("<i8")


def _dtype(code: int, sizes: Array, pointers: Array, size: int) -> np.dtype[Any]:
    """The dtype of a code; of the two that a float may have, the one that fits the first pointers.

    If both do, as those of a single sequence, it is the one in which the last sequence ends with the `size` bytes of
    all values.
    """
    dtypes = [np.dtype(names[code]).newbyteorder("<") for names in (DTYPES, FLOATS) if code in names]
    if len(dtypes) == 1:
        return dtypes[0]
    steps, counts = np.diff(pointers[:CHUNK]), sizes[:CHUNK][:-1].astype(np.int64)
    fitting = [dtype for dtype in dtypes if np.array_equal(steps, counts * dtype.itemsize)] or dtypes[:1]
    start, count = (pointers[-1].item(), sizes[-1].item()) if len(sizes) else (size, 0)
    return next((dtype for dtype in fitting if start + count * dtype.itemsize == size), fitting[0])


def check_sequences(sequences: Sequences, size: int, data_path: Path, index_path: Path) -> None:
    """Raises ValueError if a sequence lies outside of the values; `size` is their number of bytes.

    To read a mapping beyond the end of its file would end the process.
    """
    dtype = sequences.values[0].dtype
    for first in range(0, len(sequences), CHUNK):
        lengths = sequences.sizes[first : first + CHUNK].astype(np.int64)
        starts, room = sequences.pointers[first : first + CHUNK], size - lengths * dtype.itemsize
        wrong = (lengths < 0) | (starts < 0) | (starts > room) | (starts & (dtype.itemsize - 1) != 0)
        if not wrong.any():
            continue
        place = int(wrong.argmax())
        number, length, start = first + place, int(lengths[place]), int(starts[place])
        if length < 0:
            raise ValueError(f"{shown(index_path)} is damaged: sequence {number} has the length {length}")
        if start < 0 or start % dtype.itemsize:
            raise ValueError(
                f"{shown(index_path)} is damaged: sequence {number} begins at byte {start}, which is no multiple of "
                f"the {dtype.itemsize} bytes of a {dtype}"
            )
        raise ValueError(
            f"{shown(data_path)} is cut short: it has {size} bytes, but sequence {number} ends at byte "
            f"{start + length * dtype.itemsize}; copy or write it anew"
        )


def check_documents(sequences: Sequences, firsts: Array, path: Path) -> None:
    """Raises ValueError if the document indices do not fit, or the values of a document have gaps."""
    name = shown(path)
    check_offsets(firsts, f"the document indices of {name}")
    if firsts[-1] != len(sequences):
        raise ValueError(
            f"{name} is damaged: its documents end at sequence {firsts[-1]}, but it has {len(sequences)} sequences"
        )
    width = sequences.values[0].itemsize
    for first in range(0, len(sequences) - 1, CHUNK):
        pointers, sizes = sequences.pointers[first : first + CHUNK + 1], sequences.sizes[first : first + CHUNK]
        ends = pointers[:-1] + sizes[: len(pointers) - 1].astype(np.int64) * width
        breaks = first + 1 + np.flatnonzero(pointers[1:] != ends)
        within = breaks[firsts[np.searchsorted(firsts, breaks)] != breaks]
        if len(within):
            raise ValueError(
                f"{name}: sequence {within[0]} does not follow on sequence {within[0] - 1}, which is of the same "
                "document; leave documents=True out to read sequences, or write the corpus anew"
            )
