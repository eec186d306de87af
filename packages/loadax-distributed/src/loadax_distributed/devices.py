"""The devices of the job, typed: JAX's device classes are compiled code without types."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import jax
from jax.sharding import NamedSharding

_jax: Any = jax


class Device(Protocol):
    """The attributes of a `jax.Device` that Loadax uses."""

    @property
    def id(self) -> int:
        """The number of the device, unique in the job; not contiguous over processes."""
        ...

    @property
    def process_index(self) -> int:
        """The process that the device belongs to."""
        ...

    @property
    def platform(self) -> str:
        """The kind of the device, such as `cpu` or `tpu`."""
        ...


def is_device(value: object) -> bool:
    """Whether `value` is a `jax.Device`."""
    return isinstance(value, _jax.Device)


def all_devices() -> list[Device]:
    """Every device of the job, in the order of `by_process`."""
    return sorted(_jax.devices(), key=by_process)


def by_process(device: Device) -> tuple[int, int]:
    """The sort key that keeps the devices of a process together."""
    return device.process_index, device.id


def local_devices(platform: str | None = None) -> list[Device]:
    """The devices of this process on a platform; None for the default platform."""
    return _jax.local_devices(backend=platform)


def default_device() -> Device:
    """The device on which JAX places arrays now, in this thread."""
    default: Any = _jax.config.jax_default_device
    return default if is_device(default) else local_devices(default)[0]


class Precision:
    """Whether JAX keeps 64 bits now, in this thread, in which the context `jax.enable_x64` may be open."""

    def __init__(self) -> None:
        self._wide: bool = _jax.config.jax_enable_x64

    def restored(self) -> AbstractContextManager[Any]:
        """A context for any thread in which JAX keeps 64 bits if it did then, or does now."""
        if not self._wide or _jax.config.jax_enable_x64:
            return nullcontext()
        # Older versions have it in jax.experimental.
        place: Any = _jax if hasattr(_jax, "enable_x64") else importlib.import_module("jax.experimental")
        return place.enable_x64(True)


def process_index() -> int:
    """The number of this process."""
    return _jax.process_index()


def process_count() -> int:
    """The number of processes of the job."""
    return _jax.process_count()


def device_put(leaf: Any, target: Any) -> jax.Array:
    """`jax.device_put`."""
    return _jax.device_put(leaf, target)


def row_spans(sharding: NamedSharding, rows: int, *, local: bool) -> dict[Device, tuple[int, int]]:
    """The rows that each device holds, according to JAX.

    Args:
        sharding: The sharding of an array of `rows` rows.
        rows: Number of rows.
        local: Whether to leave out the devices of other processes.

    Returns:
        For each device the first row that it holds, and the row after its last.
    """
    edge: Any = sharding
    indices = (edge.addressable_devices_indices_map if local else edge.devices_indices_map)((rows,))
    return {device: index[0].indices(rows)[:2] for device, index in indices.items()}
