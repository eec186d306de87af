"""Yields some global batches from a saved position on, and saves what it saw and where it stopped.

Arguments: a folder, the size of the model axis, the batch size, how many steps to go, and the file of a state or "".
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from loadax_core import DataLoader
from loadax_distributed import make_mesh

_jax: Any = jax


class Shuffled:
    """Rows in an order of their own each epoch, that note which of them were read."""

    def __init__(self, epoch: int, read: list[tuple[int, int]]) -> None:
        self.order = np.random.default_rng([5, epoch]).permutation(24).astype(np.int32)
        self.epoch = epoch
        self.read = read

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int) -> Any:
        self.read.append((self.epoch, row))
        return self.order[row]

    def at_epoch(self, epoch: int) -> Shuffled:
        return Shuffled(epoch, self.read)

    def fingerprint(self) -> dict[str, Any]:
        return {"shuffle": 5}


def main(folder: Path, model: int, batch_size: int, steps: int, state: str) -> None:
    process = _jax.process_index()
    dataset = Shuffled(0, [])
    builder = DataLoader().batch_size(batch_size).workers(2).prefetch(0, to_device=True).epochs(2)
    loader = builder.shard(make_mesh(model=model, data=_jax.device_count() // model)).build(dataset)
    batches = iter(loader)
    if state:
        batches.set_state(json.loads(Path(state).read_text()))
        assert not dataset.read
    # For each step, this process's own pieces of the global batch, by the row that they start at.
    pieces = [
        {str(shard.index[0].start or 0): np.asarray(shard.data).tolist() for shard in next(batches).addressable_shards}
        for _ in range(steps)
    ]
    report = {"pieces": pieces, "state": batches.get_state(), "read": sorted(dataset.read)}
    (folder / f"{process}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    model, batch_size, steps = map(int, sys.argv[2:5])
    main(Path(sys.argv[1]), model, batch_size, steps, sys.argv[5])
