"""Files of tokens: the numbers one after the other, in NumPy's format or alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ..files.folders import shown

MAGIC = b"\x93NUMPY"
"""The first bytes of every file in NumPy's `.npy` format."""


def map_npy(path: Path) -> npt.NDArray[Any] | None:
    """Maps a file in NumPy's `.npy` format, read-only; None for a file in another format.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is empty or cut short, or does not hold numbers.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{shown(path)} is empty")
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
    try:
        return cast("npt.NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise ValueError(f"{shown(path)} is not a .npy file of numbers, or is cut short: {error}") from error


def tokens_of(
    tokens: str | os.PathLike[str] | npt.NDArray[Any], dtype: npt.DTypeLike | None
) -> tuple[str, npt.NDArray[Any]]:
    """The tokens of a file or an array, checked.

    Args:
        tokens: The file, or the array.
        dtype: The dtype of a file of nothing but the numbers; None for another file, and for an array.

    Returns:
        The name of the tokens in messages, and an array of integers of shape `(tokens,)`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `tokens` is neither a path nor an array, or does not hold integers.
        ValueError: If the tokens have more than one dimension or are masked, or `dtype` is given for an array; or as
            `open_tokens` does.
    """
    if isinstance(tokens, str | os.PathLike):
        path = Path(tokens).absolute()
        name, array = shown(Path(path.name)), open_tokens(path, None if dtype is None else np.dtype(dtype))
    elif isinstance(tokens, np.ma.MaskedArray):
        raise ValueError("tokens is a masked array, whose mask a batch would lose; fill it with .filled(value)")
    elif isinstance(cast("object", tokens), np.ndarray):
        if dtype is not None:
            raise ValueError(f"dtype={dtype!r} is for files; the array has the dtype {tokens.dtype}")
        name, array = "an array", tokens
    else:
        raise TypeError(f"tokens is a path or a NumPy array, got a {type(tokens).__name__}")
    if array.ndim != 1:
        raise ValueError(f"{name} must have the shape (tokens,), but has {array.shape}; flatten it")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, but has the dtype {array.dtype}; cast it")
    return name, array


def open_tokens(path: Path, dtype: np.dtype[Any] | None) -> npt.NDArray[Any]:
    """Maps a file of tokens. Its first bytes tell whether it is in NumPy's format, as names may be wrong.

    Args:
        path: The file.
        dtype: The dtype of a file of nothing but the numbers; None for a file in NumPy's format.

    Returns:
        The array in the file, read-only.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `dtype` is not one of integers.
        ValueError: If the file is empty or cut short, or `dtype` is missing, or given for a file that states its own.
    """
    mapped, name = map_npy(path), shown(Path(path.name))
    if mapped is not None:
        if dtype is not None:
            raise ValueError(
                f"dtype={dtype} is for files that do not name their own, which {name} does: it is in NumPy's .npy "
                "format; leave dtype out"
            )
        return mapped
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
    size = path.stat().st_size
    if size % dtype.itemsize:
        raise ValueError(f"{shown(path)} has {size} bytes, no multiple of the {dtype.itemsize} of {dtype}: cut short?")
    return np.memmap(path, dtype, "r")
