"""Proof that every process was configured alike, for those who want it before a long run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .devices import Device, all_devices, process_count

_jax: Any = jax


def check_agreement(config: Mapping[str, str | int]) -> None:
    """Fails on every process if the processes were configured differently.

    It communicates, so every process calls it, at the same place of the program, on the main thread.

    Args:
        config: What has to be the same everywhere, such as the batch size, the seed, the length of the dataset.

    Raises:
        RuntimeError: If it is called on another thread than the main one.
        TypeError: If a value is neither a string nor an integer.
        ValueError: If a field differs between processes; the error names it and shows the values.

    >>> from loadax_distributed import check_agreement
    >>> check_agreement({"batch_size": 256, "seed": 7})
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("check_agreement() communicates, so it belongs on the main thread; call it before iterating")
    values: Mapping[str, Any] = config
    for name, value in values.items():
        if not isinstance(value, str | int):
            raise TypeError(f"config[{name!r}] is {value!r}; give strings and integers")
    text = np.frombuffer(json.dumps(dict(config), sort_keys=True).encode(), np.uint8)
    longest = int(_gather(np.array([len(text)], np.int32)).max())
    everyone = [json.loads(line.tobytes().rstrip()) for line in _gather(_padded(text, longest))]
    for name in sorted({name for one in everyone for name in one}):
        found: dict[str, list[int]] = {}
        for process, one in enumerate(everyone):
            found.setdefault(repr(one[name]) if name in one else "nothing", []).append(process)
        if len(found) > 1:
            shown = "; ".join(f"{_short(value)} on {_processes(who)}" for value, who in found.items())
            raise ValueError(f"processes were configured differently: {name} is {shown}")


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
    with jax.transfer_guard("allow"):
        split = NamedSharding(mesh, PartitionSpec("process"))
        rows = jax.make_array_from_callback((len(firsts), len(own)), split, lambda _: own[None])
        joined = _jax.jit(_jax.numpy.copy, out_shardings=NamedSharding(mesh, PartitionSpec()))(rows)
        return np.asarray(joined.addressable_data(0))


def _short(value: str) -> str:
    return value if len(value) <= 200 else f"{value[:100]} ... {value[-90:]}"


def _processes(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")
    return f"process{'es' if len(numbers) > 1 else ''} {shown}"
