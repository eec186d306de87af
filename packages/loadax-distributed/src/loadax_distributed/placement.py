"""Batches onto the devices of this process, in the thread that prefetches them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding
from loadax_core import tree

from .devices import Precision, default_device, device_put, is_device, local_devices, process_index
from .leaves import LeafRules, map_arrays
from .pinning import Pinning
from .templates import Templates

_NUMBERS = (bool, int, float, complex)


class DevicePlacement:
    """Puts the leaves of a batch, arrays and numbers of any shape, on a device or over a sharding. Thread-safe.

    Attributes:
        pin: Page-locks memory from which batches will be placed on GPUs, until it is freed; elsewhere does nothing.
        queued: Whether transfers wait for all computations that were dispatched before them, as JAX has them do on a
            GPU.

    >>> import numpy as np
    >>> from loadax_distributed import DevicePlacement
    >>> place = DevicePlacement(True)
    >>> place({"label": np.arange(3, dtype=np.int32)})
    {'label': Array([0, 1, 2], dtype=int32)}
    """

    def __init__(self, target: Any) -> None:
        """Checks where batches are to go.

        Args:
            target: True for the default device as it is now, a `jax.Device` of this process, or a
                `jax.sharding.Sharding` over devices of this process. Batches on the default device stay uncommitted,
                as from `jax.numpy`: a computation on other devices may use them. Numbers of 64 bits stay so if JAX has
                them now, or when a batch is placed.

        Raises:
            TypeError: If `target` is something else.
            ValueError: If a device is not one of this process, or a sharding leaves a dimension open.
        """
        # Contexts like `jax.default_device` end at the thread that opened them, so what they say is captured here.
        self._default = _check_target(default_device()) if target is True else None
        self._precision = Precision()
        self._target = None if target is True else _check_target(target)
        self._rules = LeafRules()
        self._templates = Templates()
        self.pin = Pinning(self._devices())
        self.queued = self.pin.gpu

    def __call__(self, batch: Any, /) -> Any:
        """Places a batch.

        Args:
            batch: Dicts, lists, tuples, named tuples or dataclasses of arrays, or containers that are registered with
                JAX; its memory must not be written to afterwards.

        Returns:
            The same containers of `jax.Array`s. A mapping that is neither an `OrderedDict` nor registered with JAX,
            such as a `UserDict`, becomes a dict.

        Raises:
            TypeError: If a leaf is not an array of numbers, or a number, or has masked entries.
            ValueError: If the sharding does not divide a leaf.
        """
        # This transfer is what the caller asks for; a guard against accidental ones must not stop it.
        with jax.transfer_guard_host_to_device("allow"), self._precision.restored():
            return map_arrays(self._place, batch)

    def check_rows(self, rows: int) -> None:
        """Refuses a number of rows that the sharding cannot divide, before there is a batch of them.

        Args:
            rows: The first dimension of each leaf.

        Raises:
            ValueError: If it cannot.
        """
        if not isinstance(self._target, NamedSharding) or not self._target.spec:
            return
        first: Any = self._target.spec[0]
        axes: Any = (first,) if isinstance(first, str) else first or ()
        parts = math.prod(self._target.mesh.shape[axis] for axis in axes)
        if rows % parts:
            raise ValueError(f"a batch of {rows} rows is not divisible by the {parts} parts of {self._target}")

    def __repr__(self) -> str:
        return f"DevicePlacement({self._default if self._target is None else self._target})"

    def _devices(self) -> Iterable[Any]:
        target: Any = self._default if self._target is None else self._target
        devices: Iterable[Any] = getattr(target, "device_set", (target,))
        return devices

    def _place(self, path: tree.Path, leaf: Any) -> jax.Array:
        local = leaf if type(leaf) in _NUMBERS else self._rules.check(path, leaf)
        placed = self._templates.fill(None, local)
        if placed is None:
            placed = self._put(path, local)
            self._templates.learn(None, local, placed)
        return placed

    def _put(self, path: tree.Path, local: Any) -> jax.Array:
        target = self._target
        # What another device has already, as the result of a computation there, would stay.
        if self._default is not None and isinstance(local, jax.Array) and local.devices() != {self._default}:
            target = self._default
        try:
            with nullcontext() if self._default is None else jax.default_device(self._default):
                return device_put(local, target)
        # Some shardings say so by a failing assertion.
        except (ValueError, AssertionError) as error:
            raise ValueError(
                f"{tree.name(path)} of shape {np.shape(local)} does not fit {self._target}: {error}"
            ) from error


def _check_target(target: Any) -> Any:
    if isinstance(target, Sharding):
        if not target.is_fully_addressable:
            raise ValueError(
                f"{target} has devices of other processes; use .shard(mesh) to load global batches, of which each "
                "process reads its own rows"
            )
        if isinstance(target, NamedSharding) and PartitionSpec.UNCONSTRAINED in target.spec:
            raise ValueError(f"{target} leaves a dimension open; a batch is placed exactly: use None instead")
        return target
    if is_device(target):
        own = local_devices(target.platform)
        if target not in own:
            raise ValueError(
                f"{target} is not a device of this process, number {process_index()}; choose of "
                f"{', '.join(map(str, own))}"
            )
        return target
    raise TypeError(
        f"to_device={target!r} is not a place for batches; give True (the default device), a device such as "
        "jax.local_devices()[0], or a jax.sharding.Sharding"
    )
