"""Saves an iterator on several processes, in both ways of Orbax, and restores it; notes what this process wrote.

Arguments: a folder for the checkpoints, and one for the reports.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import jax
from loadax import DataLoader, RangeDataset, make_mesh
from loadax.orbax import IteratorRestore, IteratorSave

_jax: Any = jax
ocp: Any = importlib.import_module("orbax.checkpoint")


def main(folder: Path, reports: Path) -> None:
    """Saves after 2 steps, goes on, and restores."""
    written: list[str] = []

    def note(event: str, arguments: Any) -> None:
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax"):
            written.append(Path(str(arguments[0])).name)

    sys.addaudithook(note)
    loader = DataLoader().batch_size(8).shard(make_mesh()).build(RangeDataset(64).shuffle(seed=1))
    batches, resumed, again = iter(loader), iter(loader), iter(loader)
    for _ in range(2):
        next(batches)
    with ocp.CheckpointManager(folder / "v0") as manager:
        manager.save(2, args=ocp.args.Composite(data=IteratorSave(batches)))
        own: Any = next(batches)
        manager.wait_until_finished()
        manager.restore(2, args=ocp.args.Composite(data=IteratorRestore(resumed)))
    report: dict[str, Any] = {"own": own.tolist(), "v0": next(resumed).tolist()}
    report["v0 written"] = written.count("metadata")
    if importlib.util.find_spec("orbax.checkpoint.experimental.v1") is not None:
        v1: Any = importlib.import_module("orbax.checkpoint.experimental.v1")
        response: Any = v1.save_checkpointables_async(folder / "v1", {"data": resumed})
        own = next(resumed)
        response.result()
        v1.load_checkpointables(folder / "v1", {"data": again})
        report |= {"v1": next(again).tolist(), "own v1": own.tolist(), "v1 written": written.count("data.json")}
    (reports / f"{_jax.process_index()}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
