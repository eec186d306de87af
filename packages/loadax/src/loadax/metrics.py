"""The metrics of an iterator: what they are called in each system, and how they follow from its statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from loadax_core import Stats

STAGES = ("reading", "batching", "placing")


class Metric(NamedTuple):
    """One metric, and its names.

    Attributes:
        prometheus: Its name there; the client adds `_total` to that of a counter.
        opentelemetry: Its name there.
        unit: Its unit, in the notation of OpenTelemetry (UCUM).
        about: What it is.
        read: Its value in some statistics; several values are by what `label` tells apart.
        counter: Whether it only grows.
        label: The name of a further label; empty if there is none.
    """

    prometheus: str
    opentelemetry: str
    unit: str
    about: str
    read: Callable[[Stats], float | Mapping[str, float]]
    counter: bool = True
    label: str = ""

    def values(self, stats: Stats) -> Iterator[tuple[dict[str, str], float]]:
        """The values, each with the labels that tell it apart."""
        read = self.read(stats)
        if not isinstance(read, Mapping):
            yield {}, read
            return
        for name, value in read.items():
            yield {self.label: name}, value


def stages(stats: Stats) -> dict[str, float]:
    """The time of each stage."""
    return {stage: getattr(stats, stage) for stage in STAGES}


METRICS = (
    Metric("loadax_batches", "loadax.batches", "{batch}", "Batches yielded.", attrgetter("batches")),
    Metric("loadax_rows", "loadax.rows", "{row}", "Rows of the global batches yielded.", attrgetter("rows")),
    Metric(
        "loadax_counted",
        "loadax.counted",
        "1",
        "What DataLoader.count counts in the batches yielded, of the rows of this process.",
        attrgetter("counts"),
        label="count",
    ),
    Metric(
        "loadax_elapsed_seconds",
        "loadax.elapsed.time",
        "s",
        "Time from the first call of next to the return of the last one.",
        attrgetter("elapsed"),
    ),
    Metric(
        "loadax_waited_seconds",
        "loadax.waited.time",
        "s",
        "Time that the training loop waited for data.",
        attrgetter("waited"),
    ),
    Metric(
        "loadax_stage_seconds",
        "loadax.stage.time",
        "s",
        "Time that workers spent in each stage, summed over workers.",
        stages,
        label="stage",
    ),
    Metric(
        "loadax_wait_ratio",
        "loadax.wait.ratio",
        "1",
        "Share of the time that the training loop waited for data, since the last export.",
        attrgetter("wait_share"),
        counter=False,
    ),
    Metric(
        "loadax_ready_batches",
        "loadax.ready.batches",
        "{batch}",
        "Batches that were ready when one was asked for, on average since the last export.",
        attrgetter("ready_on_average"),
        counter=False,
    ),
)


def scalars(recent: Stats) -> Iterator[tuple[str, float]]:
    """The tags of TensorBoard, each with its value in an interval."""
    total = recent.total or recent
    yield "batches", total.batches
    yield "rows", total.rows
    yield "rows_per_second", recent.rows_per_second
    for name, number in total.counts.items():
        yield f"counts/{name}", number
        yield f"counts_per_second/{name}", recent.counts_per_second[name]
    yield "waited_seconds", recent.waited
    yield "wait_share", recent.wait_share
    for stage, seconds in stages(recent).items():
        yield f"{stage}_seconds", seconds
    yield "ready_batches", recent.ready_on_average
