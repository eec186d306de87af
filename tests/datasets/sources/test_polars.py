"""Polars data frames."""

import datetime as dt
import logging
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, PadBatcher, aligned_empty, testing
from loadax_datasets import ArrayDataset, BaseDataset, PolarsDataset

pl: Any = pytest.importorskip("polars")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
ONE_UTC = dt.datetime(1970, 1, 1, 1, tzinfo=dt.UTC)
N = 9
RNG = np.random.default_rng(0)

FIXED: dict[str, np.ndarray[Any, Any]] = {
    **{
        f"{kind}{bits}": RNG.integers(0, 100, N).astype(f"{kind}{bits}")
        for kind in ("int", "uint")
        for bits in (8, 16, 32, 64)
    },
    "float32": RNG.standard_normal(N).astype(np.float32),
    "float64": np.array([np.nan, -0.0, np.inf, 1, 2, 3, 4, 5, 6]),
    "bool": np.arange(N) % 3 == 0,
    "day": np.datetime64("2020-02-28", "D") + np.arange(N),
    "time": np.datetime64("2020-02-28T23:59:59.999999", "us") + np.arange(N),
    "milli": np.datetime64("2020-02-28T23:59:59.999", "ms") + np.arange(N),
    "span": np.arange(N).astype("timedelta64[ns]"),
    "image": RNG.integers(0, 256, (N, 2, 3), np.uint8),
    "flags": RNG.integers(0, 2, (N, 3)).astype(bool),
}
TEXT: dict[str, list[Any]] = {"name": [f"row {i} ü" for i in range(N)], "data": [bytes([i]) * i for i in range(N)]}


def items_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: column[i] for name, column in columns.items()} for i in range(N)]


@pytest.mark.parametrize("pieces", [1, 3])
def test_columns_keep_their_dtypes(check_dataset: CheckDataset, pieces: int) -> None:
    frame = pl.DataFrame(FIXED | TEXT)
    if pieces > 1:
        frame = pl.concat([frame[:2], frame[2:3], frame[3:]], rechunk=False)
    rows = PolarsDataset(frame)
    check_dataset(rows, items_of(FIXED | TEXT), gathers=True)
    testing.check_dataset(rows)
    assert ("int8" in rows._views) == (pieces == 1)


def test_numbers_in_one_piece_are_not_copied() -> None:
    frame = pl.DataFrame({"x": np.arange(1000), "v": np.zeros((1000, 3), np.uint8)})
    rows = PolarsDataset(frame)
    assert np.shares_memory(rows._views["x"], frame["x"].to_numpy())
    assert np.shares_memory(rows._views["v"], frame["v"].to_numpy())
    item = rows[3]
    item["v"][0] = 9
    assert frame["v"][3].to_list() == [0, 0, 0], "nor handed out"


# By name: a type, its values, and the items that they should become.
NO_LISTS = np.zeros((0, 0), np.uint8)

