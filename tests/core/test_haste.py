"""Callers that ask for very small batches so fast that they load several at once, and do without workers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any

import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader, LoaderIterator, iterator
from loadax_core.observe import activity as tasks
from loadax_core.observe import recorder, timeline
from loadax_core.observe.recorder import PLAIN_SECONDS, Recorder
from loadax_core.run import inline, watching
from loadax_core.run import window as workers
from loadax_core.run import worker as workbench
from loadax_core.run.haste import BATCHES, HASTE_SECONDS, PATIENCE, SOON, Haste
from loadax_core.run.inline import QUICK_SECONDS, SEVERAL_ITEMS, Inline

STEPS = 1000
MOST = SEVERAL_ITEMS[1]


class Clock:
    """Goes on by little at each look, and by what a test adds."""

    def __init__(self) -> None:
        self.now = 1.0
        self.looks = 0

    def __call__(self) -> float:
        self.now += 1e-7
        self.looks += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (inline, iterator, tasks, timeline, watching, workbench, workers):
        monkeypatch.setattr(module, "perf_counter", clock)
    return clock


class Items:
    """Rows that are read many at once: how many were, by whom, and which could not be."""

    def __init__(self, rows: int, fails_at: int | None = None) -> None:
        self.rows, self.fails_at = rows, fails_at
        self.reads: list[int] = []
        self.readers: Counter[str] = Counter()

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> int:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[int]:
        self.reads.append(len(rows))
        self.readers[threading.current_thread().name[:6]] += 1
        if self.fails_at in rows:
            raise OSError(f"row {self.fails_at} is gone")
        return rows


def as_it_is(items: list[Any]) -> list[Any]:
    return items


def pairs(dataset: Any, prefetch: int = 0, batcher: Callable[[list[Any]], Any] = as_it_is) -> LoaderIterator[Any]:
    builder: DataLoader[Any, Any] = DataLoader(batcher).batch_size(2)
    return iter((builder.prefetch(prefetch) if prefetch else builder).build(dataset))


def pass_by(batches: Iterator[Any], count: int) -> None:
    for _ in islice(batches, count):
        pass


@pytest.mark.parametrize(("share", "most"), [(0.0, MOST), (0.9, MOST), (1.1, 1), (100.0, 1)])
def test_a_quick_caller_gets_batches_that_were_read_together(share: float, most: int, clock: Clock) -> None:
    """With the time between two calls, as a share of what is quick."""
    dataset = Items(2 * STEPS)
    batches = pairs(dataset)
    for step in range(STEPS):
        assert next(batches) == [2 * step, 2 * step + 1]
        clock.now += share * QUICK_SECONDS
    assert next(batches, None) is None
    assert max(dataset.reads) == 2 * most


def test_who_slows_down_gets_single_batches_again(clock: Clock) -> None:
    dataset = Items(2 * STEPS)
    batches = pairs(dataset)
    pass_by(batches, STEPS // 2)
    assert dataset.reads[-1] == 2 * MOST
    for _ in islice(batches, 2 * MOST):
        clock.now += 1.0
    dataset.reads.clear()
    for _ in islice(batches, 50):
        clock.now += 1.0
    assert set(dataset.reads) == {2}


# Enough of them that a caller in haste does without workers.
hands = pytest.mark.parametrize("prefetch", [0, 2 * MOST])


@hands
def test_a_quick_caller_looks_at_the_clock_once_for_all_that_was_read_together(prefetch: int, clock: Clock) -> None:
    dataset = Items(2 * STEPS)
    with pairs(dataset, prefetch) as batches:
        pass_by(batches, STEPS // 2)
        dataset.readers.clear()
        looking = 0
        for step in range(STEPS // 2, STEPS):
            looks = clock.looks
            assert next(batches) == [2 * step, 2 * step + 1]
            looking += clock.looks > looks
            clock.now += QUICK_SECONDS / 2
        assert looking < STEPS / 2 / (MOST / 2)
        assert set(dataset.readers) == {"MainTh"}


@pytest.mark.parametrize("prefetch", [0, 2, 2 * MOST])
def test_a_quick_caller_asks_for_a_trace_once_in_a_moment(
    prefetch: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Calls that are watched ask, too.
    monkeypatch.setattr(recorder, "WATCH_SECONDS", 60.0)
    monkeypatch.setattr(recorder, "WATCH_SHARE", inf)
    with pairs(Items(4 * STEPS), prefetch) as batches:
        pass_by(batches, STEPS // 2)
        asked = 0
        begun = inf

        def is_traced() -> bool:
            nonlocal asked
            asked += 1
            return clock.now > begun

        marks: Counter[str] = Counter()

        def annotate(name: str, **_: Any) -> Any:
            marks[name] += 1
            return nullcontext()

        batches._is_traced, batches._annotate = is_traced, annotate
        for _ in islice(batches, STEPS):
            clock.now += 0.9 * QUICK_SECONDS
        assert 0 < asked <= 1 + STEPS * QUICK_SECONDS / PLAIN_SECONDS
        begun = clock.now
        while clock.now < begun + PLAIN_SECONDS + MOST * QUICK_SECONDS:
            next(batches)
            clock.now += 0.9 * QUICK_SECONDS
        assert batches._recorder.annotate is annotate
        marks.clear()
        pass_by(batches, 2 * MOST)
        assert marks["loadax.wait"] == 2 * MOST
        begun = inf
        next(batches)
        assert batches._recorder.annotate is None


@hands
def test_the_time_of_who_slows_down_is_known_when_what_is_at_hand_is_taken(prefetch: int, clock: Clock) -> None:
    with pairs(Items(2 * STEPS), prefetch) as batches:
        pass_by(batches, STEPS // 2)
        # As many as there are at most.
        while len(batches._recorder.hand) < MOST - 1:
            next(batches)
        notes = batches._recorder
        before = notes.elapsed
        for steps in range(4 * MOST):
            next(batches)
            # The return of this call is the end.
            assert steps - MOST < notes.elapsed - before < steps + 0.1
            clock.now += 1.0
        assert notes.elapsed - before > 4 * MOST - 1.1


@hands
def test_who_asks_for_the_time_again_knows_it_up_to_the_call_before(prefetch: int, clock: Clock) -> None:
    dataset = Items(2 * STEPS)
    with pairs(dataset, prefetch) as batches:
        pass_by(batches, STEPS // 2)
        while len(batches._recorder.hand) < MOST - 1:
            next(batches)
        reads, before = len(dataset.reads), batches.stats().elapsed
        for steps in range(MOST // 2):
            next(batches)
            assert steps - 0.1 < batches.stats().elapsed - before < steps + 0.1
            clock.now += 1.0
        assert len(dataset.reads) == reads


@hands
@pytest.mark.usefixtures("clock")
def test_a_timeline_has_every_batch_of_a_quick_caller(prefetch: int) -> None:
    with pairs(Items(2 * STEPS), prefetch) as batches:
        pass_by(batches, STEPS // 2)
        while not batches._recorder.hand:
            next(batches)
        first = batches.step
        with batches.timeline() as recorded:
            for step in range(first, first + 3 * MOST):
                assert next(batches) == [2 * step, 2 * step + 1]
        assert [span.step for span in recorded.lanes["training"]] == list(range(first, first + 3 * MOST))
        assert {span.stage for span in recorded.lanes["caller"]} == {"reading", "batching"}
        assert list(batches) == [[2 * step, 2 * step + 1] for step in range(first + 3 * MOST, STEPS)]


@hands
@pytest.mark.usefixtures("clock")
def test_nothing_is_handed_out_after_a_timeline_or_an_end_that_came_in_the_midst_of_a_call(
    prefetch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_was = Recorder.let_pass
    with pairs(Items(2 * STEPS), prefetch) as batches:

        def in_the_next_call_that_takes(do: Callable[[], object]) -> None:
            pass_by(batches, STEPS // 3)
            called = False

            def let_pass(notes: Recorder, now: float) -> None:
                nonlocal called
                if not called:
                    called = True
                    do()
                as_it_was(notes, now)

            monkeypatch.setattr(Recorder, "let_pass", let_pass)
            while not called:
                batches._recorder.plain_until = 0.0
                next(batches)
            assert not batches._recorder.hand

        recorded = batches.timeline()
        in_the_next_call_that_takes(recorded.__enter__)
        first = batches.step
        for step in range(first, first + MOST):
            assert next(batches) == [2 * step, 2 * step + 1]
        recorded.__exit__(None, None, None)
        assert [span.step for span in recorded.lanes["training"]] == list(range(first, first + MOST))
        in_the_next_call_that_takes(batches.close)
        with pytest.raises(ClosedError):
            next(batches)


class Interrupted(list[Any]):
    def pop(self, *args: Any) -> Any:
        super().pop(*args)
        raise KeyboardInterrupt


@hands
@pytest.mark.usefixtures("clock")
def test_what_is_in_hand_goes_with_what_it_came_from(prefetch: int) -> None:
    with pairs(Items(2 * STEPS), prefetch) as batches:

        def with_hand() -> int:
            pass_by(batches, STEPS // 3)
            while not batches._recorder.hand:
                next(batches)
            return batches.step

        with_hand()
        batches.set_state({**batches.get_state(), "row": 20})
        assert next(batches) == [20, 21]
        step = with_hand()
        batches._recorder.hand = Interrupted(batches._recorder.hand)
        with pytest.raises(KeyboardInterrupt):
            next(batches)
        assert next(batches) == [2 * step, 2 * step + 1]
        batches.set_state({**batches.get_state(), "row": 0})
        with_hand()
    with pytest.raises(ClosedError):
        next(batches)


@dataclass
class Derived:
    """What no batch can be made of part by part, which a batcher may return nonetheless."""

    items: list[int]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.items)


ENDLESS: dict[str, Any] = {}
ENDLESS["self"] = ENDLESS


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("batch", "most"),
    [
        (np.zeros(2), MOST),
        (Derived([1, 2]), 1),
        (ENDLESS, 1),
        ({"text": ["a", b"b"], "n": [1, 2.5, np.int8(3), None, True]}, MOST),
        ([1, object()], 1),
        ([bytes(600_000)], 1),
        ([bytes(400_000)], 4),
        ([bytes(100_000)], 16),
    ],
)
def test_only_what_is_known_to_be_small_is_kept(batch: Any, most: int) -> None:
    dataset = Items(2 * STEPS)
    pass_by(pairs(dataset, batcher=lambda _: batch), STEPS)
    assert max(dataset.reads) == 2 * most


@pytest.mark.usefixtures("clock")
def test_rows_that_are_read_one_by_one_are_not_read_before_they_are_asked_for() -> None:
    read: list[int] = []

    class Single(list[int]):
        def __getitem__(self, row: Any) -> Any:
            read.append(row)
            return row

    for step, _ in enumerate(pairs(Single(range(2 * STEPS)))):
        assert len(read) == 2 * step + 2


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("prefetch", [0, 2, 16])
def test_an_error_reaches_only_its_batch(prefetch: int) -> None:
    dataset = Items(2 * STEPS, fails_at=1401)
    batches = pairs(dataset, prefetch)
    assert [next(batches) for _ in range(700)] == [[row, row + 1] for row in range(0, 1400, 2)]
    with pytest.raises(OSError, match="row 1401 is gone") as caught:
        next(batches)
    assert caught.value.__notes__ == [
        "loadax: raised by row 1401",
        "loadax: while reading the batch of epoch 0, step 700",
    ]
    assert batches.step == 700


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("prefetch", [0, 16])
def test_an_error_of_the_batcher_reaches_only_its_batch(prefetch: int) -> None:
    def refuse(items: list[int]) -> list[int]:
        if 1401 in items:
            raise KeyError("never")
        return items

    batches = pairs(Items(2 * STEPS), prefetch, refuse)
    assert [next(batches) for _ in range(700)] == [[row, row + 1] for row in range(0, 1400, 2)]
    with pytest.raises(KeyError, match="never") as caught:
        next(batches)
    assert caught.value.__notes__ == [
        "loadax: made of rows 1400, 1401",
        "loadax: while batching the batch of epoch 0, step 700",
    ]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("prefetch", [0, 2, 16])
@pytest.mark.parametrize("drop", [False, True])
def test_epochs_end_as_ever(drop: bool, prefetch: int) -> None:
    builder: DataLoader[Any, Any] = DataLoader(as_it_is).batch_size(2, drop_remainder=drop).epochs(30)
    loader = (builder.prefetch(prefetch) if prefetch else builder).build(Items(45))
    rows = list(range(44 if drop else 45))
    assert list(loader) == 30 * [rows[i : i + 2] for i in range(0, len(rows), 2)]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("prefetch", [0, 2, 16])
@pytest.mark.parametrize("step", [17, 100, 163, 164, 165, 700])
def test_what_is_loaded_and_not_yet_taken_does_not_count(step: int, prefetch: int) -> None:
    batches = pairs(Items(2 * STEPS), prefetch)
    pass_by(batches, step)
    stats = batches.stats()
    assert (batches.step, stats.batches, stats.rows) == (step, step, 2 * step)
    again = pairs(Items(2 * STEPS), prefetch)
    pass_by(again, 300)
    again.set_state(batches.get_state())
    assert next(again) == next(batches) == [2 * step, 2 * step + 1]


@pytest.mark.parametrize("prefetch", [0, 16])
def test_who_closes_gets_none_of_what_is_loaded(prefetch: int, clock: Clock) -> None:
    batches = pairs(Items(2 * STEPS), prefetch)
    pass_by(batches, 300)
    clock.now += 1.0
    batches.close()
    with pytest.raises(RuntimeError, match="closed"):
        next(batches)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("prefetch", "most"), [(2, 1), (3, 1), (4, 4), (8, 8), (16, 16), (200, MOST)])
def test_a_caller_in_haste_loads_itself_and_no_more_than_may_be_ready(prefetch: int, most: int) -> None:
    dataset = Items(4 * STEPS)
    batches = pairs(dataset, prefetch)
    pass_by(batches, STEPS)
    dataset.reads.clear()
    dataset.readers.clear()
    pass_by(batches, STEPS // 2)
    assert set(dataset.readers) == {"MainTh"}
    assert max(dataset.reads) == 2 * most


@pytest.mark.parametrize("prefetch", [2, 16])
def test_workers_load_ahead_again_when_it_has_time(prefetch: int, clock: Clock) -> None:
    dataset = Items(4 * STEPS)
    batches = pairs(dataset, prefetch)
    pass_by(batches, STEPS)
    for step in range(STEPS, STEPS + 3 * prefetch + 50):
        assert next(batches) == [2 * step, 2 * step + 1]
        clock.now += 1.0
        deadline = time.monotonic() + 10
        while step >= STEPS + 3 * prefetch and sum(dataset.reads) < 2 * step + prefetch:
            assert time.monotonic() < deadline, f"at step {step}, {sum(dataset.reads)} rows have been read"
            time.sleep(0.0001)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", ["timeout", "executor"])
def test_workers_are_kept_where_the_caller_cannot_take_their_place(way: str) -> None:
    dataset = Items(2 * STEPS)
    builder: DataLoader[Any, Any] = DataLoader(as_it_is).batch_size(2).prefetch(2)
    with ThreadPoolExecutor(1, "loadax") as executor:
        builder = builder.timeout(60.0) if way == "timeout" else builder.workers(executor)
        assert list(builder.build(dataset)) == [[row, row + 1] for row in range(0, 2 * STEPS, 2)]
    assert set(dataset.readers) == {"loadax"}


def test_a_caller_that_alone_is_slower_does_so_ever_more_rarely(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    takes: list[int] = []
    take = Inline.take

    def slowly(self: Inline, watched: bool) -> Any:
        takes.append(1)
        clock.now += HASTE_SECONDS / 2
        return take(self, watched)

    monkeypatch.setattr(Inline, "take", slowly)
    stretches = 600
    batches = pairs(Items(2 * stretches * BATCHES), 2)
    pass_by(batches, stretches * BATCHES)
    # One after 1 stretch, and others after 2, 4, ..., 256.
    assert 5 * BATCHES < len(takes) < 11 * BATCHES


class Course:
    """A consumer, from one stretch to the next."""

    def __init__(self) -> None:
        self.lane = Recorder().caller
        self.haste = Haste(self.lane)
        self.now, self.taken = 1.0, 0
        # The first look begins a stretch.
        self.alone = self.haste.look(self.now, self.taken)

    def go_on(self, each: float, loading: float = 0.0) -> bool:
        """Whether it is to load itself after a stretch with so many seconds for each batch, some of them to load it."""
        for _ in range(BATCHES):
            self.now, self.taken = self.now + each, self.taken + 1
            self.lane.brief += loading
            self.alone = self.haste.look(self.now, self.taken)
        return self.alone

    def stretches_to_a_trial(self, each: float = HASTE_SECONDS / 2) -> int:
        """How many stretches of haste pass before it loads itself."""
        assert not self.alone
        stretches = next(i for i in range(1, 1000) if self.go_on(each))
        self.haste.begin(self.now, self.taken)
        return stretches


def test_one_stretch_of_haste_is_enough_at_first() -> None:
    assert Course().stretches_to_a_trial() == PATIENCE[0]


def test_who_takes_time_is_not_in_haste() -> None:
    course = Course()
    assert not any(course.go_on(1.1 * HASTE_SECONDS) for _ in range(100))


def test_a_trial_that_is_no_slower_goes_on() -> None:
    course = Course()
    course.stretches_to_a_trial()
    assert all(course.go_on(HASTE_SECONDS / 3, HASTE_SECONDS / 4) for _ in range(100))


def test_one_that_is_slower_fails_and_the_next_one_takes_ever_longer() -> None:
    course, passed = Course(), list[int]()
    for _ in range(12):
        passed.append(course.stretches_to_a_trial())
        assert not course.go_on(0.75 * HASTE_SECONDS, 0.7 * HASTE_SECONDS)
    assert passed == [min(2**i * PATIENCE[0], PATIENCE[1]) for i in range(12)]


def test_a_trial_begins_when_what_workers_had_loaded_has_been_handed_out() -> None:
    course = Course()
    assert course.go_on(HASTE_SECONDS / 2)
    # It helps with some of that.
    assert course.go_on(0.75 * HASTE_SECONDS, 0.7 * HASTE_SECONDS)
    course.haste.begin(course.now, course.taken)
    assert not course.go_on(0.75 * HASTE_SECONDS, 0.7 * HASTE_SECONDS)
    assert course.stretches_to_a_trial() == 2 * PATIENCE[0]


def test_after_a_long_one_another_is_soon_tried() -> None:
    course = Course()
    for _ in range(5):
        course.stretches_to_a_trial()
        assert not course.go_on(0.75 * HASTE_SECONDS, 0.7 * HASTE_SECONDS)
    course.stretches_to_a_trial()
    for _ in range(SOON):
        assert course.go_on(HASTE_SECONDS / 3, HASTE_SECONDS / 4)
    assert not course.go_on(0.75 * HASTE_SECONDS, 0.7 * HASTE_SECONDS)
    assert course.stretches_to_a_trial() == PATIENCE[0]


@pytest.mark.parametrize("each", [1.1 * HASTE_SECONDS, 1.0])
def test_slow_steps_end_one_and_do_not_count_against_the_next(each: float) -> None:
    course = Course()
    for _ in range(5):
        assert course.stretches_to_a_trial() == PATIENCE[0]
        assert not course.go_on(each, HASTE_SECONDS / 4)


def test_what_is_taken_back_has_not_been_handed_out() -> None:
    notes = Recorder()
    at_hand: list[Any] = [(None, None)] * 10
    notes.offer(at_hand)
    del at_hand[7:]
    notes.ask()
    assert (notes.hand, notes.handed) == ([], 3)
