"""Makes the data of the works. Each row contains its number, so that any batch of any loader can be checked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def labelled(rows: int, width: int) -> Arrays:
    """`image` of shape `(rows, width)`, float32, and `label` of shape `(rows,)`: the row number, int32."""
    image = np.random.default_rng(0).random((rows, width), np.float32)
    return {"image": image, "label": np.arange(rows, dtype=np.int32)}


def numbered(rows: int, *shape: int, dtype: str = "uint8") -> Arrays:
    """`image` of shape `(rows, *shape)`; the first four bytes of each row are its number."""
    itemsize = np.dtype(dtype).itemsize
    # One random block, repeated. The values do not matter, and drawing 1 GB of them would take seconds.
    block = np.frombuffer(np.random.default_rng(0).bytes(int(np.prod(shape)) * itemsize), np.uint8)
    if dtype == "float32":
        block = (block.reshape(-1, 4)[:, :1].astype(np.float32) / 255).view(np.uint8).ravel()
    image = np.empty((rows, len(block)), np.uint8)
    image[...] = block
    image[:, :4] = np.arange(rows, dtype=np.float32 if dtype == "float32" else np.uint32).view(np.uint8).reshape(-1, 4)
    return {"image": image.view(dtype).reshape(rows, *shape)}


def tokens(count: int, window: int, folder: Path) -> np.ndarray:
    """Windows of a memory-mapped file of `count` tokens, of shape `(rows, window)`, uint16.

    The first two tokens of each window are its number. The file is kept in `folder` for the next run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = count // window
    path = folder / f"tokens-{count}-{window}.bin"
    if not path.exists():
        data = np.random.default_rng(0).integers(0, 50_000, (rows, window), np.uint16)
        data[:, :2] = np.arange(rows, dtype=np.uint32).view(np.uint16).reshape(-1, 2)
        # Written under another name and renamed, so that an interrupted run leaves no partial file.
        partial = path.with_suffix(f".{os.getpid()}")
        data.tofile(partial)
        partial.rename(path)
    mapped = np.memmap(path, np.uint16, "r", shape=(rows, window))
    int(mapped.sum())  # from here on, the file is in the page cache for all loaders
    return mapped


@dataclass(frozen=True)
class Documents:
    """Documents of different lengths, one after the other in one array, and their pieces.

    A document that is longer than a row of `size` tokens has several pieces: all but the last one fill a row. Others
    are one piece each.

    Attributes:
        values: The tokens of all documents, uint16. The first two of each piece are its number.
        offsets: Where each document begins, and the last one ends.
        size: The length of a row.
        starts: Where each piece begins.
        stops: Where each piece ends.
    """

    values: np.ndarray
    offsets: np.ndarray
    size: int
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)


def lengths_of_documents(count: int) -> np.ndarray:
    """Lengths like those of web text, of shape `(count,)`: log-normal, 400 in the median and 830 on average."""
    return (np.exp(np.random.default_rng(0).normal(6, 1.2, count)) + 1).astype(np.int64)


def documents(count: int, size: int) -> Documents:
    """Documents of `lengths_of_documents` tokens, to be packed into rows of `size` tokens."""
    lengths = lengths_of_documents(count)
    lengths += lengths % size == 1  # no piece is too short for its number
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    pieces = -(-lengths // size)
    before = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(offsets[:-1], pieces) + size * before
    stops = np.minimum(starts + size, np.repeat(offsets[1:], pieces))
    values = np.random.default_rng(0).integers(0, 50_000, offsets[-1], np.uint16)
    number = np.arange(len(starts), dtype=np.uint32).view(np.uint16).reshape(-1, 2)
    values[starts], values[starts + 1] = number.T
    return Documents(values, offsets, size, starts, stops)


class Sleeper:
    """Items that wait for 2 ms without CPU time, like a read from a disk or a network."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> np.int64:
        if not 0 <= row < self._rows:
            raise IndexError(row)
        time.sleep(0.002)
        return np.int64(row)


class Decoder:
    """JPEGs of 256 x 256 pixels in memory, decoded and resized to 224 x 224. Both steps release the GIL."""

    DISTINCT = 512

    def __init__(self, rows: int) -> None:
        import cv2  # noqa: PLC0415 - only this work needs it
        import simplejpeg  # noqa: PLC0415

        # A thread pool inside each call would compete with the threads of the loader.
        cv2.setNumThreads(0)
        self._rows = rows
        self._decode, self._resize = simplejpeg.decode_jpeg, cv2.resize
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:256, :256]
        self._jpegs: list[bytes] = []
        for _ in range(min(rows, self.DISTINCT)):
            waves = [128 + 100 * np.sin(a * x + b * y + c) for a, b, c in rng.uniform(0, 0.1, (3, 3))]
            image = np.stack(waves, -1) + rng.normal(0, 8, (256, 256, 3))
            self._jpegs.append(simplejpeg.encode_jpeg(image.clip(0, 255).astype(np.uint8), quality=90))

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> dict[str, Any]:
        if not 0 <= row < self._rows:
            raise IndexError(row)
        image = self._decode(self._jpegs[row % len(self._jpegs)])
        return {"image": self._resize(image, (224, 224)), "label": np.int32(row)}


class Tokeniser:
    """Texts, converted to numbers by a loop in Python, which takes about 200 us and holds the GIL."""

    LENGTH = 512

    def __init__(self, rows: int) -> None:
        letters = np.frombuffer(b"etaoinshrdlu     ", np.uint8)
        text = np.random.default_rng(0).choice(letters, 4_000).tobytes().decode()
        self._rows = rows
        self._text = text + text

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> np.ndarray:
        if not 0 <= row < self._rows:
            raise IndexError(row)
        start = row % 3_000
        ids: list[int] = [row]
        word = 0
        for letter in self._text[start : start + 3_000]:
            if letter == " ":
                if word:
                    ids.append(word % 50_021)
                word = 0
            else:
                word = (word * 31 + ord(letter)) & 0xFFFFFFFF
        ids += [0] * self.LENGTH
        return np.array(ids[: self.LENGTH], np.int32)
