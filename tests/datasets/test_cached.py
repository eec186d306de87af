"""cache: in memory, and in a directory that several processes fill."""

import dataclasses
import json
import math
import pickle
import subprocess
import sys
import threading
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self, cast

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loadax_datasets import ArrayDataset, BaseDataset, CachedDataset, InMemoryDataset, RangeDataset, TokenDataset
from loadax_datasets.files import item_files as records


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


Same = Callable[[Any, Any], bool]


class Counted:
    """A source that knows how often each row was read."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int, /) -> Any:
        self.reads.append(index)
        return self.items[index]


@pytest.fixture(params=["memory", "directory"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "cache" if request.param == "directory" else None


def test_cache(check_dataset: CheckDataset, directory: Path | None) -> None:
    items = [{"x": np.arange(3, dtype=np.uint8) + i, "name": f"row {i}", "y": (i, 0.5, None)} for i in range(6)]
    check_dataset(InMemoryDataset(items).cache(directory), items, gathers=False)


def test_every_row_is_read_once(directory: Path | None) -> None:
    source = Counted([10, 11, 12])
    rows = CachedDataset(source, directory)
    assert [rows[1], rows[1], rows[-1]] == [11, 11, 12]
    assert rows.read_many([0, 1, 0]) == [10, 11, 10]
    assert list(rows) == [10, 11, 12]
    assert source.reads == [1, 2, 0]


def test_a_directory_outlives_the_program(tmp_path: Path) -> None:
    list(CachedDataset([1, 2, 3], tmp_path))
    source = Counted([-1, -2, -3])
    assert list(CachedDataset(source, tmp_path)) == [1, 2, 3]
    assert source.reads == []


def test_memory_is_not_pickled(directory: Path | None) -> None:
    rows = ArrayDataset(np.zeros((2, 1000))).map(np.copy).cache(directory)
    size = len(pickle.dumps(rows))
    list(rows)
    assert len(pickle.dumps(rows)) == size


def test_arrays_come_out_read_only_and_the_source_stays_as_it_is(directory: Path | None) -> None:
    mine = np.zeros(3)
    rows = InMemoryDataset([{"x": mine}]).cache(directory)
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            rows[0]["x"] += 1
    mine += 1
    assert mine.tolist() == [1, 1, 1]


def test_threads_get_the_same_arrays_from_memory() -> None:
    both = threading.Barrier(2)

    class Slow(Counted):
        def __getitem__(self, index: int, /) -> Any:
            both.wait(timeout=10)
            return [np.array(super().__getitem__(index))]

    rows = CachedDataset(Slow([5]))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(rows.read, [0, 0])
    assert first is not second
    assert np.shares_memory(first[0], second[0])


class Point(NamedTuple):
    x: Any


@dataclasses.dataclass
class Doubled:
    """Its constructor must not run a second time."""

    x: Any
    seen: list[int] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.x *= 2
        self.seen = [self.x]


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    twice: Any = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "twice", [self.x, self.x])


@dataclasses.dataclass(slots=True)
class Slotted:
    x: Any
    unset: int = dataclasses.field(init=False, repr=False, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlotted:
    x: Any


class Once(NamedTuple("Once", [("x", Any)])):
    """A named tuple whose constructor must not run a second time, and which remembers something else."""

    note: str

    def __new__(cls, x: Any) -> Self:
        new = super().__new__(cls, x * 2)
        new.note = "made"
        return new


class Words(dict[str, Any]):
    """A dict that Loadax knows nothing about."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, [value])


def words() -> Words:
    made = Words()
    made["a"] = 1
    return made


def ordered() -> Any:
    inner: OrderedDict[str, Any] = OrderedDict(c=[2])
    outer: OrderedDict[str, Any] = OrderedDict(b=[1], a=inner)
    return outer


MADE: list[Callable[[], Any]] = [
    lambda: {"a": 1, "b": [1, (2, {"c": [3]})]},
    lambda: [[1, 2.5, "x"], None, b"y"],
    lambda: ([1], [2]),
    lambda: defaultdict(list, {"a": [1]}),
    ordered,
    lambda: Point([1]),
    lambda: Once([1]),
    lambda: Doubled(1),
    lambda: Frozen(1),
    lambda: Frozen(Doubled([1])),
    lambda: Slotted({"a": [Point(Frozen([1]))]}),
    lambda: FrozenSlotted([1]),
    words,
    lambda: types.MappingProxyType({"a": [1]}),
    lambda: {"a": {1, 2}, "b": {3: Doubled(1)}},
]


