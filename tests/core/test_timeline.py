from __future__ import annotations

import json
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from loadax_core import DataLoader, Span, Timeline
from loadax_core.observe.plot import COLORS, STAGES
from loadax_core.observe.svg import svg as picture
from loadax_core.observe.traces import NAMES


class Placing:
    """A strategy for one process, which only looks at what it is to move."""

    def local_rows(self, batch_size: int, /) -> Any:
        return range(batch_size)

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        return local_batch


def pause(_: Any = None) -> None:
    threading.Event().wait(0.005)


@pytest.fixture(params=[0, 1, 2], ids="workers={}".format)
def recorded(request: pytest.FixtureRequest) -> tuple[int, Timeline]:
    """A run of five batches, of which the first was there before."""

    def batcher(items: list[int]) -> list[int]:
        pause()
        return items

    builder = DataLoader(batcher).batch_size(2).workers(request.param).shard(Placing())
    if request.param:
        builder = builder.prefetch(1, to_device=True)
    with iter(builder.build(range(10))) as batches:
        next(batches)
        with batches.timeline() as timeline:
            for _ in batches:
                pause()
    return request.param, timeline


def test_lanes_show_what_was_done_when(recorded: tuple[int, Timeline]) -> None:
    workers, timeline = recorded
    waits = timeline.lanes["training"]
    assert [(span.stage, span.epoch, span.step) for span in waits] == [("waiting", 0, step) for step in (1, 2, 3, 4)]
    assert set(timeline.lanes) <= {"training", "caller", "worker 0", "worker 1"}
    loading = [span for lane, spans in timeline.lanes.items() if lane != "training" for span in spans]
    assert {span.stage for span in loading} == {"reading", "batching"} | ({"placing"} if workers else set())
    assert {span.step for span in loading if span.stage == "batching"} >= {2, 3, 4}
    if not workers:
        assert set(timeline.lanes) == {"training", "caller"}
        assert all(wait.began <= span.began for wait, span in zip(waits[:1], loading[:1], strict=True))
    for spans in timeline.lanes.values():
        assert spans[0].began >= 0
        assert spans[-1].ended <= timeline.seconds
        assert all(a.began <= a.ended <= b.began for a, b in pairwise(spans))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_did_not_happen_is_not_shown(workers: int) -> None:
    batches = iter(DataLoader().batch_size(2).workers(workers).build(np.arange(6)))
    with batches, batches.timeline() as timeline:
        list(batches)
    assert {span.stage for spans in timeline.lanes.values() for span in spans} == {"waiting", "reading"}


def test_a_caller_that_places_batches_itself_is_shown() -> None:
    builder = DataLoader().batch_size(2).shard(Placing()).prefetch(0, to_device=True)
    with iter(builder.build(np.arange(6))) as batches, batches.timeline() as timeline:
        list(batches)
    assert [span.step for span in timeline.lanes["caller"] if span.stage == "placing"] == [0, 1, 2]


def test_traces_for_chrome_and_perfetto(recorded: tuple[int, Timeline], tmp_path: Path) -> None:
    _, timeline = recorded
    timeline.save(tmp_path / "run.json")
    events = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
    lanes = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert list(lanes.values()) == list(timeline.lanes)
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == sum(map(len, timeline.lanes.values()))
    first = timeline.lanes["training"][0]
    (wait,) = (event for event in spans if event["name"] == "loadax.wait" and event["args"]["step"] == 1)
    assert lanes[wait["tid"]] == "training"
    assert (wait["ts"], wait["dur"]) == (first.began * 1e6, (first.ended - first.began) * 1e6)


