"""The one module that imports `loadax_distributed`: by name, when a mesh or a device is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from .protocols import MeshLike, Placement, ShardingStrategy


def mesh_strategy(mesh: MeshLike, data_axis_name: str | tuple[str, ...], specs: Any) -> ShardingStrategy:
    """The strategy that distributes batches over a mesh.

    Raises:
        ImportError: If loadax-distributed is not installed.
    """
    strategy: ShardingStrategy = _distributed(".shard(mesh)").MeshShardingStrategy(mesh, data_axis_name, specs=specs)
    return strategy


def device_placement(target: object) -> Placement:
    """The placement that moves batches to a device or a sharding; True is JAX's default device.

    Raises:
        ImportError: If loadax-distributed is not installed.
    """
    place: Placement = _distributed(".prefetch(to_device=...)").DevicePlacement(target)
    return place


def check_agreement(config: Mapping[str, str | int]) -> None:
    """Raises on every process if `config` differs between processes.

    Raises:
        ImportError: If loadax-distributed is not installed.
    """
    _distributed(".check_agreement()").check_agreement(config)


def _distributed(wanted_by: str) -> Any:
    try:
        return importlib.import_module("loadax_distributed")
    except ModuleNotFoundError as error:
        # If jax is missing or broken, its own error says so.
        if error.name != "loadax_distributed":
            raise
        raise ImportError(
            f"{wanted_by} needs the package loadax-distributed: pip install loadax-distributed"
        ) from error