NESTED: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "list": (
        pl.List(pl.Int16),
        [[i] * (i % 4) for i in range(N)],
        [np.array([i] * (i % 4), np.int16) for i in range(N)],
    ),
    "words": (
        pl.List(pl.String),
        [["a", "b"][: i % 3] for i in range(N)],
        [["a", "b"][: i % 3] for i in range(N)],
    ),
    "lists": (
        pl.List(pl.List(pl.UInt8)),
        [[[i], [], [1, 2]][: i % 4] for i in range(N)],
        # Without an element, an array tells the dtype and the dimensions.
        [[np.array(part, np.uint8) for part in [[i], [], [1, 2]][: i % 4]] or NO_LISTS for i in range(N)],
    ),
    "pairs": (pl.Array(pl.String, 2), [["a", f"{i}"] for i in range(N)], [["a", f"{i}"] for i in range(N)]),
    "boxes": (
        pl.List(pl.Struct({"x": pl.Float32, "label": pl.String})),
        [[{"x": i / 2, "label": "a"}] * (i % 3) for i in range(N)],
        [{"x": np.array([i / 2] * (i % 3), np.float32), "label": ["a"] * (i % 3)} for i in range(N)],
    ),
    "points": (
        pl.List(pl.Array(pl.Int8, 2)),
        [[[i, 1]] * (i % 3) for i in range(N)],
        [np.array([[i, 1]] * (i % 3), np.int8).reshape(-1, 2) for i in range(N)],
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_values_that_differ_in_size(check_dataset: CheckDataset, name: str) -> None:
    dtype, values, expected = NESTED[name]
    rows = PolarsDataset(pl.DataFrame({"v": pl.Series(values, dtype=dtype), "x": np.arange(N)}))
    check_dataset(rows, [{"v": value, "x": np.int64(i)} for i, value in enumerate(expected)], gathers=False)
    testing.check_dataset(rows)


def test_structs_are_dicts(check_dataset: CheckDataset) -> None:
    frame = pl.DataFrame({"x": FIXED["uint8"], "name": TEXT["name"], "v": FIXED["image"]})
    rows = PolarsDataset(frame.select(pl.struct("x", "name", "v").alias("s"), "x"))
    expected = [
        {"s": {"x": FIXED["uint8"][i], "name": TEXT["name"][i], "v": FIXED["image"][i]}, "x": FIXED["uint8"][i]}
        for i in range(N)
    ]
    check_dataset(rows, expected, gathers=True)


def test_categories_are_strings_and_times_with_a_zone_are_utc(check_dataset: CheckDataset) -> None:
    noon = dt.datetime(2020, 1, 1, 12)
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "e": pl.Series(["b", "a", "b"], dtype=pl.Enum(["a", "b"])),
            "t": pl.Series([noon] * 3).dt.replace_time_zone("Asia/Tokyo"),
        }
    )
    utc = np.datetime64("2020-01-01T03:00", "us")
    expected = [{"c": c, "e": e, "t": utc} for c, e in zip("aba", "bab", strict=True)]
    check_dataset(PolarsDataset(frame), expected, gathers=True)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=8), st.integers(1, 3))
def test_any_lists(values: list[list[int]], pieces: int) -> None:
    column = pl.concat([pl.Series(values[i::pieces], dtype=pl.List(pl.Int32)) for i in range(pieces)], rechunk=False)
    rows = PolarsDataset(pl.DataFrame({"v": column}))
    assert [row["v"].tolist() for row in rows.read_many(list(range(len(values))))] == column.to_list()
    assert [row["v"].tolist() for row in rows] == column.to_list()


def test_lists_are_padded() -> None:
    rows = PolarsDataset(pl.DataFrame({"ids": [[1, 2], [3]], "y": [0.5, 1.5]}))
    (batch,) = DataLoader(PadBatcher()).batch_size(2).build(rows)
    assert batch["ids"].tolist() == [[1, 2], [3, 0]]
    assert batch["ids_lengths"].tolist() == [2, 1]


def test_nulls_are_refused_or_filled_as_told(check_dataset: CheckDataset) -> None:
    frame = pl.DataFrame(
        {"x": [1, None, 3], "s": ["a", None, None], "b": [None, True, False]},
        schema={"x": pl.UInt8, "s": pl.String, "b": pl.Boolean},
    )
    with pytest.raises(ValueError, match=r"column 's' has 2 nulls, the first in row 1; give fill_null=\{'s': ...\}"):
        PolarsDataset(frame, columns=["s"])
    rows = PolarsDataset(frame, fill_null={"x": 255, "s": "", "b": True})
    expected = [
        {"x": np.uint8(x), "s": s, "b": np.bool_(b)} for x, s, b in [(1, "a", True), (255, "", True), (3, "", False)]
    ]
    check_dataset(rows, expected, gathers=True)
    assert frame["x"].null_count() == 1, "the caller's frame stays as it is"
    assert len(PolarsDataset(frame, columns=["x"], fill_null={"x": 0, "s": ""})) == 3


@pytest.mark.parametrize(("column", "value"), [("x", 0.5), ("x", 256), ("x", -1), ("x", "0"), ("s", 0), ("b", 2)])
def test_a_fill_of_another_type_is_refused(column: str, value: Any) -> None:
    frame = pl.DataFrame(
        {"x": [None], "s": [None], "b": [None]}, schema={"x": pl.UInt8, "s": pl.String, "b": pl.Boolean}
    )
    with pytest.raises(ValueError, match=f"fill_null gives {value!r} for column '{column}'"):
        PolarsDataset(frame, columns=[column], fill_null={column: value})


