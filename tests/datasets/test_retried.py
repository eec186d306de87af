"""retry: how often, after what, how long in between."""

import signal
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import Alloc, Rows, aligned_empty
from loadax_datasets import BaseDataset, RangeDataset, RetriedDataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


class Flaky:
    """Fails so many times before each success."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def _maybe_fail(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int, /) -> int:
        self._maybe_fail()
        return index

    def __getitems__(self, rows: list[int], /) -> list[int]:
        self._maybe_fail()
        return rows

    def gather(self, rows: Rows, alloc: Alloc, /) -> Any:
        self._maybe_fail()
        return rows


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


def read(rows: BaseDataset[Any], way: str) -> Any:
    if way == "item":
        return [rows[3]]
    if way == "items":
        return rows.read_many([3])
    assert rows.gather is not None
    return rows.gather(np.array([3]), aligned_empty).tolist()


def test_retry(check_dataset: CheckDataset) -> None:
    check_dataset(RangeDataset(5).retry(3), list(range(5)), gathers=True)
    check_dataset(RetriedDataset(["a", "b"], 2), ["a", "b"], gathers=False)


@pytest.mark.parametrize("way", ["item", "items", "gather"])
def test_a_read_that_fails_is_tried_again(way: str, waits: list[float]) -> None:
    source = Flaky(3, OSError("network"))
    assert read(RetriedDataset(source, 4, backoff=0.5), way) == [3]
    assert source.calls == 4
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("way", ["item", "items", "gather"])
def test_waits_may_be_doubled_any_number_of_times(way: str, waits: list[float]) -> None:
    assert read(RetriedDataset(Flaky(1100, OSError("network")), 1101, backoff=0.0), way) == [3]
    assert waits == [0.0] * 1100
    waits.clear()
    assert read(RetriedDataset(Flaky(1100, OSError("network")), 1101, backoff=1), way) == [3]
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert max(waits) == waits[-1] == threading.TIMEOUT_MAX
    assert read(RetriedDataset(Flaky(1, OSError("network")), 2, backoff=10**400), way) == [3]


@pytest.mark.parametrize("way", ["item", "items", "gather"])
def test_the_last_error_is_passed_on_with_the_count(way: str, waits: list[float]) -> None:
    error = ConnectionError("network")
    source = Flaky(99, error)
    with pytest.raises(ConnectionError) as caught:
        read(RetriedDataset(source, 4), way)
    assert caught.value is error
    assert caught.value.__notes__ == ["gave up after 4 attempts"]
    assert source.calls == 4
    assert len(waits) == 3


def test_other_errors_are_passed_on_at_once(waits: list[float]) -> None:
    source = Flaky(1, KeyError("missing"))
    with pytest.raises(KeyError) as caught:
        RetriedDataset(source, 4)[0]
    assert not hasattr(caught.value, "__notes__")
    assert source.calls == 1
    assert waits == []
    assert RetriedDataset(Flaky(1, KeyError("missing")), 2, on=(KeyError, OSError))[0] == 0


def test_one_attempt_is_no_retry() -> None:
    source = Flaky(1, OSError("network"))
    with pytest.raises(OSError, match="network") as caught:
        RetriedDataset(source, 1)[0]
    assert caught.value.__notes__ == ["gave up after 1 attempt"]


def test_retry_is_transparent() -> None:
    rows = RangeDataset(9).shuffle(seed=1)
    assert rows.retry(2).fingerprint() == rows.fingerprint()
    assert list(rows.retry(2).at_epoch(1)) == list(rows.at_epoch(1))
    assert repr(rows.retry(2, on=(OSError, KeyError))).startswith("RetriedDataset(attempts=2, on=OSError, KeyError)\n")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1, got 0"),
        ({"attempts": 1.5}, TypeError, "attempts must be an integer"),
        ({"attempts": 2, "on": OSError}, TypeError, r"on must be a tuple of exception types, such as \(OSError,\)"),
        ({"attempts": 2, "on": (3,)}, TypeError, "on must be"),
        ({"attempts": 2, "on": (KeyboardInterrupt,)}, TypeError, "on must be"),
        ({"attempts": 2, "backoff": -1}, ValueError, "backoff must be at least 0 seconds and finite, got -1"),
        ({"attempts": 2, "backoff": float("nan")}, ValueError, "backoff must be .* finite, got nan"),
        ({"attempts": 2, "backoff": float("inf")}, ValueError, "backoff must be .* finite, got inf"),
        ({"attempts": 2, "backoff": "x"}, TypeError, "backoff must be a number of seconds, got 'x'"),
        ({"attempts": 2, "backoff": True}, TypeError, "backoff must be a number of seconds, got True"),
    ],
)
def test_bad_settings(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeDataset(3).retry(**options)


class TimeIsUpError(OSError):
    """What a signal handler raises."""


def end_now(*_: object) -> None:
    raise TimeIsUpError


def test_a_signal_handlers_error_is_not_tried_again() -> None:
    reads: list[int] = []

    class Signalled:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, row: int) -> int:
            reads.append(row)
            if len(reads) == 1:
                signal.raise_signal(signal.SIGUSR1)
            return row

    before = signal.signal(signal.SIGUSR1, end_now)
    try:
        with pytest.raises(TimeIsUpError):
            RetriedDataset(Signalled(), 3, backoff=0)[1]
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert reads == [1]
