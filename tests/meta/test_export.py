"""Exporters, read back by the clients of the systems that they export to."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loadax import ArrayDataset, DataLoader, LoaderIterator, export


def start() -> LoaderIterator[Any]:
    dataset = ArrayDataset(np.arange(40))
    return iter(DataLoader().batch_size(4).prefetch(2).count(tokens=np.sum, documents=len).build(dataset))


def take(batches: LoaderIterator[Any], number: int) -> None:
    for _ in range(number):
        next(batches)


@pytest.fixture
def client() -> Any:
    return pytest.importorskip("prometheus_client", reason="an extra of loadax")


@pytest.fixture
def registry(client: Any) -> Any:
    return client.CollectorRegistry(auto_describe=True)


def value(registry: Any, name: str, loader: str = "train", process: str = "0", **labels: str) -> float | None:
    return registry.get_sample_value(f"loadax_{name}", {"loader": loader, "process": process, **labels})


def test_prometheus_reads_the_statistics_at_each_scrape(registry: Any) -> None:
    batches = start()
    export.prometheus(batches, registry=registry)
    assert value(registry, "batches_total") == 0
    for step in (1, 2):
        take(batches, 3)
        stats = batches.stats()
        assert value(registry, "batches_total") == 3 * step
        assert value(registry, "rows_total") == 12 * step
        assert value(registry, "counted_total", count="tokens") == sum(range(12 * step))
        assert value(registry, "counted_total", count="documents") == 12 * step
        assert value(registry, "elapsed_seconds_total") == stats.elapsed
        assert value(registry, "waited_seconds_total") == stats.waited
        assert value(registry, "stage_seconds_total", stage="placing") == 0
        assert (value(registry, "stage_seconds_total", stage="reading") or 0) > 0
        assert value(registry, "stage_seconds_total", stage="batching") is not None


def test_prometheus_has_gauges_of_the_time_since_the_last_scrape(registry: Any) -> None:
    batches = start()
    export.prometheus(batches, registry=registry)
    take(batches, 2)
    first = batches.stats()
    assert value(registry, "wait_ratio") == first.wait_share
    take(batches, 3)
    recent = batches.stats(since=first)
    # Twice, since no batch came in between.
    assert [value(registry, "wait_ratio") for _ in range(2)] == [recent.wait_share] * 2
    assert value(registry, "ready_batches") == recent.ready_on_average


def test_prometheus_writes_valid_text(client: Any, registry: Any) -> None:
    batches, others = start(), start()
    export.prometheus(batches, registry=registry)
    export.prometheus(others, loader="eval", registry=registry)
    take(batches, 2)
    take(others, 1)
    parser: Any = importlib.import_module("prometheus_client.openmetrics.parser")
    openmetrics: Any = importlib.import_module("prometheus_client.openmetrics.exposition")
    families = {
        f.name: f for f in parser.text_string_to_metric_families(openmetrics.generate_latest(registry).decode())
    }
    assert {family.type for family in families.values()} == {"counter", "gauge"}
    assert all(family.documentation for family in families.values())
    samples = {s.labels["loader"]: s.value for s in families["loadax_batches"].samples}
    assert samples == {"train": 2, "eval": 1}
    text = client.generate_latest(registry).decode()
    assert text.count("# TYPE loadax_batches_total counter") == 1
    assert 'loadax_counted_total{count="tokens",loader="eval",process="0"} 6.0' in text


def test_prometheus_lets_a_new_iterator_take_the_place_of_the_old_one(registry: Any) -> None:
    batches = start()
    export.prometheus(batches, registry=registry)
    take(batches, 3)
    later = start()
    export.prometheus(later, registry=registry)
    assert value(registry, "batches_total") == 0


def test_prometheus_takes_its_default_registry(client: Any) -> None:
    batches = start()
    take(batches, 2)
    export.prometheus(batches, loader="default")
    assert value(client.REGISTRY, "batches_total", loader="default") == 2


def test_labels_name_the_process(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = SimpleNamespace(global_state=SimpleNamespace(process_id=3))
    monkeypatch.setitem(sys.modules, "jax._src.distributed", job)
    batches = start()
    export.prometheus(batches, registry=registry)
    assert value(registry, "batches_total", process="3") == 0


def test_an_exporter_outlives_its_iterator_and_does_not_keep_it(registry: Any) -> None:
    batches = start()
    export.prometheus(batches, registry=registry)
    take(batches, 2)
    batches.close()
    assert value(registry, "batches_total") == 2
    del batches
    gc.collect()
    assert value(registry, "batches_total") is None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loadax")]


@pytest.fixture
def reader() -> Iterator[Any]:
    pytest.importorskip("opentelemetry.sdk.metrics", reason="an extra of loadax")
    memory: Any = importlib.import_module("opentelemetry.sdk.metrics.export").InMemoryMetricReader()
    provider = importlib.import_module("opentelemetry.sdk.metrics").MeterProvider(metric_readers=[memory])
    yield SimpleNamespace(memory=memory, meter=provider.get_meter("loadax"))
    provider.shutdown()


def points(reader: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """What was exported: for each metric the values by their attributes but for the process."""
    data = reader.memory.get_metrics_data()
    scopes: Any = [] if data is None else data.resource_metrics[0].scope_metrics
    return {
        metric.name: {
            tuple(value for name, value in sorted(point.attributes.items()) if name != "process"): point.value
            for point in metric.data.data_points
        }
        for scope in scopes
        for metric in scope.metrics
    }


def test_opentelemetry_observes_the_statistics(reader: Any) -> None:
    batches, others = start(), start()
    export.opentelemetry(batches, meter=reader.meter)
    export.opentelemetry(others, loader="eval", meter=reader.meter)
    take(batches, 2)
    take(others, 1)
    stats, seen = batches.stats(), points(reader)
    assert seen["loadax.batches"] == {("train",): 2, ("eval",): 1}
    assert seen["loadax.rows"] == {("train",): 8, ("eval",): 4}
    assert seen["loadax.counted"]["tokens", "train"] == sum(range(8))
    assert seen["loadax.counted"]["documents", "eval"] == 4
    assert seen["loadax.elapsed.time"]["train",] == stats.elapsed
    assert seen["loadax.waited.time"]["train",] == stats.waited
    assert seen["loadax.stage.time"]["train", "placing"] == 0
    assert seen["loadax.wait.ratio"]["train",] == stats.wait_share
    assert seen["loadax.ready.batches"]["train",] == stats.ready_on_average
    take(batches, 3)
    recent, seen = batches.stats(since=stats), points(reader)
    assert seen["loadax.batches"]["train",] == 5
    # Both gauges are of the same interval, though each is asked for alone.
    assert seen["loadax.wait.ratio"]["train",] == recent.wait_share
    assert seen["loadax.ready.batches"]["train",] == recent.ready_on_average


def test_opentelemetry_has_units_and_kinds(reader: Any) -> None:
    batches = start()
    export.opentelemetry(batches, meter=reader.meter)
    (scope,) = reader.memory.get_metrics_data().resource_metrics[0].scope_metrics
    kinds = {metric.name: (metric.unit, type(metric.data).__name__) for metric in scope.metrics}
    assert kinds["loadax.waited.time"] == ("s", "Sum")
    assert kinds["loadax.batches"] == ("{batch}", "Sum")
    assert kinds["loadax.wait.ratio"] == ("1", "Gauge")
    sums = [metric.data for metric in scope.metrics if type(metric.data).__name__ == "Sum"]
    assert all(data.is_monotonic for data in sums)


def test_opentelemetry_says_nothing_of_an_iterator_that_is_gone(reader: Any) -> None:
    batches = start()
    export.opentelemetry(batches, meter=reader.meter)
    take(batches, 2)
    batches.close()
    assert points(reader)["loadax.batches"] == {("train",): 2}
    del batches
    gc.collect()
    assert points(reader) == {}


def test_opentelemetry_takes_the_global_meter() -> None:
    metrics: Any = pytest.importorskip("opentelemetry.metrics", reason="an extra of loadax")
    assert export._default_meter() is export._default_meter()
    batches = start()
    export.opentelemetry(batches)
    (instrument, *_) = export._instruments[export._default_meter()]
    assert [point.value for point in instrument(metrics.CallbackOptions())] == [0]


def test_tensorboard_reads_back_what_was_written(tmp_path: Path) -> None:
    tensorboardx: Any = pytest.importorskip("tensorboardX", reason="an extra of loadax")
    batches = start()
    with tensorboardx.SummaryWriter(str(tmp_path)) as writer:
        log = export.tensorboard(batches, writer)
        log(0)
        take(batches, 2)
        first = batches.stats()
        log(2)
        # No batch since.
        log(3)
        take(batches, 4)
        recent = batches.stats(since=first)
        log(6)
    seen = events(tmp_path)
    assert {step for _, step in seen} == {2, 6}
    assert seen["loadax/batches", 6] == 6
    assert seen["loadax/rows", 2] == 8
    assert seen["loadax/counts/tokens", 6] == sum(range(24))
    assert seen["loadax/wait_share", 6] == pytest.approx(recent.wait_share)
    assert seen["loadax/waited_seconds", 6] == pytest.approx(recent.waited)
    assert seen["loadax/rows_per_second", 6] == pytest.approx(recent.rows_per_second)
    assert seen["loadax/counts_per_second/tokens", 6] == pytest.approx(recent.counts_per_second["tokens"])
    assert seen["loadax/reading_seconds", 2] == pytest.approx(first.reading, abs=0.01)
    assert seen["loadax/ready_batches", 6] == pytest.approx(recent.ready_on_average)


def events(folder: Path) -> dict[tuple[str, int], float]:
    """The scalars in an event file: each record is a length, a checksum, an event and a checksum."""
    event_pb2: Any = importlib.import_module("tensorboardX.proto.event_pb2")
    (path,) = folder.iterdir()
    data, seen, at = path.read_bytes(), dict[tuple[str, int], float](), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
        seen |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        at += 12 + size + 4
    return seen


class Writer:
    """A writer of scalars that is nobody's."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.tags.append(tag)


