"""Parquet files."""

import datetime as dt
import os
import pickle
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, aligned_empty, testing
from loadax_datasets import BaseDataset, ParquetDataset
from loadax_datasets.sources.arrow import ArrowColumns
from loadax_datasets.sources.parquet import _Kept

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
TOKYO = dt.timezone(dt.timedelta(hours=9))
N = 9
RNG = np.random.default_rng(0)

FIXED: dict[str, np.ndarray[Any, Any]] = {
    **{
        f"{kind}{bits}": RNG.integers(0, 100, N).astype(f"{kind}{bits}")
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "float16": RNG.standard_normal(N).astype(np.float16),
    "float32": RNG.standard_normal(N).astype(np.float32),
    "float64": np.array([np.nan, -0.0, np.inf, 1, 2, 3, 4, 5, 6]),
    "bool": np.arange(N) % 3 == 0,
    "day": np.datetime64("2020-02-28", "D") + np.arange(N),
    "time": np.datetime64("2020-02-28T23:59:59.999999", "us") + np.arange(N),
    "span": np.arange(N).astype("timedelta64[ns]"),
}
TEXT: dict[str, list[Any]] = {"name": [f"row {i} ü" for i in range(N)], "data": [bytes([i]) * i for i in range(N)]}


def items_of(columns: dict[str, Any], count: int = N) -> list[dict[str, Any]]:
    return [{name: column[i] for name, column in columns.items()} for i in range(count)]


def write(path: Path, table: Any, rows_per_group: int = 4) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty numbers in three files, in groups of four."""
    for number in range(3):
        x = np.arange(10, dtype=np.uint16) + 10 * number
        write(tmp_path / "data" / f"{number}.parquet", pa.table({"x": x, "s": [f"row {i}" for i in x]}))
    return tmp_path / "data"


THIRTY: list[dict[str, Any]] = [{"x": np.uint16(i), "s": f"row {i}"} for i in range(30)]


def test_columns_keep_their_dtypes(check_dataset: CheckDataset, tmp_path: Path) -> None:
    rows = ParquetDataset(write(tmp_path / "a.parquet", pa.table(FIXED | TEXT)))
    check_dataset(rows, items_of(FIXED | TEXT), gathers=True)
    testing.check_dataset(rows)


@pytest.mark.parametrize("memory", [0, 1 << 28])
def test_folder(check_dataset: CheckDataset, folder: Path, memory: int) -> None:
    rows = ParquetDataset(folder, memory=memory)
    check_dataset(rows, THIRTY, gathers=True)
    testing.check_dataset(rows)
    testing.check_loader(DataLoader().batch_size(7).workers(2).prefetch(2).build(rows.shuffle(seed=3, block=4)))


def test_files_come_by_name_in_folders_and_as_given_otherwise(folder: Path) -> None:
    write(folder / "1" / "z.parquet", pa.table({"x": np.array([99], np.uint16), "s": ["z"]}))
    write(folder / "_temporary" / "a.parquet", pa.table({"other": [1]}))
    write(folder / ".hidden.parquet", pa.table({"other": [1]}))
    (folder / "notes.txt").write_text("not data")
    assert [int(row["x"]) for row in ParquetDataset(folder)] == [*range(10), 99, *range(10, 30)]
    given = [folder / "2.parquet", str(folder / "0.parquet")]
    assert [int(row["x"]) for row in ParquetDataset(given)] == [*range(20, 30), *range(10)]
    assert list(ParquetDataset(str(folder), columns=["s"])[:1]) == [{"s": "row 0"}]


NO_LISTS = np.zeros((0, 0), np.uint8)

# By name: a type, its values, and the items that they should become.
NESTED: dict[str, tuple[Any, list[Any], list[Any], bool]] = {
    "list": (
        pa.list_(pa.int16()),
        [[i] * (i % 4) for i in range(N)],
        [np.array([i] * (i % 4), np.int16) for i in range(N)],
        False,
    ),
    "words": (
        pa.large_list(pa.large_string()),
        [["a", "b"][: i % 3] for i in range(N)],
        [["a", "b"][: i % 3] for i in range(N)],
        False,
    ),
    "lists": (
        pa.list_(pa.list_(pa.uint8())),
        [[[i], [], [1, 2]][: i % 4] for i in range(N)],
        # Without an element, an array tells the dtype and the dimensions.
        [[np.array(part, np.uint8) for part in [[i], [], [1, 2]][: i % 4]] or NO_LISTS for i in range(N)],
        False,
    ),
    "pairs of words": (
        pa.list_(pa.string(), 2),
        [["a", f"{i}"] for i in range(N)],
        [["a", f"{i}"] for i in range(N)],
        False,
    ),
    "boxes": (
        pa.list_(pa.struct({"x": pa.float32(), "label": pa.string()})),
        [[{"x": i / 2, "label": "a"}] * (i % 3) for i in range(N)],
        [{"x": np.array([i / 2] * (i % 3), np.float32), "label": ["a"] * (i % 3)} for i in range(N)],
        False,
    ),
    "arrays": (
        pa.list_(pa.list_(pa.int8(), 3), 2),
        [[[i, 1, 2], [3, 4, i]] for i in range(N)],
        [np.array([[i, 1, 2], [3, 4, i]], np.int8) for i in range(N)],
        True,
    ),
    "struct": (
        pa.struct({"a": pa.int8(), "b": pa.struct({"c": pa.string()})}),
        [{"a": i, "b": {"c": f"{i}"}} for i in range(N)],
        [{"a": np.int8(i), "b": {"c": f"{i}"}} for i in range(N)],
        True,
    ),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), list("abcabcabc"), list("abcabcabc"), True),
    "digests": (pa.binary(2), [bytes([i, 0]) for i in range(N)], [bytes([i, 0]) for i in range(N)], True),
    "zone": (
        pa.timestamp("ms", "Asia/Tokyo"),
        list(range(N)),
        [np.datetime64(i, "ms") for i in range(N)],
        True,
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_other_types(check_dataset: CheckDataset, tmp_path: Path, name: str) -> None:
    dtype, values, expected, gathers = NESTED[name]
    table = pa.table({"v": pa.array(values, dtype), "x": np.arange(N)})
    rows = ParquetDataset(write(tmp_path / "a.parquet", table))
    assert table.schema.field("v").type == dtype
    check_dataset(rows, [{"v": v, "x": np.int64(i)} for i, v in enumerate(expected)], gathers=gathers)
    testing.check_dataset(rows)


def test_tensors(check_dataset: CheckDataset, tmp_path: Path) -> None:
    values = RNG.integers(0, 256, (N, 2, 3), np.uint8)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(values)
    rows = ParquetDataset(write(tmp_path / "a.parquet", pa.table({"v": tensors})))
    check_dataset(rows, items_of({"v": values}), gathers=True)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=12), st.integers(1, 5), st.data())
def test_any_rows_of_any_groups(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[int]], group: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("lists") / "a.parquet"
    table = pa.table({"v": pa.array(values, pa.list_(pa.int32())), "i": pa.array(range(len(values)), pa.int64())})
    rows = ParquetDataset(write(path, table, group))
    wanted = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20)) if values else []
    items = rows.read_many(wanted)
    assert [(item["v"].tolist(), item["i"]) for item in items] == [(values[row], row) for row in wanted]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []
    original = ParquetDataset._read

    def read(self: ParquetDataset, number: int) -> Any:
        reads.append(number)
        return original(self, number)

    monkeypatch.setattr(ParquetDataset, "_read", read)
    return reads


def test_groups_are_read_once_if_memory_allows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_reads(monkeypatch)
    rows = ParquetDataset(folder)
    for _ in range(3):
        list(DataLoader().batch_size(5).workers(4).prefetch(4).build(rows))
    assert sorted(reads) == list(range(9))
    reads.clear()
    scarce = ParquetDataset(folder, memory=0)
    list(scarce)
    assert reads == list(range(9)), "the last one is kept"
    scarce[0], scarce[29], scarce[0]
    assert reads[9:] == [0, 8, 0]


def test_the_budget_is_kept_and_what_was_used_last_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_reads(monkeypatch)
    one = ParquetDataset(folder)._read(0).nbytes
    reads.clear()
    rows = ParquetDataset(folder, memory=2 * one + one // 2)
    rows[0], rows[4], rows[0], rows[10]
    assert reads == [0, 1, 3]
    assert list(rows._kept._tables) == [0, 3]


def test_threads_that_want_the_same_group_wait_for_one_to_read_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    begun, go = threading.Event(), threading.Event()
    original = ParquetDataset._read

    def read(self: ParquetDataset, number: int) -> Any:
        reads.append(number)
        begun.set()
        assert go.wait(10)
        return original(self, number)

    monkeypatch.setattr(ParquetDataset, "_read", read)
    rows = ParquetDataset(folder)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(rows.read, 0)
        assert begun.wait(10)
        others = [pool.submit(rows.read, row) for row in (1, 2)]
        go.set()
        assert [int(each.result()["x"]) for each in (first, *others)] == [0, 1, 2]
    assert reads == [0]


def test_a_group_that_has_just_been_read_is_not_read_again() -> None:
    kept = _Kept(10**6)
    reads: list[int] = []

    def load(key: int) -> Any:
        reads.append(key)
        return np.zeros(3)

    class Interrupted:
        """A lock after each release of which another thread wants the same group."""

        lock, again = threading.Lock(), False

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if reads and not self.again:
                self.again = True
                kept.get(0, load)

    kept._lock = cast("Any", Interrupted())
    kept.get(0, load)
    assert reads == [0]


def test_a_failed_read_is_tried_again(folder: Path) -> None:
    rows = ParquetDataset(folder)
    hidden = (folder / "0.parquet").rename(folder / "away")
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match=r"0\.parquet"):
            rows[0]
    hidden.rename(folder / "0.parquet")
    assert rows[0] == THIRTY[0]


def test_a_copy_is_small_and_other_processes_read(folder: Path, read_elsewhere: ReadElsewhere) -> None:
    rows = ParquetDataset(folder)
    before = len(pickle.dumps(rows))
    list(rows)
    assert len(pickle.dumps(rows)) == before, "no row travels"
    for items in read_elsewhere(rows, [29, 0]):
        assert items == [THIRTY[29], THIRTY[0]]


def test_nulls_are_refused_or_filled_as_told(check_dataset: CheckDataset, tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": pa.array([1, None, 3], pa.uint8()),
            "s": ["a", None, "c"],
            "d": pa.array([None, "u", "u"]).dictionary_encode(),
            "v": pa.array([[1], [2, None], []], pa.list_(pa.int8())),
        }
    )
    path = write(tmp_path / "a.parquet", table)
    rows = ParquetDataset(path, columns=["x"])
    assert rows[0] == {"x": 1}
    with pytest.raises(ValueError, match=r"a null in column 'x'; give fill_null=\{'x': ...\}"):
        rows[1]
    with pytest.raises(ValueError, match=r"a null within column 'v', in 'v\[\]'; fill it where the data are made"):
        ParquetDataset(path, columns=["v"])[1]
    filled = ParquetDataset(path, columns=["x", "s", "d"], fill_null={"x": 255, "s": "", "d": "new", "v": []})
    expected = [{"x": np.uint8(x), "s": s, "d": d} for x, s, d in [(1, "a", "new"), (255, "", "u"), (3, "c", "u")]]
    check_dataset(filled, expected, gathers=True)


def test_a_column_that_has_no_nulls_in_the_first_file_may_have_them_in_others(
    check_dataset: CheckDataset, tmp_path: Path
) -> None:
    for name, nullable in (("a", False), ("b", True)):
        schema = pa.schema([pa.field("x", pa.int8(), nullable=nullable)])
        write(tmp_path / f"{name}.parquet", pa.table({"x": pa.array([1, None if nullable else 2], pa.int8())}, schema))
    expected = [{"x": np.int8(x)} for x in (1, 2, 1, 7)]
    check_dataset(ParquetDataset(tmp_path, fill_null={"x": 7}), expected, gathers=True)
    with pytest.raises(ValueError, match=r"a null in column 'x'; give fill_null=\{'x': ...\}"):
        ParquetDataset(tmp_path)[3]
    assert ParquetDataset(tmp_path).fingerprint()["columns"] == {"x": "int8"}


def test_nulls_in_structs_are_not_said_to_be_columns(tmp_path: Path) -> None:
    values: list[Any] = [{"a": 1, "l": [{"b": 2}]}, {"a": None, "l": []}, {"a": 1, "l": [{"b": None}]}, None]
    dtype = pa.struct({"a": pa.int8(), "l": pa.list_(pa.struct({"b": pa.int8()}))})
    rows = ParquetDataset(write(tmp_path / "a.parquet", pa.table({"s": pa.array(values, dtype)})))
    for row, name in ((1, r"s\.a"), (2, r"s\.l\[\]\.b")):
        with pytest.raises(
            ValueError, match=rf"a null within column 's', in '{name}'; fill it where .*, or leave such"
        ):
            rows[row]
    with pytest.raises(ValueError, match=r"a null in column 's'; give fill_null=\{'s': ...\}"):
        rows[3]


def test_a_null_among_the_words_of_a_dictionary_is_refused() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    columns = ArrowColumns(pa.schema({"d": words.type}), {})
    with pytest.raises(ValueError, match="a null in column 'd'"):
        columns.of(pa.table({"d": words}), aligned_empty)


def few_words(first: int, count: int) -> Any:
    """A dictionary that has few places left in its index."""
    numbers = pa.array(range(count), pa.int8())
    return pa.DictionaryArray.from_arrays(numbers, pa.array([f"w{first + i}" for i in range(count)]))


@pytest.mark.parametrize("separate", [True, False])
def test_dictionaries_too_large_for_one_index_share_a_batch(
    check_dataset: CheckDataset, tmp_path: Path, separate: bool
) -> None:
    parts = [few_words(first, 100) for first in (0, 100)]
    if separate:
        for number, words in enumerate(parts):
            write(tmp_path / "data" / f"{number}.parquet", pa.table({"d": words}), 100)
    else:
        write(tmp_path / "data" / "0.parquet", pa.table({"d": pa.chunked_array(parts)}), 100)
    rows = ParquetDataset(tmp_path / "data")
    assert rows.types["d"].startswith("dictionary<values=string")
    check_dataset(rows, [{"d": f"w{i}"} for i in range(200)], gathers=True)


def test_dictionaries_within_values_share_a_batch(tmp_path: Path, same: Callable[[Any, Any], bool]) -> None:
    ends = pa.array(range(0, 102, 2), pa.int32())
    for number in range(2):
        words = few_words(100 * number, 100)
        struct = pa.StructArray.from_arrays([words[:50]], ["a"])
        lists = [pa.ListArray.from_arrays(ends, words), pa.LargeListArray.from_arrays(ends.cast(pa.int64()), words)]
        pairs = pa.FixedSizeListArray.from_arrays(words, 2)
        table = pa.table([struct, *lists, pairs], names=["s", "l", "g", "p"])
        write(tmp_path / f"{number}.parquet", table, 50)
    rows = ParquetDataset(tmp_path)
    for copied in (rows, pickle.loads(pickle.dumps(rows))):
        items = copied.read_many([51, 0])
        for item, i in zip(items, (100, 0), strict=True):
            pair = [f"w{i + 2 * (i > 0)}", f"w{i + 1 + 2 * (i > 0)}"]
            assert same(item, {"s": {"a": f"w{i + (i > 0)}"}, "l": pair, "g": pair, "p": pair})


@pytest.mark.parametrize(("column", "value"), [("x", 0.5), ("x", 256), ("x", "0"), ("x", True), ("s", 0)])
def test_a_fill_of_another_type_is_refused(tmp_path: Path, column: str, value: Any) -> None:
    path = write(
        tmp_path / "a.parquet", pa.table({"x": pa.array([None], pa.uint8()), "s": pa.array([None], pa.string())})
    )
    with pytest.raises(ValueError, match=f"fill_null gives {value!r} for column '{column}'"):
        ParquetDataset(path, fill_null={column: value})


NESTED_FILLS: list[tuple[Any, list[Any], Any, Any]] = [
    (pa.list_(pa.int16()), [[1], None], [0, 2], np.array([0, 2], np.int16)),
    (pa.struct({"a": pa.int8()}), [{"a": 1}, None], {"a": 2}, {"a": np.int8(2)}),
    (pa.timestamp("us"), [1, None], np.datetime64(3, "us"), np.datetime64(3, "us")),
    (pa.timestamp("ns"), [1, None], np.datetime64(3, "ns"), np.datetime64(3, "ns")),
    (pa.timestamp("us"), [1, None], np.datetime64(2, "h"), np.datetime64(7200 * 10**6, "us")),
    (pa.timestamp("us", "Asia/Tokyo"), [1, None], np.datetime64(3, "us"), np.datetime64(3, "us")),
    (pa.date32(), [1, None], np.datetime64("1970-01-03"), np.datetime64("1970-01-03")),
    (pa.duration("us"), [1, None], np.timedelta64(3, "us"), np.timedelta64(3, "us")),
    (pa.duration("ms"), [1, None], np.timedelta64(2, "s"), np.timedelta64(2000, "ms")),
    (pa.timestamp("ms"), [1, None], dt.datetime(1970, 1, 1, 0, 0, 0, 5000), np.datetime64(5, "ms")),
    (pa.timestamp("us", "Asia/Tokyo"), [1, None], dt.datetime(1970, 1, 1, 9, tzinfo=TOKYO), np.datetime64(0, "us")),
    (pa.date32(), [1, None], dt.datetime(1970, 1, 3), np.datetime64("1970-01-03")),
    (pa.duration("ms"), [1, None], dt.timedelta(seconds=2), np.timedelta64(2000, "ms")),
    (pa.duration("ms"), [1, None], pa.scalar(2, pa.duration("ms")), np.timedelta64(2, "ms")),
    (pa.float32(), [1, None], 0.1, np.float32(0.1)),
    (pa.float32(), [1, None], float("-inf"), np.float32("-inf")),
    (pa.float32(), [1, None], float("nan"), np.float32("nan")),
    (pa.list_(pa.float32()), [[1], None], np.array([0.1]), np.array([0.1], np.float32)),
    (
        pa.list_(pa.struct({"x": pa.int8(), "t": pa.list_(pa.string())})),
        [[], None],
        [{"x": 1, "t": ["a"]}, {"x": 2, "t": []}],
        {"x": np.array([1, 2], np.int8), "t": [["a"], []]},
    ),
]


@pytest.mark.parametrize(("dtype", "values", "value", "expected"), NESTED_FILLS, ids=str)
def test_columns_of_any_type_are_filled(
    tmp_path: Path, dtype: Any, values: list[Any], value: Any, expected: Any, same: Callable[[Any, Any], bool]
) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"v": pa.array(values, dtype)}))
    assert same(ParquetDataset(path, fill_null={"v": value})[1], {"v": expected})


def test_lists_of_fixed_size_are_filled() -> None:
    # Not from a file, as older versions of Arrow cannot read nulls of this type.
    table = pa.table({"v": pa.array([[1, 1], None], pa.list_(pa.int16(), 2))})
    filled = ArrowColumns(table.schema, {"v": [0, 2]}).of(table, aligned_empty)["v"]
    assert isinstance(filled, np.ndarray)
    assert filled.tolist() == [[1, 1], [0, 2]]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pa.int8(), None),
        (pa.list_(pa.int8()), [None]),
        (pa.struct({"a": pa.int8()}), {"b": 1}),
        (pa.list_(pa.int8(), 2), [1]),
    ],
    ids=str,
)
def test_a_fill_with_nulls_in_it_is_refused(tmp_path: Path, dtype: Any, value: Any) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"v": pa.array([None], dtype)}))
    with pytest.raises(ValueError, match=r"fill_null gives .* for column 'v', which is .*; give a value of that type"):
        ParquetDataset(path, fill_null={"v": value})


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (pa.list_(pa.int64()), [0.5]),
        (pa.list_(pa.int16()), np.array([3.5])),
        (pa.struct({"a": pa.int64()}), {"a": 0.5}),
        (pa.struct({"a": pa.int64()}), {"a": 1, "b": 2}),
        (pa.list_(pa.struct({"a": pa.int64()})), [{"a": 0.5}]),
        (pa.list_(pa.struct({"a": pa.int64()})), [{"a": 1, "b": 2}]),
        (pa.list_(pa.int8(), 2), [1.5, 2]),
        (pa.list_(pa.float32()), [1e300]),
        (pa.float32(), 1e300),
        (pa.float16(), 1e6),
        (pa.float64(), True),
        (pa.date32(), dt.datetime(2020, 1, 1, 5)),
        (pa.date32(), 5),
        (pa.timestamp("ms"), dt.datetime(2020, 1, 1, 0, 0, 0, 5)),
        (pa.timestamp("us"), dt.datetime(2020, 1, 1, tzinfo=TOKYO)),
        (pa.duration("ms"), dt.timedelta(microseconds=5)),
        (pa.timestamp("us"), np.datetime64(1, "ns")),
        (pa.timestamp("ns"), np.datetime64("9999-01-01")),
        (pa.timestamp("us"), np.datetime64("NaT", "us")),
        (pa.timestamp("us"), np.timedelta64(1, "us")),
        (pa.date32(), np.datetime64(1, "h")),
        (pa.date64(), np.datetime64(1, "h")),
        (pa.duration("us"), np.datetime64(1, "us")),
        (pa.int64(), np.datetime64(1, "us")),
        (pa.int64(), np.timedelta64(1, "ns")),
        (pa.string(), b"a"),
    ],
    ids=str,
)
def test_a_fill_that_would_become_another_value_is_refused(dtype: Any, value: Any) -> None:
    with pytest.raises(ValueError, match=r"fill_null gives .* for column 'v', which is .*; give a value of that type"):
        ArrowColumns(pa.schema({"v": dtype}), {"v": value})


def test_tensors_are_not_filled(tmp_path: Path) -> None:
    dtype = pa.fixed_shape_tensor(pa.int8(), (2,))
    tensors = pa.ExtensionArray.from_storage(dtype, pa.array([[1, 2]], dtype.storage_type))
    path = write(tmp_path / "a.parquet", pa.table({"v": tensors}))
    with pytest.raises(ValueError, match=r"fill_null cannot fill column 'v', .*fixed_shape_tensor.*; leave such rows"):
        ParquetDataset(path, fill_null={"v": [0, 0]})
    assert ParquetDataset(path)[0]["v"].tolist() == [1, 2]
    # Not from a file, as older versions of Arrow cannot read nulls of this type.
    table = pa.table({"v": pa.ExtensionArray.from_storage(dtype, pa.array([None], dtype.storage_type))})
    with pytest.raises(ValueError, match="a null in column 'v'; fill it where the data are made, or leave such rows"):
        ArrowColumns(table.schema, {}).of(table, aligned_empty)


def test_types_without_counterpart_are_refused(tmp_path: Path) -> None:
    for dtype in (
        pa.decimal128(10, 2),
        pa.time32("s"),
        pa.null(),
        pa.list_(pa.time64("us")),
        pa.map_("string", "int8"),
    ):
        path = write(tmp_path / "a.parquet", pa.table({"v": pa.array([], dtype), "x": pa.array([], pa.int8())}))
        with pytest.raises(
            TypeError, match=r"column 'v(\[\])?' has the Arrow type .* no counterpart in NumPy; cast it"
        ):
            ParquetDataset(path)
        assert len(ParquetDataset(path, columns=["x"])) == 0


def test_empty_files(check_dataset: CheckDataset, folder: Path) -> None:
    empty = pa.schema({"x": pa.uint16(), "s": pa.string()}).empty_table()
    rows = ParquetDataset(write(folder / "empty" / "none.parquet", empty))
    check_dataset(rows, [], gathers=True)
    assert rows.gather is not None
    batch = rows.gather(np.array([], np.int64), aligned_empty)
    assert {name: (column.dtype.name, column.shape) for name, column in batch.items()} == {
        "x": ("uint16", (0,)),
        "s": ("object", (0,)),
    }
    write(folder / "0a.parquet", empty)
    check_dataset(ParquetDataset(folder), THIRTY, gathers=True)
    (folder / "zero.parquet").touch()
    with pytest.raises(ValueError, match=r"zero\.parquet is not a Parquet file, or is cut short"):
        ParquetDataset(folder)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.parquet"):
        ParquetDataset(tmp_path / "no.parquet")
    with pytest.raises(FileNotFoundError, match=r"there is no \.parquet file in"):
        ParquetDataset(tmp_path)
    with pytest.raises(ValueError, match="at least one file, got an empty list"):
        ParquetDataset([])


@pytest.mark.parametrize("cut", [1, 8, 300])
def test_truncated_file(folder: Path, cut: int) -> None:
    file = folder / "1.parquet"
    rows = ParquetDataset(folder)
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(ValueError, match=r"1\.parquet is not a Parquet file, or is cut short"):
        ParquetDataset(folder)
    assert rows[0] == THIRTY[0]
    with pytest.raises(ValueError, match=r"1\.parquet has changed: it had \d+ bytes"):
        rows[12]


def test_a_file_of_the_same_size_that_was_written_later_is_refused(folder: Path, read_elsewhere: ReadElsewhere) -> None:
    rows = ParquetDataset(folder)
    file = folder / "1.parquet"
    assert [items[0] for items in read_elsewhere(rows, [12])] == [THIRTY[12]] * 2, "what is known of a file travels"
    copied = pickle.loads(pickle.dumps(rows))
    before = file.stat()
    file.write_bytes(file.read_bytes())
    # Earlier, as that of a file that was moved here: any other time will do.
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns - 1000))
    assert file.stat().st_size == before.st_size
    for dataset in (rows, copied):
        with pytest.raises(ValueError, match=r"1\.parquet has changed: .* make the dataset anew"):
            dataset[12]
        assert dataset[0] == THIRTY[0]
    assert ParquetDataset(folder)[12] == THIRTY[12]


def test_damaged_file(folder: Path) -> None:
    file = folder / "1.parquet"
    data = bytearray(file.read_bytes())
    data[4:60] = b"\xff" * 56
    file.write_bytes(data)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        list(ParquetDataset(folder))
    assert any("row group 0 of" in note and "1.parquet" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": np.array([1], np.int64), "s": ["a"]}, r"column 'x' is int64 in .*odd\.parquet, but uint16 in .*0\.par"),
        ({"x": np.array([1], np.uint16)}, r"odd\.parquet has no column 's', which .*0\.parquet has"),
        ({"x": np.array([1], np.uint16), "s": ["a"], "y": [1]}, r"odd\.parquet has a column 'y', which"),
    ],
)
def test_a_schema_that_changes_is_refused(folder: Path, table: dict[str, Any], message: str) -> None:
    write(folder / "odd.parquet", pa.table(table))
    with pytest.raises(ValueError, match=message):
        ParquetDataset(folder)


def test_columns_may_stand_in_another_order_or_beside_others(check_dataset: CheckDataset, folder: Path) -> None:
    other = pa.table({"s": ["row 30"], "y": [0.5], "x": np.array([30], np.uint16)})
    write(folder / "more.parquet", other)
    check_dataset(
        ParquetDataset(folder, columns=["x", "s"]), [*THIRTY, {"x": np.uint16(30), "s": "row 30"}], gathers=True
    )


def test_a_file_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", pa.table([[1], [2], [3]], names=["x", "y", "x"]))
    for columns in (None, ["x"]):
        with pytest.raises(ValueError, match=r"a\.parquet has the column 'x' more than once; choose columns=\["):
            ParquetDataset(path, columns=columns)
    assert list(ParquetDataset(path, columns=["y"])) == [{"y": 2}]


def test_fingerprint_knows_the_rows(folder: Path) -> None:
    files = sorted(folder.glob("*.parquet"))
    prints = [
        ParquetDataset(folder).fingerprint(),
        ParquetDataset(files[::-1]).fingerprint(),
        ParquetDataset(files[:2]).fingerprint(),
        ParquetDataset(folder, columns=["x"]).fingerprint(),
    ]
    assert len({str(each) for each in prints}) == 4
    assert ParquetDataset(files).fingerprint() == prints[0]


def test_fingerprint_knows_the_content_but_not_the_place(tmp_path: Path) -> None:
    def facts(folder: str, *values: int) -> tuple[dict[str, Any], list[int]]:
        for number, value in enumerate(values):
            # Of equal statistics, and thus with equal footers.
            x = np.random.default_rng(value).permutation(50_000)
            path = tmp_path / folder / f"y={number}" / "part-0.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"x": x}), path, compression="none", use_dictionary=False)
        rows = ParquetDataset(tmp_path / folder)
        return rows.fingerprint(), [file.size for file in rows._files]

    first, sizes = facts("a", 1, 2, 3)
    for others in ((2, 1, 3), (1, 3, 2), (1, 2, 4)):
        assert facts("b", *others)[1] == sizes
        assert facts("b", *others)[0] != first
    assert facts("c", 1, 2, 3)[0] == first, "in another folder"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"columns": "x"}, TypeError, r"write \['x'\]"),
        ({"columns": []}, ValueError, "columns names no column; name one, or leave it out"),
        ({"columns": ["y"]}, ValueError, r"no column 'y'; it has \['x', 's'\]"),
        ({"columns": ["x", "s", "x"]}, ValueError, "columns names 'x' more than once; name it once"),
        ({"fill_null": {"y": 0}}, ValueError, "no column 'y'"),
        ({"fill_null": 0}, TypeError, r"fill_null .* got 0; write \{'name': 0\}"),
        ({"fill_null": ["x"]}, TypeError, r"fill_null .* got \['x'\]"),
        ({"memory": -1}, ValueError, "memory must be at least 0, got -1"),
        ({"memory": 1.5}, TypeError, "memory must be an integer"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ParquetDataset(folder, **arguments)
