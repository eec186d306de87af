"""Exports the statistics of iterators to Prometheus, OpenTelemetry and TensorBoard.

Each function needs the client of its system, and imports it when it is called: `pip install "loadax[prometheus]"`,
`"loadax[opentelemetry]"` or `"loadax[tensorboard]"`. An exporter does not keep its iterator alive. It shows the last
numbers of an iterator that is closed, and nothing of one that is gone.

Counters are sums since the iterator was made. Gauges are of the time since the exporter was last asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from loadax_core import LoaderIterator, Stats

from .metrics import METRICS, Metric, scalars
from .reading import Reader, check_iterator, read


class ScalarWriter(Protocol):
    """What `tensorboard` writes to: a `SummaryWriter` of tensorboardX, of PyTorch, or one like it."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, /) -> object:
        """Writes a number of a step."""
        ...


def prometheus(batches: LoaderIterator[Any], *, loader: str = "train", registry: Any = None) -> None:
    """Adds the statistics of an iterator to a registry of `prometheus_client`; they are read at each scrape.

    Labels are `loader` and `process`, the index of the JAX process. Counts have the label `count`, stages `stage`.

    Args:
        batches: The iterator.
        loader: Tells the iterators of a program apart; one with the name of an earlier one takes its place.
        registry: A `CollectorRegistry`; left out, the one that `prometheus_client` serves by default.

    Raises:
        ImportError: If prometheus_client is not installed.
        TypeError: If `batches` is no iterator of a loader.

    Example:
        >>> from loadax import DataLoader, export
        >>> from prometheus_client import CollectorRegistry
        >>> registry = CollectorRegistry()
        >>> batches = iter(DataLoader().batch_size(2).build(range(5)))
        >>> export.prometheus(batches, registry=registry)
        >>> for batch in batches:
        ...     pass
        >>> registry.get_sample_value("loadax_rows_total", {"loader": "train", "process": "0"})
        5
    """
    check_iterator(batches)
    client = _client("prometheus_client.core", "prometheus")
    registry = client.REGISTRY if registry is None else registry
    collector = _collectors.get(registry)
    if collector is None:
        collector = _Collector(client)
        registry.register(collector)
        _collectors[registry] = collector
    collector.readers[loader] = Reader(batches)


def opentelemetry(batches: LoaderIterator[Any], *, loader: str = "train", meter: Any = None) -> None:
    """Adds the statistics of an iterator to a meter of OpenTelemetry, as observable instruments.

    Attributes are `loader` and `process`, the index of the JAX process. Counts have `count`, stages `stage`.

    Args:
        batches: The iterator.
        loader: Tells the iterators of a program apart; one with the name of an earlier one takes its place.
        meter: A `Meter`; left out, the one of the name `loadax` of the global meter provider.

    Raises:
        ImportError: If opentelemetry-api is not installed.
        TypeError: If `batches` is no iterator of a loader.
    """
    check_iterator(batches)
    client = _client("opentelemetry.metrics", "opentelemetry")
    meter = _default_meter() if meter is None else meter
    instruments = _instruments.get(meter)
    if instruments is None:
        instruments = _instruments[meter] = [_Instrument(metric, client.Observation) for metric in METRICS]
        for instrument in instruments:
            metric = instrument.metric
            create = meter.create_observable_counter if metric.counter else meter.create_observable_gauge
            create(metric.opentelemetry, [instrument], metric.unit, metric.about)
    for instrument in instruments:
        instrument.readers[loader] = Reader(batches)


def tensorboard(batches: LoaderIterator[Any], writer: ScalarWriter, *, prefix: str = "loadax") -> Callable[[int], None]:
    """Returns a function that writes the statistics of an iterator for a step; call it where you log the loss.

    Totals are those of the iterator so far. Rates, shares and seconds are of the time since the last call.

    Args:
        batches: The iterator.
        writer: Has `add_scalar`, such as a `SummaryWriter`. With several processes, one for each that writes.
        prefix: What the tags begin with.

    Returns:
        A function that takes the step. It writes nothing if no batch was yielded since its last call.

    Raises:
        TypeError: If `batches` is no iterator of a loader, or `writer` has no `add_scalar`.
    """
    check_iterator(batches)
    if not callable(getattr(writer, "add_scalar", None)):
        raise TypeError(f"writer must have add_scalar, such as a SummaryWriter of tensorboardX, got {writer!r:.80}")
    reader = Reader(batches)
    written: Stats | None = None

    def log(step: int) -> None:
        nonlocal written
        _, recent = reader.read() or (None, None)
        if recent is not None and recent is not written and recent.batches:
            written = recent
            for tag, value in scalars(recent):
                writer.add_scalar(f"{prefix}/{tag}", value, step)

    return log


class _Collector:
    """What a registry of `prometheus_client` asks for its metrics: the iterators that were added to it, by name."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.readers: dict[str, Reader] = {}

    def collect(self) -> Iterator[Any]:
        """One family for each metric."""
        readings = list(read(self.readers))
        for metric in METRICS:
            kind = self._client.CounterMetricFamily if metric.counter else self._client.GaugeMetricFamily
            further = [metric.label] if metric.label else []
            family = kind(metric.prometheus, metric.about, labels=["loader", "process", *further])
            for labels, total, recent in readings:
                for more, value in metric.values(total if metric.counter else recent):
                    family.add_metric([*labels.values(), *more.values()], value)
            yield family


class _Instrument:
    """What a meter of OpenTelemetry asks for one metric: the iterators that were added to it, by name."""

    def __init__(self, metric: Metric, observation: Callable[[float, dict[str, str]], Any]) -> None:
        self.metric = metric
        self._observation = observation
        # Each metric has readers of its own: what is recent for one must not end where another was read.
        self.readers: dict[str, Reader] = {}

    def __call__(self, _options: object) -> Iterable[Any]:
        """One observation for each value."""
        for labels, total, recent in read(self.readers):
            for more, value in self.metric.values(total if self.metric.counter else recent):
                yield self._observation(value, {**labels, **more})


_collectors: WeakKeyDictionary[Any, _Collector] = WeakKeyDictionary()
_instruments: WeakKeyDictionary[Any, list[_Instrument]] = WeakKeyDictionary()


@cache
def _default_meter() -> Any:
    """The meter of the global provider; the only reference to it, as long as no provider is set."""
    return import_module("opentelemetry.metrics").get_meter("loadax")


def _client(module: str, extra: str) -> Any:
    """A client library, imported when it is first needed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or "?"):
            raise
        raise ImportError(f'this needs {extra}, which is not installed: pip install "loadax[{extra}]"') from error
