"""Checks many layouts in every process of a job: the rows that it reads, and what its devices then hold.

Writes the rows that this process read for each layout to a folder, as `<process>.json`.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from loadax_distributed import MeshShardingStrategy, simulate_hosts

Layout = tuple[str, Any, tuple[str, ...], tuple[str, ...]]
_jax: Any = jax
COLUMNS = 12


def layouts(devices: Any, processes: int) -> Iterator[Layout]:
    """Named layouts of devices: an array of them, its axes, and the axes that divide rows."""
    total = len(devices)
    each = total // processes
    by_process = devices.reshape(processes, each)
    yield "data", devices, ("data",), ("data",)
    yield "reversed", devices[::-1], ("data",), ("data",)
    yield "interleaved", by_process.T.ravel(), ("data",), ("data",)
    yield "permuted", devices[np.random.default_rng(1).permutation(total)], ("data",), ("data",)
    yield "model in a process", by_process, ("data", "model"), ("data",)
    yield "model across processes", by_process.T, ("data", "model"), ("data",)
    yield "data second", by_process, ("model", "data"), ("data",)
    yield "pure model", devices[None], ("data", "model"), ("data",)
    yield "no data axis", devices, ("model",), ()
    yield "replica, fsdp", by_process, ("replica", "fsdp"), ("replica", "fsdp")
    yield "fsdp, replica", by_process, ("replica", "fsdp"), ("fsdp", "replica")
    if total % 4 == 0:
        cube = devices.reshape(2, 2, -1)
        yield "stage, expert", cube, ("stage", "data", "expert"), ("data",)
        yield "data and expert", cube, ("stage", "data", "expert"), ("data", "expert")
        yield "slices", cube, ("slice", "model", "data"), ("slice", "data")
    if total == 8:
        # On four processes, the first one holds one data shard and the others two.
        yield "uneven", devices[[0, 1, 2, 4, 3, 6, 5, 7]].reshape(4, 2), ("data", "model"), ("data",)
    if each > 1:
        yield "sub-mesh", by_process[:, :-1].ravel(), ("data",), ("data",)
        yield "sub-mesh of unlike parts", np.delete(devices, 0), ("data",), ("data",)
    rng = np.random.default_rng(2)
    for number in range(8):
        shape = list(rng.permutation([total // 2, 2, 1] if total > 1 else [1, 1, 1]))
        axes = tuple(rng.permutation(list("abc")).tolist())
        data = tuple(rng.permutation(list("abc"))[: rng.integers(0, 4)].tolist())
        yield f"random {number}", devices[rng.permutation(total)].reshape(shape), axes, data


def check(layout: Layout, kind: Any) -> list[int]:
    """Loads one global batch, and compares it with what JAX says each device should hold."""
    name, devices, axes, data = layout
    mesh = Mesh(devices, axes, axis_types=(kind,) * len(axes))
    others = tuple(axis for axis in axes if axis not in data)
    spec = PartitionSpec(data or None, others or None)
    columns = COLUMNS * math.prod(mesh.shape[axis] for axis in others)
    strategy = MeshShardingStrategy(mesh, data, specs={"tokens": spec})
    size = 3 * strategy.num_data_shards
    whole = np.random.default_rng(0).integers(0, 1 << 30, (size, columns), np.int32)

    rows = strategy.local_rows(size)
    batch = strategy.distribute_global_batch({"tokens": whole[rows], "label": whole[rows, 0]})
    held: set[int] = set()
    for leaf, expected in ((batch["tokens"], whole), (batch["label"], whole[:, 0])):
        indices: dict[Any, Any] = leaf.sharding.devices_indices_map(expected.shape)
        own = {device: index for device, index in indices.items() if device.process_index == _jax.process_index()}
        shards = {shard.device: np.asarray(shard.data) for shard in leaf.addressable_shards}
        assert set(shards) == set(own), name
        for device, index in own.items():
            np.testing.assert_array_equal(shards[device], expected[index], err_msg=name)
            held.update(range(*index[0].indices(size)))
    assert batch["tokens"].sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)
    assert rows.tolist() == sorted(held), f"{name}: reads other rows than its devices hold"

    # Seen as a whole, it is the same array, on every layout and number of processes.
    replicated = NamedSharding(mesh, PartitionSpec())
    total = _jax.jit(_jax.numpy.copy, in_shardings=batch["tokens"].sharding, out_shardings=replicated)(batch["tokens"])
    np.testing.assert_array_equal(np.asarray(total.addressable_data(0)), whole, err_msg=name)
    check_plan(layout, size, rows)
    return rows.tolist()


def check_plan(layout: Layout, size: int, rows: Any) -> None:
    """The dry run says the same."""
    name, devices, axes, data = layout
    numbers = {device: number for number, device in enumerate(sorted(_jax.devices(), key=key))}
    planned = simulate_hosts(
        hosts=_jax.process_count(),
        devices_per_host=_jax.local_device_count(),
        mesh_shape=dict(zip(axes, devices.shape, strict=True)),
        data_axis_name=data,
        batch_size=size,
        dataset_length=3 * size,
        device_order=[numbers[device] for device in devices.flat],
    )
    np.testing.assert_array_equal(planned.rows(_jax.process_index(), 2), 2 * size + rows, err_msg=name)


def key(device: Any) -> tuple[int, int]:
    return device.process_index, device.id


def main(folder: str) -> None:
    devices = np.array(sorted(_jax.devices(), key=key))
    read: dict[str, list[int]] = {}
    for layout in layouts(devices, _jax.process_count()):
        kind = (AxisType.Auto, AxisType.Explicit)[len(read) % 2]
        read[layout[0]] = check(layout, kind)
    (Path(folder) / f"{_jax.process_index()}.json").write_text(json.dumps(read))


if __name__ == "__main__":
    main(sys.argv[1])
