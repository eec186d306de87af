"""Batches onto the devices of this process, in the thread that prefetches them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding
from loadax_core import tree

from .devices import default_device, device_put, is_device, local_devices, process_index
from .leaves import LeafRules, flatten_arrays

_NUMBERS = (bool, int, float, complex)


class DevicePlacement:
    """Puts the leaves of a batch, arrays and numbers of any shape, on a device or over a sharding. Thread-safe.

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
                as from `jax.numpy`: a computation on other devices may use them.

        Raises:
            TypeError: If `target` is something else.
            ValueError: If a device is not one of this process.
        """
        # Contexts like `jax.default_device` end at the thread that opened them, so the device is captured here.
        self._default = default_device() if target is True else None
        self._target = None if target is True else _check_target(target)
        self._rules = LeafRules()

    def __call__(self, batch: Any, /) -> Any:
        """Places a batch.

        Args:
            batch: Dicts, lists, tuples, named tuples or dataclasses of arrays, or containers that are registered with
                JAX; its memory must not be written to afterwards.

        Returns:
            The same containers of `jax.Array`s.

        Raises:
            TypeError: If a leaf is not an array of numbers, or a number.
            ValueError: If the sharding does not divide a leaf.
        """
        return self.place_many([batch])[0]

    def place_many(self, batches: Sequence[Any]) -> list[Any]:
        """Places several batches: JAX takes half as long for all their leaves as for one after the other.

        Args:
            batches: Each as for a call.

        Returns:
            What a call returns for each.

        Raises:
            BaseException: What a call raises for one of them.
        """
        parts = [flatten_arrays(batch) for batch in batches]
        paths = [path for found, _ in parts for path, _ in found]
        placed = iter(self._put(paths, [self._check(path, leaf) for found, _ in parts for path, leaf in found]))
        return [build(list(islice(placed, len(found)))) for found, build in parts]

    def __repr__(self) -> str:
        return f"DevicePlacement({self._default if self._target is None else self._target})"

    def _check(self, path: tree.Path, leaf: Any) -> Any:
        return leaf if type(leaf) in _NUMBERS else self._rules.check(path, leaf)

    def _put(self, paths: list[tree.Path], leaves: list[Any]) -> list[jax.Array]:
        try:
            with nullcontext() if self._default is None else jax.default_device(self._default):
                return device_put(leaves, self._target)
        except ValueError as error:
            if len(leaves) > 1:
                # One of them is to blame.
                return [self._put([path], [leaf])[0] for path, leaf in zip(paths, leaves, strict=True)]
            where, shape = tree.name(paths[0]), np.shape(leaves[0])
            raise ValueError(f"{where} of shape {shape} does not fit {self._target}: {error}") from error


def _check_target(target: Any) -> Any:
    if isinstance(target, Sharding):
        if not target.is_fully_addressable:
            raise ValueError(
                f"{target} has devices of other processes; use .shard(mesh) to load global batches, of which each "
                "process reads its own rows"
            )
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