def test_pictures(recorded: tuple[int, Timeline], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    workers, timeline = recorded
    for ending, start in (("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")):
        timeline.save(tmp_path / f"run.{ending}")
        assert (tmp_path / f"run.{ending}").read_bytes().startswith(start)
    drawn = (tmp_path / "run.svg").read_text()
    assert all(f"<!-- {lane} -->" in drawn for lane in timeline.lanes)
    assert "<!-- wait for data -->" in drawn
    assert ("<!-- place -->" in drawn) == bool(workers)


def test_an_empty_timeline_can_be_saved(tmp_path: Path) -> None:
    with iter(DataLoader().build(range(3))) as batches, batches.timeline() as timeline:
        pass
    assert timeline.lanes == {}
    timeline.save(tmp_path / "run.json")
    if "matplotlib" in sys.modules:
        timeline.save(tmp_path / "run.svg")


def test_a_timeline_is_saved_after_its_block(tmp_path: Path) -> None:
    with iter(DataLoader().build(range(3))) as batches:
        timeline = batches.timeline()
        list(batches)
        with pytest.raises(RuntimeError, match=r"with batches\.timeline\(\) as timeline, and save it after the block"):
            timeline.save(tmp_path / "forgotten.json")
        with timeline, pytest.raises(RuntimeError, match="nothing is recorded yet"):
            timeline.save(tmp_path / "early.svg")
    timeline.save(tmp_path / "late.json")
    assert [path.name for path in tmp_path.iterdir()] == ["late.json"]


def test_only_the_block_is_recorded_and_only_so_much() -> None:
    with iter(DataLoader(list[int]).workers(1).build(range(30))) as batches:
        with batches.timeline(most=3) as timeline:
            for _ in range(20):
                next(batches)
        next(batches)
        assert [span.step for span in timeline.lanes["training"]] == [17, 18, 19]
        assert max(map(len, timeline.lanes.values())) == 3
        with batches.timeline() as again:
            next(batches)
    assert [span.step for span in again.lanes["training"]] == [21]
    assert batches._recorder.waits is batches._recorder.caller.spans is None


def test_there_is_one_at_a_time() -> None:
    with iter(DataLoader(list[int]).build(range(30))) as batches, batches.timeline() as timeline:
        next(batches)
        with (
            pytest.raises(RuntimeError, match="a timeline of this iterator is being recorded; end its with block"),
            batches.timeline(),
        ):
            pass
        next(batches)
    assert [span.step for span in timeline.lanes["training"]] == [0, 1]


def test_a_stage_that_fails_is_recorded() -> None:
    class Broken(list[int]):
        def __getitem__(self, row: Any) -> Any:
            raise KeyError(row)

    batches = iter(DataLoader().workers(1).build(Broken([1, 2])))
    with batches, batches.timeline() as timeline, pytest.raises(KeyError):
        next(batches)
    assert timeline.lanes["worker 0"][0].stage == "reading"


def test_wrong_endings_and_missing_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with iter(DataLoader().build(range(3))) as batches:
        with batches.timeline() as timeline:
            next(batches)
        with pytest.raises(ValueError, match="most must be at least 1"):
            batches.timeline(most=0)
    with pytest.raises(ValueError, match=r"as .json, .svg, .png or .pdf, not as 'run.gif'"):
        timeline.save(tmp_path / "run.gif")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'loadax-core\[plots\]'"):
        timeline.save(tmp_path / "run.png")


def test_every_stage_has_a_name_and_a_color() -> None:
    assert set(NAMES) == set(COLORS) == set(STAGES)
    assert Span("reading", 0.0, 1.0, 0, 0).stage in NAMES


def test_a_timeline_in_a_notebook(recorded: tuple[int, Timeline]) -> None:
    workers, timeline = recorded
    svg = ET.fromstring(timeline._repr_html_())
    texts = [element.text for element in svg.iter() if element.text]
    assert set(timeline.lanes) <= set(texts)
    assert {"wait for data, step 1", "batch, step 4", "train"} <= set(texts)
    assert ("place, step 4" in texts) == bool(workers)
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    bars = [bar.attrib for bar in svg.iter() if bar.tag.endswith("rect")]
    assert all(float(bar["x"]) + float(bar["width"]) <= width and float(bar["y"]) < height for bar in bars)


def test_a_notebook_gets_few_bars_of_a_long_timeline() -> None:
    rows = [Span("reading", 0.001 * i, 0.001 * i + 0.0009, 0, i) for i in range(10_000)]
    late = Span("batching", 9.9999, 10.0, 0, 9_999)
    svg = picture({"worker <0>": [*rows, late], "training": []}, 10.0)
    assert svg.count("<rect") < 10
    assert "read, steps 0 to 9999" in svg
    assert "batch, step 9999" in svg
    assert "worker &lt;0&gt;" in svg
