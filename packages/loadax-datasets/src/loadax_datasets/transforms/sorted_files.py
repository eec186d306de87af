"""Documents sorted by length, kept in a file beside their store, which all processes map into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files.atomic import replacing
from ..files.jagged_files import ORDER
from ..files.jagged_journal import sync
from ..files.memory_map import map_file
from ..orders.packing import Lengths, Long, Sorted, dtype_of_order, sort
from ..sources.flat import FlatArrays

LEAST = 1_000_000
"""From 1,000,000 documents on, a file is kept. To sort them takes 0.1 s, and 4 MB of memory in each process."""


HEAD = 24
"""Bytes of the three numbers at the beginning of a file."""


def sorted_documents(lengths: Lengths, size: int, long: Long) -> Sorted:
    """Documents by the length of their last piece, as `sort` returns them; arguments and errors are its own.

    Those of a store are sorted once: the first process writes a file into the folder of the store, and others map it.
    The name of the file contains a hash of the lengths. Without permission to write, each process sorts in memory. The
    file can be deleted at any time.
    """
    kept = lengths.kept if isinstance(lengths, FlatArrays) and len(lengths) >= LEAST else None
    if kept is None:
        return sort(lengths, size, long)
    path = kept.folder / f"{ORDER}{size}-{long}-{kept.content}"
    found = _load(path, size, len(lengths))
    if found is None:
        found = sort(lengths, size, long)
        try:
            _save(path, found)
        except OSError:
            return found
        # The sorted documents in memory are freed.
        found = _load(path, size, len(lengths)) or found
    return found


def _save(path: Path, data: Sorted) -> None:
    """Writes a file so that others see all of it or nothing."""
    head = np.array([data.values, len(data.cut), len(data.order)], np.int64)
    with replacing(path) as file:
        for array in (head, data.counts, data.cut, data.full, data.order):
            file.write(array.data)
        sync(file)


def _load(path: Path, size: int, documents: int) -> Sorted | None:
    """Maps a file that `_save` has written; None if there is none, or it has another size than it says."""
    try:
        data = map_file(path, path.stat().st_size)
    except (OSError, ValueError):
        return None
    values, cuts, count = data[:HEAD].view(np.int64).tolist() if len(data) >= HEAD else (0, 0, 0)
    dtype = dtype_of_order(documents)
    ends = np.cumsum([HEAD, 8 * (size + 1), 8 * cuts, 8 * cuts, dtype.itemsize * count])
    if ends[-1] != len(data):
        return None
    _, counts, cut, full, order = np.split(data, ends[:-1])
    return Sorted(order.view(dtype), counts.view(np.int64), cut.view(np.int64), full.view(np.int64), values)
