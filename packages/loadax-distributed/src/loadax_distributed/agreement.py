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

_BYTES = 4096

_jax: Any = jax


def check_agreement(config: Mapping[str, str | int]) -> None:
    """Fails on every process if the processes were configured differently.

    It is one collective, so every process calls it, at the same place of the program, on the main thread. With one
    process it does nothing.

    Args:
        config: What has to be the same everywhere, such as the batch size, the seed, the length of the dataset.

    Raises:
        RuntimeError: If it is called on another thread than the main one.
        TypeError: If a value is neither a string nor an integer.
        ValueError: If a field differs between processes; the error names it and shows the values. Or if `config` is
            longer than 4 KB.

    >>> from loadax_distributed import check_agreement
    >>> check_agreement({"batch_size": 256, "seed": 7})
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("check_agreement() communicates, so it belongs on the main thread; call it before iterating")
    values: Mapping[str, Any] = config
    for name, value in values.items():
        if not isinstance(value, str | int):
            raise TypeError(f"config[{name!r}] is {value!r}; give strings and integers")
    text = json.dumps(dict(config), sort_keys=True).encode()
    if len(text) > _BYTES:
        raise ValueError(f"config takes {len(text)} bytes, more than {_BYTES}; give a hash of what is long")
    everyone = [json.loads(line.tobytes().rstrip(b"\0")) for line in _gather(text)]
    for name in sorted({name for one in everyone for name in one}):
        found: dict[str, list[int]] = {}
        for process, one in enumerate(everyone):
            found.setdefault(repr(one[name]) if name in one else "nothing", []).append(process)
        if len(found) > 1:
            shown = "; ".join(f"{value} on {_processes(who)}" for value, who in found.items())
            raise ValueError(f"processes were configured differently: {name} is {shown}")


def _gather(text: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Every process's text, padded with zeros, of shape `(processes, bytes)`."""
    own = np.zeros((1, _BYTES), np.uint8)
    own[0, : len(text)] = np.frombuffer(text, np.uint8)
    if process_count() == 1:
        return own
    # One device of each process is enough, and works where processes have different numbers of them.
    firsts: dict[int, Device] = {}
    for device in all_devices():
        firsts.setdefault(device.process_index, device)
    mesh = Mesh(np.array(list(firsts.values())), ("process",))
    with jax.transfer_guard("allow"):
        split = NamedSharding(mesh, PartitionSpec("process"))
        texts = jax.make_array_from_callback((len(firsts), _BYTES), split, lambda _: own)
        joined = _jax.jit(_jax.numpy.copy, out_shardings=NamedSharding(mesh, PartitionSpec()))(texts)
        return np.asarray(joined.addressable_data(0))


def _processes(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")
    return f"process{'es' if len(numbers) > 1 else ''} {shown}"
