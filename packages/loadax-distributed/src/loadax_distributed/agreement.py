"""`check_agreement`: compares the settings of all processes, for use before a long run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np

from .collective import check_main_thread, gather

T = TypeVar("T")


def check_agreement(config: Mapping[str, str | int]) -> None:
    """Raises on every process if a setting differs between processes.

    It communicates. So every process calls it, at the same place of the program, on the main thread.

    Args:
        config: The settings to compare, such as the batch size, the seed, the length of the dataset.

    Raises:
        RuntimeError: If another thread than the main one calls it.
        TypeError: If, on any process, a name is not a string, or a value is neither a string nor an integer; the error
            names it and the process.
        ValueError: If a setting differs between processes; the error names it and shows the values.

    >>> from loadax_distributed import check_agreement
    >>> check_agreement({"batch_size": 256, "seed": 7})
    """
    check_main_thread("check_agreement()")
    text = np.frombuffer(_text(config).encode(), np.uint8)
    longest = int(gather(np.array([len(text)], np.int32)).max())
    everyone = [json.loads(line.tobytes().rstrip()) for line in gather(_padded(text, longest))]
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
    """The settings of this process as JSON, or what is wrong with them."""
    try:
        wrong = _wrong(config)
        if not wrong:
            return json.dumps({"config": dict(config)}, sort_keys=True)
    except Exception as error:
        wrong = f"config cannot be read ({type(error).__name__}: {error})"
    # Raising here, on one process, would let the others wait for ever; so all of them are told, and raise.
    return json.dumps({"wrong": wrong})


def _wrong(config: Any) -> str:
    """What is wrong with `config`; empty if nothing is."""
    if not isinstance(config, Mapping):
        return f"config is {_short(repr(config))}"
    for name, value in cast("Mapping[Any, Any]", config).items():
        if not isinstance(name, str):
            return f"config has the name {_short(repr(name))}, of type {type(name).__name__}"
        if not isinstance(value, str | int):
            return f"config[{name!r}] is {_short(repr(value))}, of type {type(value).__name__}"
    return ""


def _grouped(values: list[T]) -> dict[T, list[int]]:
    """For each value the processes that have it."""
    found: dict[T, list[int]] = {}
    for process, value in enumerate(values):
        found.setdefault(value, []).append(process)
    return found


def _shown(found: dict[str, list[int]]) -> str:
    return "; ".join(f"{_short(value)} on {_processes(who)}" for value, who in found.items())


def _padded(text: np.ndarray[Any, np.dtype[np.uint8]], length: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A text with spaces at its end."""
    return np.concatenate([text, np.full(length - len(text), ord(" "), np.uint8)])


def _short(value: str) -> str:
    return value if len(value) <= 200 else f"{value[:100]} ... {value[-90:]}"


def _processes(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:4])) + (", ..." if len(numbers) > 4 else "")
    return f"process{'es' if len(numbers) > 1 else ''} {shown}"
