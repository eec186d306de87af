"""Takes one measurement, in a process of its own. The last line of the output is the result, as JSON."""

from __future__ import annotations

import gc
import json
import sys
from importlib import import_module
from itertools import islice
from time import perf_counter
from typing import Any

from . import memory, timing
from .checks import check_batches
from .limits import limit
from .loaders import ADAPTERS
from .loaders.base import Loader, UnsupportedError
from .works import WORKS, Work

CHECKED = 3
"""The number of batches that are held together and checked before a loader is timed."""


def describe(adapter: str) -> dict[str, Any]:
    """The version of a library, and its configuration for each work that it can do."""
    module = import_module(f".loaders.{ADAPTERS[adapter]}", __package__)
    loaders: dict[str, type[Loader]] = module.LOADERS
    return {
        "version": module.VERSION,
        "loaders": {
            name: {work.name: kind.configuration(work) for work in WORKS.values() if kind.suits(work)}
            for name, kind in loaders.items()
        },
    }


def measure(work: Work, adapter: str, loader: str, seconds: float, small: bool) -> dict[str, float]:
    """Runs one work with one loader.

    Args:
        work: The work.
        adapter: The library.
        loader: One of its configurations; `limit` for the machine without a loader.
        seconds: How long to measure.
        small: Whether to use small data.

    Returns:
        `value`, whose meaning depends on `work.measure`; memory in MB; for packed documents `tokens_s`, tokens per
        second without padding, and `padding`, the share of it in the first batches; further entries for some works.

    Raises:
        UnsupportedError: If the library cannot do this work.
        WrongBatchError: If a batch is wrong.
    """
    if loader == "limit":
        return {"value": limit(work, work.data(small), seconds)}
    module = import_module(f".loaders.{ADAPTERS[adapter]}", __package__)
    configured: Loader = module.LOADERS[loader]()
    data = work.data(small)
    gc.collect()
    memory.reset_peak()
    before = memory.current_mb()

    began = perf_counter()
    batches = configured.open(work, data)
    first = list(islice(batches, 1))
    result = {"value": perf_counter() - began}
    used = {"added_mb": memory.peak_mb() - before, "children_mb": memory.children_mb(), "peak_mb": memory.peak_mb()}
    if work.measure != "first":
        first += islice(batches, CHECKED - 1)
    check_batches(work, data, first)
    tokens = [int((batch["segment_ids"] > 0).sum()) for batch in first] if work.kind == "documents" else []
    padding = 1 - sum(tokens) / sum(batch["segment_ids"].size for batch in first) if tokens else 0.0
    del first
    if work.measure != "first":
        memory.reset_peak()  # the check has used memory, which is not the loader's
        result = _steady(work, data, batches, seconds)
        used = {"added_mb": memory.peak_mb() - before, "children_mb": memory.children_mb(), "peak_mb": memory.peak_mb()}
    close = getattr(batches, "close", None)
    if close is not None:
        close()
    if tokens:
        result |= {"tokens_s": result["value"] * sum(tokens) / len(tokens), "padding": padding}
    return result | used


def _steady(work: Work, data: Any, batches: Any, seconds: float) -> dict[str, float]:
    if work.measure == "rate":
        return {"value": timing.rate(batches, seconds, work.held)}
    from .step import make_step  # noqa: PLC0415 - imports JAX

    return timing.beside_a_step(batches, *make_step(work, data), seconds)


def main() -> int:
    """`child describe ADAPTER`, or `child measure WORK ADAPTER LOADER SECONDS full|small`."""
    if sys.argv[1] == "describe":
        result = describe(sys.argv[2])
    else:
        _, _, work, adapter, loader, seconds, size = sys.argv
        try:
            result = measure(WORKS[work], adapter, loader, float(seconds), size == "small")
        except UnsupportedError as reason:
            result = {"unsupported": str(reason)}
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
