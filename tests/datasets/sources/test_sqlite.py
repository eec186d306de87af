"""Tables and queries of SQLite databases."""

import gc
import os
import pickle
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, StackError, testing
from loadax_datasets import BaseDataset, SQLiteDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]

ITEMS: list[dict[str, Any]] = [
    {"id": i + 1, "x": i / 4, "name": f"row {i}", "data": bytes([i] * 3), "split": "train" if i % 3 else "test"}
    for i in range(20)
]


def execute(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a file?&#%41.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, x REAL, name TEXT, data BLOB, split TEXT)")
        connection.executemany("INSERT INTO items VALUES (:id, :x, :name, :data, :split)", ITEMS[::-1])
    connection.close()
    return path


def test_table(check_dataset: CheckDataset, file: Path) -> None:
    rows = SQLiteDataset(file, "items")
    check_dataset(rows, ITEMS, gathers=False)
    testing.check_dataset(rows)
    testing.check_loader(DataLoader().batch_size(3).workers(2).prefetch(2).build(rows))


QUERY = "SELECT id, name, x FROM items WHERE split = {} AND id > {}; "
TRAIN = [{"name": item["name"], "x": item["x"]} for item in ITEMS if item["split"] == "train" and item["id"] > 3]


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (QUERY.format("?", "?"), ("train", 3)),
        (QUERY.format("?2", "?1"), (3, "train")),
        (QUERY.format(":split", "$least"), {"split": "train", "least": 3}),
        (QUERY.format("'train'", "3").rstrip("; ") + " -- only these", ()),
        (QUERY.format("?", "?").rstrip("; ") + " ORDER BY x DESC", ["train", 3]),
        (QUERY.format("?", "?") + "-- only these", ["train", 3]),
        (QUERY.format("?", "?") + " ; /* ; */ ;\n-- none;\n", ["train", 3]),
        (QUERY.format("?", "?").rstrip("; ") + " AND name <> '; -- x' -- a;", ["train", 3]),
        (QUERY.format("?", "?").rstrip("; ") + " AND name <> '; -- x';", ["train", 3]),
    ],
)
def test_query(check_dataset: CheckDataset, file: Path, query: str, parameters: Any) -> None:
    rows = SQLiteDataset(file, query=query, key="id", columns=["name", "x"], parameters=parameters)
    check_dataset(rows, TRAIN, gathers=False)
    testing.check_dataset(rows)


def test_braces_are_text_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "braces.db"
    execute(file, 'CREATE TABLE "{t}" (k INTEGER, "{0}" TEXT)', """INSERT INTO "{t}" VALUES (1, '{}')""")
    assert list(SQLiteDataset(file, "{t}", key="k")) == [{"k": 1, "{0}": "{}"}]
    query = """SELECT k, '{"a": 1}' AS j, '{{}}' AS "{e}" FROM "{t}" WHERE k >= """
    for placeholder, parameters in (("?", [1]), (":least", {"least": 1})):
        rows = SQLiteDataset(file, query=query + placeholder, key="k", parameters=parameters)
        assert list(rows) == [{"k": 1, "j": '{"a": 1}', "{e}": "{{}}"}]


@pytest.mark.parametrize(("placeholder", "parameters"), [("?", [3]), (":least", {"least": 3})])
def test_the_callers_parameters_may_change_afterwards(file: Path, placeholder: str, parameters: Any) -> None:
    query = f"SELECT id FROM items WHERE id > {placeholder}"
    rows = SQLiteDataset(file, query=query, key="id", parameters=parameters)
    before = rows.fingerprint()
    parameters[0 if placeholder == "?" else "least"] = 99
    assert rows[0] == {"id": 4}
    assert rows.fingerprint() == before


@pytest.mark.parametrize("value", [np.int64(18), np.float32(18), np.str_("18"), 18, True, None])
def test_parameters_of_numpy_are_those_of_python(file: Path, value: Any) -> None:
    query = "SELECT id FROM items WHERE id > CAST({} AS REAL)"
    expected = {True: 19, None: 0}.get(value, 2)
    for placeholder, parameters in (("?", [value]), (":least", {"least": value})):
        rows = SQLiteDataset(file, query=query.format(placeholder), key="id", parameters=parameters)
        assert len(rows) == len(list(rows)) == expected


