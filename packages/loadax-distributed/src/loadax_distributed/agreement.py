"""Proof that every process was configured alike, for those who want it before a long run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .devices import Device, all_devices, process_count

_jax: Any = jax

T = TypeVar("T")


def check_agreement(config: Mapping[str, str | int]) -> None:
    """Fails on every process if the processes were configured differently.

    It communicates, so every process calls it, at the same place of the program, on the main thread.

    Args:
        config: What has to be the same everywhere, such as the batch size, the seed, the length of the dataset.

    Raises:
        RuntimeError: If it is called on another thread than the main one.
        TypeError: If a name is not a string, or a value neither a string nor an integer, on any process; the error
            names it and the process.
        ValueError: If a field differs between processes; the error names it and shows the values.

    >>> from loadax_distributed import check_agreement
    >>> check_agreement({"batch_size": 256, "seed": 7})
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("check_agreement() communicates, so it belongs on the main thread; call it before iterating")
    text = np.frombuffer(_text(config).encode(), np.uint8)
    longest = int(_gather(np.array([len(text)], np.int32)).max())
    everyone = [json.loads(line.tobytes().rstrip()) for line in _gather(_padded(text, longest))]
    wrong = _grouped([one.get("wrong") for one in everyone])
    wrong.pop(None, None)
    if wrong:
        raise TypeError(f"{_shown(wrong)}; give a dict of strings and integers, under names that are strings")
    configs = [one["config"] for one in everyone]
    for name in sorted({name for one in configs for name in one}):
        found = _grouped([repr(one[name]) if name in one else "nothing" for one in configs])
        if len(found) > 1:
            raise ValueError(f"processes were configured differently: {name} is {_shown(found)}")


def _text(config: Any) -> str:
    """What this process tells the others: its configuration, or what is wrong with it."""
    try:
        wrong = _wrong(config)
        if not wrong:
            return json.dumps({"config": dict(config)}, sort_keys=True)
    except Exception as error:
        wrong = f"config cannot be read ({type(error).__name__}: {error})"
    # Whoever raised it now would leave the others waiting.
    return json.dumps({"wrong": wrong})


def _wrong(config: Any) -> str:
    """Why a configuration cannot be compared; empty if it can."""
    if not isinstance(config, Mapping):
        return f"config is {_short(repr(config))}"
    for name, value in cast("Mapping[Any, Any]", config).items():
        if not isinstance(name, str):
            return f"config has the name {_short(repr(name))}, of type {type(name).__name__}"
        if not isinstance(value, str | int):
            return f"config[{name!r}] is {_short(repr(value))}, of type {type(value).__name__}"
    return ""


def _grouped(values: list[T]) -> dict[T, list[int]]:
    """The processes that have each value."""
    found: dict[T, list[int]] = {}
    for process, value in enumerate(values):
        found.setdefault(value, []).append(process)
    return found


def _shown(found: dict[str, list[int]]) -> str:
    return "; ".join(f"{_short(value)} on {_processes(who)}" for value, who in found.items())


def _padded(text: np.ndarray[Any, np.dtype[np.uint8]], length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A text with spaces behind it."""
    return np.concatenate([text, np.full(length - len(text), ord(" "), np.uint8)])


def _gather(own: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Every process's numbers of shape `(n,)`, of shape `(processes, n)`."""
    if process_count() == 1:
        return own[None]
    # One device of each process is enough, and works where processes have different numbers of them.
    firsts: dict[int, Device] = {}
    for device in all_devices():
        firsts.setdefault(device.process_index, device)
    mesh = Mesh(np.array(list(firsts.values())), ("process",))
    # A jitted function runs on the devices of the mesh in context, which may be one of the caller's.
    # Without compilation, each process would get nothing but its own.
    with _in_mesh(mesh), jax.transfer_guard("allow"), jax.disable_jit(False):
        split = NamedSharding(mesh, PartitionSpec("process"))
        rows = jax.make_array_from_callback((len(firsts), len(own)), split, lambda _: own[None])
        joined = _jax.jit(_jax.numpy.copy, out_shardings=NamedSharding(mesh, PartitionSpec()))(rows)
        return np.asarray(joined.addressable_data(0))


def _in_mesh(mesh: Mesh) -> AbstractContextManager[Any]:
    """Makes a mesh the one in context, under the name that this version of JAX has for it."""
    enter: Any = getattr(jax, "set_mesh", None) or getattr(jax.sharding, "use_mesh", nullcontext)
    return enter(mesh)


def _short(value: str) -> str:
    return value if len(value) <= 200 else f"{value[:100]} ... {value[-90:]}"


def _processes(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")
    return f"process{'es' if len(numbers) > 1 else ''} {shown}"
