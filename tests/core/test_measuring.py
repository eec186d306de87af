from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from loadax_core import DataLoader, Measurement, Stats, measure


class Slow:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 40

    def __getitem__(self, row: int) -> int:
        threading.Event().wait(self.seconds)
        return row


def test_headroom_is_what_the_loader_costs() -> None:
    slow = measure(DataLoader().build(Slow(0.02)), lambda _: threading.Event().wait(0.01), 8)
    assert slow.steps == 7
    assert slow.seconds >= 0.03
    assert 0.01 <= slow.cached_seconds < slow.seconds
    assert slow.headroom == slow.seconds / slow.cached_seconds > 1
    assert slow.stats.batches == 8
    assert slow.stats.verdict.startswith("Loader-bound")
    assert slow.timeline is None


def test_a_loader_comes_first_and_then_a_step() -> None:
    loader: Any = DataLoader().build(range(3))
    with pytest.raises(TypeError, match="measure takes a loader, and then the step, got builtin_function_or_method"):
        measure(id, loader)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="measure takes a loader, and then the step, got DataLoader"):
        measure(DataLoader(), id)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"the step is a function of a batch, got float: 0\.5"):
        measure(loader, 0.5)  # pyright: ignore[reportArgumentType]


def test_each_loop_takes_as_many_steps() -> None:
    seen: list[list[int]] = []
    measurement = measure(DataLoader(list[int]).batch_size(4).workers(1).build(range(22)), seen.append)
    loaded = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19], [20, 21]]
    # The first step is not timed. What stands for all batches are the first four, which are full.
    assert seen == [*loaded, loaded[1], loaded[2], loaded[3], loaded[0], loaded[1]]
    assert measurement.steps == 5


def test_what_a_step_starts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a program that does not use JAX, whose function for this is tested with the other packages.
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    waited: list[int] = []

    @dataclass
    class Result:
        loss: Pending

    class Pending:
        def block_until_ready(self) -> None:
            waited.append(1)

    measure(DataLoader().build(range(3)), lambda _: {"a": Result(Pending()), "b": [Pending(), 3.0]})
    assert len(waited) == 10


def test_a_timeline_comes_with_it_if_asked_for() -> None:
    timeline = measure(DataLoader().build(range(6)), lambda _: None, 5, timeline=True).timeline
    assert timeline is not None
    assert [span.step for span in timeline.lanes["training"]] == [1, 2, 3, 4]


def test_a_loader_that_is_too_short_is_refused() -> None:
    for rows in (0, 1):
        with pytest.raises(ValueError, match=f"a loader of at least 2 batches; this one has {rows}"):
            measure(DataLoader().build(range(rows)), lambda _: None)
    with pytest.raises(ValueError, match="batches must be at least 2, got 1"):
        measure(DataLoader().build(range(9)), lambda _: None, 1)


def test_a_loader_is_at_best_perfect() -> None:
    stats = Stats(2, 2, 1.0, 0.0, 0.0, 0.0, 0.0)
    assert Measurement(1, 0.9, 1.0, stats).headroom == 1
    assert Measurement(1, 0.9, 0.0, stats).headroom == 1
    assert "2.00x as fast" in str(Measurement(1, 1.0, 0.5, stats))