def test_grouped_query(check_dataset: CheckDataset, file: Path) -> None:
    query = "SELECT id % 4 AS rest, sum(x) AS total FROM items GROUP BY 1"
    expected = [{"rest": k, "total": sum(item["x"] for item in ITEMS if item["id"] % 4 == k)} for k in range(4)]
    check_dataset(SQLiteDataset(file, query=query, key="rest"), expected, gathers=False)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), unique=True, max_size=12))
def test_any_keys(tmp_path_factory: pytest.TempPathFactory, keys: list[int]) -> None:
    file = tmp_path_factory.mktemp("keys") / "keys.db"
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("CREATE TABLE t (k INTEGER, y TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(key, f"y{key}") for key in keys])
    connection.close()
    rows = SQLiteDataset(file, "t", key="k")
    assert list(rows) == [{"k": key, "y": f"y{key}"} for key in sorted(keys)]
    testing.check_dataset(rows)


def test_keys_without_gaps_take_no_memory(file: Path) -> None:
    whole = len(pickle.dumps(SQLiteDataset(file, "items")))
    execute(
        file,
        "WITH RECURSIVE n (i) AS (SELECT 21 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
        "INSERT INTO items SELECT i, 0, '', '', '' FROM n",
    )
    rows = SQLiteDataset(file, "items")
    assert len(rows) == 5000
    assert len(pickle.dumps(rows)) < whole + 10
    execute(file, "DELETE FROM items WHERE id = 17")
    rows = SQLiteDataset(file, "items")
    assert len(rows) == 4999
    assert [item["id"] for item in rows[14:18]] == [15, 16, 18, 19]
    assert len(pickle.dumps(rows)) > 8 * 4999


def test_a_batch_of_any_size_is_one_select(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = SQLiteDataset(file, "items")
    statements: list[str] = []
    with rows._connections.use() as connection:
        connection.set_trace_callback(statements.append)
    items = rows.read_many([0, 19] * 50_000)
    assert len(items) == 100_000
    assert items[:2] == [ITEMS[0], ITEMS[19]]
    assert len([statement for statement in statements if "SELECT" in statement]) == 1
    with rows._connections.use() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statements[0]}").fetchall()
    assert any("USING INTEGER PRIMARY KEY" in step[3] for step in plan), "rows are found by their key"


def test_names_are_quoted_and_values_are_bound(tmp_path: Path) -> None:
    file = tmp_path / "odd.db"
    execute(
        file,
        'CREATE TABLE "a""; DROP TABLE b; --" (k INTEGER, "x y" TEXT, "select" TEXT)',
        "INSERT INTO \"a\"\"; DROP TABLE b; --\" VALUES (5, '''; DROP', 's')",
    )
    rows = SQLiteDataset(file, 'a"; DROP TABLE b; --', key="k")
    assert list(rows) == [{"k": 5, "x y": "'; DROP", "select": "s"}]
    query = 'SELECT k FROM "a""; DROP TABLE b; --" WHERE "x y" = ?'
    assert len(SQLiteDataset(file, query=query, key="k", parameters=["'; DROP"])) == 1
    assert len(SQLiteDataset(file, query=query, key="k", parameters=["' OR 1=1 --"])) == 0


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM items",
        "SELECT id FROM items); DELETE FROM items; --",
        "SELECT id FROM items; DELETE FROM items",
        "SELECT id FROM items; DELETE FROM items;",
        "SELECT id FROM items; -- only\nDELETE FROM items; --",
        "; DELETE FROM items",
    ],
)
def test_nothing_is_written(file: Path, query: str) -> None:
    before = file.read_bytes()
    with pytest.raises((sqlite3.Error, sqlite3.Warning)):
        SQLiteDataset(file, query=query, key="id")
    rows = SQLiteDataset(file, "items")
    with pytest.raises(sqlite3.OperationalError, match="readonly"), rows._connections.use() as connection:
        connection.execute("DELETE FROM items")
    with rows._connections.use() as connection:
        connection.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM items")
    assert list(rows) == ITEMS
    assert file.read_bytes() == before


def test_a_trigger_of_a_view_cannot_call_out(tmp_path: Path) -> None:
    """A file that comes from elsewhere may define views that use whatever functions there are."""
    rows = SQLiteDataset(_with_view(tmp_path), "items")
    assert rows._connections is not None
    with rows._connections.use() as connection:
        assert connection.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert connection.execute("PRAGMA query_only").fetchone() == (1,)