@pytest.mark.parametrize(
    ("dtype", "values", "filling", "expected"),
    [
        (pl.List(pl.Int16), [[1], None], [0, 2], np.array([0, 2], np.int16)),
        (pl.List(pl.Int16), [[1], None], [], np.array([], np.int16)),
        (pl.List(pl.Int16), [[1], None], np.array([3], np.int16), np.array([3], np.int16)),
        (pl.List(pl.String), [["a"], None], ["b"], ["b"]),
        (pl.Array(pl.Int16, 2), [[1, 2], None], [0, 5], np.array([0, 5], np.int16)),
        (pl.Array(pl.Int8, (1, 2)), [[[1, 2]], None], np.array([[0, 5]], np.int8), np.array([[0, 5]], np.int8)),
        (pl.Struct({"a": pl.Int8, "l": pl.List(pl.Int8)}), [{"a": 1, "l": [1]}, None], {"a": 3, "l": [4]}, None),
        (pl.Categorical, ["a", None], "b", "b"),
        (pl.Datetime("ns"), [dt.datetime(2020, 1, 1), None], np.datetime64(1, "ns"), np.datetime64(1, "ns")),
        (pl.Datetime("ns"), [dt.datetime(2020, 1, 1), None], np.datetime64(2, "h"), np.datetime64(7200 * 10**9, "ns")),
        (pl.Datetime("us"), [dt.datetime(2020, 1, 1), None], np.datetime64(3000, "ns"), np.datetime64(3, "us")),
        (pl.Datetime("us", "UTC"), [dt.datetime(2020, 1, 1), None], np.datetime64(3, "us"), np.datetime64(3, "us")),
        (pl.Datetime("ns"), [dt.datetime(2020, 1, 1), None], dt.datetime(1970, 1, 1), np.datetime64(0, "ns")),
        (pl.Date, [dt.date(2020, 1, 1), None], np.datetime64("1970-01-03"), np.datetime64("1970-01-03")),
        (pl.Duration("ms"), [dt.timedelta(1), None], np.timedelta64(2, "s"), np.timedelta64(2000, "ms")),
        (pl.Duration("ms"), [dt.timedelta(1), None], dt.timedelta(seconds=2), np.timedelta64(2000, "ms")),
        (pl.Datetime("us", "Asia/Tokyo"), [dt.datetime(2020, 1, 1), None], ONE_UTC, np.datetime64(3600 * 10**6, "us")),
        (pl.Date, [dt.date(2020, 1, 1), None], dt.datetime(1970, 1, 3), np.datetime64("1970-01-03")),
        (pl.Float32, [1.0, None], 0.1, np.float32(0.1)),
        (pl.Float32, [1.0, None], float("nan"), np.float32("nan")),
        (pl.Float32, [1.0, None], float("-inf"), np.float32("-inf")),
        (pl.Float32, [1.0, None], 3, np.float32(3)),
        (pl.List(pl.Float32), [[1.0], None], np.array([0.1]), np.array([0.1], np.float32)),
        (pl.List(pl.Int16), [[1], None], np.array([3.0]), np.array([3], np.int16)),
        (
            pl.List(pl.Struct({"x": pl.Int8, "t": pl.List(pl.String)})),
            [[{"x": 1, "t": ["b"]}], None],
            [{"x": 1, "t": ["a"]}, {"x": 2, "t": ["b", "c"]}],
            {"x": np.array([1, 2], np.int8), "t": [["a"], ["b", "c"]]},
        ),
    ],
    ids=str,
)
def test_columns_of_any_type_are_filled(
    dtype: Any, values: list[Any], filling: Any, expected: Any, same: Callable[[Any, Any], bool]
) -> None:
    frame = pl.DataFrame({"v": pl.Series(values, dtype=dtype)})
    rows = PolarsDataset(frame, fill_null={"v": filling})
    expected = {"a": np.int8(3), "l": np.array([4], np.int8)} if expected is None else expected
    assert same(rows[1], {"v": expected})
    assert same(rows[0], PolarsDataset(frame[:1])[0]), "and the others stay as they are"
    assert rows.types == {"v": str(dtype)} or dtype == pl.Categorical


