"""The works. Each defines what is loaded, the batch size, and what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import sources

CACHE = Path(__file__).parent / ".cache"

AS_BEFORE = "no slower than before"
"""The bar of most works: not worse than the commit before, as `python -m benchmarks.compare` measures both."""

Kind = Literal["arrays", "tokens", "documents", "items", "numbers", "device"]
"""The method of a loader that opens a work; see `loaders/base.py`."""


@dataclass(frozen=True)
class Work:
    """One thing to load.

    Attributes:
        name: The name in the tables.
        title: A description of one line.
        kind: The method of a loader that opens it.
        batch: Rows of a batch.
        data: Makes the data; its argument says whether the data should be small.
        bar: The result that Loadax has to reach, as the table shows it; a ratio of times within one run, if it can be.
        measure: `rate`: batches per second. `first`: seconds to the first batch. `step`: rate beside a jitted step,
            over the rate of the step alone.
        workers: Threads or processes that each loader may use.
        processes: Whether the items hold the GIL, so that processes are faster.
        held: Batches that the consumer holds.
        prefetch: The number of batches to keep ready, if the work fixes it; with 0, the caller's thread loads.
        limit_scale: The factor from the rate of one thread to the limit.
        hidden: The width of the hidden layer of the step, which decides how long the step takes.
    """

    name: str
    title: str
    kind: Kind
    batch: int
    data: Callable[[bool], Any]
    bar: str
    measure: Literal["rate", "first", "step"] = "rate"
    workers: int = 2
    processes: bool = False
    held: int = 1
    prefetch: int | None = None
    limit_scale: int = 1
    hidden: int = 0


def _small(small: bool, size: int, by: int) -> int:
    return size // by if small else size


def _images(small: bool) -> sources.Arrays:
    return sources.numbered(1024, *((32, 32, 3) if small else (224, 224, 3)), dtype="float32")


def _numbers(name: str, batch: int, prefetch: int, bar: str) -> Work:
    where = f"prefetch({prefetch})" if prefetch else "in the caller's thread"
    title = f"shuffled range of integers, identity batcher, batch {batch}, {where}"
    return Work(name, title, "numbers", batch, lambda _: 1_000_000, bar, prefetch=prefetch, workers=min(1, prefetch))


def _documents(size: int) -> Work:
    return Work(
        f"W12-{size}",
        f"100,000 documents of uint16 tokens, packed into rows of {size:,}, batch 32",
        "documents",
        32,
        lambda small: sources.documents(_small(small, 100_000, 20), size),
        ">= 0.6 of the limit, >= 5x Grain",
    )


def _first(name: str, exponent: int) -> Work:
    title = f"first batch of a shuffled range of 10^{exponent} rows"
    return Work(name, title, "numbers", 256, lambda _: 10**exponent, "< 10 ms, no growth", measure="first")


WORKS = {
    work.name: work
    for work in (
        Work(
            "W1",
            "arrays: 60,000 x 784 float32 and int32 label, shuffled, batch 256",
            "arrays",
            256,
            lambda small: sources.labelled(_small(small, 60_000, 10), 784),
            AS_BEFORE,
        ),
        Work(
            "W2",
            "arrays: 20,000 x 12,288 uint8, shuffled, batch 512",
            "arrays",
            512,
            lambda small: sources.numbered(_small(small, 20_000, 10), 12_288),
            AS_BEFORE,
        ),
        Work(
            "W3",
            "items that sleep 2 ms, batch 32, 16 workers",
            "items",
            32,
            lambda _: sources.Sleeper(1 << 16),
            AS_BEFORE,
            workers=16,
        ),
        Work(
            "W4",
            "JPEG 256 x 256 decoded from memory, resized to 224, batch 64, 2 threads",
            "items",
            64,
            lambda small: sources.Decoder(_small(small, 4_096, 16)),
            AS_BEFORE,
            limit_scale=2,
        ),
        Work(
            "W5",
            "pure-Python items of some 200 us, batch 64, 2 workers",
            "items",
            64,
            lambda _: sources.Tokeniser(1 << 16),
            AS_BEFORE,
            processes=True,
            limit_scale=2,
        ),
        Work(
            "W6",
            "200M memory-mapped uint16 tokens, windows of 1,025 as int32, shuffled, batch 32",
            "tokens",
            32,
            lambda small: sources.tokens(_small(small, 200_000_000, 50), 1_025, CACHE),
            AS_BEFORE,
        ),
        _first("W7-1e7", 7),
        _first("W7-1e9", 9),
        _first("W7-1e12", 12),
        Work(
            "W8",
            "batches of W1 on the device beside a jitted step of some 3 ms",
            "device",
            256,
            lambda small: sources.labelled(_small(small, 60_000, 10), 784),
            AS_BEFORE,
            measure="step",
            hidden=480,
        ),
        _numbers("W9-1", 1, 0, "<= 0.6 of torch"),
        _numbers("W9-32", 32, 0, "<= 0.6 of torch"),
        _numbers("W9-1-prefetch", 1, 2, "<= 0.75 of hand-written"),
        _numbers("W9-32-prefetch", 32, 2, "<= 0.75 of hand-written"),
        Work("W10-38MB", "image batches of 38 MB, held two at a time", "arrays", 64, _images, AS_BEFORE, held=2),
        Work("W10-150MB", "image batches of 154 MB, two held", "arrays", 256, _images, AS_BEFORE, held=2),
        Work(
            "W10-step",
            "image batches of 38 MB on the device beside a jitted step",
            "device",
            64,
            _images,
            AS_BEFORE,
            measure="step",
            hidden=8,
        ),
        _documents(2_048),
        _documents(8_192),
    )
}

AUTO_BYTES, AUTO_DEPTHS = 64 << 20, (2, 64)
"""The depth of `.prefetch()` of Loadax: the number of batches that fill these bytes, within these bounds."""


def kept(work: Work, batch_bytes: int) -> int:
    """The number of batches of a work that exist at once: ready batches, and those that the consumer holds."""
    least, most = AUTO_DEPTHS
    ready = min(max(least, AUTO_BYTES // batch_bytes), most) if work.prefetch is None else work.prefetch
    return ready + work.held
