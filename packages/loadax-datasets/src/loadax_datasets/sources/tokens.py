"""Windows of one long sequence of tokens, to train language models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Alloc, Gather, Rows

from ..base import BaseDataset
from ..checks import check_bool, check_int
from ..files import memory_map
from ..files.fingerprints import digest
from ..files.folders import shown
from ..layout import Layout, layout_of
from ..rows import Wanted
from .arrays import take_leaf

MAGIC = b"\x93NUMPY"
"""The first bytes of every file in NumPy's `.npy` format."""


class TokenDataset(BaseDataset[dict[str, npt.NDArray[Any]]]):
    """Windows of equal length, cut from a flat file of token numbers.

    Row `i` is `{"tokens": t[s : s + length], "targets": t[s + 1 : s + 1 + length]}` with `s = i * stride`, both of
    shape `(length,)` and of the file's dtype. Tokens at the end that do not fill a window are left out.

    The file is memory-mapped: it may be larger than memory, and worker processes map it themselves. It must not change
    afterwards. Worker processes refuse a file of another size or modification time, so copies for other machines
    should keep that time.

    Args:
        tokens: A file in NumPy's `.npy` format, whatever its name, of shape `(tokens,)`; a file of nothing but the
            numbers; or an array.
        length: Tokens in a window.
        stride: Tokens from the start of a window to that of the next; left out, `length`, so that no token is an input
            twice.
        targets: Whether rows have `"targets"`, the tokens that follow.
        dtype: Integer dtype of a file of nothing but the numbers, which does not say it itself; for no other file.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `tokens` is neither a path nor an array, or does not hold integers, or if `targets` is not a bool.
        ValueError: If a setting is out of range, the tokens have more than one dimension or are masked, there are too
            few for one window, or the file was cut short.

    Example:
        >>> rows = TokenDataset(np.arange(10, dtype=np.uint16), length=4)
        >>> len(rows), rows[1]["tokens"].tolist(), rows[1]["targets"].tolist()
        (2, [4, 5, 6, 7], [5, 6, 7, 8])
    """

    def __init__(
        self,
        tokens: str | os.PathLike[str] | npt.NDArray[Any],
        length: int,
        *,
        stride: int | None = None,
        targets: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        self._size = check_int("length", length, 1)
        self._stride = self._size if stride is None else check_int("stride", stride, 1)
        self._targets = check_bool("targets", targets)
        if isinstance(tokens, str | os.PathLike):
            path = Path(tokens).absolute()
            self._name, self._tokens = shown(Path(path.name)), _open(path, None if dtype is None else np.dtype(dtype))
        elif isinstance(tokens, np.ma.MaskedArray):
            raise ValueError("tokens is a masked array, whose mask a batch would lose; fill it with .filled(value)")
        elif isinstance(cast("object", tokens), np.ndarray):
            if dtype is not None:
                raise ValueError(f"dtype={dtype!r} is for files; the array has the dtype {tokens.dtype}")
            self._name, self._tokens = "an array", tokens
        else:
            raise TypeError(f"tokens is a path or a NumPy array, got a {type(tokens).__name__}")
        if self._tokens.ndim != 1:
            raise ValueError(f"{self._name} must have the shape (tokens,), but has {self._tokens.shape}; flatten it")
        if self._tokens.dtype.kind not in "iu":
            raise TypeError(f"{self._name} must hold integers, but has the dtype {self._tokens.dtype}; cast it")
        spare = len(self._tokens) - self._window
        if spare < 0:
            raise ValueError(
                f"{self._name} has {len(self._tokens)} tokens, fewer than the {self._window} of one window"
                f"{' and its last target' if targets else ''}; choose a smaller length"
            )
        self._length = spare // self._stride + 1
        self._make_views()

    def _make_views(self) -> None:
        """Makes the views of the tokens that gathers read from. To make one takes longer than to gather from it."""
        tokens, rows, size = self._tokens.view(np.ndarray), self._length, self._size
        if self._stride == size:
            # Windows side by side are the rows of a contiguous array, and so are their targets, one token on.
            end = rows * size
            self._views = [tokens[start : start + end].reshape(rows, size) for start in range(1 + self._targets)]
        else:
            self._views = [np.lib.stride_tricks.sliding_window_view(tokens, self._window)[:: self._stride]]
        names = ["tokens", "targets"] if self._targets else ["tokens"]
        self._known_layout = layout_of({name: np.empty((1, size), tokens.dtype) for name in names})
        # Of windows that are not side by side, too, each is a run of tokens.
        windows = list(self._split(self._views[0]).values()) if len(self._views) < len(names) else self._views
        self._records = [] if self._known_layout is None else self._known_layout.records(windows)

    @property
    def _window(self) -> int:
        return self._size + (1 if self._targets else 0)

    def __len__(self) -> int:
        return self._length

    def read(self, row: int) -> dict[str, npt.NDArray[Any]]:
        """The window at `row`, as read-only views of the file."""
        start = row * self._stride
        window = self._tokens[start : start + self._window].view(np.ndarray)
        window = window.astype(window.dtype.newbyteorder("="), copy=False)
        window.flags.writeable = False
        return self._split(window)

    @property
    def rowwise(self) -> bool:
        """True: a window is copied."""
        return True

    @property
    def gather(self) -> Gather:
        """Copies all windows in one call."""
        return self._gather

    def _take(self, rows: Wanted, alloc: Alloc) -> dict[str, npt.NDArray[Any]]:
        if self._stride == self._size:
            batch = {"tokens": take_leaf(self._views[0], rows, alloc)}
            if self._targets:
                batch["targets"] = take_leaf(self._views[1], rows, alloc)
            return batch
        layout = self._known_layout
        if layout is None:
            wanted = self._views[0][slice(rows.start, rows.stop) if isinstance(rows, range) else rows]
            return {name: _copied(values, alloc) for name, values in self._split(wanted).items()}
        outs = layout.empty(len(rows), alloc)
        self._write_rows(rows, layout.records(outs), slice(None))
        return layout.build(outs)

    def _batch_layout(self) -> Layout | None:
        """The tokens and the targets, each of shape `(length,)`; None if they have another byte order."""
        return self._known_layout

    def _write_rows(self, rows: Wanted, records: list[Any], places: Rows | slice) -> None:
        wanted = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        for own, out in zip(self._records, records, strict=True):
            out[places] = own[wanted]

    def _split(self, windows: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """Tokens and targets, of windows of shape `(..., window)`."""
        if not self._targets:
            return {"tokens": windows}
        return {"tokens": windows[..., :-1], "targets": windows[..., 1:]}

    def fingerprint(self) -> dict[str, Any]:
        """The settings of the windows, the number of tokens, and a hash of 64 of them."""
        places = np.linspace(0, len(self._tokens) - 1, 64).astype(np.int64)
        return {
            "rows": len(self),
            "length": self._size,
            "stride": self._stride,
            "targets": self._targets,
            "tokens": len(self._tokens),
            "content": digest(self._tokens[places].astype(np.int64).tobytes()),
        }

    def _own_contents(self) -> dict[str, Any]:
        """The dtype of the tokens."""
        return {"tokens": str(self._tokens.dtype.newbyteorder("="))}

    def describe(self) -> str:
        """The number and length of the windows, and where they come from."""
        return (
            f"TokenDataset({len(self)} rows: {self._size} {self._tokens.dtype} tokens each, every {self._stride}, "
            f"of {self._name})"
        )

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self) | {"_tokens": memory_map.reference(self._tokens)}
        del state["_views"], state["_known_layout"], state["_records"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._tokens = memory_map.opened(state["_tokens"])
        self._make_views()


def _copied(values: npt.NDArray[Any], alloc: Alloc) -> npt.NDArray[Any]:
    """An array in memory from `alloc`, in the machine's byte order."""
    out = alloc(values.shape, values.dtype.newbyteorder("="))
    out[...] = values
    return out


def _open(path: Path, dtype: np.dtype[Any] | None) -> npt.NDArray[Any]:
    """Maps a file. Its first bytes tell whether it is in NumPy's format, as names may be wrong."""
    size, name = path.stat().st_size, shown(Path(path.name))
    if size == 0:
        raise ValueError(f"{shown(path)} is empty")
    with path.open("rb") as file:
        first = file.read(len(MAGIC))
    if first == MAGIC:
        if dtype is not None:
            raise ValueError(
                f"dtype={dtype} is for files that do not name their own, which {name} does: it is in NumPy's .npy "
                "format; leave dtype out"
            )
        try:
            return cast("npt.NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
        except (ValueError, EOFError) as error:
            raise ValueError(f"{shown(path)} is not a .npy file of numbers, or is cut short: {error}") from error
    if path.suffix.lower() == ".npz":
        raise ValueError(f"{name} is an archive of arrays, which cannot be mapped; save the tokens with np.save")
    if dtype is None:
        if path.suffix.lower() == ".npy":
            raise ValueError(
                f"{shown(path)} is not a .npy file of numbers, or is cut short; if it holds nothing but the numbers, "
                "give their dtype, such as dtype=np.uint16"
            )
        raise ValueError(f"{name} does not tell its dtype; give it, such as dtype=np.uint16")
    if dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype={dtype}; give the integer dtype it was written in")
    if size % dtype.itemsize:
        raise ValueError(f"{shown(path)} has {size} bytes, no multiple of the {dtype.itemsize} of {dtype}: cut short?")
    return np.memmap(path, dtype, "r")
