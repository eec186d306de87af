"""On devices, too, containers are rebuilt without the code of their classes, unless JAX opens them its own way."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from types import ModuleType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from loadax_core import DataLoader, PadBatcher, StackBatcher, StackError, tree
from loadax_core.testing import check_same
from loadax_distributed import DevicePlacement, MeshShardingStrategy

untyped: Any = jax
util: Any = jax.tree_util


@dataclass
class Halved:
    x: Any

    def __post_init__(self) -> None:
        self.x = self.x / np.float32(2)


class Doubled(NamedTuple("Doubled", [("x", Any), ("y", Any)])):
    def __new__(cls, number: Any) -> Self:
        return super().__new__(cls, number, number + number)


@dataclass
class Registered:
    """JAX's unflatten function calls its constructor."""

    x: Any
    name: str = field(default="", metadata={"static": True})
    more: Any = field(init=False)

    def __post_init__(self) -> None:
        self.x = self.x / np.float32(2)
        self.more = self.x + np.float32(1)


util.register_dataclass(Registered, data_fields=["x"], meta_fields=["name"])


@dataclass
class Fed:
    """Its registration alone says that `name` is static; its constructor cannot be called with its fields."""

    x: Any
    name: str
    scale: InitVar[float] = 1.0

    def __post_init__(self, scale: float) -> None:
        self.x = self.x * np.float32(scale)


util.register_dataclass(Fed, data_fields=["x"], meta_fields=["name"])


@dataclass
class Named:
    x: Any
    name: str


util.register_dataclass(Named, data_fields=["x"], meta_fields=["name"])


@util.register_pytree_node_class
@dataclass
class Image:
    """Opened by JAX in its own way, without the names of fields."""

    pixels: Any
    about: dict[str, Any]
    total: Any = 0

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.pixels,), tuple(sorted(self.about.items()))

    @classmethod
    def tree_unflatten(cls, about: Any, children: Any) -> Image:
        new = object.__new__(cls)
        new.pixels, new.about, new.total = children[0], dict(about), "rebuilt"
        return new


