"""Computes medians with minimum and maximum, and ratios of runs of the same turn."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """The median, the minimum and the maximum of some numbers."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """The spread of some numbers; None if there are none."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None


@dataclass(frozen=True)
class Line:
    """The results of one pair of a work and a loader.

    Attributes:
        work: The work.
        loader: The loader.
        value: Batches per second, seconds or a share, by `work.measure`; None if no run succeeded.
        to_limit: The share of the limit, if the work has one.
        to_handwritten: How many times as fast as the fastest hand-written loop.
        added_mb: Memory that the loader added to the process, with that of its worker processes, in MB.
        waited: The share of the time that the loop waited, for works beside a step.
        tokens_s: Tokens per second without padding, for packed documents.
        padding: The share of padding, for packed documents.
        note: Why there is no value.
    """

    work: str
    loader: str
    value: Spread | None
    to_limit: Spread | None
    to_handwritten: Spread | None
    added_mb: float | None
    waited: Spread | None
    tokens_s: Spread | None
    padding: Spread | None
    note: str


def summarise(results: dict[str, Any]) -> list[Line]:
    """One line for each pair: works in the order in which they ran, and the fastest loader first.

    A ratio compares two runs of the same repeat, which lie seconds apart. The result is the median of the ratios, so
    that a machine that is slower for a while does not change it.
    """
    lines: list[Line] = []
    for work, about in results["works"].items():
        runs = [run for run in results["runs"] if run["work"] == work]
        good = [run for run in runs if "value" in run]
        smaller_is_faster = about["measure"] in ("first", "import")
        limits = {run["repeat"]: run["value"] for run in good if run["loader"] == "limit"}
        handwritten: dict[int, float] = {}
        for run in good:
            if run["loader"].startswith("handwritten"):
                best = min if smaller_is_faster else max
                handwritten[run["repeat"]] = best(handwritten.get(run["repeat"], run["value"]), run["value"])
        group: list[Line] = []
        for loader in dict.fromkeys(run["loader"] for run in runs):
            own = [run for run in good if run["loader"] == loader]
            faster = [
                handwritten[run["repeat"]] / run["value"]
                if smaller_is_faster
                else run["value"] / handwritten[run["repeat"]]
                for run in own
                if run["repeat"] in handwritten
            ]
            used = Spread.of(run["added_mb"] + run["children_mb"] for run in own if "added_mb" in run)
            failed = [
                run.get("unsupported") or "failed: " + run["error"]
                for run in runs
                if run["loader"] == loader and "value" not in run
            ]
            group.append(
                Line(
                    work,
                    loader,
                    Spread.of(run["value"] for run in own),
                    Spread.of(run["value"] / limits[run["repeat"]] for run in own if run["repeat"] in limits),
                    Spread.of(faster),
                    used.median if used else None,
                    *(Spread.of(run[key] for run in own if key in run) for key in ("waited", "tokens_s", "padding")),
                    failed[0] if failed else "",
                )
            )
        direction = 1 if smaller_is_faster else -1
        lines += sorted(
            group, key=lambda line: (line.value is None, direction * line.value.median if line.value else 0.0)
        )
    return lines
