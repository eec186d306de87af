"""sample: with and without replacement, with and without weights.

Statistical thresholds are what chance exceeds less than once in a billion times; see test_permutation.py.
"""

import math
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_datasets import BaseDataset, InMemoryDataset, RangeDataset, SampledDataset

SIGMAS = 6.1
WEIGHTS = [0, 1, 2, 3, 0, 4, 0]


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def assert_shares(drawn: list[int], shares: list[float]) -> None:
    for value, share in enumerate(shares):
        expected = len(drawn) * share
        assert abs(drawn.count(value) - expected) <= SIGMAS * math.sqrt(expected * (1 - share))


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_sample(check_dataset: CheckDataset, replace: bool, weights: list[int] | None) -> None:
    for count in (0, 1, 4):
        rows = RangeDataset(7).sample(count, replace=replace, weights=weights, seed=3)
        check_dataset(rows, [rows[i] for i in range(count)], gathers=True)
        assert set(rows) <= set(range(7))
        if weights is not None:
            assert set(rows) <= {1, 2, 3, 5}
        if not replace:
            assert len(set(rows)) == count
    letters = SampledDataset(InMemoryDataset(list("abcdefg")), 3, replace=replace, weights=weights)
    check_dataset(letters, list(letters), gathers=False)


@given(n=st.integers(1, 200), data=st.data(), seed=st.integers(0, 2**70))
def test_no_row_is_drawn_twice_without_replacement(n: int, data: st.DataObject, seed: int) -> None:
    count = data.draw(st.integers(0, n))
    drawn = list(RangeDataset(n).sample(count, seed=seed))
    assert len(set(drawn)) == len(drawn) == count
    assert set(RangeDataset(n).sample(n, weights=np.linspace(1, 2, n), seed=seed)) == set(range(n))


def test_rows_with_replacement_are_equally_likely() -> None:
    assert_shares(list(RangeDataset(10).sample(20_000, replace=True, seed=1)), [0.1] * 10)


def test_weights_are_shares_with_replacement() -> None:
    drawn = list(RangeDataset(7).sample(20_000, replace=True, weights=WEIGHTS, seed=1))
    assert_shares(drawn, [weight / 10 for weight in WEIGHTS])


def test_weights_decide_who_comes_first_without_replacement() -> None:
    """The first row drawn is row i with probability w_i; the second is one of the others, in proportion to theirs."""
    tries = 4000
    pairs = [tuple(RangeDataset(3).sample(2, weights=[1, 2, 5], seed=seed)) for seed in range(tries)]
    assert_shares([first for first, _ in pairs], [1 / 8, 2 / 8, 5 / 8])
    assert_shares([second for first, second in pairs if first == 2], [1 / 3, 2 / 3, 0])


def test_threads_that_want_an_order_wait_for_one_to_draw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = RangeDataset(100).sample(50, weights=np.arange(100))
    races: list[int] = []
    race = SampledDataset[int]._race

    def slow(self: Any) -> Any:
        races.append(1)
        threading.Event().wait(0.05)
        return race(self)

    monkeypatch.setattr(SampledDataset, "_race", slow)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows.read, range(50))) == list(rows)
    assert len(races) == 1
    assert len(pickle.dumps(rows)) < 2000 + 100 * 8, "each process draws its own, which is quicker than to send it"


def test_draws_differ_between_epochs_seeds_and_kinds() -> None:
    every: list[dict[str, Any]] = [{"replace": r, "weights": w} for r in (False, True) for w in (None, np.ones(1000))]
    for options in every:
        rows = RangeDataset(1000).sample(20, seed=42, **options)
        draws = [tuple(rows.at_epoch(e)) for e in range(5)]
        draws += [tuple(RangeDataset(1000).sample(20, seed=43, **options))]
        assert len(set(draws)) == 6
        assert draws[0] == tuple(rows)
    assert list(RangeDataset(1000).sample(20)) != list(RangeDataset(1000).shuffle()[:20])


def test_draws_do_not_depend_on_each_other() -> None:
    many = RangeDataset(50).sample(1000, replace=True, seed=1)
    assert list(many)[:10] == list(RangeDataset(50).sample(10, replace=True, seed=1))


def test_memory_is_constant_without_weights() -> None:
    rows = RangeDataset(2**62).sample(2**62, seed=1)
    assert len(pickle.dumps(rows)) < 1000
    assert 0 <= rows[2**61] < 2**62
    assert 0 <= RangeDataset(2**62).sample(2**62, replace=True)[2**61] < 2**62