@pytest.mark.parametrize(
    ("dtype", "filling"),
    [
        (pl.Int8, None),
        (pl.List(pl.Int8), None),
        (pl.List(pl.Int8), 5),
        (pl.List(pl.Int8), [0.5]),
        (pl.List(pl.Int8), [None]),
        (pl.Array(pl.Int8, 2), [1, 2, 3]),
        (pl.Array(pl.Int8, 2), [1, None]),
        (pl.Struct({"a": pl.Int8}), {"b": 1}),
        (pl.Datetime("us"), np.datetime64(1, "ns")),
        (pl.Datetime("us"), np.datetime64("NaT", "us")),
        (pl.Datetime("us"), np.timedelta64(1, "us")),
        (pl.Date, np.datetime64(1, "h")),
        (pl.Duration("us"), np.datetime64(1, "us")),
        (pl.Int64, np.datetime64(1, "us")),
        (pl.List(pl.Categorical), ["a"]),
        (pl.Date, dt.datetime(2020, 1, 1, 5)),
        (pl.Date, 5),
        (pl.List(pl.Date), [dt.datetime(2020, 1, 1, 5)]),
        (pl.Datetime("ms"), dt.datetime(2020, 1, 1, 0, 0, 0, 5)),
        (pl.Datetime("us"), ONE_UTC),
        (pl.Datetime("ns"), np.datetime64("9999-01-01")),
        (pl.Duration("ms"), dt.timedelta(microseconds=5)),
        (pl.List(pl.Duration("ms")), [dt.timedelta(microseconds=5)]),
        (pl.Float32, 1e300),
        (pl.List(pl.Float32), [1e300]),
        (pl.Array(pl.Float32, 1), [1e300]),
        (pl.Struct({"a": pl.Float32}), {"a": 1e300}),
        (pl.Struct({"a": pl.Int8}), {"a": 0.5}),
        (pl.Struct({"a": pl.Int8}), {"a": 1, "b": 2}),
        (pl.Float64, 2**53 + 1),
        (pl.Int8, True),
        (pl.List(pl.Int8), np.array([300])),
        (pl.List(pl.Int16), np.array([3.5])),
    ],
    ids=str,
)
def test_a_fill_that_cannot_be_is_refused(dtype: Any, filling: Any) -> None:
    frame = pl.DataFrame({"v": pl.Series([None], dtype=dtype)})
    with pytest.raises(ValueError, match=r"fill_null gives .* for column 'v', which is .*; give a value of that type"):
        PolarsDataset(frame, fill_null={"v": filling})


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([[1, None]], "List(Int64)"),
        ([[1, None]], "Array(Int64, 2)"),
        ([["a", None]], "List(String)"),
        ([[[1], None]], "List(List(Int64))"),
    ],
)
def test_nulls_within_values_are_refused(values: list[Any], dtype: str) -> None:
    rows = PolarsDataset(
        pl.DataFrame({"v": pl.Series(values, dtype=eval(f"pl.{dtype}".replace("(", "(pl."), {"pl": pl}))})
    )
    with pytest.raises(ValueError, match="a null within column 'v'"):
        rows[0]


def test_nulls_in_structs_are_refused() -> None:
    frame = pl.DataFrame({"s": [{"a": 1, "t": {"b": "x"}}, {"a": None, "t": {"b": "y"}}]})
    message = r"column 's\.a' has 1 null, the first in row 1; fill them with .*struct\.with_fields.*, or drop such rows"
    with pytest.raises(ValueError, match=message) as caught:
        PolarsDataset(frame)
    assert "fill_null={" not in str(caught.value), "which is for columns"
    # As advised.
    frame = frame.with_columns(pl.col("s").struct.with_fields(pl.field("a").fill_null(0)))
    assert PolarsDataset(frame)[1] == {"s": {"a": 0, "t": {"b": "y"}}}
    frame = pl.DataFrame({"s": [{"t": {"b": "x"}}, {"t": {"b": None}}, {"t": None}]})
    with pytest.raises(ValueError, match=r"column 's\.t' has 1 null, the first in row 2; fill them with "):
        PolarsDataset(frame)
    with pytest.raises(ValueError, match=r"column 's\.t\.b' has 1 null, the first in row 1; fill them with "):
        PolarsDataset(frame[:2])


@pytest.mark.parametrize("dtype", ["Decimal(10, 2)", "Time()", "Null()", "Object()", "Int128()", "List(pl.Time)"])
def test_types_without_counterpart_are_refused(dtype: str) -> None:
    frame = pl.DataFrame({"v": pl.Series([], dtype=eval(f"pl.{dtype}", {"pl": pl})), "x": pl.Series([], dtype=pl.Int8)})
    with pytest.raises(TypeError, match=r"column 'v(\[\])?' has the type .* no counterpart in NumPy; cast it"):
        PolarsDataset(frame)
    assert len(PolarsDataset(frame, columns=["x"])) == 0


