"""How long the lists in a column are."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_datasets import HuggingFaceDataset, ParquetDataset, PolarsDataset

pa: Any = pytest.importorskip("pyarrow")
pc: Any = pytest.importorskip("pyarrow.compute")
pq: Any = pytest.importorskip("pyarrow.parquet")
hf: Any = pytest.importorskip("datasets")
pl: Any = pytest.importorskip("polars")

ROWS = [[1, 2, 3], [], [4], [5, 6], [], [7, 8, 9, 10]]
LENGTHS = [3, 0, 1, 2, 0, 4]
# By name: an Arrow type, its values, and the lengths of the rows.
LISTS: dict[str, tuple[Any, list[Any], list[int]]] = {
    "list": (pa.list_(pa.int32()), ROWS, LENGTHS),
    "large": (pa.large_list(pa.uint16()), ROWS, LENGTHS),
    "fixed": (pa.list_(pa.int8(), 2), [[1, 2]] * 6, [2] * 6),
    "words": (pa.list_(pa.string()), [["a"] * n for n in LENGTHS], LENGTHS),
    "fixed words": (pa.list_(pa.string(), 3), [["a", "b", "c"]] * 6, [3] * 6),
    "lists": (pa.list_(pa.list_(pa.int32())), [[[1, 2], [3]], [], [[]], [[4], [], [5]], [], [[6]]], [2, 0, 1, 3, 0, 1]),
    "grids": (pa.list_(pa.list_(pa.int8(), 2), 3), [[[1, 2]] * 3] * 6, [3] * 6),
    "structs": (pa.list_(pa.struct({"x": pa.int8()})), [[{"x": 1}] * n for n in LENGTHS], LENGTHS),
    "nulls within": (pa.list_(pa.int32()), [[None] * n for n in LENGTHS], LENGTHS),
}
TABLE = pa.table({name: pa.array(values, dtype) for name, (dtype, values, _) in LISTS.items()})


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps progress bars out of the output, and the network out of the tests."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hf.disable_progress_bars()
    monkeypatch.setattr(pytest.importorskip("tqdm").tqdm, "monitor_interval", 0)
    logging.getLogger("datasets").setLevel(logging.ERROR)


def as_parquet(folder: Path, table: Any, **options: Any) -> ParquetDataset:
    """In groups of two rows."""
    pq.write_table(table, folder / "rows.parquet", row_group_size=2)
    return ParquetDataset(folder / "rows.parquet", **options)


def as_hugging_face(folder: Path, table: Any, **options: Any) -> HuggingFaceDataset:
    return HuggingFaceDataset(hf.Dataset(hf.table.InMemoryTable(table)), **options)


def as_mapped(folder: Path, table: Any, **options: Any) -> HuggingFaceDataset:
    """In a file, in batches of two rows."""
    with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return HuggingFaceDataset(hf.Dataset.from_file(str(folder / "rows.arrow")), **options)


def as_polars(folder: Path, table: Any, **options: Any) -> PolarsDataset:
    return PolarsDataset(pl.from_arrow(table), **options)


Make = Callable[..., Any]
ARROW = pytest.mark.parametrize("make", [as_parquet, as_hugging_face, as_mapped])
ALL = pytest.mark.parametrize("make", [as_parquet, as_hugging_face, as_mapped, as_polars])


@ALL
@pytest.mark.parametrize("name", LISTS)
def test_all_kinds_of_lists(make: Make, tmp_path: Path, name: str) -> None:
    if make is as_polars and name == "nulls within":
        pytest.skip("Polars has no such rows")
    lengths = make(tmp_path, TABLE.select([name])).lengths(name)
    assert lengths.dtype == np.int64
    assert lengths.tolist() == LISTS[name][2]


@ALL
@pytest.mark.parametrize("chunks", [[(1, 4)], [(3, 3), (0, 0), (2, 3)], [(0, 1), (0, 6)]])
def test_tables_that_are_sliced_and_in_chunks(make: Make, tmp_path: Path, chunks: list[tuple[int, int]]) -> None:
    table = pa.concat_tables([TABLE.slice(start, count) for start, count in chunks])
    for name in ("list", "large", "fixed", "lists"):
        expected = [length for start, count in chunks for length in LISTS[name][2][start : start + count]]
        assert make(tmp_path, table.select([name])).lengths(name).tolist() == expected


@ALL
def test_no_rows(make: Make, tmp_path: Path) -> None:
    for name in ("list", "large", "fixed"):
        lengths = make(tmp_path, TABLE.select([name]).slice(0, 0)).lengths(name)
        assert (lengths.tolist(), lengths.dtype) == ([], np.int64)


NULLS = pa.table({"x": pa.array([[1], [2, 3], [], None, [4], None], pa.list_(pa.int64()))})


@ARROW
def test_a_null_is_an_error_that_names_its_row(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a null in column 'x', in row 3; give fill_null=\{'x': ...\}, or leave"):
        make(tmp_path, NULLS).lengths("x")


@ALL
def test_a_null_counts_as_what_is_given_for_it(make: Make, tmp_path: Path) -> None:
    rows = make(tmp_path, NULLS, fill_null={"x": [7, 7, 7]})
    assert rows.lengths("x").tolist() == [1, 2, 0, 3, 1, 3] == [len(row["x"]) for row in rows]
    assert make(tmp_path, NULLS, fill_null={"x": []}).lengths("x").tolist() == [1, 2, 0, 0, 1, 0]


@ARROW
def test_nulls_in_lists_of_fixed_size(make: Make, tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([[1, 2], None], pa.list_(pa.int64(), 2))})
    with pytest.raises(ValueError, match="a null in column 'x', in row 1"):
        make(tmp_path, table).lengths("x")
    assert make(tmp_path, table, fill_null={"x": [0, 0]}).lengths("x").tolist() == [2, 2]


@ALL
def test_columns_that_have_no_lists(make: Make, tmp_path: Path) -> None:
    columns = {"s": ["a", "b"], "b": [b"a", b"b"], "n": [1, 2], "d": [{"x": [1]}, {"x": [2]}], "x": [[1], [2, 3]]}
    rows = make(tmp_path, pa.table(columns))
    assert rows.lengths("x").tolist() == [1, 2]
    for name in ("s", "b"):
        with pytest.raises(TypeError, match=f"column '{name}' is .*not a list; .*tokenize its values first"):
            rows.lengths(name)
    for name in ("n", "d"):
        with pytest.raises(TypeError, match=f"column '{name}' is .*, not a list; columns of lists are \\['x'\\]"):
            rows.lengths(name)
    with pytest.raises(ValueError, match=re.escape("there is no column 'y'; there are ['s', 'b', 'n', 'd', 'x']")):
        rows.lengths("y")
    with pytest.raises(ValueError, match=re.escape("there is no column 'x'; there are ['n']")):
        make(tmp_path, pa.table(columns), columns=["n"]).lengths("x")


@ALL
def test_no_column_of_lists(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"column 'n' is .*, not a list; there is no column of lists$"):
        make(tmp_path, pa.table({"n": [1]})).lengths("n")


def test_parquet_reads_one_column_group_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = as_parquet(tmp_path, TABLE.drop_columns(["nulls within"]))
    asked: list[Any] = []
    read = pq.ParquetFile.read_row_group

    def watched(file: Any, number: int, *, columns: Any, **options: Any) -> Any:
        asked.append((number, columns))
        return read(file, number, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    assert rows.lengths("large").tolist() == LENGTHS
    assert asked == [(0, ["large"]), (1, ["large"]), (2, ["large"])]
    # Nothing of it is kept.
    assert rows[0]["large"].tolist() == [1, 2, 3]
    assert len(asked) == 4


def test_several_parquet_files_of_which_one_has_only_nulls(tmp_path: Path) -> None:
    for number, column in enumerate([pa.array(ROWS), pa.nulls(2), pa.array([[1]])]):
        pq.write_table(pa.table({"x": column}), tmp_path / f"{number}.parquet")
    with pytest.raises(ValueError, match="a null in column 'x', in row 6"):
        ParquetDataset(tmp_path).lengths("x")
    assert ParquetDataset(tmp_path, fill_null={"x": [0, 0]}).lengths("x").tolist() == [*LENGTHS, 2, 2, 1]


def test_a_folder_column_of_parquet_has_no_lists(tmp_path: Path) -> None:
    (tmp_path / "year=2024").mkdir()
    rows = ParquetDataset(as_parquet(tmp_path / "year=2024", TABLE.select(["list"]))._files[0].path.parent.parent)
    with pytest.raises(TypeError, match="column 'year' is int64, not a list"):
        rows.lengths("year")
    assert rows.lengths("list").tolist() == LENGTHS


def test_a_parquet_file_that_has_changed(tmp_path: Path) -> None:
    rows = as_parquet(tmp_path, TABLE)
    as_parquet(tmp_path, TABLE.slice(1))
    with pytest.raises(ValueError, match=r"rows\.parquet has changed"):
        rows.lengths("list")


def has_several(row: dict[str, Any]) -> bool:
    return len(row["list"]) > 1


@pytest.mark.parametrize("make", [as_hugging_face, as_mapped])
def test_hugging_face_views(make: Make, tmp_path: Path) -> None:
    base = make(tmp_path, TABLE.select(["list", "large"]))._dataset.with_format(None)
    views = [
        base.select([5, 0, 0]),
        base.select(range(1, 4)),
        base.shuffle(seed=1),
        base.shuffle(seed=1).select([2, 1]),
        base.filter(has_several),
        base.shard(2, 1, contiguous=False),
        base.select([]),
        hf.concatenate_datasets([base.select([3, 3]), base.shuffle(seed=2)]),
        hf.concatenate_datasets([base, base.rename_columns({"list": "a", "large": "b"})], axis=1),
        base.with_format("numpy", columns=["list"]),
        base.shuffle(seed=3).flatten_indices(),
    ]
    for view in views:
        rows = HuggingFaceDataset(view, columns=["list"])
        assert rows.lengths("list").tolist() == [len(row["list"]) for row in rows]


def test_hugging_face_views_without_the_rows_that_are_null(tmp_path: Path) -> None:
    base = as_hugging_face(tmp_path, NULLS)._dataset.with_format(None)
    assert HuggingFaceDataset(base.select([4, 0, 1])).lengths("x").tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="a null in column 'x', in row 1"):
        HuggingFaceDataset(base.select([4, 5, 3])).lengths("x")


def test_hugging_face_values_are_not_read() -> None:
    # These values lie at an address that no process may read: to do it would end this one.
    values = pa.Array.from_buffers(pa.int8(), 2**40, [None, pa.foreign_buffer(64, 2**40)])
    lists = pa.LargeListArray.from_arrays(pa.array([0, 1, 2**40], pa.int64()), values)
    # Without a name of its own, `datasets` would make a hash of the values.
    data = hf.Dataset(hf.table.InMemoryTable(pa.table({"x": lists})), fingerprint="values that are not there")
    assert HuggingFaceDataset(data).lengths("x").tolist() == [1, 2**40 - 1]
    assert HuggingFaceDataset(data.select([1, 0, 1])).lengths("x").tolist() == [2**40 - 1, 1, 2**40 - 1]


def test_hugging_face_arrays_media_and_transforms(tmp_path: Path) -> None:
    features = hf.Features({"grid": hf.Array2D((2, 3), "int8"), "image": hf.Image()})
    picture = np.zeros((4, 4, 3), np.uint8)
    rows = HuggingFaceDataset(
        hf.Dataset.from_dict({"grid": [np.zeros((2, 3))] * 2, "image": [picture] * 2}, features=features)
    )
    with pytest.raises(TypeError, match=r"column 'grid' is .*, not a list"):
        rows.lengths("grid")
    with pytest.raises(TypeError, match="column 'image' is Image, not a list"):
        rows.lengths("image")
    features = hf.Features({"boxes": hf.Array2D((None, 2), "int8")})
    boxes = HuggingFaceDataset(hf.Dataset.from_dict({"boxes": [[[1, 2]] * 3, [[1, 2]]]}, features=features))
    assert boxes.lengths("boxes").tolist() == [3, 1]
    transformed = hf.Dataset.from_dict({"x": ROWS}).with_transform(dict)
    with pytest.raises(TypeError, match=r"with a transform .* lengths of its lists .* without the transform"):
        HuggingFaceDataset(transformed).lengths("x")


def test_polars_array_of_lists(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [[[1], [2, 3]], [[], []]]}, schema={"x": pl.Array(pl.List(pl.Int8), 2)})
    assert PolarsDataset(frame).lengths("x").tolist() == [2, 2]
