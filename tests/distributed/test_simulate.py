from __future__ import annotations

import math
import time
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import Mesh
from loadax_distributed import HostPlan, MeshShardingStrategy, simulate_hosts

_jax: Any = jax
DEVICES: Any = np.array(_jax.devices())


def plan_of(**changed: Any) -> HostPlan:
    described: dict[str, Any] = {
        "hosts": 4,
        "devices_per_host": 2,
        "mesh_shape": {"data": 4, "model": 2},
        "batch_size": 16,
        "dataset_length": 160,
    }
    return simulate_hosts(**{**described, **changed})


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any]:
    """Any shape and order of a mesh over 8 devices, cut into hosts in any way."""
    devices_per_host = draw(st.sampled_from([1, 2, 4, 8]))
    shape = draw(st.sampled_from([(8,), (2, 4), (4, 2), (1, 8), (2, 2, 2), (2, 1, 4)]))
    names = tuple(draw(st.permutations("abc"))[: len(shape)])
    data = tuple(draw(st.permutations(names))[: draw(st.integers(0, len(names)))])
    mesh_shape = dict(zip(names, shape, strict=True))
    shards = math.prod(mesh_shape[axis] for axis in data)
    return {
        "hosts": 8 // devices_per_host,
        "devices_per_host": devices_per_host,
        "mesh_shape": mesh_shape,
        "data_axis_name": data,
        "batch_size": shards * draw(st.integers(1, 4)),
        "dataset_length": shards * draw(st.integers(0, 20)),
        "device_order": draw(st.permutations(range(8))),
    }


@given(clusters())
def test_it_agrees_with_jax(cluster: dict[str, Any]) -> None:
    planned = simulate_hosts(**cluster)
    size, length = cluster["batch_size"], cluster["dataset_length"]
    order = DEVICES[cluster["device_order"]].reshape(tuple(cluster["mesh_shape"].values()))
    strategy = MeshShardingStrategy(Mesh(order, tuple(cluster["mesh_shape"])), cluster["data_axis_name"])
    assert planned.num_data_shards == strategy.num_data_shards
    assert planned.steps_per_epoch == -(-length // size)
    for step in range(planned.steps_per_epoch):
        rows = min(size, length - step * size)
        sharding: Any = strategy.named_sharding(cluster["data_axis_name"] or None)
        held: dict[int, set[int]] = {}
        for device, index in sharding.devices_indices_map((rows,)).items():
            held.setdefault(device.id // cluster["devices_per_host"], set()).update(range(*index[0].indices(rows)))
        for host in range(cluster["hosts"]):
            assert planned.rows(host, step).tolist() == sorted(step * size + row for row in held[host])
    if length >= size:
        assert planned.rows_per_host.tolist() == [len(planned.rows(host, 0)) for host in range(cluster["hosts"])]


def test_a_model_axis_across_hosts_makes_them_read_the_same() -> None:
    planned = plan_of(mesh_shape={"data": 2, "model": 4})
    assert planned.rows(0, 1).tolist() == planned.rows(1, 1).tolist() == list(range(16, 24))
    assert planned.replication == 2.0
    assert planned.balance == 1.0


def test_balance_of_uneven_hosts() -> None:
    planned = plan_of(device_order=[0, 1, 2, 4, 3, 6, 5, 7])
    assert planned.rows_per_host.tolist() == [4, 8, 8, 8]
    assert planned.balance == 0.5
    assert planned.replication == 28 / 16
    assert "4 to 8 rows each step" in str(planned)


def test_bytes_per_second() -> None:
    assert plan_of().bytes_per_second(1000, 0.5).tolist() == [8000.0] * 4
    with pytest.raises(ValueError, match="step_seconds is 0; give a positive number"):
        plan_of().bytes_per_second(1000, 0)
    with pytest.raises(TypeError, match=r"row_bytes is 1\.5"):
        plan_of().bytes_per_second(1.5, 1)  # pyright: ignore[reportArgumentType]


def test_ten_thousand_hosts_in_seconds() -> None:
    began = time.perf_counter()
    planned = plan_of(
        hosts=10_000,
        devices_per_host=8,
        mesh_shape={"data": 20_000, "model": 4},
        batch_size=200_000,
        dataset_length=10**9,
    )
    assert planned.rows(9_999, 4_999).tolist() == list(range(10**9 - 20, 10**9))
    assert time.perf_counter() - began < 5


def test_a_last_short_batch_is_kept_or_dropped() -> None:
    assert plan_of(dataset_length=164).rows(3, 10).tolist() == [163]
    dropped = plan_of(dataset_length=163, drop_remainder=True)
    assert dropped.steps_per_epoch == 10
    with pytest.raises(IndexError, match="step 10 is out of range for 10 steps"):
        dropped.rows(0, 10)
    with pytest.raises(IndexError, match="host -1 is out of range for 4 hosts"):
        dropped.rows(-1, 0)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"hosts": 0}, ValueError, "hosts is 0; give at least 1"),
        ({"batch_size": 2.0}, TypeError, r"batch_size is 2\.0; give a whole number"),
        ({"dataset_length": -1}, ValueError, "dataset_length is -1; give at least 0"),
        ({"mesh_shape": {"data": 0}}, ValueError, r"mesh_shape\['data'\] is 0"),
        (
            {"mesh_shape": {"data": 4}},
            ValueError,
            "data=4 has 4 places, and there are 8 devices; give sizes whose",
        ),
        ({"data_axis_name": "rows"}, ValueError, "names the axis 'rows'; the mesh has 'data', 'model'"),
        ({"batch_size": 6}, ValueError, "a batch of 6 rows is not divisible by 4 data shards; choose a multiple of 4"),
        ({"dataset_length": 162}, ValueError, r"last batch of 2 rows .* drop_remainder=True, .*pad_to_multiple\(4\)"),
        ({"device_order": range(7)}, ValueError, "has 8 places, and device_order has 7 devices; give 8"),
        ({"device_order": [0, 1, 2, 3, 4, 5, 6, 8]}, ValueError, "device_order has device 8; the numbers .* 0 to 7"),
        ({"device_order": [0, 1, 2, 3, 4, 5, 6, 6]}, ValueError, "device_order has device 6 twice"),
        ({"device_order": np.arange(8.0)}, TypeError, "device_order has dtype float64"),
        ({"mesh_shape": (4, 2)}, TypeError, r"mesh_shape is \(4, 2\); give the size of each axis, such as {"),
        ({"drop_remainder": "no"}, TypeError, "drop_remainder must be True or False, got 'no'"),
        (
            {"mesh_shape": {"data": 2}, "device_order": [0, 4]},
            ValueError,
            "the mesh has no device of host 1; every host that trains loads data too",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_of(**changed)
