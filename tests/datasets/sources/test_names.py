"""Sources that have names say them: the files that rows are in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loadax_datasets import BaseDataset, ImageFolderDataset, ParquetDataset

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")
Image: Any = pytest.importorskip("PIL.Image")


def images(folder: Path) -> BaseDataset[Any]:

    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2)).save(folder / name)
    return ImageFolderDataset(folder)


def parquet(folder: Path) -> BaseDataset[Any]:

    for name, rows in (("x", 2), ("y", 1)):
        pq.write_table(pa.table({"v": list(range(rows))}), folder / f"{name}.parquet")
    return ParquetDataset(folder)


@pytest.mark.parametrize(
    ("make", "names"), [(images, ["a/1.png", "a/2.png", "b/3.png"]), (parquet, ["x.parquet"] * 2 + ["y.parquet"])]
)
def test_files_are_named(make: Callable[[Path], BaseDataset[Any]], names: list[str], tmp_path: Path) -> None:
    rows = make(tmp_path)
    shuffled = rows.shuffle(seed=1)
    for row in range(3):
        (origin,) = shuffled.origins(row)
        assert origin.name == names[origin.row] or origin.name == str(tmp_path / names[origin.row])
