"""cast: which numbers may become which, in items and in gathers alike, and whose memory they are in."""

import dataclasses
import pickle
import tracemalloc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import Alloc, DataLoader, StackBatcher, aligned_empty, tree
from loadax_core.memory.pool import Pool, is_leased
from loadax_core.observe.transforms import begin_measuring, end_measuring
from loadax_core.testing import check_same
from loadax_datasets import ArrayDataset, BaseDataset, CastDataset, InMemoryDataset, RangeDataset, TokenDataset

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


class Pair(NamedTuple):
    image: Any
    label: Any


@dataclasses.dataclass
class Example:
    x: Any
    y: Any


TREES: list[Callable[[Any, Any], Any]] = [
    lambda x, y: {"x": x, "y": y},
    lambda x, y: [x, y],
    lambda x, y: (x, {"deep": [y, None]}),
    lambda x, y: OrderedDict[str, Any](b=x, a=y),
    Pair,
    Example,
]

NUMBERS = [np.dtype(code) for code in "?bhilqBHILQefdgFDG"]
IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
LABELS = np.arange(6, dtype=np.int64) - 3
TOKENS = np.arange(1000, dtype=np.uint16)


def gathered(rows: BaseDataset[Any], wanted: Sequence[int] | None = None, alloc: Alloc = aligned_empty) -> Any:
    assert rows.gather is not None
    return rows.gather(np.array(range(len(rows)) if wanted is None else wanted, np.int64), alloc)


@pytest.mark.parametrize("build", TREES)
def test_every_leaf_of_a_tree(check_dataset: CheckDataset, build: Callable[[Any, Any], Any]) -> None:
    expected = [build(IMAGES[i].astype(np.float32), np.float32(LABELS[i])) for i in range(6)]
    check_dataset(ArrayDataset(build(IMAGES, LABELS)).cast(np.float32), expected, gathers=True)


def test_bare_leaves(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(7).cast(np.int16), [np.int16(i) for i in range(7)], gathers=True)
    check_dataset(ArrayDataset(IMAGES).cast("int32"), [row.astype(np.int32) for row in IMAGES], gathers=True)
    check_dataset(CastDataset(["a", "b"][:0], np.int32), [], gathers=False)


def test_entries_by_name(check_dataset: CheckDataset) -> None:
    arrays = {"image": IMAGES, "names": np.array(list("abcdef")), "more": {"label": LABELS, "image": LABELS}}
    expected: list[Any] = [
        {
            "image": IMAGES[i].astype(np.float16),
            "names": np.array("abcdef"[i]),
            "more": {"label": np.float64(LABELS[i]), "image": np.float64(LABELS[i])},
        }
        for i in range(6)
    ]
    rows = ArrayDataset(arrays).cast({"image": "float16", "more": float})
    check_dataset(rows, expected, gathers=True)
    assert rows.describe() == "CastDataset({'image': float16, 'more': float64})"
    for i, item in enumerate(expected):
        item["image"], item["more"] = IMAGES[i], {"label": LABELS[i], "image": LABELS[i]}
    check_dataset(ArrayDataset(arrays).cast({"image": np.uint8}), expected, gathers=True)


def test_names_of_any_kind(check_dataset: CheckDataset) -> None:
    items: list[Any] = [OrderedDict([(1, i), (None, i), ("1", [i])]) for i in range(3)]
    expected = [OrderedDict([(1, np.int8(i)), (None, i), ("1", [np.float32(i)])]) for i in range(3)]
    rows = InMemoryDataset(items).cast(MappingProxyType({1: np.int8, "1": np.float32}))
    check_dataset(rows, expected, gathers=False)


def test_mappings_of_other_kinds_become_dicts() -> None:
    item: Any = InMemoryDataset([MappingProxyType({"a": 1})]).cast({"a": np.int8})[0]
    assert type(item) is dict
    check_same(item, {"a": np.int8(1)})


class Opaque:
    """What nobody can look into."""


def test_entries_that_are_not_named_stay_what_they_are() -> None:
    other, deep = Opaque(), {"text": "a", "number": 1}
    item = InMemoryDataset([{"x": 1, "other": other, "deep": deep}]).cast({"x": np.int8})[0]
    assert item["other"] is other
    assert item["deep"] is deep


