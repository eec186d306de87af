"""mix: shares, determinism, and how a mixture ends."""

import hashlib
import json
import pickle
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadax_core import DataLoader, StackBatcher, StateError, aligned_empty
from loadax_core.testing import check_same
from loadax_datasets import BaseDataset, MixedDataset, RangeDataset
from loadax_datasets.orders import alternation
from loadax_datasets.orders.schedule import WHOLE, phases_of, shares_of


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def sources(*lengths: int) -> list[RangeDataset]:
    """Sources whose items tell where they come from: item r of source s is 1000000 s + r."""
    return [RangeDataset(10**6 * i, 10**6 * i + length) for i, length in enumerate(lengths)]


def rows_of(dataset: BaseDataset[int], number: int) -> list[int]:
    return [item % 10**6 for item in dataset if item // 10**6 == number]


@pytest.mark.parametrize("until", ["first", "all"])
def test_mix(check_dataset: CheckDataset, until: Any) -> None:
    rows = MixedDataset(sources(30, 8, 5), [3, 1, 1], seed=2, until=until)
    check_dataset(rows, [rows[i] for i in range(len(rows))], gathers=True)
    chained = RangeDataset(9).mix(["a", "b"], weights=[4, 1], until=until)
    check_dataset(chained, list(chained), gathers=False)
    check_dataset(MixedDataset(sources(4)), [0, 1, 2, 3], gathers=True)


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
    block=st.sampled_from([8, 32, 100]),
)
def test_a_mixture_ends_with_the_first_source_that_has_no_row_left(
    lengths: list[int], weights: list[int], seed: int, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternation, "WINDOW", block)
        rows = MixedDataset(sources(*lengths), weights[: len(lengths)], seed=seed)
        longer = MixedDataset(sources(*(n + 100 for n in lengths)), weights[: len(lengths)], seed=seed)
        taken = [rows_of(rows, i) for i in range(len(lengths))]
        assert taken == [list(range(len(part))) for part in taken], "every source in its own order, from its start"
        assert all(len(part) <= n for part, n in zip(taken, lengths, strict=True))
        following = longer[len(rows)] // 10**6
        assert len(taken[following]) == lengths[following], "it stops no sooner than it must"
        assert list(longer[: len(rows)]) == list(rows), "longer sources move no row"
        if rows:
            assert rows.gather is not None
            assert rows.gather(np.arange(len(rows)), aligned_empty).tolist() == list(rows)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    weights=st.lists(st.integers(1, 20), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_a_mixture_may_go_on_until_every_source_was_read(lengths: list[int], weights: list[int], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternation, "WINDOW", 32)
        rows = MixedDataset(sources(*lengths), weights[: len(lengths)], seed=seed, until="all")
        taken = [rows_of(rows, i) for i in range(len(lengths))]
        for part, n in zip(taken, lengths, strict=True):
            assert part == [i % n for i in range(len(part))], "in order, and from the start again"
            assert len(part) >= n
        last = rows[-1] // 10**6
        assert len(taken[last]) == lengths[last], "it ends as soon as it may"


def test_changing_one_source_moves_no_row_of_the_others() -> None:
    before = MixedDataset(sources(5000, 5000, 5000), [5, 3, 2])
    after = MixedDataset(sources(5000, 4000, 9000), [5, 3, 2])
    n = min(len(before), len(after))
    assert list(before[:n]) == list(after[:n])


def test_the_alternation_is_random_within_its_bounds() -> None:
    """Of two equal sources, every two rows have one of each, and the order of the two is like that of coins."""
    which = np.array([item // 10**6 for item in MixedDataset(sources(8192, 8192), seed=1)])[:16_000]
    pairs = which.reshape(-1, 2)
    assert set(np.abs(np.cumsum(which) - np.arange(1, 16_001) / 2).tolist()) <= {0.0, 0.5, 1.0}
    whole = pairs[:, 0] != pairs[:, 1]
    assert whole.mean() > 0.4
    firsts = pairs[whole, 0]
    # Six standard deviations.
    assert abs(firsts.mean() - 0.5) < 6 * 0.5 / np.sqrt(len(firsts))
    assert abs((firsts[1:] == firsts[:-1]).mean() - 0.5) < 6 * 0.5 / np.sqrt(len(firsts))


@given(weights=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=50))
def test_shares_add_up_and_none_is_nothing(weights: list[float]) -> None:
    shares = shares_of(weights, len(weights))
    assert sum(shares) == WHOLE
    assert min(shares) >= 1
    exact = np.array(weights) / sum(weights) * WHOLE
    assert np.abs(np.array(shares) - exact).max() <= len(weights)
    assert shares_of([*weights, 0.0], len(weights) + 1) == (*shares, 0), "a source of weight 0 changes no other share"


weights_of_three = st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any)


@settings(max_examples=40)
@given(
    start=weights_of_three,
    second=st.tuples(st.integers(1, 400), weights_of_three),
    linear=st.tuples(st.integers(1, 300), weights_of_three, st.integers(1, 500)),
    seed=st.integers(0, 99),
    window=st.sampled_from([16, 64, alternation.WINDOW]),
)
def test_the_first_rows_of_each_phase_hold_the_share_of_each_source(
    start: list[int], second: Any, linear: Any, seed: int, window: int
) -> None:
    first, weights = second
    begin = first + linear[0]
    changes: Any = {0: start, first: weights, begin: ("linear", linear[1], linear[2])}
    stop = begin + linear[2] + 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternation, "WINDOW", window)
        rows = MixedDataset(sources(5000, 5000, 5000), changes, rows=stop, seed=seed)
        items = np.array(list(rows))
        assert all(rows_of(rows, i) == list(range(len(rows_of(rows, i)))) for i in range(3)), (
            "nothing twice, nothing left out"
        )
        again = rows.gather_range(range(len(rows)), aligned_empty)
        assert again.tolist() == items.tolist()
    for phase in phases_of(changes, 3):
        which = items[phase.start : int(min(stop, phase.stop))] // 10**6
        k = np.arange(1, len(which) + 1)
        for source in range(3):
            share, end = phase.shares[source] / WHOLE, phase.ends[source] / WHOLE
            expected = share * k + (0 if phase.rows is None else (end - share) * k * k / (2 * phase.rows))
            assert np.abs(np.cumsum(which == source) - expected).max(initial=0) < 3


