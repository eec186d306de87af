"""Compares configurations inside contexts, and with values that cannot be compared; writes what was said."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from errors import said
from jax.sharding import Mesh
from loadax_distributed import check_agreement

_jax: Any = jax


class Unprintable:
    def __repr__(self) -> str:
        raise OSError("no text")


def contexts() -> dict[str, Any]:
    """What a program may have opened around the call."""
    in_mesh: Any = getattr(jax, "set_mesh", None) or _jax.sharding.use_mesh
    devices = np.array(_jax.devices())
    return {
        "no context": nullcontext(),
        "Auto mesh": in_mesh(Mesh(devices, ("data",))),
        "Explicit mesh": in_mesh(_jax.make_mesh((len(devices),), ("data",))),
        "mesh of this process": in_mesh(Mesh(np.array(_jax.local_devices()), ("data",))),
        "default device": _jax.default_device(_jax.local_devices()[-1]),
        "transfer guard": _jax.transfer_guard("disallow"),
    }


def main(folder: str) -> None:
    own = _jax.process_index()
    last = own == _jax.process_count() - 1
    messages: dict[str, str] = {}
    for name, context in contexts().items():
        with context:
            messages[name] = said(lambda: check_agreement({"seed": 7}))
    mixed: Any = {1: 2, "seed": 7}
    wrong: dict[str, Any] = {
        "float": {"seed": 7.5} if last else {"seed": 7},
        "array": {"seed": np.int64(own)},
        "mixed names": mixed if last else {"seed": 7},
        "number as name": {7: "seed"},
        "unprintable": {"seed": Unprintable()} if last else {"seed": 7},
        "too long": {"seed": 10**5000} if last else {"seed": 7},
        "no config": None if last else {"seed": 7},
        "two": {"seed": [own]} if own < 2 else {"seed": 7},
    }
    for name, config in wrong.items():
        messages[name] = said(lambda config=config: check_agreement(config))
    with _jax.disable_jit():
        messages["not compiled"] = said(lambda: check_agreement(wrong["float"]))
    messages["afterwards"] = said(lambda: check_agreement({"seed": 7}))
    (Path(folder) / f"{own}.json").write_text(json.dumps(messages))


if __name__ == "__main__":
    main(sys.argv[1])
