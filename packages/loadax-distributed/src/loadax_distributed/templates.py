"""Places NumPy arrays on devices with one call of jaxlib, once JAX has placed an array of the same kind.

For every array, `jax.device_put` and `jax.make_array_from_callback` compute its type, layout and devices in Python.
This holds the GIL, for which the training loop waits, and takes several times as long as the transfer itself. Both end
in one function of jaxlib that takes these values as arguments. So JAX's public functions place the first array of a
kind, and that function places the others with the same arguments.

The function is not public. `direct_put` compares its result with that of the public functions first. If the function is
missing, or its result differs, the public functions place every array.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

_jax: Any = jax

Index: TypeAlias = tuple[slice, ...]

_Put: TypeAlias = Callable[[Any, Any, list[Any], list[Any], bool], jax.Array]

MOST = 256
"""Most kinds that are remembered; batches of varying length may have any number of kinds."""


class Template(NamedTuple):
    """The arguments with which arrays of one kind are placed.

    Attributes:
        put: The function of jaxlib that makes an array.
        aval: Shape and dtype, as JAX describes them.
        sharding: The sharding of the array.
        devices: The devices of this process that hold a part of the array.
        cuts: For each of these devices, the part of the local array that it holds.
        committed: Whether the array has to stay on its devices.
    """

    put: _Put
    aval: Any
    sharding: Any
    devices: list[Any]
    cuts: Sequence[Index]
    committed: bool

    def fill(self, local: Any) -> jax.Array:
        """Makes an array of this kind of the parts of a local array."""
        parts = [local[cut] for cut in self.cuts]
        return self.put(self.aval, self.sharding, parts, self.devices, self.committed)


class Templates:
    """Templates by kind. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Template] = {}

    def fill(self, kind: Hashable, local: Any) -> jax.Array | None:
        """Places a local array as an array of the same kind was placed.

        Args:
            kind: Distinguishes arrays of equal shape and dtype that are placed differently.
            local: The array.

        Returns:
            The placed array; None if no array of this kind has been placed yet.
        """
        template = self._known.get(_key(kind, local)) if type(local) is np.ndarray else None
        return None if template is None else template.fill(local)

    def learn(self, kind: Hashable, local: Any, made: jax.Array, cut: Callable[[Index], Index] | None = None) -> None:
        """Remembers how an array was placed.

        Args:
            kind: As for `fill`.
            local: The array that was placed.
            made: The array that JAX's public functions made of it.
            cut: Takes the index of a part of `made`, and returns its index in `local`; None if the two are equal.
        """
        # Indexing an array without dimensions gives a number, which jaxlib does not take.
        if type(local) is not np.ndarray or not local.ndim or len(self._known) >= MOST:
            return
        put = direct_put()
        if put is not None:
            sharding: Any = made.sharding
            where: dict[Any, Index] = dict(sharding.addressable_devices_indices_map(made.shape))
            cuts = [index if cut is None else cut(index) for index in where.values()]
            template = Template(put, made.aval, sharding, list(where), cuts, made.committed)
            self._known[_key(kind, local)] = template


def _key(kind: Hashable, local: Any) -> Hashable:
    dtype = local.dtype
    # The context `jax.enable_x64` changes how 64-bit arrays are stored.
    return kind, local.shape, dtype, dtype.itemsize > 4 and bool(_jax.config.jax_enable_x64)


@functools.cache
def direct_put() -> _Put | None:
    """The function of jaxlib that places arrays; None if this version lacks it, or has another one of that name."""
    try:
        put: _Put = import_module("jax._src.lib").xla_client.batched_device_put
        local = np.arange(6, dtype=np.int8).reshape(2, 3)
        with jax.transfer_guard("allow"):
            made: jax.Array = _jax.device_put(local)
            (device,) = made.devices()
            again = put(made.aval, made.sharding, [local], [device], made.committed)
            return put if _is_alike(again, made) else None
    except Exception:
        # This version of jaxlib differs; the public functions place all arrays.
        return None


def _is_alike(one: Any, other: jax.Array) -> bool:
    return (
        type(one) is type(other)
        and (one.aval, one.sharding, one.committed) == (other.aval, other.sharding, other.committed)
        and np.array_equal(one, other)
    )
