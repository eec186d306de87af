"""Columns of lists of lists, such as boxes, of which rows may have none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, PadBatcher
from loadax_core.testing import check_same
from loadax_datasets import HuggingFaceDataset, ParquetDataset, PolarsDataset

ROWS: list[list[list[float]]] = [[[1, 2], [3, 4]], [], [[5, 6]], [], []]


def parquet(folder: Path, rows: Any, depth: int) -> Any:
    pa: Any = pytest.importorskip("pyarrow")
    pq: Any = pytest.importorskip("pyarrow.parquet")
    dtype = pa.float32()
    for _ in range(depth):
        dtype = pa.list_(dtype)
    pq.write_table(pa.table({"boxes": pa.array(rows, dtype)}), folder / "boxes.parquet")
    return ParquetDataset(folder / "boxes.parquet")


def polars(folder: Path, rows: Any, depth: int) -> Any:
    pl: Any = pytest.importorskip("polars")
    dtype = pl.Float32
    for _ in range(depth):
        dtype = pl.List(dtype)
    return PolarsDataset(pl.DataFrame({"boxes": rows}, schema={"boxes": dtype}))


def hugging_face(folder: Path, rows: Any, depth: int) -> Any:
    hf: Any = pytest.importorskip("datasets")
    feature = hf.Value("float32")
    for _ in range(depth):
        feature = hf.Sequence(feature)
    return HuggingFaceDataset(hf.Dataset.from_dict({"boxes": rows}, features=hf.Features({"boxes": feature})))


MAKE = [parquet, polars, hugging_face]


@pytest.mark.parametrize("make", MAKE)
def test_batches_of_rows_of_which_some_or_all_have_no_element(make: Callable[..., Any], tmp_path: Path) -> None:
    dataset = make(tmp_path, ROWS, 2)
    assert [len(row["boxes"]) for row in dataset] == [2, 0, 1, 0, 0]
    batches = list(DataLoader(PadBatcher()).batch_size(2).workers(2).build(dataset))
    expected = [
        (np.array([[[1, 2], [3, 4]], [[0, 0], [0, 0]]], np.float32), np.array([2, 0], np.int32)),
        (np.array([[[5, 6]], [[0, 0]]], np.float32), np.array([1, 0], np.int32)),
        (np.zeros((1, 0, 0), np.float32), np.array([0], np.int32)),
    ]
    check_same([(batch["boxes"], batch["boxes_lengths"]) for batch in batches], expected)


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_an_empty_row_has_the_dtype_and_the_dimensions_of_the_column(
    make: Callable[..., Any], depth: int, tmp_path: Path
) -> None:
    (row,) = make(tmp_path, [[]], depth)
    check_same(row["boxes"], np.zeros((0,) * depth, np.float32))
