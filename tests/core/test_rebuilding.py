"""Containers are rebuilt without running the code of their classes, on every path that a batch may take."""

from __future__ import annotations

import pickle
import sys
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import InitVar, dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from time import sleep
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

import numpy as np
import pytest
from elsewhere import Doubled, HalvedRows, Pair, Reduced, Swapped
from loadax_core import DataLoader, PadBatcher, StackBatcher, StackError, join_batches, tree
from loadax_core.memory.pickled import dumps
from loadax_core.testing import check_same

T = TypeVar("T")


@dataclass
class Halved:
    x: Any

    def __post_init__(self) -> None:
        self.x = self.x / 2


@dataclass(frozen=True, slots=True)
class Cut:
    tokens: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", self.tokens[:3])


@dataclass
class Scaled:
    x: Any
    scale: InitVar[float]

    def __post_init__(self, scale: float) -> None:
        self.x = self.x * scale


@dataclass
class Derived:
    x: Any
    y: Any = field(init=False)

    def __post_init__(self) -> None:
        self.y = self.x + 1


@dataclass
class Own(Generic[T]):
    x: T

    def __init__(self, number: int) -> None:
        self.x = np.array([number, number])  # pyright: ignore[reportAttributeAccessIssue]


@dataclass
class Refusing:
    x: Any

    def __new__(cls, *args: Any) -> Self:
        if len(args) != 1:
            raise AssertionError("the class is called again")
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, np.negative(value))


MAKE: dict[str, Callable[[int], Any]] = {
    "halves a field": lambda i: Halved(np.float64(4 * i)),
    "cuts a field, with slots": lambda i: Cut(np.arange(5) + i),
    "InitVar": lambda i: Scaled(np.float32(i), 3.0),
    "init=False": lambda i: Derived(np.int32(i)),
    "its own __init__": Own,
    "its own __new__ and __setattr__": lambda i: Refusing(np.int64(i)),
    "named tuple that swaps": lambda i: Swapped(np.int64(i), np.float32(i)),
    "named tuple of another signature": lambda i: Doubled(np.int64(i)),
    "nested": lambda i: {"a": [Halved(np.float64(i)), (Doubled(np.int64(i)),)]},
}


