"""Collects, in every process, what is said to bad input, and writes it to `<process>.json`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from loadax_core import DataLoader, PadBatcher
from loadax_distributed import DevicePlacement, MeshShardingStrategy, check_agreement, make_mesh

_jax: Any = jax


def said(call: Callable[[], Any]) -> str:
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def on_a_thread(call: Callable[[], Any]) -> str:
    found: list[str] = []
    worker = threading.Thread(target=lambda: found.append(said(call)))
    worker.start()
    worker.join()
    return found[0]


class Confusing(list[int]):
    """Calls something as a loader calls one of its settings."""

    def fingerprint(self) -> dict[str, Any]:
        return {"batch_size": 7}


def main(folder: str) -> None:
    own = _jax.process_index()
    mesh = make_mesh(data=8)
    strategy = MeshShardingStrategy(mesh)
    devices = np.array(_jax.devices())
    abstract: Any = AbstractMesh((8,), ("data",))
    builder = DataLoader().batch_size(8)
    square = make_mesh(data=4, model=2)
    # Processes 0 and 2 hold all rows, the others half of them.
    uneven = Mesh(devices[[[0, 2, 3, 4], [1, 5, 6, 7]]], ("data", "model"))
    specs = {"x": PartitionSpec("data", "model")} if own else None
    messages = {
        "indivisible": said(lambda: strategy.local_rows(12)),
        "unknown axis": said(lambda: MeshShardingStrategy(mesh, "batch")),
        "repeated axis": said(lambda: MeshShardingStrategy(mesh, ("data", "data"))),
        "abstract mesh": said(lambda: MeshShardingStrategy(abstract)),
        "absent process": said(lambda: MeshShardingStrategy(Mesh(devices[:4], ("data",)))),
        "rank 0": said(lambda: strategy.distribute_global_batch({"x": np.float32(1)})),
        "strings": said(lambda: strategy.distribute_global_batch({"x": np.array(["a", "b"])})),
        "rows": said(lambda: strategy.distribute_global_batch({"x": np.zeros((3, 2), np.float32)})),
        "mesh": said(lambda: make_mesh(3)),
        "global placement": said(lambda: DevicePlacement(NamedSharding(mesh, PartitionSpec("data")))),
        "agreement": said(lambda: check_agreement({"batch_size": 8, "seed": 7})),
        "disagreement": said(lambda: check_agreement({"batch_size": 8, "seed": 7 if own else 8})),
        "missing": said(lambda: check_agreement({"batch_size": 8, **({"seed": 7} if own == 2 else {})})),
        "long": said(lambda: check_agreement({"classes": "x" * 9000 * (1 + own % 2)})),
        "long and equal": said(lambda: check_agreement({"classes": "x" * 9000})),
        "loaders": said(DataLoader().batch_size(8).build(range(64 + own)).check_agreement),
        "equal loaders": said(DataLoader().batch_size(8).build(range(64)).check_agreement),
        "batchers": said(DataLoader(*([PadBatcher(4)] if own else [])).build(range(64)).check_agreement),
        "axes": said(builder.shard(square, ("data", "model") if own else "data").build(range(64)).check_agreement),
        "specs": said(builder.shard(square, specs=specs).build(range(64)).check_agreement),
        "settings": said(DataLoader().batch_size(8 * (1 + own)).build(Confusing()).check_agreement),
        "skipped": said(builder.skip(steps=[own, 9]).build(range(64)).check_agreement),
        "padding": said(lambda: DataLoader(PadBatcher()).batch_size(8).shard(uneven).build(range(64))),
        "functions": said(DataLoader(lambda x: x).batch_size(8).shard(square).build(range(64)).check_agreement),
        "thread": on_a_thread(lambda: check_agreement({})),
        "default mesh": str(dict(make_mesh().shape)),
    }
    foreign = devices[0] if own else devices[-1]
    with _jax.default_device(foreign):
        for target in (foreign, True):
            message = said(lambda target=target: DevicePlacement(target))
            assert message.startswith(f"ValueError: {foreign} is not a device of this process, number {own}"), message
    assert repr(strategy).endswith(f"process {own} of 4 holds shards {2 * own}-{2 * own + 1})"), strategy
    assert [cell[0] for cell in strategy.table(16).cells] == [str(device // 2) for device in range(8)]
    (Path(folder) / f"{own}.json").write_text(json.dumps(messages))


if __name__ == "__main__":
    main(sys.argv[1])
