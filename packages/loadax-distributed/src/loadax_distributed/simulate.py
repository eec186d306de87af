"""Computes which rows each host of a cluster of any size reads, without the cluster. Uses NumPy only.

This is the arithmetic of `MeshShardingStrategy` for all hosts at once; tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import Rows

from .axes import check_data_axes
from .checks import count, flag


@dataclass(frozen=True, eq=False)
class HostPlan:
    """The rows that each host of a cluster reads; made by `simulate_hosts`.

    Attributes:
        hosts: Number of hosts.
        batch_size: Rows of the global batch.
        dataset_length: Rows of the dataset.
        num_data_shards: Number of equal runs into which the rows of a batch are divided.
        steps_per_epoch: Batches of an epoch; the same on every host.
        first_shard: The start of each host's part of `shards`, of shape `(hosts + 1,)`.
        shards: The data shards that the hosts hold, host after host; ascending for each host.
    """

    hosts: int
    batch_size: int
    dataset_length: int
    num_data_shards: int
    steps_per_epoch: int
    first_shard: npt.NDArray[np.int64]
    shards: npt.NDArray[np.int64]

    def rows(self, host: int, step: int) -> Rows:
        """The rows that a host reads in one step.

        Args:
            host: Number of the host.
            step: Number of the step within its epoch.

        Returns:
            Ascending positions in the order of the epoch, of shape `(n,)`.

        Raises:
            IndexError: If there is no such host or step.
        """
        for name, value, number in (("host", host, self.hosts), ("step", step, self.steps_per_epoch)):
            if not 0 <= value < number:
                raise IndexError(f"{name} {value} is out of range for {number} {name}s")
        first = step * self.batch_size
        per_shard = min(self.batch_size, self.dataset_length - first) // self.num_data_shards
        own = self.shards[self.first_shard[host] : self.first_shard[host + 1]]
        return first + (own[:, None] * per_shard + np.arange(per_shard)).ravel()

    @property
    def rows_per_host(self) -> npt.NDArray[np.int64]:
        """The number of rows that each host reads in a step of a full batch, of shape `(hosts,)`."""
        return np.diff(self.first_shard) * (self.batch_size // self.num_data_shards)

    @property
    def replication(self) -> float:
        """The number of hosts that read a row, on average; at least 1.0."""
        return int(self.rows_per_host.sum()) / self.batch_size

    @property
    def balance(self) -> float:
        """The fewest rows that a host reads in a step, divided by the most; 1.0 if all hosts read equally many."""
        return int(self.rows_per_host.min()) / int(self.rows_per_host.max())

    def bytes_per_second(self, row_bytes: int, step_seconds: float) -> npt.NDArray[np.floating]:
        """The throughput that storage and preprocessing of each host need.

        Args:
            row_bytes: Size of one row.
            step_seconds: Time of one training step.

        Returns:
            Bytes per second, of shape `(hosts,)`.

        Raises:
            TypeError: If `row_bytes` is not an integer.
            ValueError: If a number is not positive.
        """
        if not step_seconds > 0:
            raise ValueError(f"step_seconds is {step_seconds}; give a positive number")
        return self.rows_per_host * (count("row_bytes", row_bytes) / step_seconds)

    def __str__(self) -> str:
        least, most = int(self.rows_per_host.min()), int(self.rows_per_host.max())
        return (
            f"{self.steps_per_epoch:,} steps of {self.batch_size:,} rows, in {self.num_data_shards:,} data shards\n"
            f"{self.hosts:,} hosts read {least:,}{f' to {most:,}' if most > least else ''} rows each step\n"
            f"replication {self.replication:.2f}, balance {self.balance:.2f}"
        )


def simulate_hosts(
    *,
    hosts: int,
    devices_per_host: int,
    mesh_shape: Mapping[str, int],
    batch_size: int,
    dataset_length: int,
    data_axis_name: str | Sequence[str] = "data",
    drop_remainder: bool = False,
    device_order: npt.ArrayLike | None = None,
) -> HostPlan:
    """Computes which rows every host of a cluster would read, without the cluster.

    Args:
        hosts: Number of hosts, with one process each.
        devices_per_host: Number of devices of each host.
        mesh_shape: Size of each mesh axis, in the order of the axes.
        batch_size: Rows of the global batch.
        dataset_length: Rows of the dataset.
        data_axis_name: The axis that divides rows, or several axes, major first.
        drop_remainder: Whether to leave out a short last batch.
        device_order: Numbers of the devices in the order of the mesh; device `d` belongs to host
            `d // devices_per_host`. Left out: all devices in ascending order.

    Returns:
        The rows of each host.

    Raises:
        TypeError: If a number is not an integer, `mesh_shape` not a mapping, or `drop_remainder` not a bool.
        ValueError: If the mesh does not fit the devices, an axis is unknown, a host has no device in the mesh, or the
            data shards do not divide a batch.

    >>> from loadax_distributed import simulate_hosts
    >>> cluster = simulate_hosts(
    ...     hosts=4, devices_per_host=8, mesh_shape={"data": 8, "model": 4}, batch_size=64, dataset_length=6400
    ... )
    >>> print(cluster)
    100 steps of 64 rows, in 8 data shards
    4 hosts read 16 rows each step
    replication 1.00, balance 1.00
    >>> cluster.rows(host=1, step=0)
    array([16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31])
    """
    hosts, devices_per_host = count("hosts", hosts), count("devices_per_host", devices_per_host)
    batch_size = count("batch_size", batch_size)
    dataset_length = count("dataset_length", dataset_length, least=0)
    drop_remainder = flag("drop_remainder", drop_remainder)
    shape = _check_shape(mesh_shape)
    axes = check_data_axes(tuple(shape), data_axis_name)
    order = _check_order(hosts * devices_per_host, shape, device_order)
    num_data_shards = math.prod(shape[axis] for axis in axes)
    steps, short = divmod(dataset_length, batch_size)
    _check_divisible("a batch", batch_size, num_data_shards, f"choose a multiple of {num_data_shards}")
    if short and not drop_remainder:
        remedy = f"use drop_remainder=True, or dataset.pad_to_multiple({num_data_shards})"
        _check_divisible("the last batch", short, num_data_shards, remedy)
        steps += 1

    # The data shard of a device: its coordinates on the data axes as one number, major axis first.
    coordinates = dict(zip(shape, np.indices(tuple(shape.values()), sparse=True), strict=True))
    shard = np.zeros((1,) * len(shape), np.int64)
    for axis in axes:
        shard = shard * shape[axis] + coordinates[axis]
    shard = np.broadcast_to(shard, tuple(shape.values())).ravel()
    pairs = np.unique(order // devices_per_host * num_data_shards + shard)
    holder, held = np.divmod(pairs, num_data_shards)
    first_shard = np.searchsorted(holder, np.arange(hosts + 1))
    idle = np.flatnonzero(np.diff(first_shard) == 0)
    if len(idle):
        raise ValueError(
            f"the mesh has no device of host {idle[0]}; every host that trains loads data too: give the mesh at least "
            "one of its devices"
        )
    return HostPlan(hosts, batch_size, dataset_length, num_data_shards, steps, first_shard, held)


def _check_shape(mesh_shape: Any) -> dict[str, int]:
    """The size of each axis."""
    if not isinstance(mesh_shape, Mapping):
        raise TypeError(
            f"mesh_shape is {mesh_shape!r}; give the size of each axis, such as {{'data': 4, 'model': 2}}, or the "
            "shape of a jax.sharding.Mesh"
        )
    sizes = cast("Mapping[str, Any]", mesh_shape)
    return {axis: count(f"mesh_shape[{axis!r}]", size) for axis, size in sizes.items()}


def _check_order(devices: int, shape: dict[str, int], device_order: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """The number of the device at each place of the mesh."""
    wanted = math.prod(shape.values())
    mesh = ", ".join(f"{axis}={size}" for axis, size in shape.items())
    if device_order is None:
        if wanted != devices:
            raise ValueError(
                f"the mesh {mesh} has {wanted} places, and there are {devices} devices; give sizes whose product is "
                f"{devices}"
            )
        return np.arange(devices)
    order = np.asarray(device_order).ravel()
    if order.dtype.kind not in "iu":
        raise TypeError(f"device_order has dtype {order.dtype}; give the numbers of devices")
    if len(order) != wanted:
        raise ValueError(
            f"the mesh {mesh} has {wanted} places, and device_order has {len(order)} devices; give {wanted}"
        )
    wrong = order[(order < 0) | (order >= devices)]
    if len(wrong):
        raise ValueError(f"device_order has device {wrong[0]}; the numbers of devices are 0 to {devices - 1}")
    numbers, times = np.unique(order, return_counts=True)
    if len(numbers) < wanted:
        raise ValueError(f"device_order has device {numbers[times > 1][0]} twice; give each once")
    return order.astype(np.int64)


def _check_divisible(what: str, rows: int, shards: int, remedy: str) -> None:
    if rows % shards:
        raise ValueError(f"{what} of {rows} rows is not divisible by {shards} data shards; {remedy}")