def test_tensorboard_takes_any_writer_and_lets_the_iterator_go() -> None:
    batches, writer = start(), Writer()
    log = export.tensorboard(batches, writer, prefix="data")
    take(batches, 1)
    batches.close()
    log(1)
    assert "data/batches" in writer.tags
    del batches
    gc.collect()
    log(2)
    assert writer.tags.count("data/batches") == 1
    wrong: Any = print
    with pytest.raises(
        TypeError, match="writer must have add_scalar, such as a SummaryWriter of tensorboardX, got <bu"
    ):
        export.tensorboard(start(), wrong)


@pytest.mark.parametrize("function", [export.prometheus, export.opentelemetry, export.tensorboard])
def test_a_loader_is_no_iterator(function: Any) -> None:
    arguments = [Writer()] if function is export.tensorboard else []
    with pytest.raises(TypeError, match=r"give batches = iter\(loader\), got Loader"):
        function(DataLoader().build([1]), *arguments)


@pytest.mark.parametrize(
    ("function", "library"), [(export.prometheus, "prometheus_client"), (export.opentelemetry, "opentelemetry")]
)
def test_without_the_client_the_error_says_what_to_install(
    function: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = library

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(export, "import_module", absent)
    batches = start()
    with pytest.raises(ImportError, match=rf'which is not installed: pip install "loadax\[{function.__name__}\]"'):
        function(batches)
    missing = "importlib_metadata"
    with pytest.raises(ModuleNotFoundError, match="importlib_metadata"):
        function(batches)
