"""What `DataLoader.count` counts: the batches that the loop gets, each once, and in no thread of the loop's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pytest
from elsewhere import Numbers
from loadax_core import DataLoader
from loadax_core import distributed as resolve

ROWS = 50
WORKERS = (0, 1, 3)

Setting = Callable[[DataLoader[Any, Any]], AbstractContextManager[DataLoader[Any, Any]]]


def executor(builder: DataLoader[Any, Any]) -> Any:
    """An executor that ends with the block."""

    class Shut:
        def __enter__(self) -> DataLoader[Any, Any]:
            self.pool = ThreadPoolExecutor(2)
            return builder.workers(self.pool)

        def __exit__(self, *_: object) -> None:
            self.pool.shutdown()

    return Shut()


SETTINGS: dict[str, Setting] = {
    "caller": nullcontext,
    "thread": lambda builder: nullcontext(builder.prefetch(4)),
    "threads": lambda builder: nullcontext(builder.workers(3).prefetch(4)),
    "process": lambda builder: nullcontext(builder.workers(1, kind="process")),
    "executor": executor,
}


def total(batch: Any) -> Any:
    return np.sum(batch)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("rows", [np.arange(ROWS), Numbers(ROWS)], ids=["gathered", "items"])
def test_the_batches_that_were_yielded_are_counted_each_once(setting: str, rows: Any) -> None:
    builder = DataLoader().batch_size(4).epochs(2).count(total=total, batches=lambda _: 1)
    with SETTINGS[setting](builder) as builder, iter(builder.build(rows)) as batches:
        assert batches.stats().counts == {"total": 0, "batches": 0}
        seen = number = 0
        for number, batch in enumerate(batches, start=1):
            seen += int(batch.sum())
            # Not those that are prefetched.
            assert batches.stats().counts == {"total": seen, "batches": number}
        assert seen == 2 * sum(range(ROWS))
        assert number == 26


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("rows", [np.arange(400), range(400)], ids=["gathered", "items"])
def test_a_worker_counts_and_never_the_loop(workers: int, rows: Any) -> None:
    counted: list[tuple[int, int]] = []

    def watch(batch: Any) -> int:
        counted.append((int(batch[0]), threading.get_ident()))
        return 1

    with iter(DataLoader().batch_size(2).workers(workers).count(batches=watch).build(rows)) as batches:
        assert batches.stats().counts == {"batches": 0}
        firsts = [int(batch[0]) for batch in batches]
    assert sorted(first for first, _ in counted) == firsts
    threads = {thread for _, thread in counted}
    assert (threading.get_ident() in threads) is (workers == 0)


def placed(batch: Any) -> Any:
    return "placed", batch.tolist()


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_are_counted_on_the_host(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def device_placement(target: object) -> Any:
        return placed

    monkeypatch.setattr(resolve, "device_placement", device_placement)
    builder = DataLoader().batch_size(2).workers(workers).count(rows=lambda batch: batch.shape[0])
    with iter(builder.prefetch(2 * bool(workers), to_device=True).build(range(5))) as batches:
        assert list(batches) == [("placed", [0, 1]), ("placed", [2, 3]), ("placed", [4])]
        assert batches.stats().counts == {"rows": 5}


@pytest.mark.parametrize("workers", WORKERS)
def test_batches_that_set_state_drops_are_not_counted(workers: int) -> None:
    with iter(DataLoader().batch_size(2).workers(workers).count(total=total).build(np.arange(40))) as batches:
        next(batches)
        state = batches.get_state()
        next(batches)
        batches.set_state(state)
        next(batches)
        assert batches.stats().counts == {"total": 0 + 1 + 2 * (2 + 3)}
        assert batches.stats().batches == 3


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("rows", [np.arange(300), range(300)], ids=["gathered", "items"])
def test_an_error_belongs_to_its_step_and_names_the_count(workers: int, rows: Any) -> None:
    def fail(batch: Any) -> int:
        if 141 in batch:
            raise KeyError("loss_mask")
        return 1

    with iter(DataLoader().batch_size(2).workers(workers).count(tokens=fail).build(rows)) as batches:
        for _ in range(70):
            next(batches)
        for _ in range(2):
            with pytest.raises(KeyError, match="loss_mask") as caught:
                next(batches)
            assert caught.value.__notes__ == [
                "loadax: raised by the count 'tokens'",
                "loadax: while counting the batch of epoch 0, step 70",
            ]
        assert batches.stats().counts == {"tokens": 70}


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    "value", [None, "7", np.arange(2), np.ones(1), [1]], ids=["None", "string", "array", "one entry", "list"]
)
def test_what_is_no_number_is_an_error(workers: int, value: Any) -> None:
    def count(_: Any) -> Any:
        return value

    with iter(DataLoader().workers(workers).count(tokens=count).build(range(3))) as batches:
        with pytest.raises(TypeError, match=r"a count returns one number for a batch, such as .*, got") as caught:
            next(batches)
        assert caught.value.__notes__[0] == "loadax: raised by the count 'tokens'"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 2),
        (2**62, 2**63),
        (np.int32(3), 6),
        (np.array(3), 6),
        (0.5, 1.0),
        (np.float32(0.5), 1.0),
        (np.True_, 2.0),
    ],
)
def test_numbers_of_any_type_are_summed_as_pythons_own(value: Any, expected: float) -> None:
    batches = iter(DataLoader().count(number=lambda _: value).build(range(2)))
    assert len(list(batches)) == 2
    number = batches.stats().counts["number"]
    assert number == expected
    assert type(number) is type(expected)


def test_a_builder_with_counts_is_a_value() -> None:
    plain = DataLoader().batch_size(2)
    one = plain.count(rows=len)
    both = one.count(total=total)
    other = both.count(rows=total)
    assert [list(counts(builder)) for builder in (plain, one, both)] == [[], ["rows"], ["rows", "total"]]
    assert counts(both) == {"rows": 2, "total": 1}
    assert counts(other) == {"rows": 1, "total": 1}
    assert "counts={'rows': <built-in function len>}" in repr(one)
    assert "counts: rows, total" in repr(both.build(range(3)))
    assert "counts" not in repr(plain.build(range(3)))


def counts(builder: Any) -> Any:
    """What is counted in one batch, of 0 and 1."""
    batches: Any = iter(builder.build(range(3)))
    next(batches)
    return batches.stats().counts


def test_wrong_counts_are_refused() -> None:
    builder: Any = DataLoader()
    with pytest.raises(TypeError, match=r"count needs a function for each name, as in count\(tokens=lambda batch:"):
        builder.count()
    with pytest.raises(TypeError, match=r"count\(tokens=...\) must be a function that takes a batch, got 7"):
        builder.count(tokens=7)


def test_statistics_show_what_was_counted_per_second() -> None:
    batches = iter(DataLoader().batch_size(2).count(tokens=lambda batch: 1000 * len(batch)).build(range(4)))
    assert len(list(batches)) == 2
    stats = batches.stats()
    assert stats.counts_per_second == {"tokens": pytest.approx(4000 / stats.elapsed)}
    assert f"{4000 / stats.elapsed:,.0f} tokens/s" in str(stats)
    stats.counts["tokens"] = 0  # pyright: ignore[reportIndexIssue]
    assert batches.stats().counts == {"tokens": 4000}
    hash(stats)


def test_only_where_nothing_is_counted_the_loop_gathers_quick_batches_itself() -> None:
    builder = DataLoader().prefetch(2)
    assert builder.build(np.arange(4))._run.fetch.helps
    assert not builder.count(total=total).build(np.arange(4))._run.fetch.helps


def test_an_interrupt_of_a_count_in_the_callers_thread_is_no_batchs() -> None:
    def interrupt(_: Any) -> int:
        raise KeyboardInterrupt

    batches = iter(DataLoader().count(tokens=interrupt).build(range(3)))
    with pytest.raises(KeyboardInterrupt) as caught:
        next(batches)
    assert not hasattr(caught.value, "__notes__")
