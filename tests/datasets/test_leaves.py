"""Datasets that hold or compute their rows: in memory, of arrays, ranges, and sources of other kinds."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import Alloc, Dataset, Rows, aligned_empty
from loadax_datasets import (
    ArrayDataset,
    BaseDataset,
    IndexedDataset,
    InMemoryDataset,
    RangeDataset,
    ShuffledDataset,
    as_dataset,
)


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


class Pair(NamedTuple):
    image: Any
    label: Any


@dataclasses.dataclass
class Example:
    x: Any
    y: Any


def test_in_memory_items(check_dataset: CheckDataset) -> None:
    check_dataset(InMemoryDataset(["a", "b", "c"]), ["a", "b", "c"], gathers=False)
    check_dataset(InMemoryDataset({"i": i} for i in range(4)), [{"i": i} for i in range(4)], gathers=False)
    array = np.arange(12.0).reshape(6, 2)
    check_dataset(InMemoryDataset(array), list(array), gathers=True)
    assert np.shares_memory(InMemoryDataset(array)[0], array)


def test_in_memory_keeps_what_it_was_given() -> None:
    items = [1, 2, 3]
    rows = InMemoryDataset(items)
    items.append(4)
    assert list(rows) == [1, 2, 3]


def test_in_memory_refuses_what_holds_no_items() -> None:
    with pytest.raises(TypeError, match="InMemoryDataset takes items to iterate over, such as a list, got 5"):
        InMemoryDataset(5)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bad", [{"x": [1]}, "text", b"bytes"])
def test_in_memory_refuses_what_is_not_a_list_of_items(bad: Iterable[Any]) -> None:
    with pytest.raises(TypeError, match=r"one item|not rows"):
        InMemoryDataset(bad)
    with pytest.raises(TypeError, match=r"one item|not rows"):
        as_dataset(bad)  # pyright: ignore[reportArgumentType]


RANGES = [(5,), (0,), (2, 9), (9, 2), (1, 20, 3), (20, 1, -4), (2**62, 2**62 + 5), (-(2**63), 2**62, 2**61)]


@pytest.mark.parametrize("arguments", RANGES, ids=str)
def test_range(check_dataset: CheckDataset, arguments: tuple[int, ...]) -> None:
    expected = list(range(*arguments))
    check_dataset(RangeDataset(*arguments), expected, gathers=True)
    assert all(type(number) is int for number in RangeDataset(*arguments))


def test_a_range_from_0_may_have_a_step(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(10, step=2), [0, 2, 4, 6, 8], gathers=True)
    assert list(RangeDataset(5, None, 2)) == np.arange(5, None, 2).tolist() == [0, 2, 4]
    assert RangeDataset(10, step=3).describe() == "RangeDataset(0, 10, 3)"


@given(start=st.integers(-50, 50), stop=st.integers(-50, 50), step=st.integers(-7, 7).filter(bool))
def test_range_is_range(start: int, stop: int, step: int) -> None:
    rows = RangeDataset(start, stop, step)
    numbers = range(start, stop, step)
    assert list(rows) == list(numbers)
    assert rows.gather(np.arange(len(numbers)), aligned_empty).tolist() == list(numbers)


@pytest.mark.parametrize("arguments", RANGES)
def test_a_range_in_another_order(arguments: tuple[int, ...]) -> None:
    numbers = range(*arguments)
    rows = [row for row in (4, 0, 2, 1, 3) if row < len(numbers)]
    read = RangeDataset(*arguments)[::-1].read_many(rows)
    assert read == [numbers[::-1][row] for row in rows]
    assert {type(number) for number in read} <= {int}


@pytest.mark.parametrize("arguments", [(2**63,), (-(2**63) - 1, 0), (0, 1, 2**64), (-(2**63), 2**63 - 1)])
def test_range_refuses_what_does_not_fit(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"fit int64|len\(\)"):
        RangeDataset(*arguments)


@pytest.mark.parametrize("arguments", [(1.5,), (True,), (0, "3"), (0, 3, 1.0), (0, 3, False)])
def test_range_refuses_what_is_not_an_integer(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        RangeDataset(*arguments)


def test_range_takes_the_integers_of_numpy_too() -> None:
    rows: list[Any] = [np.int64(3), 1, np.uint8(2)]
    assert RangeDataset(5).read_many(rows) == [3, 1, 2]


def test_range_with_step_zero() -> None:
    with pytest.raises(ValueError, match="must not be zero"):
        RangeDataset(0, 3, 0)
    with pytest.raises(ValueError, match="must not be zero"):
        RangeDataset(3, step=0)


TREES: list[Callable[[Any, Any], Any]] = [
    lambda x, y: {"x": x, "y": y},
    lambda x, y: [x, y],
    lambda x, y: (x, {"deep": [y, None]}),
    Pair,
    Example,
]


@pytest.mark.parametrize("build", TREES)
def test_trees_of_arrays(check_dataset: CheckDataset, build: Callable[[Any, Any], Any]) -> None:
    x, y = np.arange(24, dtype=np.uint8).reshape(6, 2, 2), np.linspace(0, 1, 6, dtype=np.float32)
    check_dataset(ArrayDataset(build(x, y)), [build(x[i], y[i]) for i in range(6)], gathers=True)


DTYPES = ["?", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "M8[s]", "m8[ms]", "U5", "S3", "V4", ">i4", ">U3"]


FIELDS = [[("a", "i4"), ("b", "f8")], [("a", ">f4", (2,))], [("a", "i4"), ("b", [("c", ">i2", (2, 2))])]]


@pytest.mark.parametrize("dtype", [*DTYPES, *FIELDS], ids=str)
@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 0)])
def test_every_dtype_survives(check_dataset: CheckDataset, dtype: str, shape: tuple[int, ...]) -> None:
    kind = np.dtype(dtype)
    array = np.random.default_rng(0).bytes(int(np.prod(shape)) * kind.itemsize)
    if kind.kind in "US":
        values = np.array(["", "a", "bc", "xyz", "é"[: kind.kind == "U"]] * int(np.prod(shape)))
        rows = values[: int(np.prod(shape))].astype(kind).reshape(shape)
    else:
        rows = np.frombuffer(array, kind if kind.kind != "b" else "u1").reshape(shape)
        rows = (rows % 2).astype(bool) if kind.kind == "b" else rows
    expected = [rows.astype(kind.newbyteorder("="))[i, ...] for i in range(5)]
    check_dataset(ArrayDataset({"x": rows}), [{"x": row} for row in expected], gathers=True)


def test_bfloat16_survives(check_dataset: CheckDataset) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.arange(6, dtype=ml_dtypes.bfloat16)
    check_dataset(ArrayDataset(array), list(array), gathers=True)


def test_objects_are_read_one_at_a_time(check_dataset: CheckDataset) -> None:
    words = np.array(["a", "bb", 3], object)
    check_dataset(ArrayDataset({"w": words}), [{"w": "a"}, {"w": "bb"}, {"w": 3}], gathers=False)


def test_arrays_of_any_layout(check_dataset: CheckDataset) -> None:
    base = np.arange(48).reshape(6, 8)
    for array in (base[:, 2:5], base[::-1], base.T[:6], np.asfortranarray(base), base[::2], base[:0]):
        check_dataset(ArrayDataset(array), [row.copy() for row in array], gathers=True)


def test_jax_arrays_are_arrays(check_dataset: CheckDataset) -> None:
    jnp = pytest.importorskip("jax.numpy")
    check_dataset(ArrayDataset({"x": jnp.arange(5)}), [{"x": np.int32(i)} for i in range(5)], gathers=True)


def test_nothing_is_copied_and_nothing_can_be_overwritten() -> None:
    array = np.zeros((3, 2))
    rows = ArrayDataset({"x": array})
    assert np.shares_memory(rows[1]["x"], array)
    with pytest.raises(ValueError, match="read-only"):
        rows[1]["x"] += 1
    assert array.flags.writeable, "the caller's own array stays as it was"


def test_lengths_that_differ_are_named() -> None:
    with pytest.raises(ValueError, match=r"arrays\['x'\] has 3, arrays\['y'\]\[1\] has 4"):
        ArrayDataset({"x": np.zeros(3), "y": [np.zeros(3), np.zeros(4)]})


class Handle:
    """Like an open file's dataset: it can become an array, but must not without being told to."""

    def __len__(self) -> int:
        return 3

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise AssertionError("read as a whole")


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({}, ValueError, "at least one array"),
        (None, ValueError, "at least one array"),
        ({"x": [1, 2]}, TypeError, r"arrays\['x'\]\[0\] is a int, not an array; convert it with np.asarray"),
        ({"x": "text"}, TypeError, r"arrays\['x'\] is a str"),
        (Handle(), TypeError, "arrays is a Handle"),
        ({"x": np.array(1)}, ValueError, r"arrays\['x'\] has no dimension"),
        ([np.ma.masked_array([1, 2], [True, False])], ValueError, r"arrays\[0\] is a masked array"),
    ],
)
def test_what_is_not_a_tree_of_arrays_is_refused(arrays: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ArrayDataset(arrays)


def test_array_repr_names_leaves_dtypes_and_shapes() -> None:
    rows = ArrayDataset({"x": np.zeros((3, 2), np.uint8), "y": np.zeros(3)})
    assert repr(rows) == "ArrayDataset(3 rows: ['x'] uint8 (2,), ['y'] float64 ())"
    assert repr(ArrayDataset(np.zeros(3))) == "ArrayDataset(3 rows: float64 ())"


class Foreign:
    """A dataset class of somebody else's, with every optional ability."""

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift
        self.calls: list[str] = []

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int, /) -> int:
        self.calls.append("item")
        return self.shift + [10, 11, 12, 13][index]

    def __getitems__(self, rows: list[int], /) -> list[int]:
        self.calls.append("items")
        return [self.shift + 10 + row for row in rows]

    def gather(self, rows: Rows, alloc: Alloc, /) -> Any:
        self.calls.append("gather")
        if len(rows) and (rows.dtype.kind != "i" or rows.min() < 0 or rows.max() >= 4):
            raise (TypeError if rows.dtype.kind != "i" else IndexError)
        return rows.astype(np.int64) + 10 + self.shift

    def at_epoch(self, epoch: int, /) -> "Foreign":
        return Foreign(100 * epoch)

    def fingerprint(self) -> Mapping[str, Any]:
        return {"foreign": 4}