@pytest.mark.parametrize("names", [np.array(["name", "bool"]), ("name", "bool"), dict.fromkeys(["name", "bool"])])
def test_columns_are_named_by_any_iterable(names: Any) -> None:
    rows = PolarsDataset(pl.DataFrame(FIXED | TEXT), columns=names)
    assert [type(name) for name in rows[0]] == [str, str]
    assert rows.types == {"name": "String", "bool": "Boolean"}


@pytest.mark.parametrize("lazy", [False, True])
def test_names_that_polars_takes_for_patterns(lazy: bool) -> None:
    """Where Polars takes a name for a pattern, columns were lost, and others given in their place."""
    columns = {"*": [1, None], "^b.*$": [3, 4], "b": [5, 6], "^$": [7, 8], "^a\n\\d $": [9, 10]}
    frame = pl.DataFrame(columns)
    given = frame.lazy() if lazy else frame
    assert list(PolarsDataset(given, fill_null={"*": 2})[1]) == list(columns)
    for name, values in columns.items():
        rows = PolarsDataset(given, columns=[name], fill_null={"*": 2})
        assert list(rows) == [{name: value or 2} for value in values]


def test_fields_that_polars_takes_for_patterns(check_dataset: CheckDataset) -> None:
    items = [{"s": {"*": np.int64(i), "^.*$": "x", "b": {"*": np.float64(i)}}} for i in range(3)]
    frame = pl.DataFrame({"s": [{"*": i, "^.*$": "x", "b": {"*": float(i)}} for i in range(3)]})
    check_dataset(PolarsDataset(frame), items, gathers=True)


