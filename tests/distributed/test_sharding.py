from __future__ import annotations

import dataclasses
import itertools
import math
import threading
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from loadax_core import ShardingStrategy, aligned_empty
from loadax_distributed import MeshShardingStrategy

_jax: Any = jax
DEVICES: Any = np.array(_jax.devices())
_ma: Any = np.ma
MASKED = _ma.array([1, 2], mask=[False, True])


def mesh_of(**shape: int) -> Mesh:
    return Mesh(DEVICES[: math.prod(shape.values())].reshape(*shape.values()), tuple(shape))


def strategy_of(data_axis_name: Any = "data", specs: Any = None, **shape: int) -> MeshShardingStrategy:
    return MeshShardingStrategy(mesh_of(**shape), data_axis_name, specs=specs)


def shards(array: jax.Array) -> dict[int, np.ndarray[Any, Any]]:
    found: Any = array.addressable_shards
    return {shard.device.id: np.asarray(shard.data) for shard in found}


def pointers(array: Any) -> dict[int, int]:
    """Where each device keeps its part."""
    return {shard.device.id: shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards}


def assert_holds(array: jax.Array, expected: np.ndarray[Any, Any]) -> None:
    """Every device holds the part of `expected` that JAX itself says it should."""
    edge: Any = array
    assert array.shape == expected.shape
    assert array.dtype == expected.dtype
    for shard in edge.addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data), expected[shard.index])


# --- rows -------------------------------------------------------------------------------------------------------


def test_it_is_a_sharding_strategy_of_the_core() -> None:
    assert isinstance(strategy_of(data=2), ShardingStrategy)


def test_rows_are_divided_over_the_data_axis_only() -> None:
    strategy = strategy_of(data=2, model=4)
    assert strategy.num_data_shards == 2
    np.testing.assert_array_equal(strategy.local_rows(6), np.arange(6))


def test_local_rows_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        strategy_of(data=2).local_rows(4)[0] = 1


def test_many_batch_sizes_are_not_remembered_for_ever() -> None:
    strategy = strategy_of(data=2)
    assert strategy.local_rows(2) is strategy.local_rows(2)
    for size in range(2, 200, 2):
        assert len(strategy.local_rows(size)) == size
    assert strategy.local_rows(400) is not strategy.local_rows(400)


@pytest.mark.parametrize("batch_size", [1, 6, 1001])
def test_indivisible_batch_size_is_refused_with_both_numbers(batch_size: int) -> None:
    strategy = strategy_of(data=4, model=2)
    with pytest.raises(ValueError, match=rf"{batch_size} rows is not divisible by 4 data shards"):
        strategy.local_rows(batch_size)
    with pytest.raises(ValueError, match=rf"{batch_size} rows is not divisible by 4 data shards"):
        strategy.table(batch_size)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-4, ValueError), (4.0, TypeError), (True, TypeError)])
def test_impossible_batch_sizes_are_refused(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"batch_size is {size}"):
        strategy_of(data=2).local_rows(size)


@pytest.mark.parametrize(("size", "same"), [(8, 8.0), (1, True)])
def test_an_impossible_batch_size_stays_so_after_a_possible_one_that_equals_it(size: int, same: Any) -> None:
    strategy = strategy_of(data=1)
    strategy.local_rows(size)
    with pytest.raises(TypeError, match=f"batch_size is {same}; give a whole number"):
        strategy.local_rows(same)


