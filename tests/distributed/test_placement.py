from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from loadax_core import DataLoader
from loadax_distributed import DevicePlacement, MeshShardingStrategy

_jax: Any = jax
ENABLE_X64: Any = _jax.enable_x64 if hasattr(jax, "enable_x64") else _jax.experimental.enable_x64
DEVICES: Any = np.array(_jax.devices())
MESH = Mesh(DEVICES, ("data",))
SHARDING = NamedSharding(MESH, P("data"))


class Pair(NamedTuple):
    x: Any
    y: Any


def where(array: Any) -> list[int]:
    return sorted(device.id for device in array.devices())


def test_default_device_is_the_one_at_construction_and_arrays_stay_uncommitted() -> None:
    with jax.default_device(DEVICES[3]):
        place = DevicePlacement(True)
    results: list[Any] = []
    worker = threading.Thread(target=lambda: results.append(place(Pair(np.arange(3, dtype=np.int32), [2.5]))))
    worker.start()
    worker.join()
    (pair,) = results
    assert isinstance(pair, Pair)
    assert where(pair.x) == where(pair.y[0]) == [3]
    assert not pair.x.committed
    np.testing.assert_array_equal(pair.x, [0, 1, 2])
    assert pair.y[0].item() == 2.5


@pytest.mark.parametrize(
    "make", [lambda: DevicePlacement(True), lambda: MeshShardingStrategy(MESH).distribute_global_batch]
)
def test_what_has_all_its_bits_where_a_placement_is_made_keeps_them_on_other_threads(make: Any) -> None:
    numbers = np.arange(8) + 2**40
    with ENABLE_X64(True):
        place = make()
    with ThreadPoolExecutor(1) as executor:
        placed = executor.submit(place, [numbers]).result()[0]
    assert placed.dtype == np.int64
    assert placed.tolist() == numbers.tolist()
    assert not _jax.config.jax_enable_x64


def test_what_is_on_another_device_is_moved_to_the_default_one() -> None:
    with jax.default_device(DEVICES[2]):
        place = DevicePlacement(True)
    for device in (DEVICES[2], DEVICES[5]):
        placed = place([_jax.device_put(np.arange(3), device)])[0]
        assert where(placed) == [2]
        assert placed.tolist() == [0, 1, 2]


def test_default_device_may_be_named_by_its_platform() -> None:
    with jax.default_device("cpu"):
        place = DevicePlacement(True)
    assert where(place(np.zeros(2, np.float32))) == [0]


@pytest.mark.parametrize("target", [DEVICES[5], SingleDeviceSharding(DEVICES[5])])
def test_a_device_gets_committed_arrays(target: Any) -> None:
    out = DevicePlacement(target)({"x": np.arange(3, dtype=np.int32)})["x"]
    assert where(out) == [5]
    assert out.committed


@pytest.mark.parametrize("on_device", [False, True])
def test_a_sharding_divides_rows(on_device: bool) -> None:
    rows = np.arange(16, dtype=np.int32)
    out = DevicePlacement(SHARDING)([_jax.device_put(rows) if on_device else rows])[0]
    assert out.sharding == SHARDING
    np.testing.assert_array_equal(out, rows)


@pytest.mark.parametrize("shape", [(12, 3), ()])
def test_what_the_sharding_cannot_divide_is_refused_by_name(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"batch\['x'\] of shape \(.*\) does not fit") as caught:
        DevicePlacement(SHARDING)({"x": np.zeros(shape, np.float32)})
    assert not shape or ("8" in str(caught.value) and "12" in str(caught.value))


def test_leaves_that_lack_a_dimension_are_refused_by_name_for_any_kind_of_axes() -> None:
    for kind in ("Auto", "Explicit") if hasattr(jax.sharding, "AxisType") else ():
        kinds = (getattr(jax.sharding.AxisType, kind),) * 2
        sharding = NamedSharding(_jax.make_mesh((4, 2), ("data", "model"), axis_types=kinds), P("data", "model"))
        with pytest.raises(ValueError, match=r"batch\['y'\] of shape \(8,\) does not fit"):
            DevicePlacement(sharding)({"y": np.zeros(8, np.float32)})


def test_a_dimension_that_is_left_open_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves a dimension open; a batch is placed exactly: use None instead"):
        DevicePlacement(NamedSharding(MESH, P(P.UNCONSTRAINED)))


@pytest.mark.parametrize("scalar", [3, 2.5, True, 1j, np.float32(1.5), np.zeros((), np.int32)])
def test_numbers_are_placed_too(scalar: Any) -> None:
    out = DevicePlacement(DEVICES[1])({"n": scalar})["n"]
    assert where(out) == [1]
    assert out.shape == ()
    assert out.item() == scalar