def test_lazy_frame(check_dataset: CheckDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pl.DataFrame({"x": np.arange(10, dtype=np.int16), "y": ["a"] * 10}).write_csv(tmp_path / "x.csv")
    collected: list[int] = []

    def seen(frame: Any) -> Any:
        collected.append(1)
        return frame

    lazy = pl.scan_csv(tmp_path / "x.csv", schema_overrides={"x": pl.Int16}).filter(pl.col("x") > 6)
    lazy = lazy.map_batches(seen, streamable=False)
    with caplog.at_level(logging.INFO, "loadax.datasets"):
        rows = PolarsDataset(lazy, columns=["x"])
    check_dataset(rows, [{"x": np.int16(i)} for i in (7, 8, 9)], gathers=True)
    assert collected == [1], "collected once"
    assert "collected a LazyFrame: 3 rows" in caplog.text


def test_empty_frame(check_dataset: CheckDataset) -> None:
    rows = PolarsDataset(pl.DataFrame(schema={"x": pl.UInt8, "s": pl.String, "v": pl.Array(pl.Int8, 3)}))
    check_dataset(rows, [], gathers=True)
    assert rows.gather is not None
    batch = rows.gather(np.array([], np.int64), aligned_empty)
    assert {name: (column.dtype.name, column.shape) for name, column in batch.items()} == {
        "x": ("uint8", (0,)),
        "s": ("object", (0,)),
        "v": ("int8", (0, 3)),
    }


def test_threads_and_processes(read_elsewhere: ReadElsewhere) -> None:
    rows = PolarsDataset(pl.DataFrame({"x": np.arange(1000), "s": [f"row {i}" for i in range(1000)]}))
    loader = DataLoader().batch_size(7).workers(4).prefetch(4).build(rows.shuffle(seed=1))
    seen = sorted((int(x), s) for batch in loader for x, s in zip(batch["x"], batch["s"], strict=True))
    assert seen == [(i, f"row {i}") for i in range(1000)]
    for items in read_elsewhere(rows, [999, 0]):
        assert items == [{"x": 999, "s": "row 999"}, {"x": 0, "s": "row 0"}]


def test_threads_read_strings_at_once() -> None:
    rows = PolarsDataset(pl.DataFrame({"s": [f"row {i}" for i in range(1000)]}))

    def tail(start: int) -> list[dict[str, Any]]:
        return rows.read_many(list(range(start, 1000)))

    with ThreadPoolExecutor(4) as pool:
        for start, items in enumerate(pool.map(tail, range(40))):
            assert items == [{"s": f"row {i}"} for i in range(start, 1000)]


def test_fingerprint_knows_the_rows() -> None:
    frame = pl.DataFrame({"x": np.arange(100), "s": ["a"] * 100})
    others = [
        frame[::-1],
        frame[:-1],
        frame.select("x"),
        frame.with_columns(pl.col("x").cast(pl.Int32)),
        frame.with_columns(s=pl.lit("b")),
    ]
    prints = [PolarsDataset(each).fingerprint() for each in [frame, *others]]
    assert len({str(each) for each in prints}) == 6
    assert PolarsDataset(frame.clone()).fingerprint() == prints[0]


@pytest.mark.parametrize(
    ("frame", "arguments", "error", "message"),
    [
        ({"x": [1]}, {}, TypeError, "takes a DataFrame or a LazyFrame, got a dict"),
        (pl.Series([1]), {}, TypeError, "got a Series"),
        ("a.csv", {}, TypeError, r"got a str; make one with polars\.DataFrame, or read a file with polars\.read_csv"),
        (pl.DataFrame({"x": [1]}), {"columns": "x"}, TypeError, r"write \['x'\]"),
        (pl.DataFrame({"x": [1]}), {"columns": [pl.col("x")]}, TypeError, "names, and .* is of type Expr"),
        (pl.DataFrame({"x": [1]}), {"columns": 3}, TypeError, "columns is a sequence of names, got 3"),
        (pl.DataFrame({"x": [1]}), {"columns": []}, ValueError, "columns names no column; name one, or leave it out"),
        (pl.DataFrame({"x": [1]}), {"fill_null": 0}, TypeError, r"fill_null .* got 0; write \{'name': 0\}"),
        (pl.DataFrame({"x": [1]}), {"fill_null": "x"}, TypeError, "fill_null .* got 'x'"),
        (pl.DataFrame({"x": [1]}), {"columns": ["y"]}, ValueError, r"no column 'y'; it has \['x'\]"),
        (pl.DataFrame({"x": [1]}), {"columns": ["x", "x"]}, ValueError, "columns names 'x' more than once"),
        (pl.LazyFrame({"x": [1]}), {"fill_null": {"y": 0}}, ValueError, "no column 'y'"),
    ],
)
def test_wrong_arguments(frame: Any, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PolarsDataset(frame, **arguments)


def test_views_are_made_again_in_copies_not_sent_along() -> None:
    data = pickle.dumps(PolarsDataset(pl.DataFrame({"x": np.arange(10_000)})))
    assert len(data) < 1.5 * 80_000
    copied: PolarsDataset = pickle.loads(data)
    assert list(copied._views) == ["x"]


def test_a_cache_knows_what_stands_in_place_of_nulls(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [1, *[None] * 9]})
    assert PolarsDataset(frame, fill_null={"x": 0}).cache(tmp_path)[1] == {"x": 0}
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        PolarsDataset(frame, fill_null={"x": -1}).cache(tmp_path)


@pytest.mark.parametrize("physical", ["UInt8", "UInt16", "UInt32"])
def test_categories_with_a_name(check_dataset: CheckDataset, physical: str) -> None:
    if not hasattr(pl, "Categories"):
        # Older versions of Polars have one kind of categories only.
        dtype = pl.Categorical
    else:
        dtype = pl.Categorical(pl.Categories(f"of {physical}", physical=getattr(pl, physical)))
    frame = pl.DataFrame({"c": pl.Series(["a", None, "b"], dtype=dtype)})
    check_dataset(
        PolarsDataset(frame, fill_null={"c": "new"}), [{"c": word} for word in ("a", "new", "b")], gathers=True
    )


def test_an_array_dataset_of_a_frame_names_the_class_that_reads_it() -> None:
    frame = pl.DataFrame({"x": [1, 2, 3]})
    with pytest.raises(TypeError, match=r"PolarsDataset\(frame\) reads its rows"):
        ArrayDataset(frame)
    with pytest.raises(TypeError, match=r"PolarsDataset\(frame\) collects it, and reads its rows"):
        ArrayDataset(frame.lazy())
    with pytest.raises(TypeError, match=r"arrays\['x'\] is a Series, not an array; convert it with np.asarray"):
        ArrayDataset({"x": frame["x"]})
