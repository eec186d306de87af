"""The leaves that devices can hold: numbers, in NumPy arrays or in JAX arrays on one device."""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import numpy as np
from loadax_core import tree
from numpy.typing import NDArray

Leaf: TypeAlias = NDArray[Any] | jax.Array

_OWN = ("loadax", "loadax_core", "loadax_distributed")

_LEAVES = (np.ndarray, np.generic, jax.Array, bool, int, float, complex, str, bytes)

# NumPy counts durations among the integers. Types are compared, since float8_e4m3fnuz has the character of clongdouble.
_NO_NUMBERS = (np.longdouble, np.clongdouble, np.timedelta64)

_issubdtype: Any = jax.numpy.issubdtype


def _is_kind(dtype: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether a dtype is of one of these kinds. JAX counts bfloat16 and its like as numbers; NumPy does not."""
    return any(_issubdtype(dtype, kind) for kind in kinds)


@functools.lru_cache(maxsize=256)
def _is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether JAX has arrays of this dtype. It has none of long doubles and of other byte orders."""
    return _is_kind(dtype, (np.bool_, np.number)) and dtype.isnative and dtype.type not in _NO_NUMBERS


def map_arrays(fn: Callable[[tree.Path, Any], Any], batch: Any) -> Any:
    """Applies a function to every leaf, as `tree.map_leaves` does, also in containers that only JAX opens.

    Args:
        fn: Takes the leaf's path and the leaf; returns the new leaf.
        batch: Any tree.

    Returns:
        A tree of the same containers.
    """

    def open_or_apply(path: tree.Path, node: Any) -> Any:
        opened = None if isinstance(node, _LEAVES) else tree.registered(node)
        if opened is None:
            return fn(path, node)
        steps, build = opened
        # One container at a time: JAX would call the classes of the containers within.
        return build([tree.map_leaves(open_or_apply, child, (*path, step)) for step, child in steps])

    return tree.map_leaves(open_or_apply, batch)


class _Caller(NamedTuple):
    """A line of code, in the form that `warnings.warn_explicit` takes."""

    filename: str
    lineno: int
    module: str
    registry: dict[Any, Any]


def _caller() -> _Caller:
    """The innermost line on the stack that is not Loadax's own."""
    frame: Any = inspect.currentframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
        frame = frame.f_back
    names: dict[str, Any] = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    return _Caller(frame.f_code.co_filename, frame.f_lineno, names.get("__name__", "?"), registry)


class LeafRules:
    """Checks the leaves of batches, and warns once for each leaf that JAX stores in fewer bits. Thread-safe.

    Worker threads check leaves, and have none of the user's code on their stack. So the warning names the line that
    created this object.
    """

    def __init__(self) -> None:
        self._caller = _caller()
        self._narrowed: set[str] = set()
        self._lock = threading.Lock()

    def check(self, path: tree.Path, leaf: Any) -> Leaf:
        """Refuses a leaf that no device can hold.

        Args:
            path: The place of the leaf in its batch.
            leaf: Any object.

        Returns:
            The leaf as an array.

        Raises:
            TypeError: If the leaf is not an array; if it is an array of strings, objects, dates or PRNG keys; or if it
                has masked entries.
            ValueError: If the leaf is on several devices already.
        """
        if isinstance(leaf, jax.Array):
            return _check_jax(path, leaf)
        if not isinstance(leaf, np.ndarray | np.generic):
            raise TypeError(
                f"{tree.name(path)} is of type {type(leaf).__name__}; devices hold arrays of numbers: convert it "
                "in the batcher (numpy.asarray), or drop it with a transform"
            )
        if isinstance(leaf, np.ma.MaskedArray) and np.ma.is_masked(cast(Any, leaf)):
            raise TypeError(
                f"{tree.name(path)} is a masked array, and devices have no masks; fill it with .filled(value) in the "
                "batcher, or make the mask a leaf of its own"
            )
        array: NDArray[Any] = np.asarray(cast(Any, leaf))
        dtype = array.dtype
        if not _is_numeric(dtype):
            raise TypeError(
                f"{tree.name(path)} has dtype {dtype}; devices hold numbers, in the machine's byte order: encode it as "
                "numbers, or drop it with a transform"
            )
        if dtype.itemsize >= 8:
            self._warn_if_narrowed(path, dtype)
        return array

    def _warn_if_narrowed(self, path: tree.Path, dtype: np.dtype[Any]) -> None:
        stored = jax.dtypes.canonicalize_dtype(dtype)
        if stored == dtype:
            return
        name = tree.name(path)
        with self._lock:
            if name in self._narrowed:
                return
            self._narrowed.add(name)
        warnings.warn_explicit(
            f"{name} is {dtype}, which JAX stores as {stored}: cast it to {stored} in a transform to hide this "
            "warning, or keep all bits with jax.config.update('jax_enable_x64', True)",
            UserWarning,
            *self._caller,
        )


def _check_jax(path: tree.Path, leaf: jax.Array) -> jax.Array:
    if not _is_kind(leaf.dtype, (np.bool_, np.number)):
        raise TypeError(
            f"{tree.name(path)} holds {leaf.dtype}; pass its numbers instead, such as jax.random.key_data(keys)"
        )
    devices = leaf.sharding.num_devices
    if devices > 1:
        raise ValueError(
            f"{tree.name(path)} is a jax.Array on {devices} devices already; local batches are "
            "NumPy arrays, or arrays on one device"
        )
    return leaf
