"""The lengths of documents: known by their dataset, given, or found by reading all documents once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Rows, add_note, tree

from ..adapt import IndexedDataset
from ..base import BaseDataset
from ..files import memory_map
from ..files.atomic import replacing
from ..files.fingerprints import digest
from ..files.folders import advice, shown
from ..flat_views import FlatDocuments
from ..log import inform, warn
from ..orders.packing import Lengths
from ..sources.flat import FlatDataset
from .unreadable import LEFT_OUT, read_readable

CHUNK = 256
"""Documents in one read while lengths are found."""

HASHED = 1 << 20
"""Lengths that are hashed at a time: 8 MiB."""

PROGRESS_SECONDS = 5.0

FILE = "lengths.npy"
"""A name for a file of lengths, in messages."""


class KnownLengths:
    """Lengths in an array, in memory or mapped from a file.

    Args:
        lengths: Integers of shape `(documents,)`.
    """

    def __init__(self, lengths: npt.NDArray[Any]) -> None:
        self.array = lengths

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, documents: slice | Rows, /) -> Rows:
        return self.array[documents].astype(np.int64)

    def __getstate__(self) -> Any:
        return memory_map.reference(self.array)

    def __setstate__(self, state: Any) -> None:
        self.array = memory_map.opened(state)


def lengths_of(source: BaseDataset[Any], given: npt.ArrayLike | str | os.PathLike[str] | None) -> Lengths:
    """The lengths of a dataset's documents.

    Args:
        source: The documents, which do not lie in flat arrays, or `given` says their lengths.
        given: The lengths; or a `.npy` file of them, which is written if it is not there; or None.

    Returns:
        The lengths. Without `given`, those that the dataset knows, or else those that reading it finds.

    Raises:
        FileNotFoundError: If a file is to be written into a folder that is not there.
        TypeError: If the lengths are not integers, or a document is no array or tree of arrays of one dimension.
        ValueError: If there is not one length for each document, a file holds none, or the leaves of a document are not
            equally long.
    """
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        if path.is_dir():
            raise ValueError(f"lengths={shown(path)} is a folder; name a file in it, such as {shown(path / FILE)}")
        if not path.exists():
            # Noticed after hours of reading, these would be lost.
            if not path.parent.is_dir():
                fix = advice(given) or "; make the folder first"
                raise FileNotFoundError(f"lengths={shown(path)} is in no folder that there is{fix}")
            lengths = _measure(source)
            with replacing(path) as file:
                np.save(file, lengths)
        return KnownLengths(_checked(_load(path), len(source), shown(path)))
    if given is not None:
        if callable(given):
            raise TypeError("lengths is a function; call it, as in lengths=dataset.lengths('tokens')")
        return KnownLengths(_checked(np.asarray(given), len(source), "lengths"))
    # An object of the user's that is no dataset knows them itself.
    owner: Any = vars(source)["_source"] if isinstance(source, IndexedDataset) else source
    known: Any = getattr(owner, "lengths", None)
    # A subclass that reads other documents than the store's may still have the lengths of those.
    inherited = isinstance(owner, FlatDataset) and type(owner).lengths is FlatDataset.lengths
    if known is not None and not callable(known) and not inherited:
        return KnownLengths(_checked(np.asarray(known), len(source), f"{type(owner).__name__}.lengths"))
    return KnownLengths(_measure(source))


def check_given(lengths: Lengths, flat: FlatDocuments, given: npt.ArrayLike | str | os.PathLike[str] | None) -> None:
    """Checks lengths that were given for documents that lie in flat arrays, one after the other.

    Rows are copied from these arrays by the lengths, so that wrong ones would bring in values of other documents.

    Args:
        lengths: The lengths, one for each document.
        flat: The documents, which know their lengths.
        given: The argument that they were given by.

    Raises:
        ValueError: If a document has another length; names the first one.
    """
    for start in range(0, len(lengths), HASHED):
        some, own = (found[start : start + HASHED] for found in (lengths, flat))
        wrong = np.flatnonzero(some != own)
        if len(wrong):
            place = wrong[0]
            name = shown(Path(given)) if isinstance(given, str | os.PathLike) else "lengths"
            raise ValueError(
                f"{name} gives document {start + place} the length {some[place]}, but it has {own[place]} values; "
                "leave lengths out: the dataset knows them"
            )


def hash_lengths(lengths: Lengths) -> str:
    """A hash of all lengths."""
    parts = (lengths[start : start + HASHED].astype("<i8") for start in range(0, len(lengths), HASHED))
    return digest("".join(digest(part.tobytes()) for part in parts).encode())


def _checked(lengths: npt.NDArray[Any], documents: int, name: str) -> npt.NDArray[Any]:
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"{name} must be integers, got the dtype {lengths.dtype}")
    if lengths.shape != (documents,):
        raise ValueError(
            f"{name} must have one length for each of {documents} documents, got the shape {lengths.shape}; were they "
            "found for another dataset?"
        )
    return lengths


def _load(path: Path) -> npt.NDArray[Any]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{shown(path)} is not a .npy file of lengths, or is cut short: {error}") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError(f"{shown(path)} is not a .npy file of lengths, but an archive of arrays; use np.save")
    return cast("npt.NDArray[Any]", found)


def _measure(source: BaseDataset[Any]) -> npt.NDArray[np.int64]:
    """Reads all documents."""
    begin = reported = time.monotonic()
    total = len(source)
    lengths = np.empty(total, np.int64)
    lost: list[int] = []
    for start in range(0, total, CHUNK):
        rows = range(start, min(start + CHUNK, total))
        for row, item in zip(rows, read_readable(source, rows), strict=True):
            if item is LEFT_OUT:
                lost.append(row)
            # A document that cannot be read takes no room.
            lengths[row] = 0 if item is LEFT_OUT else _length(row, item)
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            inform("pack: read %d of %d documents for their lengths in %.0f s", rows.stop, total, reported - begin)
    if lost:
        shown = ", ".join(map(str, lost[:8])) + (", ..." if len(lost) > 8 else "")
        warn("pack: %d of %d documents cannot be read, and are left out: %s", len(lost), total, shown)
    return lengths


def _length(row: int, item: Any) -> int:
    try:
        return document_length([leaf for _, leaf in tree.leaves(item)])
    except (TypeError, ValueError) as error:
        add_note(error, f"document {row} of the dataset that is packed")
        raise


def document_length(leaves: list[Any]) -> int:
    """The length that all leaves of a document have.

    Raises:
        TypeError: If one is not an array.
        ValueError: If one is not of shape `(length,)` or is masked, or their lengths differ.
    """
    for leaf in leaves:
        if not isinstance(leaf, np.ndarray):
            fix = "tokenize it before: .map(fn)" if isinstance(leaf, str) else "convert it with .map(numpy.asarray)"
            raise TypeError(
                f"a document must be a NumPy array of shape (length,), or a tree of such arrays, got a "
                f"{type(leaf).__name__} in it; {fix}"
            )
        if isinstance(leaf, np.ma.MaskedArray):
            raise ValueError("a document is a masked array, whose mask a row would lose; fill it with .filled(value)")
        shape = cast("npt.NDArray[Any]", leaf).shape
        if len(shape) != 1:
            raise ValueError(f"a document must have the shape (length,), got {shape}; flatten it")
        if shape != leaves[0].shape:
            raise ValueError(f"the leaves of a document must be equally long, got {leaves[0].shape[0]} and {shape[0]}")
    if not leaves:
        raise ValueError("a document must have at least one array, got an empty tree")
    return len(leaves[0])
