"""`DevicePlacement`: places batches on devices of this process; worker threads call it."""

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
    """Places the leaves of a batch, arrays and numbers of any shape, on a device or over a sharding. Thread-safe.

    Attributes:
        pin: Page-locks memory from which batches are placed on GPUs, until it is freed; on other devices it does
            nothing.
        queued: Whether a transfer waits for all work that was dispatched before it, as on a GPU.

    >>> import numpy as np
    >>> from loadax_distributed import DevicePlacement
    >>> place = DevicePlacement(True)
    >>> place({"label": np.arange(3, dtype=np.int32)})
    {'label': Array([0, 1, 2], dtype=int32)}
    """

    def __init__(self, target: Any) -> None:
        """Checks the target.

        Args:
            target: True for the current default device, a `jax.Device` of this process, or a `jax.sharding.Sharding`
                over devices of this process. Arrays on the default device stay uncommitted, as those of `jax.numpy`: a
                computation on other devices may use them. Leaves of 64 bits keep them if `jax.enable_x64` is on now, or
                when a batch is placed.

        Raises:
            TypeError: If `target` is none of these.
            ValueError: If a device belongs to another process, or a sharding leaves a dimension open.
        """
        # Contexts such as `jax.default_device` hold in one thread only; workers place batches in others.
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
            batch: Dicts, lists, tuples, named tuples, dataclasses, or containers that are registered with JAX, of
                arrays. Nobody may write to their memory afterwards.

        Returns:
            The same containers of `jax.Array`s. A mapping that is neither an `OrderedDict` nor registered with JAX,
            such as a `UserDict`, becomes a dict.

        Raises:
            TypeError: If a leaf is neither an array of numbers nor a number, or has masked entries.
            ValueError: If the sharding does not divide a leaf.
        """
        # The caller asks for this transfer; a guard against implicit transfers must not stop it.
        with jax.transfer_guard_host_to_device("allow"), self._precision.restored():
            return map_arrays(self._place, batch)

    def check_rows(self, rows: int) -> None:
        """Refuses a number of rows that the sharding cannot divide, before there is a batch of them.

        Args:
            rows: The first dimension of each leaf.

        Raises:
            ValueError: If the sharding cannot divide `rows`.
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
        # `device_put` without a target would leave an array on the device that it is on.
        if self._default is not None and isinstance(local, jax.Array) and local.devices() != {self._default}:
            target = self._default
        try:
            with nullcontext() if self._default is None else jax.default_device(self._default):
                return device_put(local, target)
        # Some shardings raise an AssertionError instead of a ValueError.
        except (ValueError, AssertionError) as error:
            raise ValueError(
                f"{tree.name(path)} of shape {np.shape(local)} does not fit {self._target}: {error}"
            ) from error


def _check_target(target: Any) -> Any:
    if isinstance(target, Sharding):
        if not target.is_fully_addressable:
            raise ValueError(
                f"{target} has devices of other processes; use .shard(mesh), with which each process reads its own "
                "rows of a global batch"
            )
        if isinstance(target, NamedSharding) and PartitionSpec.UNCONSTRAINED in target.spec:
            raise ValueError(f"{target} leaves a dimension open; a batch is placed exactly: use None instead")
        return target
    if is_device(target):
        own = local_devices(target.platform)
        if target not in own:
            raise ValueError(
                f"{target} is not a device of this process, number {process_index()}; choose one of "
                f"{', '.join(map(str, own))}"
            )
        return target
    raise TypeError(
        f"to_device={target!r} is neither a device nor a sharding; give True (the default device), a device such as "
        "jax.local_devices()[0], or a jax.sharding.Sharding"
    )
