"""Parquet files as they lie about: in links and folders, of other schemas, with names of all kinds."""

import glob
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import DataLoader, aligned_empty, testing
from loadax_datasets import BaseDataset, ParquetDataset
from loadax_datasets.sources.parquet import _Kept

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]


def write(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def values(rows: BaseDataset[Any], name: str = "x") -> list[Any]:
    return [row[name].item() if isinstance(row[name], np.generic) else row[name] for row in rows]


# Row groups


class Table:
    """Counts how often its size is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def nbytes(self) -> int:
        self.asked += 1
        return 10


@pytest.mark.parametrize("budget", [0, 95, 10**6])
def test_keeping_a_group_takes_as_long_however_many_are_kept(budget: int) -> None:
    kept, tables = _Kept(budget), [Table() for _ in range(200)]
    for _ in range(3):
        for key in range(200):
            kept.get(key, tables.__getitem__)
    loads = 1 if budget == 10**6 else 3
    assert {table.asked for table in tables} == {loads}, "once for each load"
    assert len(kept._tables) == {0: 1, 95: 9, 10**6: 200}[budget]
    assert kept._size == 10 * len(kept._tables)


def test_a_group_that_is_dropped_before_a_waiting_thread_looks_again_is_loaded_again() -> None:
    """The size of what is kept stays right, also when two threads load the same group at last."""
    kept, loads = _Kept(15), list[int]()
    waits, go = threading.Event(), threading.Event()

    class Lock:
        """Says when a second thread wants it, and has another group push the loaded one out before it is given."""

        inner, entered = threading.Lock(), 0

        def __enter__(self) -> None:
            self.entered += 1
            if self.entered == 2:
                waits.set()
            self.inner.acquire()

        def __exit__(self, *_: object) -> None:
            if self.entered == 2:
                self.entered = 3
                kept.get(1, load)
            self.inner.release()

    def load(key: int) -> Table:
        loads.append(key)
        if loads == [0]:
            go.set()
            assert waits.wait(20)
        if loads == [0, 1, 0]:
            # Another thread, which came later, has another lock.
            assert kept.get(0, load) is not None
        return Table()

    kept._loading[0] = Lock()  # pyright: ignore[reportArgumentType]
    first = threading.Thread(target=kept.get, args=(0, load))
    first.start()
    assert go.wait(20)
    second = threading.Thread(target=kept.get, args=(0, load))
    second.start()
    for thread in (first, second):
        thread.join(20)
    assert loads == [0, 1, 0, 0]
    assert list(kept._tables) == [0]
    assert kept._size == 10
    assert not kept._loading


def test_rows_of_all_groups_in_one_read(tmp_path: Path) -> None:
    numbers = np.arange(2000)
    pq.write_table(pa.table({"x": numbers}), tmp_path / "a.parquet", row_group_size=2)
    rows = ParquetDataset(tmp_path, memory=0)
    order = np.random.default_rng(0).permutation(2000)
    assert rows.gather is not None
    assert rows.gather(order, aligned_empty)["x"].tolist() == order.tolist()
    assert rows.gather(order[:0], aligned_empty)["x"].tolist() == []


# Schemas


def test_fields_of_one_name_are_refused(tmp_path: Path) -> None:
    struct = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    for column in (struct, pa.ListArray.from_arrays([0, 1], struct)):
        write(tmp_path / "a.parquet", s=column, x=pa.array([1]))
        with pytest.raises(ValueError, match=r"column 's(\[\])?' has two fields with the name 'a'"):
            ParquetDataset(tmp_path)
        assert values(ParquetDataset(tmp_path, columns=["x"])) == [1]


# By name: the column in two files, what fill_null gives, and the values of the rows.
PAIRS: dict[str, tuple[Any, Any, Any, list[Any]]] = {
    "nulls in the second": (pa.array([1], pa.int8()), pa.nulls(1), 7, [1, 7]),
    "nulls in the first": (pa.nulls(1), pa.array([1], pa.int8()), 7, [7, 1]),
    "words or nulls": (pa.array(["a"]), pa.nulls(1), "new", ["a", "new"]),
    "categories of two sizes": (
        pa.array(["a"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.array(["b", None]).dictionary_encode().cast(pa.dictionary(pa.int16(), pa.string())),
        "new",
        ["a", "b", "new"],
    ),
    "categories or words": (
        pa.array(["a", None]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
        pa.array(["b"]),
        "new",
        ["a", "new", "b"],
    ),
    "categories or nulls": (
        pa.nulls(1),
        pa.array(["b"]).dictionary_encode().cast(pa.dictionary(pa.int16(), pa.string())),
        "b",
        ["b", "b"],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_types_that_hold_the_same_values(check_dataset: CheckDataset, tmp_path: Path, name: str) -> None:
    first, second, fill, expected = PAIRS[name]
    write(tmp_path / "0.parquet", x=first)
    write(tmp_path / "1.parquet", x=second)
    rows = ParquetDataset(tmp_path, fill_null={"x": fill})
    items = [{"x": np.int8(value) if isinstance(value, int) else value} for value in expected]
    check_dataset(rows, items, gathers=True)
    testing.check_dataset(rows)
    with pytest.raises(ValueError, match="a null in column 'x'; give fill_null"):
        list(ParquetDataset(tmp_path))


def test_lists_and_structs_of_nulls_in_one_file(tmp_path: Path) -> None:
    kinds = {"l": pa.list_(pa.int16()), "s": pa.struct({"a": pa.string(), "b": pa.list_(pa.int8())})}
    write(tmp_path / "0.parquet", l=pa.array([[], []]), s=pa.array([{"a": "y", "b": []}] * 2))
    full = {"l": pa.array([[1, 2]], kinds["l"]), "s": pa.array([{"a": "x", "b": [3]}], kinds["s"])}
    pq.write_table(pa.table(full), tmp_path / "1.parquet")
    items = list(ParquetDataset(tmp_path))
    assert [item["l"].tolist() for item in items] == [[], [], [1, 2]]
    assert {item["l"].dtype for item in items} == {np.dtype(np.int16)}
    assert [(item["s"]["a"], item["s"]["b"].tolist()) for item in items] == [("y", []), ("y", []), ("x", [3])]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.int8(), pa.int16()),
        (pa.string(), pa.int8()),
        (pa.list_(pa.int8()), pa.list_(pa.int16())),
        (pa.struct({"a": pa.int8()}), pa.struct({"b": pa.int8()})),
        (pa.struct({"a": pa.int8()}), pa.struct({"a": pa.int8(), "b": pa.int8()})),
        (pa.list_(pa.int8(), 2), pa.list_(pa.int8(), 3)),
        (pa.list_(pa.int8()), pa.int8()),
        (pa.dictionary(pa.int8(), pa.string()), pa.int8()),
    ],
)
def test_types_of_other_values_are_refused(tmp_path: Path, first: Any, second: Any) -> None:
    for number, dtype in enumerate((first, second)):
        pq.write_table(pa.schema([("x", dtype)]).empty_table(), tmp_path / f"{number}.parquet")
    with pytest.raises(ValueError, match=r"column 'x' is .* in .*1\.parquet, but .* in .*0\.parquet; write them alike"):
        ParquetDataset(tmp_path)


def test_a_column_of_nothing_but_nulls_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", x=pa.nulls(1))
    with pytest.raises(TypeError, match="column 'x' has the Arrow type null, which has no counterpart in NumPy"):
        ParquetDataset(tmp_path)


def test_the_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    pandas: Any = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": [1, 2, 3, 4]})
    frame.iloc[[2, 3, 0]].to_parquet(tmp_path / "0.parquet")
    frame.to_parquet(tmp_path / "1.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "0.parquet").names
    for paths in (tmp_path, [tmp_path / "1.parquet", tmp_path / "0.parquet"]):
        assert set(ParquetDataset(paths).types) == {"x"}
    assert values(ParquetDataset(tmp_path)) == [3, 4, 1, 1, 2, 3, 4]
    rows = ParquetDataset(tmp_path / "0.parquet", columns=["__index_level_0__"])
    assert values(rows, "__index_level_0__") == [2, 3, 0], "it can be asked for"
    frame.set_index(pandas.Index([8, 5, 7, 6], name="id")).to_parquet(tmp_path / "2.parquet")
    assert values(ParquetDataset(tmp_path / "2.parquet"), "id") == [8, 5, 7, 6], "an index with a name is a column"


# Folders


def test_columns_in_the_names_of_folders(
    check_dataset: CheckDataset, tmp_path: Path, read_elsewhere: ReadElsewhere
) -> None:
    """As Hive and Spark write them."""
    for year, month, name, x in ((2023, "01", "a", 1), (2023, "12", "a b/c", 2), (2024, "02", "ü", 3)):
        escaped = name.replace(" ", "%20").replace("/", "%2F")
        write(tmp_path / f"year={year}" / f"month={month}" / f"name={escaped}" / "part-0.parquet", x=[x, x])
    rows = ParquetDataset(tmp_path, memory=0)
    assert rows.types == {"x": "int64", "year": "int64", "month": "int64", "name": "string"}
    expected = [
        {"x": np.int64(x), "year": np.int64(year), "month": np.int64(month), "name": name}
        for x, year, month, name in ((1, 2023, 1, "a"), (2, 2023, 12, "a b/c"), (3, 2024, 2, "ü"))
        for _ in range(2)
    ]
    check_dataset(rows, expected, gathers=True)
    testing.check_dataset(rows)
    for items in read_elsewhere(rows, [5, 0]):
        assert items == [expected[5], expected[0]]
    only = ParquetDataset(tmp_path, columns=["month", "year"])
    assert [(int(row["month"]), int(row["year"])) for row in only] == [(1, 2023)] * 2 + [(12, 2023)] * 2 + [
        (2, 2024)
    ] * 2
    assert list(ParquetDataset(tmp_path, columns=["x"])[4:]) == [{"x": 3}] * 2
    before = rows.fingerprint()
    (tmp_path / "year=2024").rename(tmp_path / "year=2025")
    assert ParquetDataset(tmp_path).fingerprint() != before


def test_files_that_are_given_one_by_one_keep_the_columns_of_their_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sorted(glob.glob("*/*/*.parquet"))` gives them."""
    root = tmp_path / "lr=1" / "run"
    for year, month in ((2023, 1), (2023, 2), (2024, 1)):
        write(root / f"year={year}" / f"month={month}" / "0.parquet", x=[year + month])
    monkeypatch.chdir(root)
    whole = list(ParquetDataset(root))
    assert [set(row) for row in whole] == [{"x", "year", "month"}] * 3
    assert list(ParquetDataset(sorted(glob.glob(f"{root}/*/*/*.parquet")))) == whole
    assert list(ParquetDataset(sorted(glob.glob("*/*/*.parquet")))) == whole
    assert list(ParquetDataset(root / "year=2024" / "month=1" / "0.parquet")) == whole[2:]
    assert list(ParquetDataset(root / "year=2024", columns=["x"])) == [{"x": 2025}]


def test_columns_in_the_names_of_some_folders_only(tmp_path: Path) -> None:
    write(tmp_path / "split=a" / "0.parquet", x=[1])
    write(tmp_path / "split=__HIVE_DEFAULT_PARTITION__" / "0.parquet", x=[2])
    assert values(ParquetDataset(tmp_path, fill_null={"split": "none"}), "split") == ["none", "a"]
    with pytest.raises(ValueError, match="a null in column 'split'"):
        list(ParquetDataset(tmp_path))
    write(tmp_path / "split=b" / "0.parquet", x=[3], split=["stored"])
    assert values(ParquetDataset(tmp_path, fill_null={"split": ""}), "split") == ["", "a", "stored"]
    write(tmp_path / "0.parquet", x=[4])
    with pytest.raises(ValueError, match=r"split=.*has a column 'split', which .*0\.parquet does not have"):
        ParquetDataset(tmp_path)
    assert sorted(values(ParquetDataset(tmp_path, columns=["x"]))) == [1, 2, 3, 4]


def test_links_are_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    write(root / "0.parquet", x=[1])
    write(elsewhere / "file", x=[2])
    write(elsewhere / "folder" / "deep" / "0.PARQUET", x=[3])
    (root / "1.parquet").symlink_to(elsewhere / "file")
    (root / "2").symlink_to(elsewhere / "folder")
    assert values(ParquetDataset(root)) == [1, 2, 3]
    (root / "2" / "again").symlink_to(root)
    with pytest.raises(ValueError, match="is a link to a folder that it lies in; delete the link"):
        ParquetDataset(root)


@pytest.mark.parametrize("place", ["1.parquet", "more", "deep/more"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, place: str) -> None:
    write(tmp_path / "deep" / "0.parquet", x=[1])
    (tmp_path / place).symlink_to("nowhere")
    with pytest.raises(FileNotFoundError, match=rf"{place} is a link to 'nowhere', which does not exist"):
        ParquetDataset(tmp_path)
    for hidden in (".1.parquet", "_more"):
        (tmp_path / place).rename(tmp_path / hidden)
        assert values(ParquetDataset(tmp_path)) == [1]
        (tmp_path / hidden).rename(tmp_path / place)


def test_a_folder_that_cannot_be_read_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        write(root / "0.parquet", x=[1])
        write(root / "locked" / "0.parquet", x=[2])
        (root / "locked").chmod(0)
        user = os.geteuid()
        if user == 0:
            # The superuser may read everything.
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match="locked"):
                ParquetDataset(root)
        finally:
            os.seteuid(user)
            (root / "locked").chmod(0o755)


@pytest.mark.parametrize("place", ["", "pipe.parquet"])
def test_a_pipe_is_refused(tmp_path: Path, place: str) -> None:
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(ValueError, match=r"pipe\.parquet is (not a file|neither a file nor a folder)"):
        ParquetDataset(tmp_path / place)


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("s3://bucket/a.parquet", "it is a URL, and only files of this machine are read"),
        ("https://example.invalid/a.parquet", "it is a URL"),
        ("~/a.parquet", r"give os\.path\.expanduser\(path\)"),
        ("data/*.parquet", r"patterns are not taken; give sorted\(glob\.glob\(pattern\)\)"),
        ("data-?.parquet", "patterns are not taken"),
        ("data-[0-9].parquet", "patterns are not taken"),
        ("nowhere", "finds no file or folder '.*nowhere'$"),
    ],
)
def test_what_is_no_path_is_refused(path: str, fix: str) -> None:
    with pytest.raises(FileNotFoundError, match=fix):
        ParquetDataset(path)
    with pytest.raises(FileNotFoundError, match=fix):
        ParquetDataset([path])