def _with_view(tmp_path: Path) -> Path:
    file = tmp_path / "view.db"
    execute(file, "CREATE TABLE items (k INTEGER)", "CREATE VIEW v AS SELECT k, k * 2 AS twice FROM items")
    return file


def test_view(tmp_path: Path) -> None:
    file = _with_view(tmp_path)
    execute(file, "INSERT INTO items VALUES (3), (1)")
    assert list(SQLiteDataset(file, "v", key="k")) == [{"k": 1, "twice": 2}, {"k": 3, "twice": 6}]


def test_nulls_are_refused_or_filled_as_told(file: Path) -> None:
    execute(file, "UPDATE items SET x = NULL, name = NULL WHERE id = 7")
    rows = SQLiteDataset(file, "items", fill_null={"name": ""})
    assert rows[5] == ITEMS[5]
    with pytest.raises(ValueError, match=r"column 'x' of row 6 \(rowid 7\) is NULL; give fill_null=\{'x': ...\}"):
        rows[6]
    rows = SQLiteDataset(file, "items", fill_null={"name": "", "x": 0.0})
    assert rows[6] == ITEMS[6] | {"name": "", "x": 0.0}
    assert SQLiteDataset(file, "items", columns=["data"])[6] == {"data": ITEMS[6]["data"]}


def test_generated_columns_are_read(tmp_path: Path) -> None:
    file = tmp_path / "generated.db"
    execute(
        file,
        "CREATE TABLE t (k INTEGER, twice INTEGER AS (2 * k), thrice INTEGER AS (3 * k) STORED)",
        "INSERT INTO t VALUES (5)",
        "CREATE VIRTUAL TABLE words USING fts5 (word)",
        "INSERT INTO words VALUES ('a')",
    )
    assert list(SQLiteDataset(file, "t")) == [{"k": 5, "twice": 10, "thrice": 15}]
    assert list(SQLiteDataset(file, "t", columns=["thrice"])) == [{"thrice": 15}]
    # Its hidden columns are commands, and have no values.
    assert list(SQLiteDataset(file, "words")) == [{"word": "a"}]


