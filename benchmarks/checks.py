"""Checks the batches of a loader. A loader is timed only if its batches are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sources import Documents
from .works import Work


class WrongBatchError(Exception):
    """A loader returned batches that differ from what the work asks for."""


def check_batches(work: Work, data: Any, batches: list[Any]) -> None:
    """Checks that consecutive batches, all of them still held, have the right shapes, dtypes and values.

    Args:
        work: The work.
        data: Its data.
        batches: The first batches of an epoch, fewer than an epoch has.

    Raises:
        WrongBatchError: If a batch is wrong; the message says how.
    """
    rows = [_CHECKS[work.kind](work, data, as_numpy(batch)) for batch in batches]
    numbers = np.concatenate(rows)
    length = data if isinstance(data, int) else len(next(iter(data.values()))) if isinstance(data, dict) else len(data)
    if numbers.min() < 0 or numbers.max() >= length:
        raise WrongBatchError(f"rows {numbers.min()} to {numbers.max()} of {length}")
    if len(np.unique(numbers)) < len(numbers):
        raise WrongBatchError("a row came twice in an epoch")
    if work.kind != "items" and len(numbers) > 2 and (np.diff(numbers) == 1).mean() > 0.5:
        raise WrongBatchError("the rows are not shuffled")


def as_numpy(batch: Any) -> Any:
    """A batch as a dict of NumPy arrays, or as one array, from the containers and arrays of any library."""
    if isinstance(batch, dict):
        return {key: np.asarray(value) for key, value in batch.items()}
    if isinstance(batch, list) and isinstance(batch[0], dict):
        return {key: np.stack([item[key] for item in batch]) for key in batch[0]}
    return np.asarray(batch)


def _expect(what: str, array: np.ndarray, shape: tuple[int, ...], dtype: Any) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise WrongBatchError(f"{what} is {array.dtype} {array.shape} instead of {np.dtype(dtype)} {shape}")


def _equal(what: str, array: np.ndarray, expected: np.ndarray) -> None:
    if not np.array_equal(array, expected):
        raise WrongBatchError(f"{what} does not hold the values of its rows")


def _arrays(work: Work, data: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> np.ndarray:
    if batch.keys() != data.keys():
        raise WrongBatchError(f"the batch has {sorted(batch)} instead of {sorted(data)}")
    for key, source in data.items():
        _expect(key, batch[key], (work.batch, *source.shape[1:]), source.dtype)
    image = batch["image"]
    if "label" in batch:
        rows = batch["label"].astype(np.int64)
    else:
        first = np.ascontiguousarray(image.reshape(len(image), -1)[:, : 4 // image.itemsize])
        rows = first.view(np.float32 if image.dtype == np.float32 else np.uint32).ravel().astype(np.int64)
    if rows.max() < len(data["image"]):
        _equal("image", image, data["image"][rows])
    return rows


def _tokens(work: Work, data: np.ndarray, batch: np.ndarray) -> np.ndarray:
    _expect("the batch", batch, (work.batch, data.shape[1]), np.int32)
    rows = np.ascontiguousarray(batch[:, :2].astype(np.uint16)).view(np.uint32).ravel().astype(np.int64)
    if rows.max() < len(data):
        _equal("the batch", batch, data[rows].astype(np.int32))
    return rows


def _documents(work: Work, data: Documents, batch: dict[str, np.ndarray]) -> np.ndarray:
    """The pieces in the batch. Whether the last token of a piece that goes on elsewhere has a target is left open."""
    dtypes = {"segment_ids": np.int32, "positions": np.int32, "loss_mask": np.bool_}
    dtypes = {"tokens": data.values.dtype, "targets": data.values.dtype, **dtypes}
    if batch.keys() != dtypes.keys():
        raise WrongBatchError(f"the batch has {sorted(batch)} instead of {sorted(dtypes)}")
    shape = work.batch, data.size
    for key, dtype in dtypes.items():
        _expect(key, batch[key], shape, dtype)
    tokens, expected = batch["tokens"], {key: np.zeros(shape, dtype) for key, dtype in dtypes.items()}
    rows, places = np.nonzero((batch["positions"] == 0) & (batch["segment_ids"] > 0))
    numbers = np.stack([tokens[rows, places], tokens[rows, np.minimum(places + 1, data.size - 1)]], axis=-1)
    pieces = numbers.view(np.uint32).ravel().astype(np.int64)
    if not len(pieces):
        raise WrongBatchError("the batch has no document")
    if pieces.max() >= len(data):
        return pieces
    goes_on = data.offsets[np.searchsorted(data.offsets, data.stops[pieces])] != data.stops[pieces]
    goes_on &= batch["loss_mask"][rows, np.minimum(places + data.stops[pieces] - data.starts[pieces], data.size) - 1]
    for row, place, piece, more in zip(*(found.tolist() for found in (rows, places, pieces, goes_on)), strict=True):
        start, stop = data.starts[piece], data.stops[piece]
        end = place + stop - start
        if end > data.size:
            raise WrongBatchError(f"row {row} has no room for the {stop - start} tokens of piece {piece}")
        expected["tokens"][row, place:end] = data.values[start:stop]
        expected["targets"][row, place : end - 1 + more] = data.values[start + 1 : stop + more]
        expected["loss_mask"][row, place : end - 1 + more] = True
        expected["positions"][row, place:end] = np.arange(end - place)
        expected["segment_ids"][row, place:end] = expected["segment_ids"][row].max() + 1
    for key, array in expected.items():
        _equal(key, batch[key], array)
    return pieces


def _items(work: Work, data: Any, batch: Any) -> np.ndarray:
    if isinstance(batch, dict):
        _expect("label", batch["label"], (work.batch,), np.int32)
        _expect("image", batch["image"], (work.batch, 224, 224, 3), np.uint8)
        rows = batch["label"].astype(np.int64)
        _equal("image", batch["image"], np.stack([data[row]["image"] for row in rows.tolist()]))
        return rows
    rows = batch.astype(np.int64) if batch.ndim == 1 else batch[:, 0].astype(np.int64)
    expected = np.stack([data[row] for row in rows.tolist()])
    _expect("the batch", batch, expected.shape, expected.dtype)
    _equal("the batch", batch, expected)
    return rows


def _numbers(work: Work, _data: int, batch: np.ndarray) -> np.ndarray:
    if batch.shape != (work.batch,) or batch.dtype.kind != "i":
        raise WrongBatchError(f"the batch is {batch.dtype} {batch.shape} instead of integers ({work.batch},)")
    return batch.astype(np.int64)


_CHECKS: dict[str, Any] = {
    "arrays": _arrays,
    "tokens": _tokens,
    "documents": _documents,
    "items": _items,
    "numbers": _numbers,
    "device": _arrays,
}