@pytest.mark.parametrize("make", MADE)
def test_memory_gives_what_the_source_gave(make: Callable[[], Any]) -> None:
    expected = make()
    rows = InMemoryDataset([make()]).cache()
    for item in (rows[0], rows[0], rows.read_many([0])[0]):
        assert item == expected
        assert type(item) is type(expected)
        assert getattr(item, "__dict__", None) == getattr(expected, "__dict__", None)
    if isinstance(expected, defaultdict):
        assert rows[0]["new"] == []


def spoil(given: Any) -> Any:
    """Changes everything that can be changed in place."""
    children: list[Any] = []
    node = given
    if isinstance(node, dict):
        entries = cast("dict[Any, Any]", node)
        children = list(entries.values())
        entries["spoilt"] = True
    elif isinstance(node, list):
        parts = cast("list[Any]", node)
        children = list(parts)
        parts.append("spoilt")
    elif isinstance(node, tuple):
        children = list(cast("tuple[Any, ...]", node))
    elif dataclasses.is_dataclass(node) and not isinstance(node, type):
        names = [field.name for field in dataclasses.fields(node) if hasattr(node, field.name)]
        children = [getattr(node, name) for name in names]
        for name in names:
            object.__setattr__(node, name, "spoilt")
    for child in children:
        spoil(child)
    return given


@pytest.mark.parametrize("make", [make for make in MADE if type(make()) not in (Words, types.MappingProxyType)])
def test_what_one_reader_changes_no_other_sees(make: Callable[[], Any]) -> None:
    given = make()
    rows = InMemoryDataset([given]).cache()
    for _ in range(2):
        spoil(rows[0])
    list(rows.map(spoil))
    rows.read_many([0, 0])
    one, other = rows.read_many([0, 0])
    spoil(one)
    assert other == rows[0] == make()
    assert given == make(), "nor does the source"
    spoil(given)
    assert rows[0] == make(), "nor does the source change the cache"


def test_a_map_may_assign_a_key_of_what_is_cached(directory: Path | None) -> None:
    def add(item: dict[str, Any]) -> dict[str, Any]:
        item["y"] = item.get("y", 0) + 1
        return item

    rows = InMemoryDataset([{"x": np.zeros(3)}]).cache(directory).map(add)
    assert [rows[0]["y"], rows[0]["y"], rows.read_many([0, 0])[1]["y"]] == [1, 1, 1]


leaf = (
    st.integers(-(2**80), 2**80)
    | st.floats()
    | st.complex_numbers()
    | st.booleans()
    | st.none()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(
        [
            np.float32(1.5),
            np.int8(-3),
            np.bool_(True),
            np.datetime64("2024-01-02"),
            np.str_("é"),
            np.array(3),
            np.arange(6).reshape(2, 3).T,
            np.zeros((0, 2), np.float16),
            np.array(["a", "bcd"]),
            np.array([b"a", b"bcd"]),
            np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
            np.array([1, 2], ">i4"),
            np.array([1 + 2j]),
        ]
    )
)
trees = st.recursive(
    leaf,
    lambda node: (
        st.lists(node, max_size=3) | st.dictionaries(st.text(max_size=3), node, max_size=3) | st.tuples(node, node)
    ),
    max_leaves=8,
)