@util.register_pytree_with_keys_class
class Frozen(Mapping[str, Any]):
    """A mapping that JAX knows."""

    def __init__(self, *, of: dict[str, Any]) -> None:
        self._of = of

    def __getitem__(self, key: str) -> Any:
        return self._of[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        names = sorted(self._of)
        return [(util.DictKey(name), self._of[name]) for name in names], tuple(names)

    def tree_flatten(self) -> tuple[Any, Any]:
        names = sorted(self._of)
        return [self._of[name] for name in names], tuple(names)

    @classmethod
    def tree_unflatten(cls, names: Any, children: Any) -> Frozen:
        return cls(of=dict(zip(names, children, strict=True)))


@util.register_pytree_node_class
class Box:
    """A container that only JAX knows."""

    def __init__(self, *content: Any) -> None:
        self.content = content

    def tree_flatten(self) -> tuple[Any, Any]:
        return self.content, None

    @classmethod
    def tree_unflatten(cls, _: Any, children: Any) -> Box:
        return cls(*children)


def values(batch: Any) -> list[Any]:
    return [np.asarray(leaf).tolist() for _, leaf in tree.leaves(batch)]


MAKE: dict[str, Callable[[int], Any]] = {
    "halves a field": lambda i: Halved(np.float32(4 * i)),
    "named tuple": lambda i: Doubled(np.int32(i)),
    "registered": lambda i: Registered(np.float32(4 * i), "a"),
    "registered, with InitVar": lambda i: Fed(np.float32(i), "name", 2.0),
    "registered, its own way": lambda i: Image(np.full(2, i, np.int32), {"file": "a.png"}),
    "mapping": lambda i: Frozen(of={"b": np.int32(i), "a": np.int32(-i)}),
    "nested": lambda i: {"a": (Registered(np.float32(i)), [Doubled(np.int32(i))])},
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_batch_is_the_same_on_the_host_and_on_devices(make: Callable[[int], Any]) -> None:
    items = [make(i) for i in range(16)]
    builder = DataLoader().batch_size(8)
    host = list(builder.build(items))
    for i, batch in enumerate(host):
        whole = dict(tree.leaves(batch))
        for row, item in enumerate(items[8 * i : 8 * i + 8]):
            for path, leaf in tree.leaves(item):
                np.testing.assert_array_equal(leaf, whole[path][row])
    mesh = untyped.make_mesh((8,), ("data",))
    for loader in (
        builder.prefetch(2, to_device=True),
        builder.workers(4).prefetch(2, to_device=True),
        builder.shard(mesh).prefetch(2, to_device=True),
    ):
        for placed, expected in zip(loader.build(items), host, strict=True):
            assert type(placed) is type(expected)
            assert all(isinstance(leaf, jax.Array) for _, leaf in tree.leaves(placed))
            assert values(placed) == values(expected)


@pytest.mark.parametrize("place", [DevicePlacement(True), None], ids=["device", "mesh"])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_containers_in_one_that_only_jax_knows(make: Callable[[int], Any], place: Any) -> None:
    place = place or MeshShardingStrategy(untyped.make_mesh((8,), ("data",))).distribute_global_batch
    host = StackBatcher()([make(i) for i in range(8)])
    placed = place({"box": Box(host, Box(), None)})["box"]
    assert type(placed) is Box
    assert values(placed.content[0]) == values(host)
    assert type(placed.content[0]) is type(host)
    assert placed.content[1].content == ()
    assert placed.content[2] is None


def test_what_the_registration_calls_static_is_no_leaf() -> None:
    batch = StackBatcher()([Fed(np.ones(2), "left"), Fed(np.ones(2), "left")])
    assert (batch.name, batch.x.shape) == ("left", (2, 2))
    with pytest.raises(StackError, match=r"item 0 has static fields \{'name': 'left'\} but item 1 has .*'right'"):
        StackBatcher()([Fed(np.ones(2), "left"), Fed(np.ones(2), "right")])

    def total(fed: Any) -> Any:
        return fed.x.sum()

    assert untyped.jit(total)(batch) == 4


def test_a_class_with_its_own_way_is_rebuilt_by_it() -> None:
    items = [Image(np.full(2, i, np.float32), {"file": "a"}) for i in range(2)]
    batch = StackBatcher()(items)
    assert (batch.pixels.shape, batch.about, batch.total) == ((2, 2), {"file": "a"}, "rebuilt")
    with pytest.raises(StackError, match=r"item 0 has static fields .*'a'.* but item 1 has static fields .*'b'"):
        StackBatcher()([items[0], Image(np.zeros(2), {"file": "b"})])
    placed = DevicePlacement(True)(batch)
    assert (placed.about, placed.total) == ({"file": "a"}, "rebuilt")


def test_the_paths_of_registered_fields_are_their_names() -> None:
    padded = PadBatcher(keys=["x"], add=None)([Named(np.ones(n, np.float32), "a") for n in (1, 3)])
    assert padded.x.tolist() == [[1, 0, 0], [1, 1, 1]]
    specs = Named(PartitionSpec("data", "model"), "a")
    strategy = MeshShardingStrategy(untyped.make_mesh((4, 2), ("data", "model")), specs=specs)
    placed = strategy.distribute_global_batch(StackBatcher()([Named(np.ones(2, np.float32), "a")] * 4))
    assert placed.x.sharding.spec == PartitionSpec("data", "model")


def test_another_thread_may_be_importing_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax.tree_util", ModuleType("jax.tree_util"))
    items = [Halved(np.float32(2)), Halved(np.float32(4))]
    expected = dataclasses.replace(Halved(0), x=np.array([2, 4], np.float32))
    check_same(StackBatcher()(items), expected)


def test_a_jitted_step_takes_the_batch() -> None:
    def total(batch: Any) -> Any:
        return sum(jnp.sum(leaf) for leaf in untyped.tree.leaves(batch))

    for make in (MAKE["registered"], MAKE["mapping"]):
        assert np.isfinite(untyped.jit(total)(StackBatcher()([make(i) for i in range(8)])))
