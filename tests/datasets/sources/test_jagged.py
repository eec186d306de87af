"""Documents in flat arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, StackError, testing
from loadax_datasets import JaggedDataset

LENGTHS = [3, 0, 1, 5, 0, 2, 0]
OFFSETS = np.cumsum([0, *LENGTHS])
VALUES = np.arange(11, dtype=np.uint16)
DOCUMENTS = np.split(VALUES, OFFSETS[1:-1])


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i8", "<f4"])
def test_documents_in_memory(check_dataset: Any, dtype: str) -> None:
    documents = JaggedDataset.from_arrays(VALUES.astype(dtype), OFFSETS)
    native = np.dtype(dtype).newbyteorder("=")
    check_dataset(documents, [part.astype(native) for part in DOCUMENTS], gathers=False)
    testing.check_dataset(documents)
    assert documents.lengths.tolist() == LENGTHS
    assert documents.lengths.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        documents[0][0] = 1


def test_trees_of_leaves_that_are_equally_long(check_dataset: Any) -> None:
    mask = VALUES % 2 == 0
    documents = JaggedDataset.from_arrays({"ids": VALUES, "more": [mask]}, OFFSETS.astype(np.int32))
    expected = [
        {"ids": ids, "more": [part]} for ids, part in zip(DOCUMENTS, np.split(mask, OFFSETS[1:-1]), strict=True)
    ]
    check_dataset(documents, expected, gathers=False)


def test_mapped_files_are_pickled_as_their_paths(tmp_path: Path, check_dataset: Any) -> None:
    np.save(tmp_path / "values.npy", VALUES)
    np.save(tmp_path / "offsets.npy", OFFSETS.astype(np.uint64))
    values, offsets = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("values", "offsets"))
    documents = JaggedDataset.from_arrays(values, offsets)
    check_dataset(documents, DOCUMENTS, gathers=False)
    state = documents.__getstate__()
    assert "MappedArray" in repr(state["_values"])
    assert "MappedArray" in repr(state["_offsets"])


def test_documents_do_not_stack() -> None:
    with pytest.raises(StackError, match="item 0 is row 0"):
        next(iter(DataLoader().batch_size(2).build(JaggedDataset.from_arrays(VALUES, OFFSETS))))


def test_the_fingerprint_is_that_of_the_offsets() -> None:
    one = JaggedDataset.from_arrays(VALUES, OFFSETS).fingerprint()
    assert JaggedDataset.from_arrays(VALUES + 1, OFFSETS.astype(">u4")).fingerprint() == one
    for others in ([0, 2, 3, 4, 9, 9, 11, 11], [0, 3, 3, 4, 9, 9, 11]):
        assert JaggedDataset.from_arrays(VALUES, others).fingerprint() != one


def test_no_documents() -> None:
    nothing = JaggedDataset.from_arrays(VALUES[:0], [0])
    assert len(nothing) == 0
    assert nothing.lengths.tolist() == []
    assert list(nothing) == []


@pytest.mark.parametrize(
    ("values", "offsets", "error"),
    [
        (VALUES, [0.0, 11.0], "offsets must hold integers, but has the dtype float64; cast it"),
        (VALUES, [[0, 11]], r"offsets must have one dimension, but has the shape \(1, 2\); flatten it"),
        (VALUES, np.empty(0, np.int64), "offsets must begin with 0, where the first document begins, but is empty"),
        (VALUES, [1, 11], "offsets must begin with 0, where the first document begins, but begins with 1"),
        (VALUES, [0, 5, 4, 11], "offsets must not decrease, but 4 follows 5 at index 2; give"),
        (VALUES, [0, -1, 11], "offsets must not decrease, but -1 follows 0 at index 1; give"),
        (VALUES, [0, 12], "values has 11 values, but the last offset is 12"),
        ({"a": VALUES, "b": VALUES[1:]}, OFFSETS, r"values\['b'\] has 10 values, but the last offset is 11"),
        (VALUES.reshape(1, -1), OFFSETS, r"values must have the shape \(values,\), got \(1, 11\); flatten it"),
        ({"a": [1, 2]}, [0, 2], r"values\['a'\]\[0\] must be a NumPy array of shape \(values,\), got a int"),
        (np.ma.masked_array(VALUES), OFFSETS, "values is a masked array"),
        (VALUES, np.ma.masked_array(OFFSETS), "offsets is a masked array"),
        ({}, [0], "at least one array of values, got an empty tree"),
    ],
)
def test_values_and_offsets_that_do_not_fit(values: Any, offsets: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        JaggedDataset.from_arrays(values, offsets)
