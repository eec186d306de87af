"""The one collective of this package: the numbers of all processes, on each of them."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .devices import Device, all_devices, process_count

_jax: Any = jax


def check_main_thread(who: str) -> None:
    """Refuses a collective in another thread than the main one, where it may run in another order than steps do.

    Raises:
        RuntimeError: If another thread calls this.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{who} communicates; call it on the main thread, at the same place on every process")


def gather(own: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The numbers of all processes, of shape `(processes, n)`; `own`, of shape `(n,)`, are those of this one."""
    if process_count() == 1:
        return own[None]
    # One device of each process is enough; processes may have different numbers of devices.
    firsts: dict[int, Device] = {}
    for device in all_devices():
        firsts.setdefault(device.process_index, device)
    mesh = Mesh(np.array(list(firsts.values())), ("process",))
    # A jitted function runs on the mesh in context, which may be the caller's. Uncompiled, each process would get
    # nothing but its own numbers.
    with _in_mesh(mesh), jax.transfer_guard("allow"), jax.disable_jit(False):
        split = NamedSharding(mesh, PartitionSpec("process"))
        rows = jax.make_array_from_callback((len(firsts), len(own)), split, lambda _: own[None])
        joined = _jax.jit(_jax.numpy.copy, out_shardings=NamedSharding(mesh, PartitionSpec()))(rows)
        return np.asarray(joined.addressable_data(0))


def _in_mesh(mesh: Mesh) -> AbstractContextManager[Any]:
    """The context in which `mesh` is the current mesh, by the function that this version of JAX has."""
    enter: Any = getattr(jax, "set_mesh", None) or getattr(jax.sharding, "use_mesh", nullcontext)
    return enter(mesh)