@pytest.fixture
def typed(tmp_path: Path) -> Path:
    """A column of each type, with a null in each, and one of nulls."""
    file = tmp_path / "typed.db"
    execute(
        file,
        "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, n INTEGER)",
        "INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL), (1, 2.5, 'a', x'00', NULL)",
    )
    return file


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("i", 7, 7),
        ("i", np.int8(7), 7),
        ("r", 0, 0.0),
        ("r", np.float32(0.5), 0.5),
        ("s", "", ""),
        ("b", b"", b""),
        ("n", 5, 5),
        ("n", "none", "none"),
    ],
)
def test_a_fill_has_the_type_of_the_column(typed: Path, column: str, value: Any, expected: Any) -> None:
    query = f"SELECT rowid AS id, {column} FROM t WHERE rowid > ?"
    for rows in (
        SQLiteDataset(typed, "t", columns=[column], fill_null={column: value}),
        SQLiteDataset(typed, query=query, key="id", columns=[column], parameters=[0], fill_null={column: value}),
    ):
        assert rows[0] == {column: expected}
        assert type(rows[0][column]) is type(expected)
        if column != "n":
            assert len(list(DataLoader().batch_size(2).build(rows))) == 1


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("i", 0.0, r"fill_null gives 0\.0 for column 'i' of the table 't' .*, which holds integer; give a Python int"),
        ("i", True, "holds integer; give a Python int"),
        ("i", "0", "holds integer; give a Python int"),
        ("r", "0", "holds real; give a Python float"),
        ("r", False, "holds real; give a Python float"),
        ("r", 2**53 + 1, "holds real; give a Python float"),
        ("r", 10**400, "holds real; give a Python float"),
        ("s", b"", "holds text; give a Python str"),
        ("b", "", "holds blob; give a Python bytes"),
        ("n", None, "fill_null gives None for column 'n' .*; give an int, float, str or bytes"),
        ("n", [0], "give an int, float, str or bytes"),
    ],
)
def test_a_fill_of_another_type_is_refused(typed: Path, column: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SQLiteDataset(typed, "t", fill_null={column: value})
    other = "s" if column == "i" else "i"
    assert len(SQLiteDataset(typed, "t", columns=[other], fill_null={column: value})) == 2, "which is not read"


def test_what_has_no_rowid_needs_a_key(tmp_path: Path) -> None:
    file = _with_view(tmp_path)
    create = "CREATE TABLE t (k INTEGER PRIMARY KEY, y TEXT) WITHOUT ROWID"
    execute(file, create, "INSERT INTO t VALUES (3, 'a')", "INSERT INTO items VALUES (3)")
    for table in ("t", "v"):
        with pytest.raises(ValueError, match=f"the table '{table}' of view.db has no rowid; give key=.*integers"):
            SQLiteDataset(file, table)
    assert list(SQLiteDataset(file, "t", key="k")) == [{"k": 3, "y": "a"}]


def test_a_column_of_several_types_does_not_change_the_batch(tmp_path: Path) -> None:
    file = tmp_path / "mixed.db"
    execute(file, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1), (2.5)")
    with pytest.raises(StackError, match="item 0 has type int but item 1 has type float"):
        list(DataLoader().batch_size(2).build(SQLiteDataset(file, "t")))


def pixels(item: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(item["image"], np.uint8)


def test_a_large_database_is_read_in_place(tmp_path: Path) -> None:
    file = tmp_path / "blobs.db"
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("CREATE TABLE t (image BLOB)")
        images = np.random.default_rng(0).integers(0, 256, (64, 1000), np.uint8)
        connection.executemany("INSERT INTO t VALUES (?)", [(image.tobytes(),) for image in images])
    connection.close()
    rows = SQLiteDataset(file, "t").map(pixels)
    batches = list(DataLoader().batch_size(16).workers(3).prefetch(3).build(rows.shuffle(seed=1)))
    order = [int(np.flatnonzero((images == row).all(1))[0]) for batch in batches for row in batch]
    assert sorted(order) == list(range(64))


class Tracked(sqlite3.Connection):
    """Counts the connections that are open."""

    open: ClassVar[set[int]] = set()
    opened = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Tracked.open.add(id(self))
        Tracked.opened += 1

    def close(self) -> None:
        super().close()
        Tracked.open.discard(id(self))


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> type[Tracked]:
    connect = sqlite3.connect

    def connect_tracked(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **kwargs, factory=Tracked)

    monkeypatch.setattr(sqlite3, "connect", connect_tracked)
    Tracked.open, Tracked.opened = set(), 0
    return Tracked


def test_each_thread_has_a_connection_which_ends_with_it(file: Path, tracked: type[Tracked]) -> None:
    rows = SQLiteDataset(file, "items")
    rows[0], rows[1]
    assert tracked.opened == 1
    together = threading.Barrier(3)

    def read(row: int) -> None:
        rows[row], rows[row + 1]
        together.wait(10)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(read, range(3)))
        assert len(tracked.open) == 4
    gc.collect()
    assert len(tracked.open) == 1
    assert tracked.opened == 4


def test_connections_are_closed_with_the_dataset(file: Path, tracked: type[Tracked]) -> None:
    rows: SQLiteDataset | None = SQLiteDataset(file, "items")
    ready, done = threading.Event(), threading.Event()

    def read(dataset: SQLiteDataset) -> None:
        dataset[0]
        del dataset
        ready.set()
        done.wait(10)

    thread = threading.Thread(target=read, args=[rows])
    thread.start()
    assert ready.wait(10)
    # The thread object keeps no arguments once it has begun, and its connection must not outlive the dataset.
    assert len(tracked.open) == 2
    rows = None
    done.set()
    thread.join()
    gc.collect()
    assert not tracked.open


def test_a_failed_start_leaves_no_connection(file: Path, tracked: type[Tracked]) -> None:
    for _ in range(3):
        with pytest.raises(ValueError, match="no table"):
            SQLiteDataset(file, "nothing")
    gc.collect()
    assert not tracked.open


def test_processes_open_the_file_themselves(file: Path, read_elsewhere: ReadElsewhere) -> None:
    rows = SQLiteDataset(file, "items")
    rows[0]
    for items in read_elsewhere(rows, [3, 19, 3]):
        assert items == [ITEMS[3], ITEMS[19], ITEMS[3]]


def test_a_row_that_went_away(file: Path) -> None:
    rows = SQLiteDataset(file, "items")
    execute(file, "DELETE FROM items WHERE id = 5")
    with pytest.raises(LookupError, match=r"row 4 \(rowid 5\) of the table 'items' of .* has gone"):
        rows.read_many([3, 4])


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.db"):
        SQLiteDataset(tmp_path / "no.db", "items")
    assert not list(tmp_path.iterdir()), "and none is made"


def test_empty_file_and_empty_table(check_dataset: CheckDataset, tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(ValueError, match=r"empty\.db has no table 'items'; it has \[\]"):
        SQLiteDataset(tmp_path / "empty.db", "items")
    check_dataset(SQLiteDataset(_with_view(tmp_path), "items"), [], gathers=False)


@pytest.mark.parametrize("keep", [50, 4096, 9000])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "cut.db"
    execute(file, "CREATE TABLE t (x TEXT)")
    execute(file, *[f"INSERT INTO t VALUES ('{'y' * 900}{i}')" for i in range(40)])
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(sqlite3.DatabaseError) as caught:
        list(SQLiteDataset(file, "t"))
    assert any("cut.db" in note for note in caught.value.__notes__)


def test_schema_that_changed(file: Path) -> None:
    rows = SQLiteDataset(file, "items")
    assert rows[0] == ITEMS[0]
    execute(file, "ALTER TABLE items RENAME COLUMN x TO z")
    with pytest.raises(sqlite3.OperationalError, match="no such column") as caught:
        rows[0]
    assert any("a file" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "either a table or a query"),
        ({"table": "items", "query": "SELECT 1"}, TypeError, "either a table or a query"),
        ({"query": "SELECT * FROM items"}, TypeError, "a query needs a key"),
        ({"table": "items", "parameters": [1]}, TypeError, "'items' has none"),
        ({"table": "items", "columns": "name"}, TypeError, r"write \['name'\]"),
        ({"table": "items", "columns": 3}, TypeError, "columns is a sequence of names, got 3"),
        ({"table": "items", "columns": [["name"]]}, TypeError, r"columns is a sequence of names, and \['name'\] in it"),
        ({"query": "SELECT ?", "key": "id", "parameters": "a"}, TypeError, r"write \['a'\]"),
        ({"query": "SELECT ?", "key": "id", "parameters": 5}, TypeError, r"write \[5\]"),
        (
            {"query": "SELECT ?, ?", "key": "id", "parameters": [1, [2]]},
            TypeError,
            r"parameters gives \[2\] for the placeholder 2; give an int, float, str, bytes or None",
        ),
        (
            {"query": "SELECT :day", "key": "id", "parameters": {"day": np.datetime64("2024-01-02")}},
            TypeError,
            r"parameters gives .*2024.* for the placeholder :day; give an int",
        ),
        ({"table": "other"}, ValueError, r"no table 'other'; it has \['items'\]"),
        ({"table": "items", "columns": []}, ValueError, "columns names no column; name one, or leave it out"),
        ({"table": "items", "fill_null": 0}, TypeError, r"fill_null .* got 0; write \{'name': 0\}"),
        ({"table": "items", "fill_null": 1}, TypeError, "fill_null .* got 1"),
        (
            {
                "query": "SELECT * FROM items WHERE id > :loadax_keys",
                "key": "id",
                "parameters": {"loadax_keys": 3},
            },
            ValueError,
            "parameters has the name 'loadax_keys', which Loadax uses itself; choose another",
        ),
        ({"table": "items", "columns": ["x", "y"]}, ValueError, "no column 'y'; it has .*'split'"),
        ({"table": "items", "columns": ["x", "x"]}, ValueError, "columns names 'x' more than once"),
        ({"table": "items", "key": "y"}, ValueError, "no column 'y'"),
        ({"table": "items", "fill_null": {"y": 0}}, ValueError, "no column 'y'"),
        ({"table": "items", "key": "name"}, ValueError, "key 'name' .* must be an integer, which 20 of 20 are not"),
        ({"query": "SELECT id / 2 AS k FROM items", "key": "k"}, ValueError, "distinct, but 1 comes more than once"),
        ({"query": "SELECT min(id, 19) AS k FROM items", "key": "k"}, ValueError, "distinct, but 19 comes more than"),
        ({"query": "SELECT nullif(id, 3) AS k FROM items", "key": "k"}, ValueError, "1 of 20 are not"),
        (
            {"query": "SELECT CASE id WHEN 4 THEN 3 ELSE id END AS k FROM items", "key": "k"},
            ValueError,
            "distinct, but 3 comes more than once",
        ),
        ({"query": "SELEC 1", "key": "id"}, sqlite3.OperationalError, "syntax error"),
        ({"query": "SELECT id FROM items WHERE x = ?", "key": "id"}, sqlite3.ProgrammingError, "binding"),
    ],
)
def test_wrong_arguments(file: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SQLiteDataset(file, **arguments)


def test_fingerprint_knows_the_rows(file: Path) -> None:
    query = "SELECT * FROM items WHERE id > ?"
    constant = "SELECT id, ? AS y FROM items"
    prints = [
        SQLiteDataset(file, query=constant, key="id", parameters=[1]).fingerprint(),
        SQLiteDataset(file, query=constant, key="id", parameters=[2]).fingerprint(),
        SQLiteDataset(file, "items").fingerprint(),
        SQLiteDataset(file, "items", columns=["x"]).fingerprint(),
        SQLiteDataset(file, query=query, key="id", parameters=[3]).fingerprint(),
        SQLiteDataset(file, query=query, key="id", parameters=[4]).fingerprint(),
    ]
    execute(
        file, "DELETE FROM items WHERE id = 7", "INSERT INTO items SELECT 30, x, name, data, split FROM items LIMIT 1"
    )
    prints.append(SQLiteDataset(file, "items").fingerprint())
    assert len({str(each) for each in prints}) == 7
    assert prints[2]["rows"] == prints[6]["rows"]


def test_a_cache_knows_what_stands_in_place_of_nulls(tmp_path: Path) -> None:
    path = tmp_path / "nulls.db"
    execute(path, "CREATE TABLE t (x INTEGER)", "INSERT INTO t VALUES (1), (NULL)")
    assert list(SQLiteDataset(path, "t", fill_null={"x": 0}).cache(tmp_path / "cache")) == [{"x": 1}, {"x": 0}]
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        SQLiteDataset(path, "t", fill_null={"x": -1}).cache(tmp_path / "cache")


def test_another_file_of_the_same_keys_is_another_dataset(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("train.db", "test.db", "copy/train.db", "new/train.db")]
    for path, x in zip(files, (1, 2, 1, 3), strict=True):
        path.parent.mkdir(exist_ok=True)
        execute(path, "CREATE TABLE t (x INTEGER)", f"INSERT INTO t VALUES ({x})")
    train, test, copy, new = (SQLiteDataset(path, "t") for path in files)
    assert train.fingerprint() == copy.fingerprint() != test.fingerprint()
    assert list(train.cache(tmp_path / "cache")) == list(copy.cache(tmp_path / "cache")) == [{"x": 1}]
    for other in (test, new):
        with pytest.raises(ValueError, match="is the cache of another dataset"):
            other.cache(tmp_path / "cache")


def _with_json(tmp_path: Path) -> Path:
    file = tmp_path / "json.db"
    execute(
        file,
        "CREATE TABLE items (k INTEGER PRIMARY KEY, j TEXT)",
        "CREATE TABLE plain (x INTEGER)",
        "CREATE TABLE made (k INTEGER PRIMARY KEY, j TEXT, a AS (json_extract(j, '$.a')), b AS (j -> '$.a'))",
        "CREATE VIEW first AS SELECT k, json_extract(j, '$.a') AS a FROM items",
        "CREATE VIEW counted AS SELECT k, (SELECT count(*) FROM json_each(j)) AS n FROM items",
        'INSERT INTO items VALUES (1, \'{"a": 5}\'), (3, \'{"a": 6, "b": 7}\')',
        "INSERT INTO made (k, j) VALUES (1, '{\"a\": 5}')",
        "INSERT INTO plain VALUES (8)",
    )
    return file


@pytest.mark.parametrize("indexed", [False, True])
def test_a_schema_that_uses_functions_of_json(tmp_path: Path, indexed: bool, read_elsewhere: ReadElsewhere) -> None:
    file = _with_json(tmp_path)
    if indexed:
        execute(file, "CREATE INDEX by_a ON items (json_extract(j, '$.a'))")
    assert list(SQLiteDataset(file, "plain")) == [{"x": 8}]
    assert [row["k"] for row in SQLiteDataset(file, "items", columns=["k"])] == [1, 3]
    assert list(SQLiteDataset(file, "made", columns=["a", "b"])) == [{"a": 5, "b": "5"}]
    assert list(SQLiteDataset(file, "first", key="k")) == [{"k": 1, "a": 5}, {"k": 3, "a": 6}]
    assert list(SQLiteDataset(file, query="SELECT k, n FROM counted", key="k", columns=["n"])) == [{"n": 1}, {"n": 2}]
    for items in read_elsewhere(SQLiteDataset(file, "counted", key="k", columns=["n"]), [1, 0]):
        assert items == [{"n": 2}, {"n": 1}]


@pytest.mark.parametrize("call", ["load_extension('x')", "fts3_tokenizer('simple')"])
def test_a_schema_cannot_call_functions_that_have_an_effect(tmp_path: Path, call: str) -> None:
    """Nor can it once functions of JSON are allowed to it."""
    file = _with_json(tmp_path)
    for name, expression in (("v", call), ("w", f"json_extract(j, '$.a') + {call}")):
        execute(file, f"CREATE VIEW {name} AS SELECT k, {expression} AS a FROM items")
        with pytest.raises(sqlite3.Error, match=r"unsafe use of|no such function"):
            SQLiteDataset(file, name, key="k")


@pytest.fixture
def locked() -> Callable[[Path], AbstractContextManager[None]]:
    """Makes a folder read-only, also for the superuser, for as long as the block lasts."""

    @contextmanager
    def lock(folder: Path) -> Generator[None]:
        user = os.geteuid()
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)
            folder.chmod(0o755)

    return lock


