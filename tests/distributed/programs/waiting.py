"""Gathers the shares that processes wait for, inside a mesh of the program's; writes what this process got."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jax
from agreement import contexts
from loadax_core import Stats
from loadax_distributed import collective, wait_shares, waiting

_jax: Any = jax


def main(folder: str) -> None:
    own = _jax.process_index()
    stats = Stats(10, 40, 3.0, 0.1 * own, 0, 0, 0)
    gathered: list[Any] = []

    def gather(numbers: Any) -> Any:
        gathered.append(numbers)
        return collective.gather(numbers)

    module: Any = waiting
    module.gather = gather
    shares = [wait_shares(stats)]
    assert len(gathered) == 1
    for context in contexts().values():
        with context:
            shares.append(wait_shares(stats))
    assert all(share == shares[0] for share in shares)
    (Path(folder) / f"{own}.json").write_text(json.dumps([stats.wait_share, shares[0]]))


if __name__ == "__main__":
    main(sys.argv[1])
