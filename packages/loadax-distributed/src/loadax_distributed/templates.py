"""NumPy arrays onto devices, by the shortest way, if JAX has placed one of their kind before.

For every array, `jax.device_put` and `jax.make_array_from_callback` work out anew what its type, its layout and its
devices are: Python code, in which the training loop has to wait for the interpreter, and which takes several times as
long as what it ends in. That is one function of jaxlib, which is given all of this as arguments. So the first array of
a kind is placed by JAX's public functions, and those after it as that one was.

The function is not public. It is tried out before it is used, and where it is missing, or does anything else than the
public ones, those place every array.
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
"""So many kinds are remembered; of ragged batches there may be any number."""


class Template(NamedTuple):
    """What arrays of one kind have in common.

    Attributes:
        put: Makes an array.
        aval: Its shape and dtype, as JAX describes them.
        sharding: How it is divided.
        devices: The devices of this process that hold a part of it.
        cuts: Which part of the local array each of them holds.
        committed: Whether it has to stay on its devices.
    """

    put: _Put
    aval: Any
    sharding: Any
    devices: list[Any]
    cuts: Sequence[Index]
    committed: bool

    def fill(self, local: Any) -> jax.Array:
        """The array of this kind that consists of the parts of a local one."""
        parts = [local[cut] for cut in self.cuts]
        return self.put(self.aval, self.sharding, parts, self.devices, self.committed)


class Templates:
    """Templates by kind: what decides how a local array is placed. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Template] = {}

    def fill(self, kind: Hashable, local: Any) -> jax.Array | None:
        """Places a local array as one of its kind was.

        Args:
            kind: What decides how it is placed, beside its shape and dtype and JAX's configuration.
            local: The array.

        Returns:
            The placed array; None if none of its kind is known.
        """
        template = self._known.get(_key(kind, local)) if type(local) is np.ndarray else None
        return None if template is None else template.fill(local)

    def learn(self, kind: Hashable, local: Any, made: jax.Array, cut: Callable[[Index], Index] | None = None) -> None:
        """Remembers how an array was placed.

        Args:
            kind: As for `fill`.
            local: The array that was placed.
            made: What JAX's public functions made of it.
            cut: Takes where a part of `made` lies in it, and returns where it lies in `local`; without it, the same.
        """
        # Part of an array without dimensions would be a number.
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
    # Whether 64 bits are stored as 64 is for each context to say.
    return kind, local.shape, dtype, dtype.itemsize > 4 and bool(_jax.config.jax_enable_x64)


@functools.cache
def direct_put() -> _Put | None:
    """The function of jaxlib that places arrays; None if this version has it not, or another of that name."""
    try:
        put: _Put = import_module("jax._src.lib").xla_client.batched_device_put
        local = np.arange(6, dtype=np.int8).reshape(2, 3)
        with jax.transfer_guard("allow"):
            made: jax.Array = _jax.device_put(local)
            (device,) = made.devices()
            again = put(made.aval, made.sharding, [local], [device], made.committed)
            return put if _is_alike(again, made) else None
    except Exception:
        # Whatever it is that has changed, there is another way.
        return None


def _is_alike(one: Any, other: jax.Array) -> bool:
    return (
        type(one) is type(other)
        and (one.aval, one.sharding, one.committed) == (other.aval, other.sharding, other.committed)
        and np.array_equal(one, other)
    )