def test_everything_a_foreign_source_can_do_is_passed_on(check_dataset: CheckDataset) -> None:
    check_dataset(as_dataset(Foreign()), [10, 11, 12, 13], gathers=True)
    source = Foreign()
    rows = ShuffledDataset(source, seed=1).map(float)[:]
    assert source.calls == []
    rows.read_many([0, 1])
    assert source.calls == ["items"]
    assert sorted(rows.at_epoch(2)) == [210.0, 211.0, 212.0, 213.0]
    assert rows.fingerprint() == {"slice": [0, 4, 1], "source": {"shuffle": 1, "source": {"foreign": 4}}}


def test_other_methods_named_gather_are_not_taken_for_ours() -> None:
    class Tensorlike(list[int]):
        def gather(self, indices: Any) -> Any:
            raise AssertionError("this is another gather")

    class Absent(list[int]):
        gather = None

    assert as_dataset(Tensorlike([1])).gather is None
    assert as_dataset(Absent([1])).gather is None


@pytest.mark.parametrize("source", [[1, 2, 3], (1, 2, 3), range(1, 4)], ids=["list", "tuple", "range"])
def test_plain_sequences(check_dataset: CheckDataset, source: Dataset[int]) -> None:
    check_dataset(as_dataset(source), [1, 2, 3], gathers=False)
    assert repr(as_dataset(source)) == f"IndexedDataset({type(source).__name__} of 3 rows)"


