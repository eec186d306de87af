"""Windows of one long sequence of tokens, to train language models.

The file is longer than others: each way to read windows is a few lines of one class, since they share its views.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Gather, Rows, Traced, aligned_empty

from ..base import BaseDataset
from ..checks import check_bool, check_int
from ..files import memory_map
from ..files.fingerprints import digest
from ..layout import Layout, is_native, layout_of
from ..orders.keys import derive_keys
from ..rows import Wanted, as_array
from .boundaries import annotate, documents_of
from .token_files import tokens_of
from .windows import Windows, check_pad, count_windows, padded

MADE = ("_windows", "_tail", "_quick", "_dtypes", "_known_layout")
"""Attributes that are made of others, and not pickled."""


class TokenDataset(BaseDataset[dict[str, npt.NDArray[Any]]]):
    """Windows of equal length, cut from a flat file of token numbers.

    Row `i` is `{"tokens": t[s : s + length], "targets": t[s + 1 : s + 1 + length]}` with `s = i * stride`, both of
    shape `(length,)` and of the file's dtype. Tokens at the end that do not fill a window are left out.

    The file is memory-mapped: it may be larger than memory, and worker processes map it themselves. It must not change
    afterwards. Worker processes refuse a file of another size or modification time, so copies for other machines
    should keep that time.

    With `documents`, rows also say which tokens belong together. A window may begin and end within a document. Entries
    of shape `(length,)` are added:

    - `"segment_ids"`, int32: 1, 2, ... for the documents of the window, and 0 for padding.
    - `"positions"`, int32: 0, 1, ... in each document. A document that begins before the window counts from 0 at the
      start of the window.
    - `"loss_mask"`, bool, only with targets: whether the target belongs to the same document. It is false for the last
      token of a document, whose target is `pad`, and for padding.

    With `drop_remainder=False`, one more row holds the tokens that do not fill a window, and then `pad`. Rows without
    documents get a `"loss_mask"` then, too: it is false where there is no target, or without targets, no token.

    With `phase="epoch"`, all windows of an epoch start up to `stride - 1` tokens later: a random number, 0 in epoch 0.
    Every epoch has as many rows as the latest start leaves, and leaves out a few other tokens at the ends of the file.

    Args:
        tokens: A file in NumPy's `.npy` format, whatever its name, of shape `(tokens,)`; a file of nothing but the
            numbers; or an array.
        length: Tokens in a window.
        stride: Tokens from the start of a window to that of the next; left out, `length`, so that no token is an input
            twice.
        targets: Whether rows have `"targets"`, the tokens that follow.
        dtype: Integer dtype of a file of nothing but the numbers, which does not say it itself; for no other file.
        documents: The token that ends each document, and belongs to it. Or the offsets at which documents begin, in
            order, from 0: an array of shape `(documents,)`, or a `.npy` file, which stays memory-mapped. The number of
            tokens may follow as one more offset.
        drop_remainder: Whether tokens at the end that do not fill a window are left out.
        pad: The token, and the target, where there is none.
        phase: `"epoch"` to have windows start at other tokens in each epoch; None for the same windows in all epochs.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `tokens` is neither a path nor an array, or does not hold integers; if `documents` is neither an
            integer, an array of integers nor a path; or if `targets` or `drop_remainder` is not a bool.
        ValueError: If a setting is out of range, the tokens have more than one dimension or are masked, there are too
            few for one window, a file was cut short, or the offsets do not begin with 0, decrease, or pass the tokens.

    Example:
        >>> rows = TokenDataset(np.arange(10, dtype=np.uint16), length=4)
        >>> len(rows), rows[1]["tokens"].tolist(), rows[1]["targets"].tolist()
        (2, [4, 5, 6, 7], [5, 6, 7, 8])
        >>> row = TokenDataset(np.array([7, 8, 0, 5, 6, 0]), length=5, documents=0)[0]
        >>> row["tokens"].tolist(), row["segment_ids"].tolist(), row["positions"].tolist()
        ([7, 8, 0, 5, 6], [1, 1, 1, 2, 2], [0, 1, 2, 0, 1])
        >>> row["targets"].tolist(), row["loss_mask"].astype(int).tolist()
        ([8, 0, 0, 6, 0], [1, 1, 0, 1, 1])
    """

    def __init__(
        self,
        tokens: str | os.PathLike[str] | npt.NDArray[Any],
        length: int,
        *,
        stride: int | None = None,
        targets: bool = True,
        dtype: npt.DTypeLike | None = None,
        documents: int | str | os.PathLike[str] | npt.NDArray[Any] | None = None,
        drop_remainder: bool = True,
        pad: int = 0,
        phase: Literal["epoch"] | None = None,
    ) -> None:
        self._size = check_int("length", length, 1)
        self._stride = self._size if stride is None else check_int("stride", stride, 1)
        self._targets = check_bool("targets", targets)
        self._drops = check_bool("drop_remainder", drop_remainder)
        if phase not in (None, "epoch"):
            raise ValueError(f"phase must be 'epoch', for another start in each epoch, or None, got {phase!r}")
        self._moves = phase is not None
        self._name, self._tokens = tokens_of(tokens, dtype)
        self._pad = check_pad(pad, self._tokens.dtype)
        self._documents = None if documents is None else documents_of(documents, self._tokens)
        # Windows that move must fit wherever they start.
        spare = self._stride - 1 if self._moves else 0
        extra = int(self._targets)
        self._length, self._phase = (
            count_windows(self._name, len(self._tokens), spare, self._size, self._stride, extra, self._drops),
            0,
        )
        self._make_views()

    def _make_views(self) -> None:
        """Makes the views of the tokens that gathers read from. To make one takes longer than to gather from it."""
        tokens, size, stride = self._tokens.view(np.ndarray)[self._phase :], self._size, self._stride
        native, entries = tokens.dtype.newbyteorder("="), 1 + self._targets
        # Windows that are full: all, or all but the last one.
        self._full = max(0, min(self._length, (len(tokens) - self._window) // stride + 1))
        self._windows = [Windows(tokens[start:], size, stride, self._full) for start in range(entries)]
        rest = tokens[self._full * stride :]
        self._tail = [padded(rest[start:], size, self._pad) for start in range(entries)]
        self._dtypes: dict[str, np.dtype[Any]] = dict.fromkeys(("tokens", "targets")[:entries], native)
        if self._documents is not None:
            self._dtypes |= dict.fromkeys(("segment_ids", "positions"), np.dtype(np.int32))
        if self._targets if self._documents is not None else not self._drops:
            self._dtypes["loss_mask"] = np.dtype(np.bool_)
        self._plain = self._documents is None and self._drops
        # What gathers of tokens and targets alone call, which may take no longer than the copy itself.
        quick = self._plain and all(window.takes for window in self._windows) and is_native(tokens.dtype)
        takes = [window.view.take for window in self._windows] if quick else ()
        self._quick = [(name, take, native) for name, take in zip(self._dtypes, takes, strict=False)]
        sample = {name: np.empty((1, size), dtype) for name, dtype in self._dtypes.items()}
        # Rows of another byte order, or of an array with gaps, cannot be copied as they are.
        copied = not self._plain or (is_native(tokens.dtype) and tokens.flags.c_contiguous)
        self._known_layout = layout_of(sample) if copied else None

    @property
    def _window(self) -> int:
        return self._size + self._targets

    def __len__(self) -> int:
        return self._length

    def read(self, row: int) -> dict[str, npt.NDArray[Any]]:
        """The window at `row`; tokens and targets are read-only views of the file, if nothing is added to them."""
        if not self._plain:
            return {name: values[0] for name, values in self._take(range(row, row + 1), aligned_empty).items()}
        start = row * self._stride + self._phase
        window = self._tokens[start : start + self._window].view(np.ndarray)
        window = window.astype(window.dtype.newbyteorder("="), copy=False)
        window.flags.writeable = False
        return {"tokens": window[: self._size], "targets": window[1:]} if self._targets else {"tokens": window}

    @property
    def rowwise(self) -> bool:
        """True: a window is copied."""
        return True

    @property
    def gather(self) -> Gather:
        """Copies all windows in one call."""
        return self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> dict[str, npt.NDArray[Any]]:
        if self._quick and not isinstance(rows, range):
            # With mode="raise", `take` goes through a temporary array whenever it has an `out`.
            shape = len(rows), self._size
            return {name: take(rows, 0, alloc(shape, dtype), "clip") for name, take, dtype in self._quick}
        return self._take_as(rows, alloc, self._dtypes)

    def _takes_casts(self) -> bool:
        """True: a window may be cast as it is copied."""
        return True

    def _take_as(self, rows: Wanted, alloc: Alloc, dtypes: dict[str, np.dtype[Any]]) -> dict[str, npt.NDArray[Any]]:
        batch = {name: alloc((len(rows), self._size), dtype) for name, dtype in dtypes.items()}
        last = self._find_last(rows)
        whole = rows if last is None else np.minimum(as_array(rows), self._full - 1)
        for window, tail, out in zip(self._windows, self._tail, batch.values(), strict=False):
            if self._full:
                window.copy(whole, out)
            if last is not None:
                out[last] = tail
        if not self._plain:
            self._annotate(rows, batch, last)
        return batch

    def _find_last(self, rows: Wanted) -> Rows | None:
        """Where in a batch the row is that does not fill a window; None if it is not in the batch."""
        if self._full == self._length:
            return None
        places = (as_array(rows) == self._full).nonzero()[0]
        return places if len(places) else None

    def _annotate(self, rows: Wanted, batch: dict[str, npt.NDArray[Any]], last: Rows | None) -> None:
        """Fills the entries of a batch beside its tokens and targets, and marks the padding."""
        if self._documents is None:
            batch["loss_mask"][...] = True
        else:
            annotate(self._documents, as_array(rows) * self._stride + self._phase, batch, self._pad)
        if last is not None:
            there = len(self._tokens) - self._phase - self._full * self._stride
            for name in ("segment_ids", "positions", "loss_mask"):
                if name in batch:
                    batch[name][last, there - (name == "loss_mask" and self._targets) :] = 0

    def _batch_layout(self) -> Layout | None:
        """The entries, each of shape `(length,)`; None for tokens alone that have another byte order."""
        return self._known_layout

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        wanted: Rows | slice
        if self._plain:
            own = [window.records for window in self._windows]
            wanted = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        else:
            assert self._known_layout is not None, "rows that are made for a batch have a layout"
            own, wanted = self._known_layout.records(list(self._take(rows, aligned_empty).values())), slice(None)
        for values, out in zip(own, records, strict=True):
            out[places] = values[wanted]

    def at_epoch(self, epoch: int, /) -> BaseDataset[dict[str, npt.NDArray[Any]]]:
        """The windows as they start in `epoch`; the dataset itself if they start at the same tokens in all epochs."""
        epoch = check_int("epoch", epoch, 0)
        if not self._moves:
            return self
        moved = copy.copy(self)
        moved.in_epoch = epoch
        moved._phase = derive_keys("windows", 0, epoch, 1)[0] % self._stride if epoch else 0  # noqa: SLF001 (a copy of self)
        moved._make_views()  # noqa: SLF001
        return moved

    def _order_changes(self) -> bool:
        return self._moves

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The file, or what else the tokens come from."""
        return [self._name] * len(rows)

    def trace(self, rows: Rows, epoch: int) -> Sequence[Traced]:
        """The windows, each with its first token and its length."""
        starts = self._phase + rows * self._stride
        lengths = np.minimum(self._size, len(self._tokens) - starts)
        return [Traced(np.arange(len(rows)), rows, (), epoch, starts, lengths, self.names_of, len(self), windows=True)]

    def fingerprint(self) -> dict[str, Any]:
        """The settings of the windows, those of documents if given, the number of tokens, and a hash of 64 of them."""
        return self._facts(len(self), len(self._tokens))

    def prefix_fingerprint(self, rows: int) -> dict[str, Any] | None:
        """The same of the tokens that these rows have; None for documents, windows that move, or a padded one."""
        tokens = (rows - 1) * self._stride + self._size + self._targets if rows else 0
        return self._facts(rows, tokens) if self._drops and not self._moves and self._documents is None else None

    def _facts(self, rows: int, tokens: int) -> dict[str, Any]:
        places = np.linspace(0, tokens - 1, 64 if tokens else 0).astype(np.int64)
        return {
            "rows": rows,
            "length": self._size,
            "stride": self._stride,
            "targets": self._targets,
            "tokens": tokens,
            "content": digest(self._tokens[places].astype(np.int64).tobytes()),
            **self._options(),
        }

    def _options(self) -> dict[str, Any]:
        """What is set of the options that change the rows."""
        given: dict[str, Any] = {"phase": "epoch"} if self._moves else {}
        if not self._drops:
            given["drop_remainder"] = False
        if self._documents is not None:
            given["documents"] = self._documents.fingerprint()
        if not self._plain:
            given["pad"] = self._pad
        return given

    def _own_contents(self) -> dict[str, Any]:
        """The dtype of the tokens."""
        return {"tokens": str(self._tokens.dtype.newbyteorder("="))}

    def describe(self) -> str:
        """The number and length of the windows, and where they come from."""
        return (
            f"TokenDataset({len(self)} rows: {self._size} {self._tokens.dtype} tokens each, every {self._stride}, "
            f"of {self._name}{'' if self._documents is None else f', {self._documents}'}"
            f"{', another start in each epoch' if self._moves else ''})"
        )

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self) | {"_tokens": memory_map.reference(self._tokens)}
        return {name: value for name, value in state.items() if name not in MADE}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._tokens = memory_map.opened(state["_tokens"])
        self._make_views()