# --- layouts ----------------------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Mesh, tuple[str, ...]]:
    """A random mesh: any shape of up to 8 devices in any order, any axes sharding data, Auto or Explicit."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).filter(lambda s: math.prod(s) <= 8))
    order = draw(st.permutations(range(8)))[: math.prod(shape)]
    names = tuple("abc"[: len(shape)])
    kind = draw(st.sampled_from([AxisType.Auto, AxisType.Explicit]))
    mesh = Mesh(DEVICES[list(order)].reshape(shape), names, axis_types=(kind,) * len(names))
    chosen = draw(st.permutations(names))
    return mesh, tuple(chosen[: draw(st.integers(0, len(names)))])


@given(layouts(), st.integers(1, 5))
def test_any_mesh_places_the_global_batch_as_jax_would(layout: tuple[Mesh, tuple[str, ...]], per_shard: int) -> None:
    mesh, axes = layout
    strategy = MeshShardingStrategy(mesh, axes)
    assert strategy.num_data_shards == math.prod(mesh.shape[a] for a in axes)
    whole = np.arange(per_shard * strategy.num_data_shards * 3, dtype=np.int32).reshape(-1, 3)
    rows = strategy.local_rows(len(whole))
    batch = strategy.distribute_global_batch(whole[rows])
    expected = NamedSharding(mesh, P(axes) if axes else P())
    edge: Any = expected
    assert batch.sharding.is_equivalent_to(expected, batch.ndim)
    indices: dict[Any, Any] = edge.devices_indices_map(whole.shape)
    assert set(shards(batch)) == {device.id for device in indices}
    for device, index in indices.items():
        np.testing.assert_array_equal(shards(batch)[device.id], whole[index])


@given(layouts(), st.data())
def test_any_spec_divides_columns_too(layout: tuple[Mesh, tuple[str, ...]], data: st.DataObject) -> None:
    mesh, axes = layout
    others = tuple(name for name in mesh.axis_names if name not in axes)
    columns = data.draw(st.permutations(others))[: data.draw(st.integers(0, len(others)))]
    spec = P(axes or None, tuple(columns) or None)
    strategy = MeshShardingStrategy(mesh, axes, specs={"x": spec})
    parts = math.prod(mesh.shape[a] for a in columns)
    whole = np.arange(strategy.num_data_shards * 2 * parts * 3).astype(np.int32).reshape(-1, parts * 3)
    batch = strategy.distribute_global_batch({"x": whole[strategy.local_rows(len(whole))]})
    assert batch["x"].sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)
    assert_holds(batch["x"], whole)


def test_order_of_two_data_axes_is_the_callers() -> None:
    rows = np.arange(4, dtype=np.int32)
    major = strategy_of(("replica", "fsdp"), replica=2, fsdp=2).distribute_global_batch(rows)
    minor = strategy_of(("fsdp", "replica"), replica=2, fsdp=2).distribute_global_batch(rows)
    assert [shards(major)[i].item() for i in range(4)] == [0, 1, 2, 3]
    assert [shards(minor)[i].item() for i in range(4)] == [0, 2, 1, 3]


def test_a_list_of_axis_names_is_as_good_as_a_tuple() -> None:
    strategy = strategy_of(["replica", "fsdp"], replica=2, fsdp=2)
    assert strategy.data_axis_names == ("replica", "fsdp")


def test_result_is_what_a_jitted_step_with_matching_shardings_takes_without_a_copy() -> None:
    strategy = strategy_of(data=4, model=2)
    batch = strategy.distribute_global_batch(np.zeros((8, 3), np.float32))
    assert batch.sharding == NamedSharding(strategy.mesh, P("data"))
    assert batch.committed
    # A compiled step reports arguments that it would have to move, instead of moving them.
    described = _jax.ShapeDtypeStruct((8, 3), np.float32)

    def step(axis: str | None) -> Any:
        shardings = strategy.named_sharding(axis)
        return _jax.jit(_jax.numpy.sum, in_shardings=shardings).lower(described).compile()

    assert step("data")(batch) == 0
    with pytest.raises(ValueError, match="sharding"):
        step(None)(batch)


# --- containers and leaves --------------------------------------------------------------------------------------


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Sample:
    image: Any
    label: Any


@_jax.tree_util.register_pytree_node_class
class Opened:
    """A container that only JAX opens."""

    def __init__(self, first: Any, second: Any) -> None:
        self.first, self.second = first, second

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        return (self.first, self.second), None

    @classmethod
    def tree_unflatten(cls, _: None, children: tuple[Any, Any]) -> Opened:
        return cls(*children)


def test_containers_survive() -> None:
    rows = np.arange(4, dtype=np.int32)
    batch = {"p": Pair(rows, [rows]), "d": Sample(rows, (rows, None))}
    out = strategy_of(data=4).distribute_global_batch(batch)
    assert isinstance(out["p"], Pair)
    assert isinstance(out["d"], Sample)
    assert out["d"].label[1] is None
    for leaf in (out["p"].x, out["p"].y[0], out["d"].image, out["d"].label[0]):
        assert_holds(leaf, rows)


def test_a_batch_without_arrays_comes_back() -> None:
    assert strategy_of(data=2).distribute_global_batch({"nothing": None}) == {"nothing": None}


# NumPy's code for float8_e4m3fnuz is that of complex numbers of long doubles.
SMALL = ["int4", "uint4", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "bfloat16", "float32", "complex64", *SMALL])
def test_dtypes_survive(dtype: str) -> None:
    rows = np.arange(8).astype(_jax.numpy.dtype(dtype))
    assert_holds(strategy_of(data=4).distribute_global_batch(rows), rows)


@pytest.mark.parametrize("devices", [1, 4])
def test_jax_arrays_of_one_device_are_leaves_too(devices: int) -> None:
    rows = np.arange(8, dtype=np.float32)
    leaf = _jax.device_put(rows, _jax.devices()[3])
    out = strategy_of(data=devices).distribute_global_batch({"x": leaf})["x"]
    assert out.sharding.device_set == set(DEVICES[:devices])
    assert_holds(out, rows)


def test_jax_array_on_its_only_device_is_used_as_it_is() -> None:
    leaf: Any = _jax.device_put(np.arange(8.0, dtype=np.float32), _jax.devices()[0])
    out = strategy_of(data=1).distribute_global_batch(leaf)
    assert out.unsafe_buffer_pointer() == leaf.unsafe_buffer_pointer()


def test_aligned_memory_is_not_copied() -> None:
    host = aligned_empty((8, 16), np.dtype(np.float32))
    host[:] = np.arange(128).reshape(8, 16)
    out = strategy_of(data=4).distribute_global_batch(host)
    start = host.__array_interface__["data"][0]
    assert pointers(out) == {device: start + device * 2 * 16 * 4 for device in range(4)}


@pytest.mark.parametrize(
    ("leaf", "error", "message"),
    [
        (np.array(["a", "b"]), TypeError, r"batch\['x'\] has dtype <U1"),
        (np.array([b"a", b"b"]), TypeError, r"batch\['x'\] has dtype \|S1"),
        (np.array([{}, {}]), TypeError, r"batch\['x'\] has dtype object"),
        (np.array([1, 2], "m8[s]"), TypeError, r"batch\['x'\] has dtype timedelta64"),
        (np.array([1, 2], "M8[s]"), TypeError, r"batch\['x'\] has dtype datetime64"),
        (np.zeros(2, "i4,f4"), TypeError, r"batch\['x'\] has dtype \["),
        (np.zeros(2, np.dtype(np.float32).newbyteorder()), TypeError, r"batch\['x'\] has dtype [<>]f4"),
        (np.zeros(2, np.longdouble), TypeError, r"batch\['x'\] has dtype"),
        (np.zeros(2, np.clongdouble), TypeError, r"batch\['x'\] has dtype"),
        ("text", TypeError, r"batch\['x'\] is of type str"),
        (3.5, TypeError, r"batch\['x'\] is of type float"),
        (np.float32(3.5), ValueError, r"batch\['x'\] is a single value"),
        (np.float32(3.5), ValueError, r"leave it out, or repeat it for each row, as an array of shape \(rows,\)"),
        (3.5, TypeError, r"leave it out, or repeat it for each row, as an array of shape \(rows,\)"),
        (MASKED, TypeError, r"batch\['x'\] is a masked array, .* fill it with \.filled\(value\)"),
        (np.zeros((), np.float32), ValueError, r"batch\['x'\] is a single value"),
        (np.zeros((0, 3), np.float32), ValueError, r"batch\['x'\] has 0 rows, and this process holds 2 data shards"),
        (np.zeros((3, 3), np.float32), ValueError, r"batch\['x'\] has 3 rows, and this process holds 2 data shards"),
    ],
)
def test_impossible_leaves_are_refused_by_name(leaf: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        strategy_of(data=2).distribute_global_batch({"x": leaf})


def test_prng_keys_are_refused() -> None:
    with pytest.raises(TypeError, match=r"batch\['k'\] holds key<fry>.*key_data"):
        strategy_of(data=2).distribute_global_batch({"k": jax.random.split(jax.random.key(0), 2)})


def test_arrays_that_are_distributed_already_are_refused() -> None:
    strategy = strategy_of(data=2)
    batch = strategy.distribute_global_batch(np.zeros(4, np.float32))
    with pytest.raises(ValueError, match=r"batch is a jax\.Array on 2 devices already"):
        strategy.distribute_global_batch(batch)


def test_leaves_with_different_rows_are_refused_naming_both() -> None:
    batch = {"x": np.zeros((4, 2), np.float32), "y": [np.zeros(8, np.int32)]}
    with pytest.raises(ValueError, match=r"batch\['y'\]\[0\] has 8 rows, and batch\['x'\] has 4"):
        strategy_of(data=2).distribute_global_batch(batch)


# --- narrowing --------------------------------------------------------------------------------------------------


def test_narrowed_leaves_are_named_once_each() -> None:
    strategy = strategy_of(data=2)
    batch = {"id": np.arange(4, dtype=np.int64), "x": np.zeros(4, np.float32), "w": np.zeros(4)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outs = [strategy.distribute_global_batch(batch) for _ in range(3)]
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "batch['id'] is int64, which JAX stores as int32" in messages[0]
    assert "batch['w'] is float64, which JAX stores as float32" in messages[1]
    assert outs[2]["id"].dtype == np.int32


def test_x64_keeps_all_bits_and_says_nothing() -> None:
    before = _jax.config.jax_enable_x64
    _jax.config.update("jax_enable_x64", True)
    try:
        rows = np.arange(4) + 2**40
        assert_holds(strategy_of(data=2).distribute_global_batch(rows), rows)
    finally:
        _jax.config.update("jax_enable_x64", before)


# --- specs ------------------------------------------------------------------------------------------------------


def test_specs_divide_columns_and_leave_other_leaves_alone() -> None:
    strategy = strategy_of(specs={"tokens": P("data", "seq")}, data=2, seq=4)
    tokens = np.arange(4 * 8, dtype=np.int32).reshape(4, 8)
    out = strategy.distribute_global_batch({"tokens": tokens, "label": np.arange(4, dtype=np.int32)})
    assert shards(out["tokens"])[0].shape == (2, 2)
    assert_holds(out["tokens"], tokens)
    assert out["label"].sharding == strategy.named_sharding("data")


def test_one_spec_serves_a_subtree() -> None:
    specs = {"a": P("data", "seq"), "b": {"c": P("data"), "d": None}}
    strategy = strategy_of(specs=specs, data=2, seq=2)
    x = np.zeros((2, 2), np.float32)
    out = strategy.distribute_global_batch({"a": [x, (x,)], "b": {"c": x, "d": x}})
    sharded, rows = strategy.named_sharding("data", "seq"), strategy.named_sharding("data")
    assert out["a"][0].sharding == out["a"][1][0].sharding == sharded
    assert out["b"]["c"].sharding == out["b"]["d"].sharding == rows


def test_specs_may_lie_in_any_container_that_is_registered_with_jax() -> None:
    x = np.zeros((2, 2), np.float32)
    specs = Opened({"a": P("data", "seq"), "b": None}, P("data", "seq"))
    strategy = strategy_of(specs=specs, data=2, seq=2)
    out = strategy.distribute_global_batch(Opened({"a": x, "b": x}, [x]))
    sharded, rows = strategy.named_sharding("data", "seq"), strategy.named_sharding("data")
    assert [leaf.sharding for leaf in (out.first["a"], out.first["b"], out.second[0])] == [sharded, rows, sharded]
    with pytest.raises(TypeError, match=r"specs.*'data'; give a jax\.sharding\.PartitionSpec"):
        strategy_of(specs=Opened(P("data"), "data"), data=2, seq=2)


def test_one_spec_serves_all_leaves() -> None:
    strategy = strategy_of(specs=P("data", None, "seq"), data=2, seq=2)
    out = strategy.distribute_global_batch([np.zeros((2, 3, 4), np.float32)])
    assert shards(out[0])[0].shape == (1, 3, 2)


def test_specs_that_no_leaf_matches_are_refused_naming_the_leaves() -> None:
    strategy = strategy_of(specs={"tokns": P("data", "seq")}, data=2, seq=4)
    with pytest.raises(ValueError, match=r"specs\['tokns'\], which no leaf .* it has batch\['tokens'\]"):
        strategy.distribute_global_batch({"tokens": np.zeros((2, 4), np.int32)})


def test_specs_are_for_each_batch_whatever_came_before_it() -> None:
    strategy = strategy_of(specs={"y": P("data", "seq")}, data=2, seq=4)
    for _ in range(2):
        strategy.distribute_global_batch({"y": np.zeros((2, 4), np.float32)})
        with pytest.raises(ValueError, match=r"specs\['y'\], which no leaf .* it has batch\['z'\]"):
            strategy.distribute_global_batch({"z": np.zeros((2, 4), np.float32)})


@pytest.mark.parametrize(
    ("specs", "error", "message"),
    [
        (
            {"x": P("seq", "data")},
            ValueError,
            r"of batch\['x'\] must divide the first dimension, the rows, over .*data",
        ),
        ({"x": P()}, ValueError, r"must divide the first dimension"),
        ({"x": P(None, "data")}, ValueError, r"must divide the first dimension"),
        ({"x": P(("data", "seq"))}, ValueError, r"must divide the first dimension"),
        ({"x": P("data", "nope")}, ValueError, r"names the axis 'nope'; the mesh has 'data', 'seq'"),
        ({"x": P("data", ("seq", "seq"))}, ValueError, r"names the axis 'seq' twice"),
        ({"x": P("data", P.UNCONSTRAINED)}, ValueError, r"leaves a dimension open"),
        ({"x": "data"}, TypeError, r"specs\['x'\] is 'data'; give a jax.sharding.PartitionSpec"),
    ],
)
def test_impossible_specs_are_refused_when_the_strategy_is_made(
    specs: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        strategy_of(specs=specs, data=2, seq=4)


def test_leaves_that_do_not_fit_their_spec_are_refused() -> None:
    strategy = strategy_of(specs={"x": P("data", "seq")}, data=2, seq=4)
    with pytest.raises(ValueError, match=r"batch\['x'\] has shape \(2,\), .* is for 2 dim"):
        strategy.distribute_global_batch({"x": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=r"batch\['x'\] has 6 elements in dimension 1, .* 6 is not divisible by 4"):
        strategy.distribute_global_batch({"x": np.zeros((2, 6), np.float32)})


def test_a_mesh_without_axes_divides_no_rows() -> None:
    single: Any = Mesh(np.array(_jax.devices()[0]), ())
    with pytest.raises(ValueError, match=r"names the axis 'data'; the mesh has no axis$"):
        MeshShardingStrategy(single)
    assert MeshShardingStrategy(single, ()).local_rows(3).tolist() == [0, 1, 2]


# --- the mesh ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        (
            "batch",
            ValueError,
            r"names the axis 'batch'; the mesh has 'data', 'model'; choose one: data_axis_name='data'",
        ),
        (("data", "data"), ValueError, r"names the axis 'data' twice"),
        (("data", "nope"), ValueError, r"names the axis 'nope'; the mesh has"),
        (("data", 1), TypeError, r"data_axis_name is \('data', 1\)"),
        (
            None,
            TypeError,
            r"data_axis_name is None; give the name of a mesh axis, or a tuple of names; the mesh has 'data', 'model'",
        ),
        (0, TypeError, r"data_axis_name is 0; .* the mesh has 'data', 'model'"),
        ({"data", "model"}, TypeError, r"data_axis_name is {.*}; .* or a tuple of names"),
        (P("data"), TypeError, r"data_axis_name is .*P.*\('data',\); .* the mesh has 'data', 'model'"),
        (b"data", TypeError, r"data_axis_name is b'data'; .* the mesh has 'data', 'model'"),
    ],
)
def test_impossible_axes_are_refused(axes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        strategy_of(axes, data=2, model=2)


@pytest.mark.parametrize("mesh", [AbstractMesh((2,), ("data",)), None, "data", (2, 4)])
def test_what_is_not_a_mesh_of_devices_is_refused(mesh: Any) -> None:
    with pytest.raises(TypeError, match="pass a concrete mesh"):
        MeshShardingStrategy(mesh)


def test_named_sharding() -> None:
    strategy = strategy_of(data=2, model=2)
    assert strategy.named_sharding() == NamedSharding(strategy.mesh, P())
    assert strategy.named_sharding(None, "model") == NamedSharding(strategy.mesh, P(None, "model"))
    assert strategy.named_sharding(["data", "model"]) == NamedSharding(strategy.mesh, P(("data", "model")))
    with pytest.raises(ValueError, match="'nope'; the mesh has 'data', 'model'"):
        strategy.named_sharding("nope")
    with pytest.raises(ValueError, match="'data' twice"):
        strategy.named_sharding("data", "data")
    for wrong in (3, (3,), P("data", "model"), b"data"):
        entry: Any = wrong
        with pytest.raises(TypeError) as caught:
            strategy.named_sharding(None, entry)
        assert str(caught.value).startswith(f"named_sharding(None, {wrong!r}) has {wrong!r} for dimension 1; ")
        assert str(caught.value).endswith("the mesh has 'data', 'model'")


# --- guards and threads -----------------------------------------------------------------------------------------


def test_a_transfer_guard_and_another_threads_mesh_change_nothing() -> None:
    strategy = strategy_of(data=4, model=2)
    rows = np.arange(8, dtype=np.int32)
    results: list[Any] = []
    _jax.config.update("jax_transfer_guard", "disallow")
    try:
        worker = threading.Thread(target=lambda: results.append(strategy.distribute_global_batch(rows)))
        worker.start()
        worker.join()
        results.append(strategy.distribute_global_batch(rows))
    finally:
        _jax.config.update("jax_transfer_guard", "allow")
    for result in results:
        assert_holds(result, rows)
    assert len(results) == 2


@pytest.mark.parametrize("spec", [P("data"), P("data", "seq")])
def test_nothing_is_compiled(spec: P) -> None:
    strategy = strategy_of(specs=spec, data=2, seq=2)
    compiled: list[str] = []

    def listen(event: str, duration: float, **_: Any) -> None:
        compiled.append(event)

    _jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for leaf in (np.zeros((6, 10), np.float32), _jax.device_put(np.zeros((6, 10), np.float32))):
            strategy.distribute_global_batch(leaf)
        assert compiled == []
        _jax.jit(lambda x: x)(np.zeros(3, np.float32))  # pyright: ignore[reportUnknownLambdaType]
        assert compiled  # the listener does hear compilations
    finally:
        _jax.monitoring.clear_event_listeners()


def test_threads_may_share_a_strategy() -> None:
    strategy = strategy_of(specs={"x": P("data", "seq")}, data=4, seq=2)
    start = threading.Barrier(4)
    wrong: list[Any] = []

    def work(k: int) -> None:
        start.wait()
        for size in (4, 8, 12):
            rows = np.full((size, 2), k, np.int32)
            out = strategy.distribute_global_batch({"x": rows, "y": rows})
            wrong.extend(leaf for leaf in out.values() if not np.array_equal(leaf, rows))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- what people see --------------------------------------------------------------------------------------------


def test_repr() -> None:
    assert repr(strategy_of(data=4, model=2)) == (
        "MeshShardingStrategy(mesh(data=4, model=2), data_axis_name='data', num_data_shards=4, "
        "process 0 of 1 holds shards 0-3)"
    )


def test_table() -> None:
    mesh = Mesh(DEVICES[[2, 0, 1, 3]].reshape(2, 2), ("data", "model"))
    table = MeshShardingStrategy(mesh).table(6)
    lines = ["process  device  rows", "0        cpu:0   0-2", "0        cpu:1   3-5", "0        cpu:2   0-2"]
    assert str(table).splitlines() == [*lines, "0        cpu:3   3-5"]
    notebook: Any = table
    html = notebook._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") == 5
    assert "<td>cpu:1</td><td>3-5</td>" in html


def test_table_without_a_batch_size_numbers_the_data_shards() -> None:
    cells = strategy_of(data=2, model=2).table().cells
    assert [cell[2] for cell in cells] == ["0", "0", "1", "1"]
    assert len(set(itertools.chain(*cells))) == 6