def test_as_dataset_wraps_no_more_than_it_must() -> None:
    rows = RangeDataset(3)
    assert as_dataset(rows) is rows
    assert isinstance(as_dataset(np.zeros(3)), ArrayDataset)
    assert isinstance(as_dataset([1]), IndexedDataset)
    same = IndexedDataset([1])
    assert same.at_epoch(5) is same


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"x": np.zeros(3)}, "a dict has keys, not rows; use ArrayDataset"),
        (iter([1]), "list_iterator does not have; list"),
        ({1, 2}, "set does not have"),
        (list, "type does not have"),
        (5, "int does not have$"),
    ],
)
def test_what_has_no_rows_is_refused(source: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_dataset(source)
    with pytest.raises(TypeError, match=message):
        ShuffledDataset(source)


COLUMNS = {"x": [1, 2]}


@pytest.mark.parametrize(
    ("module", "make", "data", "message"),
    [
        ("pandas", "DataFrame", COLUMNS, r"pandas DataFrame .* ArrayDataset\(\{'x': frame\['x'\]\.to_numpy\(\)\}\)"),
        ("pandas", "Series", {1: 10, 0: 20}, r"pandas Series .* ArrayDataset\(series\.to_numpy\(\)\)"),
        ("polars", "DataFrame", COLUMNS, r"polars DataFrame .* PolarsDataset\(frame\)"),
        ("polars", "LazyFrame", COLUMNS, r"polars LazyFrame .* PolarsDataset\(frame\)"),
        ("pyarrow", "table", COLUMNS, r"pyarrow Table .* table\['x'\]\.to_numpy\(\).* ParquetDataset"),
        ("pyarrow", "record_batch", COLUMNS, r"pyarrow RecordBatch .* ParquetDataset"),
    ],
)
def test_tables_that_are_not_read_by_row_are_refused(module: str, make: str, data: Any, message: str) -> None:
    source = getattr(pytest.importorskip(module), make)(data)
    wraps: list[Any] = [as_dataset, IndexedDataset, ShuffledDataset]
    if make == "Series":
        assert list(InMemoryDataset(source)) == [10, 20], "its values, whatever their labels"
    else:
        wraps.append(InMemoryDataset)
    for wrap in wraps:
        with pytest.raises(TypeError, match=message):
            wrap(source)


def test_types_that_derive_from_a_table_are_refused_too() -> None:
    pandas: Any = pytest.importorskip("pandas")
    own: Any = type("Own", (pandas.Series,), {})
    with pytest.raises(TypeError, match="pandas Series"):
        as_dataset(own([1, 2]))


def test_what_other_libraries_read_by_number_is_taken() -> None:
    polars: Any = pytest.importorskip("polars")
    assert list(as_dataset(polars.Series([1, 2]))) == [1, 2]

    class Series(list[int]):
        """Not that of Pandas."""

    assert list(as_dataset(Series([1, 2]))) == [1, 2]