class Gathered:
    """Rows that are gathered slowly, so that a batch is read in parts.

    Args:
        make: Makes one row.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.rows = [make(i) for i in range(40)]

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> Any:
        return self.rows[row]

    def gather(self, rows: Any, alloc: Any) -> Any:
        sleep(0.002 * len(rows))
        return StackBatcher().stack([self.rows[row] for row in rows], alloc)


def leaves(value: Any) -> list[tuple[tree.Path, Any]]:
    return list(tree.leaves(value))


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_batch_has_the_values_of_its_items(make: Callable[[int], Any]) -> None:
    items = [make(i) for i in range(8)]
    batch = StackBatcher()(items)
    for path, leaf in tree.leaves(batch):
        column = [dict(leaves(item))[path] for item in items]
        np.testing.assert_array_equal(leaf, column)
    assert type(batch) is type(items[0])


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_every_way_of_loading_gives_the_same(make: Callable[[int], Any]) -> None:
    items = [make(i) for i in range(40)]
    expected = [StackBatcher()(items[i : i + 8]) for i in range(0, 40, 8)]
    builder = DataLoader().batch_size(8)
    for dataset in (items, Gathered(make)):
        for loader in (builder, builder.workers(4), builder.workers(1).prefetch(8), builder.workers(4).timeout(60)):
            check_same(list(loader.build(dataset)), expected)
    check_same(list(DataLoader(StackBatcher().__call__).batch_size(8).build(items)), expected)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_joining_and_mapping_leave_values_alone(make: Callable[[int], Any]) -> None:
    parts = [StackBatcher()([make(i) for i in rows]) for rows in (range(3), range(3, 8))]
    whole = StackBatcher()([make(i) for i in range(8)])
    check_same(join_batches(parts, [slice(0, 3), slice(3, 8)], np.empty), whole)
    check_same(tree.map_leaves(lambda _, leaf: leaf, whole), whole)
    flat, build = tree.flatten(whole)
    check_same(build(flat), whole)
    check_same(build(list(flat)), whole)


@pytest.mark.parametrize("gathers", [True, False])
def test_worker_processes_give_the_same(gathers: bool) -> None:
    builder = DataLoader().batch_size(4)
    batches = list(builder.workers(2, kind="process").build(HalvedRows(gathers)))
    assert [batch.x.tolist() for batch in batches] == [[i / 2 for i in range(j, j + 4)] for j in range(0, 16, 4)]
    check_same(batches, list(builder.build(HalvedRows(gathers))))


def test_padding_leaves_values_alone() -> None:
    batch = PadBatcher()([Cut(np.arange(5)), Cut(np.arange(2))])
    assert type(batch) is Cut
    values, lengths = batch.tokens
    assert (values.tolist(), lengths.tolist()) == ([[0, 1, 2], [0, 1, 0]], [3, 2])


class Attributed:
    """A base with a slot."""

    __slots__ = ("__dict__", "source")


@dataclass
class Noted(Attributed):
    x: Any

    @cached_property
    def total(self) -> Any:
        return np.sum(self.x)


def test_other_attributes_are_those_of_the_first_item() -> None:
    items = [Noted(np.array([i, i])) for i in range(3)]
    for i, item in enumerate(items):
        item.source, item.note = f"file {i}", [i]  # pyright: ignore[reportAttributeAccessIssue]
    assert items[0].total == 0
    batch = StackBatcher()(items)
    assert (batch.source, batch.note) == ("file 0", [0])
    # What a cached property has computed is of other values.
    assert batch.total == 6
    assert items[1].total == 2


def test_named_tuples_keep_their_attributes() -> None:
    items = [Doubled(np.int64(i)) for i in range(3)]
    items[0].note = "first"
    batch = StackBatcher()(items)
    assert batch.note == "first"
    assert batch.y.tolist() == [0, 2, 4]


@dataclass
class Unset:
    x: Any
    cache: Any = field(init=False, repr=False)


def test_fields_that_are_not_set_stay_so() -> None:
    batch = StackBatcher()([Unset(1), Unset(2)])
    assert batch.x.tolist() == [1, 2]
    assert not hasattr(batch, "cache")
    mixed = Unset(2)
    mixed.cache = 5
    with pytest.raises(StackError, match=r"item 0 has fields \['x'\] but item 1 has fields \['x', 'cache'\]"):
        StackBatcher()([Unset(1), mixed])


class Row(dict[str, Any]):
    """A row with a constructor of its own."""

    def __init__(self) -> None:
        super().__init__(made=True)


def of_own_class(entries: dict[str, Any]) -> Row:
    row = Row()
    row.clear()
    row.update(entries)
    return row


def proxied(entries: dict[str, Any]) -> Any:
    return MappingProxyType(entries)


@dataclass
class Output(OrderedDict[str, Any]):
    """Entries that are fields as well, as the outputs of Transformers are."""

    a: Any = None
    b: Any = None

    def __post_init__(self) -> None:
        self["a"], self["b"] = self.a, self.b


KINDS: list[Any] = [
    dict,
    UserDict,
    Counter,
    ChainMap,
    partial(defaultdict, list),
    of_own_class,
    proxied,
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_mappings_may_have_their_keys_in_any_order(kind: Any) -> None:
    items = [kind({"a": 1, "b": 2.5}), kind({"b": 3.5, "a": 4})]
    batch = StackBatcher()(items)
    assert type(batch) is dict
    check_same(batch, {"a": np.array([1, 4]), "b": np.array([2.5, 3.5])})
    with pytest.raises(StackError, match=r"item 0 has keys \['a', 'b'\] but item 1 has keys \['b', 'c'\]; make"):
        StackBatcher()([items[0], kind({"b": 3.5, "c": 4})])
    with pytest.raises(StackError, match=r"item 0 has keys \['a', 'b'\] but item 1 has keys \['a'\]"):
        StackBatcher()([items[0], kind({"a": 4})])


def test_a_mapping_with_fields_is_a_mapping() -> None:
    batch = StackBatcher()([Output(1, 2.5), Output(4, 3.5)])
    assert type(batch) is dict
    check_same(batch, {"a": np.array([1, 4]), "b": np.array([2.5, 3.5])})
    assert tree.constants(Output(1, 2)) == {}


def test_the_order_of_an_ordered_dict_counts() -> None:
    one, other = OrderedDict[str, int](a=1, b=2), OrderedDict[str, int](b=2, a=1)
    assert type(StackBatcher()([one, one])) is OrderedDict
    with pytest.raises(StackError, match=r"item 0 has keys \['a', 'b'\] but item 1 has keys \['b', 'a'\]"):
        StackBatcher()([one, other])


def test_keys_that_look_alike_stay_apart() -> None:
    class Key:
        def __repr__(self) -> str:
            return "key"

    one, two = Key(), Key()
    for kind in (dict, UserDict):
        batch = StackBatcher()([kind({one: 1, two: 2}), kind({one: 3, two: 4})])
        assert [column.tolist() for column in batch.values()] == [[1, 3], [2, 4]]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no worker processes")
@pytest.mark.parametrize("batcher", [StackBatcher(), list], ids=["stacked", "items"])
@pytest.mark.parametrize("name", ["named tuple that swaps", "named tuple of another signature"])
def test_a_named_tuple_is_not_called_on_its_way_to_other_processes(name: str, batcher: Any) -> None:
    rows = [MAKE[name](i) for i in range(4)]
    loader = DataLoader(batcher).batch_size(2)
    expected = list(loader.build(rows))
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        for other in (loader.workers(1, kind="process"), loader.workers(executor)):
            for got, batch in zip(other.build(rows), expected, strict=True):
                check_same(got, batch)


def test_attributes_of_named_tuples_are_pickled_and_ways_of_their_own_are_respected() -> None:
    doubled = Doubled(1)
    doubled.note = "kept"
    found = pickle.loads(dumps([doubled, Reduced(1, 2), Pair(3, 4)]))
    assert found == [(1, 2), (1, -2), (3, 4)]
    assert [type(part) for part in found] == [Doubled, Reduced, Pair]
    assert found[0].note == "kept"