def test_a_write_ahead_log_in_a_read_only_folder(locked: Callable[[Path], AbstractContextManager[None]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "wal.db"
        execute(file, "PRAGMA journal_mode = WAL", "CREATE TABLE t (x INTEGER)", "INSERT INTO t VALUES (1), (2)")
        with locked(folder):
            rows = SQLiteDataset(file, "t")
            assert list(rows) == [{"x": 1}, {"x": 2}]
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(rows.read_many, [1, 0]).result() == [{"x": 2}, {"x": 1}]
        assert list(SQLiteDataset(file, "t")) == [{"x": 1}, {"x": 2}], "in a folder that can be written to"


def test_changes_in_a_write_ahead_log_are_not_left_out(
    locked: Callable[[Path], AbstractContextManager[None]],
) -> None:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as copy:
        execute(Path(name) / "wal.db", "PRAGMA journal_mode = WAL", "CREATE TABLE t (x INTEGER)")
        with closing(sqlite3.connect(Path(name) / "wal.db")) as writer:
            writer.execute("INSERT INTO t VALUES (3)")
            writer.commit()
            for suffix in ("", "-wal"):
                shutil.copy(Path(name) / f"wal.db{suffix}", copy)
        with locked(Path(copy)), pytest.raises(sqlite3.OperationalError) as caught:
            SQLiteDataset(Path(copy) / "wal.db", "t")
        assert any("its last changes are in wal.db-wal" in note for note in caught.value.__notes__)
        assert list(SQLiteDataset(Path(copy) / "wal.db", "t")) == [{"x": 3}], "where SQLite may write to the folder"


def test_names_of_files_that_are_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"a\xff?mode=rwc#.db")
    execute(tmp_path / "a.db", "CREATE TABLE t (x INTEGER)", "INSERT INTO t VALUES (1), (2)")
    (tmp_path / "a.db").rename(file)
    rows = SQLiteDataset(file, "t")
    assert list(rows) == [{"x": 1}, {"x": 2}]
    assert next(iter(DataLoader().batch_size(2).build(rows))) is not None
    repr(rows).encode()
    assert len(list(rows.cache(tmp_path / "cache"))) == 2
    with pytest.raises(ValueError, match="has no table") as caught:
        SQLiteDataset(file, "u")
    str(caught.value).encode()
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as damaged:
        SQLiteDataset(file, "t")
    "".join(damaged.value.__notes__).encode()


@pytest.mark.parametrize("path", ["~/a.db", "https://example.invalid/a.db", "*.db"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no database .*: (a shell|it is a URL|patterns)"):
        SQLiteDataset(path, "t")