@pytest.mark.parametrize("dtype", [np.int32, "int32", "i4", np.dtype(np.int32), ">i4"], ids=repr)
def test_whatever_names_a_dtype(dtype: Any) -> None:
    rows = RangeDataset(3).cast(dtype)
    assert rows.describe() == "CastDataset(int32)"
    assert rows[1].dtype == gathered(rows).dtype == np.dtype("=i4")
    assert repr(rows) == "CastDataset(int32)\n└─ RangeDataset(0, 3)"


def test_jax_names_dtypes_too() -> None:
    jnp = pytest.importorskip("jax.numpy")
    assert gathered(RangeDataset(3).cast(jnp.float32)).dtype == np.float32
    assert gathered(RangeDataset(3).cast(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [
        (True, np.float32),
        (7, np.float32),
        (2**40, np.float32),
        (0.1, np.float32),
        (np.True_, np.float32),
        (np.int8(7), np.float32),
        (np.array(7, np.int8), np.ndarray),
        (np.array([7], ">i2"), np.ndarray),
        (np.ma.masked_array([1, 2]), np.ndarray),
    ],
    ids=repr,
)
def test_scalars_stay_scalars_and_arrays_stay_arrays(leaf: Any, kind: type) -> None:
    item = InMemoryDataset([leaf]).cast(np.float32)[0]
    assert type(item) is kind
    check_same(StackBatcher()([item]), StackBatcher()([leaf]).astype(np.float32))


@pytest.mark.parametrize(("leaf", "dtype"), [(True, bool), (7, np.int64), (0.1, np.float64), (1j, np.complex128)])
def test_python_numbers_count_as_what_a_stack_makes_of_them(leaf: Any, dtype: Any) -> None:
    assert type(InMemoryDataset([leaf]).cast(dtype)[0]) is np.dtype(dtype).type
    assert StackBatcher()([leaf]).dtype == dtype


def test_a_number_beyond_int64_is_named() -> None:
    with pytest.raises(OverflowError, match=r"cannot cast item\['n'\]: 9223372036854775808 does not fit int64; make"):
        InMemoryDataset([{"n": 2**63}]).cast(np.float32)[0]


@pytest.mark.parametrize("target", NUMBERS, ids=str)
def test_the_rule_is_that_of_numpy(target: np.dtype[Any]) -> None:
    for source in NUMBERS:
        array = np.array([[1, 0], [0, 1]], source)
        rows = ArrayDataset({"x": array}).cast(target)
        if np.can_cast(source, target, "same_kind"):
            # Not to the last bit: those between the numbers of a float128 are anything.
            for got, expected in ((gathered(rows)["x"], array), (rows[1]["x"], array[1])):
                assert got.dtype == target
                np.testing.assert_array_equal(got, expected.astype(target))
        else:
            message = (
                rf"cannot cast item\['x'\] from {source} to {target}: that is another kind of number; if it is meant, "
                rf"say \.astype\('{target}'\) in a \.map\(fn, vectorized=True\)"
            )
            with pytest.raises(TypeError, match=message):
                rows[0]
            with pytest.raises(TypeError, match=message):
                rows.read_many([0, 1])
            with pytest.raises(TypeError, match=message):
                gathered(rows)


def ml_numbers() -> list[np.dtype[Any]]:
    ml = pytest.importorskip("ml_dtypes")
    return [np.dtype(getattr(ml, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")]


def test_dtypes_of_ml_dtypes_are_numbers_of_their_kind(check_dataset: CheckDataset) -> None:
    brain, eight, e5m2, signed, unsigned = ml_numbers()
    values = np.array([[0.5, -2], [1, 4]], np.float32)
    for floating in (brain, eight, e5m2):
        check_dataset(ArrayDataset(values).cast(floating), list(values.astype(floating)), gathers=True)
        check_dataset(ArrayDataset(values.astype(floating)).cast("float32"), list(values), gathers=True)
        for refused in (np.int32, signed, unsigned):
            with pytest.raises(TypeError, match=f"from {floating} to {np.dtype(refused)}: that is another kind"):
                ArrayDataset(values.astype(floating)).cast(refused)[0]
        with pytest.raises(TypeError, match=f"from complex64 to {floating}: that is another kind"):
            gathered(ArrayDataset(values.astype(np.complex64)).cast(floating))
    check_dataset(ArrayDataset(values.astype(brain)).cast(np.float16), list(values.astype(np.float16)), gathers=True)
    whole = np.array([1, 7], np.int8)
    check_dataset(ArrayDataset(whole).cast(signed), [signed.type(1), signed.type(7)], gathers=True)
    check_dataset(ArrayDataset(whole.astype(unsigned)).cast(np.int8), [np.int8(1), np.int8(7)], gathers=True)
    with pytest.raises(TypeError, match="from int8 to uint4: that is another kind"):
        ArrayDataset(whole).cast(unsigned)[0]
    assert ArrayDataset(whole).cast({"a": brain}).describe() == "CastDataset({'a': bfloat16})"


@given(data=st.data())
def test_gathered_values_are_those_of_the_items_to_the_last_bit(data: st.DataObject) -> None:
    kinds = [dtype for dtype in NUMBERS if dtype.char not in "?gG"]
    source, target = data.draw(st.sampled_from(kinds)), data.draw(st.sampled_from(kinds))
    if not np.can_cast(source, target, "same_kind"):
        return
    shape = data.draw(st.sampled_from([(9,), (9, 5), (9, 0), (9, 2, 3)]))
    bits = data.draw(st.binary(min_size=64, max_size=64)) + b"\x00\x00\x80\x7f" + bytes(8)
    array = np.frombuffer(np.resize(np.frombuffer(bits, np.uint8), (9 * 30 * source.itemsize)), source)
    array = np.resize(array, shape)
    if source.kind in "iu" and (target.kind in "iu" or target == np.float16):
        # Others are an error.
        least, most = (-65504, 65504) if target.kind == "f" else (int(np.iinfo(target).min), int(np.iinfo(target).max))
        least = max(least, int(np.iinfo(source).min))
        array = np.clip(array, least, min(most, int(np.iinfo(source).max)))
    rows = ArrayDataset(array).cast(target)
    wanted = data.draw(st.lists(st.integers(0, 8), min_size=1, max_size=12))
    with np.errstate(all="ignore"):
        check_same(gathered(rows, wanted), StackBatcher()([rows[row] for row in wanted]))


@pytest.mark.parametrize(
    ("leaf", "what"),
    [
        ("a", "a str"),
        (b"a", "a bytes"),
        (np.array("a"), "of dtype <U1"),
        (np.str_("a"), "of dtype <U1"),
        (np.array([1], object), "of dtype object"),
        (np.datetime64(0, "s"), r"of dtype datetime64\[s\]"),
        (np.timedelta64(0, "s"), r"of dtype timedelta64\[s\]"),
        (np.zeros(2, [("a", "i4")]), r"of dtype \[\('a', '<i4'\)\]"),
        (Opaque(), "a Opaque"),
    ],
    ids=repr,
)
def test_leaves_that_are_no_numbers(leaf: Any, what: str) -> None:
    items = InMemoryDataset([{"n": 1, "deep": {"leaf": leaf}}])
    message = (
        rf"cannot cast item\['deep'\]\['leaf'\] to int64: it is {what}, and no number; name the entries to cast, as in "
        r"\.cast\(\{'name': 'int64'\}\)"
    )
    with pytest.raises(TypeError, match=message):
        items.cast(np.int64)[0]
    with pytest.raises(TypeError, match=message):
        items.cast({"deep": np.int64})[0]
    assert items.cast({"n": np.int8})[0]["n"].dtype == np.int8


def identity(batch: Any) -> Any:
    return batch


def test_gathered_leaves_that_are_no_numbers() -> None:
    rows = InMemoryDataset([{"n": 1, "text": "a"}]).map(identity, vectorized=True)
    with pytest.raises(TypeError, match=r"cannot cast item\['text'\] to int8: it is of dtype object, and no number"):
        gathered(rows.cast(np.int8))
    batch = gathered(rows.cast({"n": np.int8}))
    assert batch["n"].dtype == np.int8
    assert batch["text"].tolist() == ["a"]


def test_entries_that_are_missing() -> None:
    rows = ArrayDataset({"image": IMAGES, "label": LABELS}).cast({"label": np.int32, "lable": np.int32})
    for read in (lambda: rows[0], lambda: rows.read_many([0, 1]), lambda: gathered(rows)):
        with pytest.raises(KeyError, match=r"names the entry 'lable', which items lack; they have 'image', 'label'"):
            read()
    empty: list[dict[str, int]] = [{}]
    with pytest.raises(KeyError, match="which items lack; they have no entries"):
        InMemoryDataset(empty).cast({"a": np.int8})[0]


@pytest.mark.parametrize(("item", "name"), [((1, 2), "tuple"), (1, "int"), (Pair(1, 2), "Pair"), (IMAGES, "ndarray")])
def test_names_are_for_dicts(item: Any, name: str) -> None:
    message = rf"cast names entries, \['x'\], which dicts have; these items are of type {name}: give one dtype"
    with pytest.raises(TypeError, match=message):
        InMemoryDataset([item]).cast({"x": np.int8})[0]
    with pytest.raises(TypeError, match=r"which dicts have; these items are of type ndarray: give one dtype"):
        gathered(RangeDataset(2).cast({"x": np.int8}))


@pytest.mark.parametrize("bad", ["nonsense", None, 3, [1], "f4,,", {"a": 1}, (np.int32, np.int8)], ids=repr)
def test_what_is_no_dtype(bad: Any) -> None:
    message = "cast takes a dtype, such as np.int32 or 'float32', or a dict from names of entries to dtypes; got"
    with pytest.raises(TypeError, match=message):
        RangeDataset(3).cast({"x": bad})
    if not isinstance(bad, dict):
        with pytest.raises(TypeError, match=message):
            RangeDataset(3).cast(bad)


class floats(np.void):  # noqa: N801
    """A record with the name of a number."""


RECORDS = np.dtype((floats, [("a", "f4")]))


@pytest.mark.parametrize(
    "bad", [object, str, "S3", "M8[s]", "m8[s]", "V4", "i4,f4", ("i4", (2,)), list, RECORDS], ids=repr
)
def test_dtypes_that_are_no_numbers(bad: Any) -> None:
    message = r"cast makes numbers or booleans, and .* is a dtype of neither; use a \.map"
    with pytest.raises(TypeError, match=message):
        RangeDataset(3).cast(bad)
    with pytest.raises(TypeError, match=message):
        RangeDataset(3).cast({"x": bad})


def test_no_entry_at_all() -> None:
    with pytest.raises(ValueError, match=r"cast of no entry, \{\}, changes nothing; name one, as in \.cast\("):
        RangeDataset(3).cast({})


def test_a_leaf_that_has_the_dtype_is_passed_on() -> None:
    arrays = {"image": IMAGES, "label": LABELS}
    item = ArrayDataset(arrays).cast({"image": np.uint8, "label": np.int32})[1]
    assert np.shares_memory(item["image"], IMAGES)
    assert not item["image"].flags.writeable
    made: list[str] = []

    def alloc(shape: tuple[int, ...], dtype: Any, /) -> Any:
        made.append(str(dtype))
        return aligned_empty(shape, dtype)

    rows = ArrayDataset(arrays).cast({"image": np.uint8, "label": np.int32})
    assert rows.gather is not None
    rows.gather(np.arange(3), alloc)
    assert sorted(made) == ["int32", "int64", "uint8"]


def test_what_the_source_gathers_is_let_go() -> None:
    pool = Pool()
    made: list[tuple[str, weakref.ref[Any]]] = []

    def alloc(shape: tuple[int, ...], dtype: Any, /) -> Any:
        array = pool(shape, dtype)
        made.append((str(dtype), weakref.ref(array)))
        return array

    rows = ArrayDataset(TOKENS[:128].reshape(8, 16)).cast(np.int32)
    assert rows.gather is not None
    batch = rows.gather(np.arange(8), alloc)
    assert {dtype for dtype, array in made if array() is None} == {"uint16"}
    assert {dtype for dtype, array in made if array() is not None} == {"int32"}
    assert all(is_leased(leaf) for _, leaf in tree.leaves(batch))


ORDERS: list[Callable[[BaseDataset[Any]], BaseDataset[Any]]] = [
    lambda rows: rows,
    lambda rows: rows.shuffle(seed=1),
    lambda rows: rows.frozen(2),
    lambda rows: rows[::-1],
]


@pytest.mark.parametrize("reorder", ORDERS)
def test_tokens_are_written_in_the_dtype_at_once(reorder: Callable[[BaseDataset[Any]], BaseDataset[Any]]) -> None:
    made: list[Any] = []

    def alloc(shape: tuple[int, ...], dtype: Any, /) -> Any:
        made.append(aligned_empty(shape, dtype))
        return made[-1]

    tokens = reorder(TokenDataset(TOKENS, length=16, phase="epoch"))
    for dtypes in (np.int32, {"targets": np.int64}):
        rows = tokens.cast(dtypes).at_epoch(1)
        made.clear()
        batch = gathered(rows, [5, 0, 3], alloc)
        assert [batch["tokens"] is made[0], batch["targets"] is made[1], len(made)] == [True, True, 2]
        check_same(batch, StackBatcher()([rows[5], rows[0], rows[3]]))
    for dtypes, error in (({"labels": np.int32}, KeyError), (np.bool_, TypeError)):
        with pytest.raises(error):
            gathered(tokens.cast(dtypes), [0])
    with pytest.raises(OverflowError):
        gathered(tokens.cast(np.uint8))


def test_tokens_in_a_floating_point_dtype_keep_their_documents() -> None:
    """float32 has one number for two tokens of this size."""
    first = 1 << 24
    tokens = TokenDataset(np.arange(first, first + 101, dtype=np.uint32), length=10, documents=first + 17)
    rows = tokens.cast({"tokens": np.float32, "targets": np.float32})
    check_same(gathered(rows, [1, 0]), StackBatcher()([rows[1], rows[0]]))
    assert rows[1]["segment_ids"].tolist() == [1] * 8 + [2] * 2


def test_a_cast_of_tokens_makes_no_copy_of_a_batch() -> None:
    rows = TokenDataset(np.zeros(1 << 22, np.uint16), 1 << 12, stride=1 << 11).cast(np.int32)
    memory = iter([np.empty((255, 1 << 12), np.int32), np.empty((255, 1 << 12), np.int32)])
    assert rows.gather is not None
    tracemalloc.start()
    rows.gather(np.arange(255)[::-1], lambda shape, dtype: next(memory))
    assert tracemalloc.get_traced_memory()[1] < 200_000, "a batch has 8 MB"
    tracemalloc.stop()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_of_a_loader_are_in_memory_that_is_recycled(workers: int) -> None:
    rows = TokenDataset(TOKENS, length=16)
    loader = DataLoader().batch_size(8).workers(workers)
    batches = list(loader.build(rows.cast(np.int32).shuffle(seed=1)))
    assert all(is_leased(leaf) for batch in batches for _, leaf in tree.leaves(batch))
    for batch, original in zip(batches, loader.build(rows.shuffle(seed=1)), strict=True):
        check_same(batch, {name: values.astype(np.int32) for name, values in original.items()})


def test_the_memory_is_used_again() -> None:
    rows = TokenDataset(TOKENS, length=16).cast(np.int32)
    pool, addresses = Pool(), set[int]()
    assert rows.gather is not None
    for _ in range(10):
        addresses.add(rows.gather(np.arange(8), pool)["tokens"].ctypes.data)
    assert len(addresses) <= 2, "tokens and targets may swap places"


class Counting(BaseDataset[int]):
    """Notes how it is read."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __len__(self) -> int:
        return 10

    def read(self, row: int) -> int:
        self.calls.append("read")
        return row

    @property
    def batched(self) -> bool:
        return True

    def read_many(self, rows: list[int]) -> list[int]:
        self.calls.append("read_many")
        return rows

    def read_range(self, rows: range) -> list[int]:
        self.calls.append("read_range")
        return list(rows)


def test_many_rows_are_one_read_of_the_source() -> None:
    source = Counting()
    rows = source.cast(np.int8)
    assert rows.batched
    assert rows.gather is None
    check_same(list(rows.read_many([3, -1])), [np.int8(3), np.int8(9)])
    check_same(list(rows.read_range(range(2, 5))), [np.int8(i) for i in range(2, 5)])
    assert source.calls == ["read_many", "read_range"]
    assert not InMemoryDataset([1]).cast(np.int8).batched


def test_epochs_are_the_sources() -> None:
    plain = RangeDataset(20).cast(np.int8)
    assert plain.at_epoch(3) is plain
    source = RangeDataset(20).shuffle(seed=1)
    rows = source.cast(np.int8)
    assert [row.item() for row in rows.at_epoch(2)] == list(source.at_epoch(2)) != list(source)
    assert rows.fingerprint() == source.fingerprint()
    assert gathered(rows.at_epoch(2)).dtype == np.int8


def test_copies() -> None:
    rows = pickle.loads(pickle.dumps(TokenDataset(TOKENS, length=4).cast({"tokens": np.int32})))
    assert [leaf.dtype for leaf in gathered(rows).values()] == [np.int32, np.uint16]


def twice(x: Any) -> Any:
    return x * 2


def test_jax_arrays_become_numpy_arrays() -> None:
    jax = pytest.importorskip("jax")
    double = jax.jit(twice)
    source = ArrayDataset(np.arange(6, dtype=np.int32).reshape(3, 2))
    expected = [np.array([4 * i, 4 * i + 2], np.float32) for i in range(3)]
    many = source.map(double, vectorized=True)
    for mapped in (source.map(double), many):
        rows = mapped.cast(np.float32)
        check_same(list(rows), expected)
        check_same(list(rows.read_many([0, 1, 2])), expected)
        assert type(rows[0]) is np.ndarray
        assert isinstance(mapped.cast(np.int32)[0], jax.Array), "it has the dtype, and is passed on"
    batch = gathered(many.cast(np.float32), [2, 0])
    assert type(batch) is np.ndarray
    check_same(batch, np.stack([expected[2], expected[0]]))
    assert isinstance(gathered(many.cast(np.int32)), jax.Array)


def test_its_time_is_that_of_a_transform() -> None:
    rows = ArrayDataset(np.zeros((64, 4096), np.uint8)).cast(np.float32)
    for read in (
        lambda: rows[0],
        lambda: rows.read_many([0, 1]),
        lambda: rows.read_range(range(2)),
        lambda: gathered(rows),
    ):
        begin_measuring()
        read()
        assert end_measuring() > 0


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([[1, 2], [2**40, 3]]), np.int32),
        (np.array([[1, 2], [40000, 3]], np.uint16), np.int16),
        (np.array([[1, 2], [-2000, 3]], np.int16), np.int8),
        (np.array([[1, 2], [70000, 3]]), np.float16),
        *(
            (np.array([[1, 2], [wrong, 3]], source), getattr(ml_dtypes, name, "missing"))
            for source, wrong, name in (
                (np.int64, 8, "int4"),
                (np.uint64, 2**64 - 1, "int4"),
                (np.uint8, 16, "uint4"),
                (np.int64, 500, "float8_e4m3fn"),
                (np.uint8, 255, "float8_e4m3b11fnuz"),
                (np.int64, 7, "float4_e2m1fn"),
                (np.int32, 0, "float8_e8m0fnu"),
            )
            if hasattr(ml_dtypes, name)
        ),
    ],
    ids=str,
)
def test_whole_numbers_that_do_not_fit_are_an_error(array: Any, dtype: Any) -> None:
    rows = ArrayDataset({"x": array}).cast(dtype)
    assert rows[0]["x"].tolist() == [1, 2]
    message = rf"cannot cast item\['x'\] to {np.dtype(dtype)}: {array[1, 0]} does not fit; choose a wider dtype"
    with pytest.raises(OverflowError, match=message):
        rows[1]
    with pytest.raises(OverflowError, match=message):
        list(DataLoader().batch_size(2).build(rows))
    with pytest.raises(OverflowError, match="cannot cast item to"):
        ArrayDataset(array[:, 0]).cast(dtype)[1]


def test_a_mask_is_not_lost() -> None:
    masked: Any = np.ma.masked_array(np.arange(1, 3), [False, True])
    with pytest.raises(TypeError, match=r"cast item\['x'\] to float32: it is a masked array, .* fill it with \.filled"):
        InMemoryDataset([{"x": masked}]).cast(np.float32)[0]
    with pytest.raises(TypeError, match="cannot cast item to float32: it is a masked array"):
        InMemoryDataset([masked[1]]).cast(np.float32)[0]
    assert InMemoryDataset([masked]).cast(masked.dtype)[0] is masked, "nothing is cast"
    assert InMemoryDataset([masked[:1]]).cast(np.float32)[0].tolist() == [1], "nothing is masked"
