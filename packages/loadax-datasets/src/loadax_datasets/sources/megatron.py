"""Sequences of tokens in pairs of files, as Megatron-LM and NeMo write them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from loadax_core import Rows

from ..checks import check_bool
from ..files import memory_map
from ..files.fingerprints import digest, sample
from ..files.folders import advice, shown
from .flat import Array, FlatDataset, Shard
from .megatron_index import Documents, check_documents, check_sequences, read_index
from .offsets import CHUNK


class MegatronDataset(FlatDataset):
    """Sequences of tokens in a pair of files, as Megatron-LM, NeMo and datatrove write them.

    Item `i` is sequence `i`, an array of shape `(length,)`, as a read-only view: what Megatron's `IndexedDataset`
    gives. Usually a sequence is a whole document. A corpus that was split into sentences has several sequences in a
    document: with `documents=True`, item `i` is document `i`, its sequences one after the other. Rows cannot be
    stacked: pack them with `pack`, or pad them with a `PadBatcher`.

    Both files are memory-mapped: they may be larger than memory, and worker processes map them themselves. All lengths
    and pointers are checked once, here, and no value is read. The files must not change afterwards. Worker processes
    refuse a file of another size or modification time, so copies for other machines should keep that time.

    The format is that of https://github.com/NVIDIA/Megatron-LM, in `megatron/core/datasets/indexed_dataset.py`. The
    modes of multimodal data are not read. Older writers have numbered float32 and float64 the other way round: where
    the pointers, and the size of the values, fit one of them only, that one is taken.

    Args:
        prefix: The path of both files without `.bin` and `.idx`; or that of one of them.
        documents: Whether an item is a document instead of a sequence.

    Raises:
        FileNotFoundError: If one of the files does not exist; says which.
        TypeError: If `documents` is not a bool.
        ValueError: If the index is of another format or version, or has an unknown dtype code, if a file is cut short,
            or, with `documents=True`, if the document indices do not fit or the values of a document have gaps.

    Example:
        >>> import struct, tempfile
        >>> prefix = tempfile.mkdtemp() + "/corpus"
        >>> values, lengths, pointers, documents = [5, 6, 7, 8], [3, 1], [0, 6], [0, 1, 2]
        >>> index = struct.pack("<9sQBQQ2i2q3q", b"MMIDIDX", 1, 8, 2, 3, *lengths, *pointers, *documents)
        >>> Path(f"{prefix}.idx").write_bytes(index), Path(f"{prefix}.bin").write_bytes(np.array(values, "<u2"))
        (82, 8)
        >>> rows = MegatronDataset(prefix)
        >>> rows.lengths.tolist(), rows[0].tolist()
        ([3, 1], [5, 6, 7])
    """

    def __init__(self, prefix: str | os.PathLike[str], *, documents: bool = False) -> None:
        self._by_document = check_bool("documents", documents)
        self._data_path, self._index_path = _pair(prefix)
        self._data, self._index = _mapped(self._data_path), _mapped(self._index_path)
        sequences, firsts = read_index(self._index, self._data, self._index_path)
        check_sequences(sequences, len(self._data), self._data_path, self._index_path)
        if self._by_document:
            check_documents(sequences, firsts, self._index_path)
        self._open()

    def _open(self) -> None:
        """Prepares for reading. The sequences and documents have been checked."""
        sequences, firsts = read_index(self._index, self._data, self._index_path)
        shard: Shard = Documents(sequences, firsts) if self._by_document else sequences
        self._set_shards([shard], _only)

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The prefix of the files."""
        return [str(self._data_path.with_suffix(""))] * len(rows)

    def fingerprint(self) -> dict[str, Any]:
        """The number of rows and of their values, and a hash of where rows begin and end."""
        (shard,) = self._arrays.shards
        total, hashes = 0, ""
        for first in range(0, len(self), CHUNK):
            starts, lengths = shard.bounds(np.arange(first, min(first + CHUNK, len(self))))
            total += int(lengths.sum())
            hashes += digest(starts.astype("<i8").tobytes()) + digest(lengths.astype("<i8").tobytes())
        return {"rows": len(self), "values": total, "index": digest(hashes.encode())}

    def _own_contents(self) -> dict[str, Any]:
        """The dtype, and a hash of a few bytes of the values."""
        content = sample(len(self._data), lambda start, stop: self._data[start:stop].tobytes())
        return {"documents": [str(dtype) for dtype in self._arrays.dtypes], "content": content}

    def describe(self) -> str:
        """The number of rows, the dtype, and where they come from."""
        rows = "documents" if self._by_document else "sequences"
        dtype, name = self._arrays.dtypes[0], shown(Path(self._data_path.stem))
        return f"MegatronDataset({len(self)} {rows} of {dtype} values, in {name})"

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        return state | {name: memory_map.reference(state[name]) for name in ("_data", "_index")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {name: memory_map.opened(state[name]) for name in ("_data", "_index")})
        self._open()


def _only(leaves: list[Any]) -> Any:
    """The item of a dataset with one leaf."""
    return leaves[0]


def _pair(prefix: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The paths of the values and of the index."""
    given = Path(prefix).absolute()
    stem = given.with_suffix("") if given.suffix in (".bin", ".idx") else given
    pair = Path(f"{stem}.bin"), Path(f"{stem}.idx")
    missing = [path for path in pair if not path.exists()]
    if len(missing) == 2:
        more = ": it is a folder; give the prefix of a pair in it" if given.is_dir() else advice(prefix)
        raise FileNotFoundError(f"MegatronDataset finds neither {shown(pair[0])} nor {shown(pair[1])}{more}")
    if missing:
        (found,) = set(pair) - set(missing)
        raise FileNotFoundError(
            f"MegatronDataset finds {shown(found)}, but no {shown(missing[0])}; both are needed, side by side"
        )
    for path in pair:
        if not path.is_file():
            raise ValueError(f"{shown(path)} is not a file")
    return pair


def _mapped(path: Path) -> Array:
    """The bytes of a file. An empty file cannot be mapped."""
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
