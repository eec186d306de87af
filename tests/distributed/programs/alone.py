"""One process after another loads a whole epoch while its peers stand still at a barrier made of files."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from loadax_distributed import DevicePlacement, MeshShardingStrategy, make_mesh

STEPS = 200
_jax: Any = jax
compiled: list[str] = []


def listen(event: str, duration: float, **_: Any) -> None:
    compiled.append(event)


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.001)


def load_epoch(strategy: MeshShardingStrategy, errors: list[BaseException]) -> None:
    try:
        rows = strategy.local_rows(16)
        place = DevicePlacement(_jax.local_devices()[-1])
        for step in range(STEPS):
            whole = np.arange(16 * 5, dtype=np.int32).reshape(16, 5) + step
            batch = strategy.distribute_global_batch({"x": whole[rows], "y": place(whole[rows])})
            for leaf in batch.values():
                for shard in leaf.addressable_shards:
                    np.testing.assert_array_equal(np.asarray(shard.data), whole[shard.index])
    except BaseException as error:
        errors.append(error)


def main(folder: Path) -> None:
    strategy = MeshShardingStrategy(make_mesh(data=4))
    _jax.config.update("jax_transfer_guard_host_to_device", "disallow")
    _jax.monitoring.register_event_duration_secs_listener(listen)
    own = _jax.process_index()
    for turn in range(_jax.process_count()):
        if own != turn:
            (folder / f"{turn}-stands-{own}").touch()
            wait_for(folder / f"{turn}-done")
            continue
        for peer in range(_jax.process_count()):
            if peer != own:
                wait_for(folder / f"{turn}-stands-{peer}")
        errors: list[BaseException] = []
        worker = threading.Thread(target=load_epoch, args=(strategy, errors))
        worker.start()
        worker.join()
        if errors:
            raise errors[0]
        (folder / f"{turn}-done").touch()
    assert compiled == [], compiled


if __name__ == "__main__":
    # Any operation of several processes on a thread other than this one is an error.
    with _jax.thread_guard(True):
        main(Path(sys.argv[1]))