def test_seeds_and_weights_change_the_alternation_and_epochs_do_not() -> None:
    one = MixedDataset(sources(100, 100), seed=1)
    assert list(one) != list(MixedDataset(sources(100, 100), seed=2))[: len(one)]
    assert one.at_epoch(4) is one
    shuffled = MixedDataset([s.shuffle(seed=3) for s in sources(100, 100)], seed=1)
    later = shuffled.at_epoch(1)
    assert [item // 10**6 for item in later] == [item // 10**6 for item in one]
    assert list(later) != list(shuffled)
    others: list[dict[str, Any]] = [{}, {"weights": [1, 2]}, {"seed": 1}, {"until": "all"}]
    fingerprints = [MixedDataset(sources(9, 9), **options).fingerprint() for options in others]
    assert all(a != b for i, a in enumerate(fingerprints) for b in fingerprints[i + 1 :])


def test_far_rows_are_found_without_the_rows_before() -> None:
    rows = MixedDataset([RangeDataset(2**61), RangeDataset(2**61)])
    assert abs(rows[2**60] - 2**59) <= 1
    assert len(pickle.dumps(rows)) < 2000


def test_repr_shows_the_shares() -> None:
    rows = MixedDataset([[1], [2]], [3, 1])
    assert repr(rows).startswith("MixedDataset(75%, 25%, seed=0, until='first')\n├─ ")


@pytest.mark.parametrize(
    ("lengths", "options", "error", "message"),
    [
        ([], {}, ValueError, "needs at least one dataset"),
        ([3, 3], {"weights": [1]}, ValueError, r"for each of 2 sources, got \[1\]"),
        ([3, 3], {"weights": [0, 0]}, ValueError, "at least one weight must be above 0"),
        ([3, 3], {"weights": [1, -1]}, ValueError, "at least 0"),
        ([3, 3], {"weights": {1: [1, 1]}}, ValueError, "begin at row 0"),
        ([3, 3], {"weights": {0.5: [1, 1]}}, TypeError, "a row of weights must be an integer"),
        ([3, 3], {"weights": {0: ("linear", [1, 1], 5)}}, ValueError, "no weights before row 0"),
        ([3, 3], {"weights": {0: [1, 1], 2: ("cubic", [1, 1], 5)}}, ValueError, "is \\('linear', weights, rows\\)"),
        ([3, 3], {"weights": {0: [1, 1], 2: ("linear", [1, 1], 0)}}, ValueError, "at least 1"),
        ([3, 3], {"weights": {0: [1, 1], 2: ("linear", [1, 2], 5), 4: [1, 1]}}, ValueError, "let it take 2 rows"),
        ([3, 3], {"weights": [1, 0], "until": "all"}, ValueError, "the weight of source 1 is 0"),
        ([3, 3], {"rows": 5, "until": "all"}, ValueError, "leave out until='all'"),
        ([3, 3], {"rows": 0}, ValueError, "rows must be at least 1"),
        ([3, 0], {"rows": 5}, ValueError, "source 1 is empty"),
        ([3, 3], {"weights": [1, float("inf")]}, ValueError, "finite"),
        ([3, 3], {"until": "last"}, ValueError, "until must be 'first' or 'all', got 'last'"),
        ([3, 0], {"until": "all"}, ValueError, "source 1 is empty and cannot start again"),
        ([3, 3], {"seed": 1.5}, TypeError, "seed must be an integer"),
    ],
)
def test_bad_mixtures(lengths: list[int], options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MixedDataset(sources(*lengths), **options)


def passes_of(rows: BaseDataset[int], number: int, length: int) -> list[list[int]]:
    """The rows of one source, in the order in which the mixture has them, pass by pass."""
    taken = rows_of(rows, number)
    return [taken[start : start + length] for start in range(0, len(taken), length)]


@given(block=st.sampled_from([16, 100, alternation.WINDOW]), epochs=st.integers(1, 3), seed=st.integers(0, 9))
def test_each_pass_over_a_source_has_an_order_of_its_own(block: int, epochs: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alternation, "WINDOW", block)
        shuffled = [source.shuffle(seed=seed) for source in sources(60, 400)]
        rows = MixedDataset(shuffled, [1, 2], seed=seed, until="all")
        assert rows.gather is not None
        seen: list[list[int]] = []
        for epoch in range(epochs):
            later = rows.at_epoch(epoch)
            passes = passes_of(later, 0, 60)
            assert len(passes) in (3, 4)
            for turn, order in enumerate(passes):
                expected = list(shuffled[0].at_epoch(epoch * len(passes) + turn))
                assert order == expected[: len(order)], "the source goes on with its next epoch"
            assert rows_of(later, 1) == [row % 10**6 for row in shuffled[1].at_epoch(epoch)]
            seen += [order for order in passes if len(order) == 60]
            again = rows.at_epoch(7).at_epoch(epoch)
            assert list(again.gather_range(range(len(rows)), aligned_empty)) == list(later)
        assert len({tuple(order) for order in seen}) == len(seen), "no order comes twice"
        assert all(sorted(order) == list(range(60)) for order in seen)


class Noted(BaseDataset[int]):
    """Ten rows that tell the epoch, which note each epoch that is opened."""

    def __init__(self, opened: list[int], epoch: int = 0) -> None:
        self.opened, self.epoch = opened, epoch

    def __len__(self) -> int:
        return 10

    def read(self, row: int) -> int:
        return 10 * self.epoch + row

    def at_epoch(self, epoch: int, /) -> BaseDataset[int]:
        self.opened.append(epoch)
        return Noted(self.opened, epoch)


def test_passes_are_found_without_those_before() -> None:
    opened: list[int] = []
    rows = MixedDataset([Noted(opened), RangeDataset(10**9, 10**9 + 10**6)], seed=1, until="all")
    passes = rows.fingerprint()["passes"]
    assert passes[1] == 1
    last = max(row for row in range(len(rows) - 100, len(rows)) if rows[row] < 10**9)
    for epoch in (0, 1000):
        later = rows.at_epoch(epoch)
        opened.clear()
        assert later[last] // 10 == epoch * passes[0] + passes[0] - 1
        assert opened == [epoch * passes[0] + passes[0] - 1]


class Even:
    """Rows that are gathered in even epochs, and read as items in odd ones."""

    def __init__(self, rows: int, epoch: int = 0) -> None:
        self.rows, self.epoch = rows, epoch
        if epoch % 2 == 0:
            self.gather = self.take

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> np.int64:
        return np.int64(row + 100 * self.epoch)

    def take(self, rows: Any, alloc: Any) -> Any:
        return rows + 100 * self.epoch

    def at_epoch(self, epoch: int) -> Any:
        return Even(self.rows, epoch)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_source_may_be_gathered_in_one_pass_and_read_as_items_in_another(workers: int) -> None:
    rows = MixedDataset[Any]([Even(3), Even(4)], rows=20)
    assert rows.gather is not None
    for dataset in (rows, rows.map(np.negative, vectorized=True), rows.zip(RangeDataset(20))):
        batches = DataLoader().batch_size(6).workers(workers).epochs(2).build(dataset)
        expected = [StackBatcher()(list(dataset.at_epoch(e)[i : i + 6])) for e in (0, 1) for i in (0, 6, 12, 18)]
        check_same(list(batches), expected)


def test_an_epoch_of_the_loader_goes_on_with_further_passes() -> None:
    small, large = (source.shuffle(seed=2) for source in sources(50, 300))
    rows = small.mix(large, until="all", seed=3)
    loader = DataLoader().batch_size(32).workers(2).epochs(3).build(rows)
    batches = np.concatenate(list(loader))
    taken = batches[batches < 10**6].reshape(3, -1)
    per_epoch = -(-taken.shape[1] // 50)
    orders = [taken[epoch, 50 * i : 50 * i + 50].tolist() for epoch in range(3) for i in range(per_epoch)]
    whole = [tuple(order) for order in orders if len(order) == 50]
    assert len(set(whole)) == len(whole) >= 15


def test_a_mixture_that_ends_with_the_first_source_has_the_values_that_it_had() -> None:
    rows = MixedDataset([s.shuffle(seed=3) for s in sources(9000, 30_000, 5000)], [3, 2, 1], seed=5)
    digests = [hashlib.sha256(json.dumps(list(rows.at_epoch(e))).encode()).hexdigest()[:16] for e in (0, 2)]
    assert digests == ["c4382194cc3c389e", "6126a5f004110d21"]
    assert list(rows.fingerprint()) == ["mix", "seed", "ends", "sources"]


def test_states_of_mixtures_in_another_order_are_refused() -> None:
    rows = RangeDataset(5).mix(RangeDataset(40), until="all")
    iterator = iter(DataLoader().batch_size(4).build(rows))
    state = iterator.get_state()
    iterator.set_state(state)
    assert rows.fingerprint()["passes"] == [8, 1]
    before = rows.fingerprint() | {"mix": [8192, 8192]}
    old = iter(DataLoader().batch_size(4).build(Told(rows, before)))
    with pytest.raises(StateError):
        iterator.set_state(old.get_state())


class Told(BaseDataset[Any]):
    """Rows with another fingerprint."""

    def __init__(self, rows: BaseDataset[Any], facts: dict[str, Any]) -> None:
        self.rows, self.facts = rows, facts

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> Any:
        return self.rows.read(row)

    def fingerprint(self) -> dict[str, Any]:
        return self.facts