@jax.tree_util.register_pytree_with_keys_class
class Registered:
    def __init__(self, values: Any, name: str) -> None:
        self.values, self.name = values, name

    def tree_flatten_with_keys(self) -> tuple[Any, str]:
        return [(jax.tree_util.GetAttrKey("values"), self.values)], self.name

    @classmethod
    def tree_unflatten(cls, name: str, children: Any) -> Registered:
        (values,) = children
        return cls(values, name)


@jax.tree_util.register_dataclass
@dataclass
class Static:
    x: Any
    name: str = field(metadata={"static": True})


def test_of_several_leaves_the_one_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"batch\['y'\] of shape \(12,\) does not fit"):
        DevicePlacement(SHARDING)({"x": np.zeros(8, np.float32), "y": np.zeros(12, np.float32)})


@pytest.mark.parametrize(
    "place",
    [DevicePlacement(True), DevicePlacement(SHARDING), MeshShardingStrategy(MESH).distribute_global_batch],
)
def test_what_is_registered_with_jax_is_a_container(place: Any) -> None:
    numbers = np.arange(8, dtype=np.int32)
    placed = place({"a": Registered({"b": numbers}, "mine"), "c": Static(numbers, "fixed")})
    assert (type(placed["a"]), placed["a"].name) == (Registered, "mine")
    assert (type(placed["c"]), placed["c"].name) == (Static, "fixed")
    for array in (placed["a"].values["b"], placed["c"].x):
        assert isinstance(array, jax.Array)
        assert array.tolist() == list(range(8))
    with pytest.raises(TypeError, match=r"batch\['a'\]\.values\[0\] has dtype <U1"):
        place({"a": Registered([np.array(["x"])], "mine")})


@pytest.mark.parametrize("target", [True, DEVICES[1], SHARDING])
@pytest.mark.parametrize("leaf", [np.array(["a"]), np.array([None]), "text", object()])
def test_strings_and_objects_are_refused_by_name(target: Any, leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"batch\['x'\] "):
        DevicePlacement(target)({"x": leaf})


@pytest.mark.parametrize("target", [True, DEVICES[1], SHARDING])
@pytest.mark.parametrize("masked", [np.ma.array(np.zeros(8), mask=np.arange(8) > 3), np.ma.masked])
def test_masks_are_not_lost(target: Any, masked: Any) -> None:
    with pytest.raises(TypeError, match=r"batch\['x'\] is a masked array.* fill it with \.filled\(value\)"):
        DevicePlacement(target)({"x": masked})


def test_a_masked_array_without_masked_entries_is_an_array() -> None:
    assert DevicePlacement(True)(np.ma.array([1, 2], np.int32)).tolist() == [1, 2]


def test_narrowed_leaves_are_named_once() -> None:
    place = DevicePlacement(True)
    with pytest.warns(UserWarning, match=r"batch\['id'\] is int64, which JAX stores as int32"):
        place({"id": np.arange(2)})
    place({"id": np.arange(2)})


@pytest.mark.parametrize("kind", ["placement", "loader", "strategy", "sharded loader"])
def test_the_warning_points_at_the_call_that_says_where_batches_go(kind: str) -> None:
    builder = DataLoader().batch_size(8).prefetch(1)
    run: Any
    if kind == "placement":
        run, line = DevicePlacement(True), here()
    elif kind == "loader":
        run, line = builder.prefetch(1, to_device=True).build(range(8)), here()
    elif kind == "strategy":
        run, line = MeshShardingStrategy(MESH).distribute_global_batch, here()
    else:
        run, line = builder.prefetch(1, to_device=True).shard(MESH), here()
        run = run.build(range(8))
    with pytest.warns(UserWarning, match="which JAX stores as int32") as caught:
        list(run) if "loader" in kind else run(np.arange(8))
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, line)]


def here() -> int:
    """The line of the call."""
    frame: Any = inspect.currentframe()
    return frame.f_back.f_lineno


@pytest.mark.parametrize("target", [True, DEVICES[1], SHARDING])
def test_a_transfer_guard_changes_nothing(target: Any) -> None:
    with jax.transfer_guard("disallow"):
        DevicePlacement(target)(np.zeros(8, np.float32))


@pytest.mark.parametrize("target", [False, None, 7, "cpu:0", DEVICES])
def test_what_is_not_a_place_is_refused(target: Any) -> None:
    with pytest.raises(TypeError, match=r"neither a device nor a sharding; give True .*, a device .*, or a .*Sharding"):
        DevicePlacement(target)


def test_repr() -> None:
    assert repr(DevicePlacement(True)) == f"DevicePlacement({DEVICES[0]})"
    assert repr(DevicePlacement(DEVICES[1])) == f"DevicePlacement({DEVICES[1]})"