@pytest.mark.parametrize("name", ["~x.parquet", "a*.parquet", "a?[0].parquet"])
def test_signs_of_patterns_may_be_in_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / name, x=[1])
    monkeypatch.chdir(tmp_path)
    assert values(ParquetDataset(name)) == [1]


def test_names_that_are_not_utf_8(tmp_path: Path, read_elsewhere: ReadElsewhere) -> None:
    root = tmp_path / os.fsdecode(b"r\xff")
    path = root / os.fsdecode(b"k=\xfe") / os.fsdecode(b"\xe9.parquet")
    write(tmp_path / "0.parquet", x=[1, 2])
    path.parent.mkdir(parents=True)
    (tmp_path / "0.parquet").rename(path)
    rows = ParquetDataset(root)
    assert list(rows) == [{"x": 1, "k": "\\xfe"}, {"x": 2, "k": "\\xfe"}]
    json.dumps(rows.fingerprint()).encode()
    repr(rows).encode()
    assert next(iter(DataLoader().batch_size(2).build(rows)))["x"].tolist() == [1, 2]
    assert len(list(rows.cache(tmp_path / "cache"))) == 2
    for items in read_elsewhere(rows, [1]):
        assert items == [{"x": 2, "k": "\\xfe"}]
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"r\\xff/k=\\xfe/\\xe9\.parquet is not a Parquet file") as caught:
        ParquetDataset(root)
    str(caught.value).encode()
    elsewhere: ParquetDataset = pickle.loads(pickle.dumps(rows))
    with pytest.raises(ValueError, match=r"\\xe9\.parquet has changed"):
        elsewhere[0]


# Files from anywhere


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Older versions of PyArrow unpickled the type of a column."""
    field = pa.field(
        "x",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": pickle.dumps(Evil()),
        },
    )
    pq.write_table(pa.table([pa.array([1, 2])], schema=pa.schema([field])), tmp_path / "a.parquet")
    program = "import sys, loadax_datasets as d; print([int(row['x']) for row in d.ParquetDataset(sys.argv[1])])"
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 2]"
    assert not (tmp_path / "unpickled").exists()
