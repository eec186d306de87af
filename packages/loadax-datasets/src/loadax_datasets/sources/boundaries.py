"""Where documents end in a flat file of tokens, and what the tokens of a window know of their documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from ..checks import check_int
from ..files import memory_map
from ..files.fingerprints import digest
from ..files.folders import shown
from .offsets import check_offsets
from .segments import write_segments
from .token_files import map_npy


class EndToken:
    """Documents that end with a token, which belongs to the document that it ends.

    Args:
        number: The token.
        dtype: The dtype of the tokens.

    Raises:
        TypeError: If `number` is not an integer.
        ValueError: If the dtype has no such number.
    """

    def __init__(self, number: int, dtype: np.dtype[Any]) -> None:
        limits = np.iinfo(dtype)
        self._token = check_int("documents", number, limits.min)
        if self._token > limits.max:
            raise ValueError(
                f"documents={self._token} is the token that ends each document, but tokens of dtype {dtype} are at "
                f"most {limits.max}; give the token, or an array of offsets"
            )
        # To convert Python's integer would take as long as to compare 1,000 tokens.
        self._number = np.array(self._token, dtype.newbyteorder("="))

    def find_ends(self, tokens: npt.NDArray[Any], starts: Rows) -> Rows:  # noqa: ARG002 (as `Offsets`)
        """Finds the tokens that are the last of their documents.

        Args:
            tokens: The tokens of windows, of shape `(n, length)`.
            starts: Where in the file the windows start, of shape `(n,)`.

        Returns:
            Their places in `tokens`, as if that was flat: ascending, of shape `(ends,)`.
        """
        return np.equal(tokens, self._number).reshape(-1).nonzero()[0]

    def fingerprint(self) -> dict[str, Any]:
        """The token."""
        return {"end": self._token}

    def __str__(self) -> str:
        return f"documents that end with {self._token}"


class Offsets:
    """Documents that begin at known places.

    Args:
        offsets: Where documents begin, of shape `(documents,)`: 0, and then not less than the one before. The number of
            tokens may follow as the last one. Memory-mapped offsets stay mapped.
        tokens: The number of tokens in the file.
        name: What error messages call the offsets.

    Raises:
        TypeError: If `offsets` are not integers.
        ValueError: If they have another shape, do not begin with 0, decrease, or end beyond the tokens.
    """

    def __init__(self, offsets: npt.NDArray[Any], tokens: int, name: str = "documents") -> None:
        check_offsets(offsets, name)
        # A search in an array of another byte order, or with gaps, would copy the whole array each time.
        self._offsets = np.require(offsets.view(np.ndarray), offsets.dtype.newbyteorder("="), ["C", "A"])
        if offsets[-1] > tokens:
            raise ValueError(
                f"{name} ends with {offsets[-1]}, beyond the {tokens} tokens; give offsets that count tokens, not bytes"
            )

    def find_ends(self, tokens: npt.NDArray[Any], starts: Rows) -> Rows:
        """Finds the tokens that are the last of their documents; see `EndToken.find_ends`."""
        rows, length = tokens.shape
        offsets = self._offsets
        # A document ends before the next one begins. Numbers of another dtype would make the search copy all offsets.
        most = offsets[-1].item()
        bounds = np.minimum(np.concatenate((starts, starts + length)), most).astype(offsets.dtype)
        first, stop = offsets.searchsorted(bounds, "right").reshape(2, rows)
        counts = stop - first
        # The offsets of a window are neighbours: `first`, `first + 1`, and so on.
        which = np.arange(int(counts.sum())) + (first - counts.cumsum() + counts).repeat(counts)
        to_flat = cast("Rows", np.arange(rows) * length - 1 - starts)
        ends = offsets[which].astype(np.int64) + to_flat.repeat(counts)
        # Documents without tokens end where the one before does.
        again = (ends[1:] == ends[:-1]).nonzero()[0]
        return np.delete(ends, again) if len(again) else ends

    def fingerprint(self) -> dict[str, Any]:
        """The number of offsets, and a hash of 64 of them."""
        places = np.linspace(0, len(self._offsets) - 1, 64).astype(np.int64)
        return {"offsets": len(self._offsets), "content": digest(self._offsets[places].astype(np.int64).tobytes())}

    def __str__(self) -> str:
        return f"{len(self._offsets)} offsets of documents"

    def __getstate__(self) -> dict[str, Any]:
        return {"_offsets": memory_map.reference(self._offsets)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._offsets = memory_map.opened(state["_offsets"])


def documents_of(
    documents: int | str | os.PathLike[str] | npt.NDArray[Any], tokens: npt.NDArray[Any]
) -> EndToken | Offsets:
    """The documents in a flat array of tokens.

    Args:
        documents: The token that ends each document, or the places where documents begin: an array, or a `.npy` file.
        tokens: All tokens, of shape `(tokens,)`.

    Returns:
        What finds the ends of documents.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `documents` is none of these, or holds no integers.
        ValueError: If the dtype of the tokens has no such token, or the offsets are wrong.
    """
    if isinstance(documents, str | os.PathLike):
        path = Path(documents).absolute()
        offsets = map_npy(path)
        if offsets is None:
            raise ValueError(f"{shown(path)} is not a .npy file; save the offsets of the documents with np.save")
        return Offsets(offsets, len(tokens), shown(Path(path.name)))
    if isinstance(documents, np.ndarray):
        return Offsets(documents, len(tokens))
    if isinstance(cast("object", documents), int | np.integer):
        return EndToken(documents, tokens.dtype)
    raise TypeError(
        "documents is the token that ends each document, or the offsets at which documents begin, as an array or as a "
        f".npy file; got a {type(documents).__name__}"
    )


def annotate(documents: EndToken | Offsets, starts: Rows, batch: dict[str, npt.NDArray[Any]], pad: int) -> None:
    """Writes what the tokens of windows know of their documents.

    The time is that of eight passes over the tokens, with little for each document.

    Args:
        documents: Finds the last tokens of documents.
        starts: Where in the file the windows start, of shape `(n,)`.
        batch: Arrays of shape `(n, length)`: `"tokens"`, which are read; `"segment_ids"` and `"positions"`, which are
            written; and perhaps `"targets"`, of which those that belong to another document are replaced, and
            `"loss_mask"`, which is written.
        pad: What replaces them.
    """
    tokens = batch["tokens"]
    rows, length = tokens.shape
    ends = documents.find_ends(tokens, starts)
    if "targets" in batch:
        batch["targets"].reshape(-1)[ends] = pad
        batch["loss_mask"].fill(True)
        batch["loss_mask"].reshape(-1)[ends] = False
    # A piece begins with each window, and after each end. Where these meet, a piece without tokens comes before.
    windows = cast("Rows", np.arange(rows) * length)
    bounds = np.concatenate((windows, ends + 1, [tokens.size]))
    bounds.sort()
    begins = bounds[:-1]
    first = cast("Rows", ends.searchsorted(windows) + np.arange(rows))
    each = np.concatenate((first[1:], [len(begins)])) - first
    numbers = np.arange(1, len(begins) + 1) - first.repeat(each)
    write_segments(numbers, begins, bounds[1:] - begins, batch["segment_ids"], batch["positions"])