@given(item=trees)
@example(item=[float("nan"), -float("nan"), float("inf"), -0.0, 5e-324, complex(-0.0, float("nan"))])
def test_an_item_comes_back_from_a_file_as_it_was(
    item: Any, same: Same, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "item.row"
    records.save(path, item)
    assert same(records.load(path), item)


def test_dtypes_of_jax_come_back_too(tmp_path: Path, same: Same) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    item = {"x": np.arange(4).astype(ml_dtypes.bfloat16).reshape(2, 2), "y": ml_dtypes.float8_e4m3fn(2)}
    item |= {"z": np.arange(4).astype(ml_dtypes.float8_e5m2), "i": np.arange(4).astype(ml_dtypes.int4)[::2]}
    records.save(tmp_path / "x", item)
    assert same(records.load(tmp_path / "x"), item)


def test_fields_of_dtypes_of_jax_are_refused(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    fields = [("a", "i4"), ("b", [("c", ml_dtypes.bfloat16, (2,))])]
    rows = InMemoryDataset([np.zeros(3, fields)])
    with pytest.raises(TypeError, match=r"a cache directory cannot hold the dtype .*'c'.*bfloat16.*; give each field"):
        rows.cache(tmp_path)[0]
    assert rows.cache()[0].dtype == np.dtype(fields), "memory can"


@pytest.mark.parametrize("item", [np.ma.masked_array([1, 2], [True, False]), np.ma.masked], ids=["array", "masked"])
def test_masked_arrays_are_refused(item: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a cache directory would lose the mask of a Masked\w+; fill it with .filled"):
        InMemoryDataset([item]).cache(tmp_path)[0]
    assert InMemoryDataset([item]).cache()[0].mask.tolist() == item.mask.tolist(), "memory can"


def test_jax_arrays_come_out_as_numpy_arrays_from_the_first_read_on(tmp_path: Path) -> None:
    jnp = pytest.importorskip("jax.numpy")
    rows = InMemoryDataset([jnp.arange(3)]).cache(tmp_path)
    assert type(rows[0]) is type(rows[0]) is np.ndarray
    assert rows[0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "item",
    [Point(1), {1: 2}, {3}, object(), np.array([None]), [{"x": print}]],
    ids=lambda item: type(item).__name__,
)
def test_what_a_file_cannot_hold_is_refused(item: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a cache directory"):
        InMemoryDataset([item]).cache(tmp_path)[0]
    assert type(InMemoryDataset([item]).cache()[0]) is type(item), "memory can"
    assert list(tmp_path.rglob("*.tmp")) == list(tmp_path.rglob("*.row")) == []


def test_a_file_never_brings_code(tmp_path: Path) -> None:
    rows = InMemoryDataset([1]).cache(tmp_path)
    rows[0]
    (path,) = tmp_path.rglob("*.row")
    with path.open("wb") as file:
        np.save(file, np.frombuffer(b'{"array": null}', np.uint8))
        np.save(file, np.array([print], object), allow_pickle=True)
    with pytest.raises(ValueError, match="is damaged"):
        rows[0]


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled a file",))


def header(item: Any, *arrays: Any) -> bytes:
    """A file with the elements of its arrays left out."""
    text = json.dumps({"item": item, "arrays": list(arrays)}).encode()
    return records.MAGIC + records.LENGTH.pack(len(text)) + text


HOSTILE: dict[str, bytes] = {
    "an array of NumPy's format": b"\x93NUMPY\x01\x00",
    "a pickle": pickle.dumps(Evil()),
    "objects": header({"array": None}, ["|O", [1], "C"]) + bytes(8),
    "fields that are objects": header(
        {"array": None},
        [
            {"names": ["a"], "formats": ["|O"], "offsets": [0], "titles": [None], "itemsize": 8, "aligned": False},
            [1],
            "C",
        ],
    )
    + bytes(8),
    "an expression": header({"array": None}, ["(pytest.fail('evaluated'),)i4", [1], "C"]) + bytes(8),
    "an expression among dtypes": header({"array": None}, ["i4,(__import__('os').abort(),)i4", [1], "C"]) + bytes(8),
    "an extension that is none": header({"array": "i4,(1,)i4"}, ["|u1", [8], "C"]) + bytes(8),
    "an extension of objects": header({"array": "object"}, ["|u1", [8], "C"]) + bytes(8),
    "more elements than bytes": header({"array": None}, ["<f8", [10**12], "C"]) + bytes(8),
    "more elements than numbers": header({"array": None}, ["<f8", [10**30], "C"]) + bytes(8),
    "fewer elements than none": header({"array": None}, ["<f8", [-1, -1], "C"]) + bytes(8),
    "an order that is none": header({"array": None}, ["<f8", [1], "A"]) + bytes(8),
    "an array too few": header({"array": None}),
    "bytes that are left": header({"value": 1}) + b"1",
    "no item": header(None),
    "an unknown kind": header({"call": "print"}),
    "two kinds": header({"value": 1, "list": []}),
    "lists in lists": records.MAGIC
    + records.LENGTH.pack(200_000)
    + b'{"arrays": [], "item": '.ljust(100_000, b"[").ljust(200_000, b"]"),
    "a header longer than the file": records.MAGIC + records.LENGTH.pack(2**63),
    "a header that is no JSON": records.MAGIC + records.LENGTH.pack(4) + b"\xff\xff\xff\xff",
    "nothing else": records.MAGIC,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_was_not_written_by_a_cache_is_an_error(tmp_path: Path, kind: str) -> None:
    rows = InMemoryDataset([1]).cache(tmp_path)
    rows[0]
    (path,) = tmp_path.rglob("*.row")
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(ValueError, match=r"\.row is damaged; delete it"):
        rows[0]


def test_another_attribute_of_the_package_of_extensions_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    for name in ("finfo", "nothing"):
        (tmp_path / "x").write_bytes(header({"array": name}, ["|u1", [8], "C"]) + bytes(8))
        with pytest.raises(ValueError, match="x is damaged; delete it"):
            records.load(tmp_path / "x")


def test_reading_a_file_compiles_and_imports_nothing(tmp_path: Path) -> None:
    """CPython 3.11's parser fails now and then in several threads, as it did for the headers of NumPy's format."""
    program = """
import sys
import numpy as np
from loadax_datasets import InMemoryDataset

item = {"x": np.zeros(3, [("a", "i4"), ("b", "f8", (2, 2))]), "y": [np.float32(1), b"2", "3", (1j, None)]}
item["z"] = np.asfortranarray(np.ones((3, 2), ">u2"))
rows = InMemoryDataset([item] * 3).cache(sys.argv[1])
rows[0], rows[0]
seen = []
sys.addaudithook(lambda event, _: seen.append(event))
first, again = rows[1], rows[1]
events = set(seen)
assert "open" in events, events
assert not {event for event in events if event.partition(".")[0] in ("compile", "exec", "import", "pickle")}, events
for got in (first, again):
    assert got["x"].dtype == item["x"].dtype and got["z"].flags.f_contiguous and got["z"].dtype == ">u2"
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


DTYPES: list[Any] = [
    np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [8, 0], "itemsize": 24}),
    np.dtype([(("a title", "a"), "i4"), ("b", "u1")]),
    np.dtype([("a", "i1"), ("b", [("c", ">f4", (2, 3)), ("d", "U3")])], align=True),
    np.dtype("M8[25s]"),
    np.dtype("m8[ns]"),
    np.dtype("c16"),
    np.dtype("longdouble"),
    np.dtype("V5"),
    np.dtype("?"),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_dtype_shape_and_order_comes_back(tmp_path: Path, dtype: Any, shape: Any, order: Any) -> None:
    data = np.zeros((math.prod(shape), dtype.itemsize), np.uint8)
    data[:, :1] = np.arange(len(data))[:, np.newaxis] % 2
    flat: Any = data.reshape(-1).view(dtype)
    array: np.ndarray[Any, Any] = flat.reshape(shape, order=order)
    records.save(tmp_path / "x", array)
    found = records.load(tmp_path / "x")
    assert found.dtype == array.dtype
    assert found.dtype.isalignedstruct == array.dtype.isalignedstruct
    assert found.shape == shape
    assert found.tobytes(order) == data.tobytes()
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert found.flags.c_contiguous == array.flags.c_contiguous


@pytest.mark.parametrize("size", [0, 1, 100, 140, -1])
def test_a_damaged_file_is_named(tmp_path: Path, size: int) -> None:
    rows = InMemoryDataset([{"x": np.arange(100)}]).cache(tmp_path)
    rows[0]
    (path,) = tmp_path.rglob("*.row")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=f"{path.name} is damaged; delete it"):
        rows[0]
    path.unlink()
    assert rows[0]["x"].tolist() == list(range(100))


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = InMemoryDataset([1]).cache(tmp_path)

    def full(self: Path, target: Path) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space left") as caught:
            rows[0]
    # The system's error names no file if a disk is full.
    assert caught.value.__notes__ == [f"raised while writing {tmp_path / '000000' / '000000000.row'}"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cache.json"]
    assert rows[0] == 1


def test_a_directory_that_cannot_be_claimed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space left") as caught:
        InMemoryDataset([1]).cache(tmp_path)
    assert caught.value.__notes__ == [f"raised while writing {tmp_path / 'cache.json'}"]
    assert not list(tmp_path.iterdir())


def test_a_directory_belongs_to_one_dataset(tmp_path: Path) -> None:
    RangeDataset(10)[:5].cache(tmp_path)
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        RangeDataset(10)[5:].cache(tmp_path)
    assert json.loads((tmp_path / "cache.json").read_text())["dataset"] == {"slice": [0, 5, 1], "source": {"rows": 10}}


def test_of_two_that_claim_a_directory_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = records.write_first

    def later(path: Path, data: bytes) -> None:
        # Between this one's look at the directory and its claim.
        monkeypatch.setattr(records, "write_first", first)
        RangeDataset(3).cache(tmp_path)
        first(path, data)

    monkeypatch.setattr(records, "write_first", later)
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        RangeDataset(4).cache(tmp_path)
    assert RangeDataset(3).cache(tmp_path)[2] == 2
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_a_directory_without_links_is_claimed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", unsupported)
    assert RangeDataset(3).cache(tmp_path)[2] == 2
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        RangeDataset(4).cache(tmp_path)


def test_others_may_read_a_cache_as_far_as_the_system_lets_them(tmp_path: Path) -> None:
    rows = RangeDataset(3).cache(tmp_path / "cache")
    rows[0]
    (tmp_path / "any").write_text("")
    usual = (tmp_path / "any").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {usual}


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        RangeDataset(3).cache(tmp_path / "file")


FILL = """
import sys, numpy as np
from loadax_datasets import RangeDataset
rows = RangeDataset(300).map(lambda i: {"x": np.full(1000, i)}).cache(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
assert all((rows[i]["x"] == i).all() for i in range(300))
"""


def test_two_processes_fill_one_directory(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", FILL, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        assert [writer.communicate(b"\n")[0] for writer in writers] == [b"", b""]
        assert [writer.returncode for writer in writers] == [0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            for stream in (writer.stdin, writer.stdout):
                if stream is not None:
                    stream.close()
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"cache.json", *(f"{row:09d}.row" for row in range(300))}


def test_a_source_that_changes_with_the_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="cache first, then shuffle, sample or random_map:\n"):
        RangeDataset(5).shuffle().cache()
    rows = RangeDataset(50).cache().shuffle(seed=1)
    assert list(rows.at_epoch(1)) != list(rows)


def test_a_cache_is_transparent(tmp_path: Path) -> None:
    rows = RangeDataset(5).cache()
    assert rows.fingerprint() == {"rows": 5}
    assert rows.at_epoch(3) is rows
    assert repr(rows).startswith("CachedDataset(in memory)\n")
    assert repr(RangeDataset(5).cache(tmp_path)).startswith(f"CachedDataset({str(tmp_path)!r})\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RangeDataset(3), RangeDataset(10, 13)),
        (RangeDataset(3).cast(np.int8), RangeDataset(3).cast(np.int16)),
        (ArrayDataset(np.arange(3)), ArrayDataset(np.arange(3.0))),
        (TokenDataset(np.arange(5), 1), TokenDataset(np.arange(5, dtype=np.int32), 1)),
        (RangeDataset(3).map(float), RangeDataset(3).map(str)),
        (RangeDataset(3).map(float).repeat(2), RangeDataset(3).map(str).repeat(2)),
    ],
)
def test_a_directory_of_other_values_is_refused(tmp_path: Path, one: BaseDataset[Any], other: BaseDataset[Any]) -> None:
    kept = list(one.cache(tmp_path))
    assert list(one.cache(tmp_path)) == kept
    with pytest.raises(ValueError, match="is the cache of another dataset"):
        other.cache(tmp_path)


def test_items_of_other_kinds_of_arrays_are_read_only_too() -> None:
    cached = CachedDataset([np.rec.array([(1, 2.0)], dtype=[("a", int), ("b", float)])])
    with pytest.raises(ValueError, match="read-only"):
        cached[0][0] = (3, 4.0)


def test_a_dtype_of_many_fields_is_kept(tmp_path: Path) -> None:
    item = np.zeros(2, [(f"field_{i}", np.int32) for i in range(1000)])
    assert CachedDataset([item], tmp_path)[0].dtype == item.dtype
    assert CachedDataset([item], tmp_path)[0].dtype == item.dtype


@pytest.mark.parametrize(("directory", "fix"), [("~/cache", "expanduser"), ("gs://bucket/cache", "it is a URL")])
def test_what_is_no_path_is_refused(directory: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder named `~` or `gs:` would be made here."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=fix):
        RangeDataset(3).cache(directory)
    assert not list(tmp_path.iterdir())
    (tmp_path / "~" / "cache").mkdir(parents=True)
    assert list(RangeDataset(3).cache(Path("~/cache"))) == [0, 1, 2], "there is one"
