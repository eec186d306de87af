"""What may be a leaf of a batch that goes to devices: numbers, in NumPy arrays or in arrays of one device."""

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

_issubdtype: Any = jax.numpy.issubdtype


def _is_kind(dtype: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether a dtype is of one of these kinds; other than NumPy, JAX counts bfloat16 and its like as numbers."""
    return any(_issubdtype(dtype, kind) for kind in kinds)


@functools.lru_cache(maxsize=256)
def _is_numeric(dtype: np.dtype[Any]) -> bool:
    """Whether JAX has arrays of this dtype. Long doubles (`g`, `G`) and foreign byte orders have no device form."""
    # NumPy counts durations (`m`) among the integers.
    return _is_kind(dtype, (np.bool_, np.number)) and dtype.isnative and dtype.char not in "gGm"


def map_arrays(fn: Callable[[tree.Path, Any], Any], batch: Any) -> Any:
    """Applies a function to every leaf, like `tree.map_leaves`, also in containers that only JAX knows.

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
        # One container at a time: JAX would call the classes of those that lie within.
        return build([tree.map_leaves(open_or_apply, child, (*path, step)) for step, child in steps])

    return tree.map_leaves(open_or_apply, batch)


class _Caller(NamedTuple):
    """A line of code, as `warnings.warn_explicit` takes it."""

    filename: str
    lineno: int
    module: str
    registry: dict[Any, Any]


def _caller() -> _Caller:
    """The line outside Loadax that led here."""
    frame: Any = inspect.currentframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
        frame = frame.f_back
    names: dict[str, Any] = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    return _Caller(frame.f_code.co_filename, frame.f_lineno, names.get("__name__", "?"), registry)


class LeafRules:
    """Checks the leaves of batches, and says once for each leaf when JAX will store it in fewer bits. Thread-safe.

    What it says points at the code that made it: a worker thread, where leaves are checked, runs none of the user's.
    """

    def __init__(self) -> None:
        self._caller = _caller()
        self._narrowed: set[str] = set()
        self._lock = threading.Lock()

    def check(self, path: tree.Path, leaf: Any) -> Leaf:
        """Refuses what no device can hold.

        Args:
            path: Where the leaf stands in its batch.
            leaf: Any object.

        Returns:
            The leaf as an array.

        Raises:
            TypeError: If the leaf is not an array, or one of strings, objects, dates or PRNG keys, or has masked
                entries.
            ValueError: If the leaf is spread over several devices already.
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
                f"{tree.name(path)} is a masked array, whose mask a device would lose; fill it with .filled(value) in "
                "the batcher, or give the mask as a leaf of its own"
            )
        array: NDArray[Any] = np.asarray(cast(Any, leaf))
        dtype = array.dtype
        if not _is_numeric(dtype):
            raise TypeError(
                f"{tree.name(path)} has dtype {dtype}; devices hold numbers in the machine's byte order: encode it "
                "as numbers, or drop it with a transform"
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
            f"{name} is {dtype}, which JAX stores as {stored}: cast it to {stored} in a transform to say that this "
            "is meant, or keep all its bits with jax.config.update('jax_enable_x64', True)",
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