def test_fingerprints_tell_samples_apart() -> None:
    rows = RangeDataset(7)
    samples = [
        rows.sample(3),
        rows.sample(2),
        rows.sample(3, seed=1),
        rows.sample(3, replace=True),
        rows.sample(3, weights=WEIGHTS),
        rows.sample(3, weights=WEIGHTS[::-1]),
        rows[:6].sample(3),
    ]
    for i, one in enumerate(samples):
        assert all(one.fingerprint() != other.fingerprint() for other in samples[i + 1 :])
    assert repr(samples[4]).startswith("SampledDataset(3 rows, replace=False, weighted, seed=0)\n")


@pytest.mark.parametrize(
    ("length", "count", "options", "error", "message"),
    [
        (5, 6, {}, ValueError, "cannot draw 6 of 5 rows without replacement; draw fewer, or set replace=True"),
        (7, 5, {"weights": WEIGHTS}, ValueError, "cannot draw 5 of 4 rows without replacement"),
        (0, 1, {"replace": True}, ValueError, "cannot draw 1 rows: there are none"),
        (2, 1, {"replace": True, "weights": [0, 0]}, ValueError, "there are none to draw from"),
        (5, -1, {}, ValueError, "count must be at least 0, got -1"),
        (5, 1.0, {}, TypeError, "count must be an integer"),
        (5, 1, {"replace": "no"}, TypeError, "replace must be True or False, got 'no'"),
        (5, 1, {"seed": -1}, ValueError, "seed must be at least 0"),
        (5, 1, {"weights": [1, 2]}, ValueError, r"weights must have shape \(5,\), one for each row; got \(2,\)"),
        (2, 1, {"weights": np.ma.masked_array([1, 5], [False, True])}, ValueError, "weights is a masked array"),
        (2, 1, {"weights": [1, -2]}, ValueError, r"row 1 has -2\.0"),
        (2, 1, {"weights": [float("nan"), 1]}, ValueError, "row 0 has nan"),
    ],
)
def test_bad_samples(length: int, count: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RangeDataset(length).sample(count, **options)


@pytest.mark.parametrize("high", [1.0, 1e308])
@pytest.mark.parametrize("low", [1e-20, 1e-307, 1e-310, 5e-324])
def test_rows_of_weight_zero_are_not_drawn_however_small_the_others_are(low: float, high: float) -> None:
    firsts: set[int] = set()
    for seed in range(40):
        drawn = list(SampledDataset(range(5), 3, weights=[0, 0, low, low, high], seed=seed))
        assert drawn[0] == 4
        assert sorted(drawn) == [2, 3, 4]
        firsts.add(drawn[1])
    assert firsts == {2, 3}, "which of the small ones comes first is a matter of chance"


def test_what_is_drawn_by_weight_stays_the_same() -> None:
    rows = RangeDataset(7).sample(4, weights=WEIGHTS, seed=3)
    assert [list(rows.at_epoch(epoch)) for epoch in range(3)] == [[2, 1, 3, 5], [2, 1, 5, 3], [5, 3, 2, 1]]


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"weights": [1, 1]}], ids=str)
def test_two_samples_with_one_seed_draw_anew(options: dict[str, Any]) -> None:
    once = RangeDataset(2).sample(2, **options)
    twice = once.sample(2, **options)
    assert {tuple(twice.at_epoch(epoch)) for epoch in range(60)} >= {(0, 1), (1, 0)}
    assert "before" not in once.fingerprint()
    assert twice.fingerprint()["before"] == 1
    assert list(RangeDataset(8).sample(6, seed=7)) == [6, 4, 1, 5, 3, 0], "the first draws what it always drew"


def test_only_the_ratio_of_weights_counts() -> None:
    rows = RangeDataset(3)
    huge = rows.sample(50, replace=True, weights=[5e307, 1e308, 1e308])
    assert list(huge) == list(rows.sample(50, replace=True, weights=[1, 2, 2]))
    assert huge.fingerprint() == rows.sample(50, replace=True, weights=[0.5, 1, 1]).fingerprint()


def test_the_callers_weights_may_change_afterwards() -> None:
    weights = np.ones(5)
    rows = RangeDataset(5).sample(5, weights=weights)
    weights[:] = -1
    assert sorted(rows.at_epoch(1)) == list(range(5))
