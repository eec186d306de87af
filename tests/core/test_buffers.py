from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import aligned_empty, gather_array


@given(
    st.lists(st.integers(0, 7), max_size=3).map(tuple),
    st.sampled_from(["u1", "f2", "i4", "f8", "c16", "M8[s]", "U5", "?"]),
)
def test_memory_is_aligned_contiguous_and_writable(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned_empty(shape, np.dtype(dtype))
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert not array.size or array.ctypes.data % 64 == 0
    array[...] = np.zeros((), dtype)
    assert not array.any()


def test_objects_get_memory_too() -> None:
    array = aligned_empty((2,), np.dtype(object))
    array[:] = ["a", None]
    assert array.tolist() == ["a", None]


@pytest.mark.parametrize("dtype", ["u1", "f4", "M8[us]", "U3", object])
def test_gather_takes_rows(dtype: Any) -> None:
    array = np.arange(24).reshape(6, 4).astype(dtype)
    rows = np.array([5, 0, 0, 3])
    got = gather_array(array, rows, aligned_empty)
    assert got.dtype == array.dtype
    assert got.tolist() == array[rows].tolist()


@pytest.mark.parametrize("row", [-1, 6, 10**12])
def test_gather_refuses_rows_outside(row: int) -> None:
    with pytest.raises(IndexError, match=f"row {row} is out of range for 6 rows"):
        gather_array(np.arange(6), np.array([0, row]), aligned_empty)


def test_gather_refuses_rows_that_are_no_integers() -> None:
    with pytest.raises(TypeError, match="rows must be integers, got dtype float64"):
        gather_array(np.arange(6), np.array([0.0]), aligned_empty)


def test_gathering_no_rows_gives_an_empty_batch() -> None:
    assert gather_array(np.ones((3, 2)), np.array([], np.int64), aligned_empty).shape == (0, 2)
