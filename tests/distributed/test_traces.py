"""Stages appear by name in a trace of `jax.profiler`, and only while one is being taken."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from loadax_core import DataLoader


@contextmanager
def traced(folder: Path, events: list[dict[str, Any]]) -> Generator[None]:
    """Takes a trace of the block, and puts its events that are Loadax's into `events`."""
    with jax.profiler.trace(str(folder)):  # pyright: ignore[reportUnknownMemberType]
        yield
    (file,) = folder.rglob("*.trace.json.gz")
    found = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    events += [event for event in found if event.get("name", "").startswith("loadax.")]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("items", ["gathered", "read"])
def test_stages_appear_by_name(workers: int, items: str, tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.int32)
    dataset: Any = rows if items == "gathered" else list(rows)
    builder = DataLoader().batch_size(2).workers(workers)
    if workers:
        builder = builder.prefetch(1, to_device=True)
    events: list[dict[str, Any]] = []
    with iter(builder.build(dataset)) as batches:
        next(batches)
        with traced(tmp_path, events):
            for _ in range(4):
                next(batches)
        next(batches)
    names = Counter(event["name"] for event in events)
    assert names["loadax.wait"] == 4
    # A batch or two were loaded before, the items of one may be read by several workers, and small batches are gathered
    # several at once as soon as one has shown how quick they are.
    assert names["loadax.read"] >= (1 if items == "gathered" else 2)
    assert (names["loadax.batch"] >= 2) == (items == "read")
    assert (names["loadax.place"] >= 2) == bool(workers)
    steps = {int(event["args"]["step"]) for event in events if event["name"] == "loadax.read"}
    assert steps <= {1, 2, 3, 4, 5}
    assert items == "gathered" or {3, 4} <= steps


def test_nothing_is_marked_without_a_trace(tmp_path: Path) -> None:
    with iter(DataLoader().workers(1).build(range(9))) as batches:
        next(batches)
        assert batches._recorder.tracing.annotate is None
        with traced(tmp_path, []):
            next(batches)
            assert batches._recorder.tracing.annotate is jax.profiler.TraceAnnotation
        next(batches)
        assert batches._recorder.tracing.annotate is None
