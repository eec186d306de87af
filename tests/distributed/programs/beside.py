"""Batches are assembled in the background, beside a step with collectives, while processes run at unlike speeds."""

from __future__ import annotations

import random
import time
from typing import Any

import jax
import numpy as np
from loadax_core import DataLoader
from loadax_distributed import MeshShardingStrategy, make_mesh

STEPS = 3000
BATCH = 8
_jax: Any = jax


def main() -> None:
    builder = DataLoader().batch_size(BATCH).workers(2).prefetch(2, to_device=True).shard(make_mesh(model=2))
    loader = builder.build(np.arange(STEPS * BATCH, dtype=np.int32))
    strategy = loader.sharding_strategy
    assert isinstance(strategy, MeshShardingStrategy)
    step = _jax.jit(_jax.numpy.sum, in_shardings=strategy.named_sharding("data"))
    speed = random.Random(_jax.process_index())
    with iter(loader) as batches:
        for number, batch in enumerate(batches):
            total = int(step(batch))
            assert total == BATCH * BATCH * number + BATCH * (BATCH - 1) // 2, (number, total)
            if speed.random() < 0.01:
                time.sleep(0.002)
        assert batches.stats().batches == STEPS


if __name__ == "__main__":
    main()
