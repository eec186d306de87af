"""frozen: one epoch's order and randomness for ever; and the warning of parts of orders that change."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import DataLoader, EpochLeakWarning, aligned_empty
from loadax_datasets import ArrayDataset, BaseDataset, FrozenDataset, RangeDataset, as_dataset


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def add_noise(x: int, rng: np.random.Generator) -> int:
    return x + int(rng.integers(1000)) * 1000


numbers = RangeDataset(40)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_frozen(check_dataset: CheckDataset, epoch: int) -> None:
    shuffled = numbers.shuffle(seed=1)
    expected = list(shuffled.at_epoch(epoch))
    rows = shuffled.frozen(epoch=epoch)
    check_dataset(rows, expected, gathers=True)
    assert rows.at_epoch(7) is rows
    noisy = shuffled.random_map(add_noise, seed=2)
    check_dataset(noisy.frozen(epoch), list(noisy.at_epoch(epoch)), gathers=False)
    check_dataset(as_dataset(["a", "b"]).frozen(), ["a", "b"], gathers=False)
    check_dataset(rows.frozen(3), expected, gathers=True)


def test_every_epoch_of_a_loader_is_the_frozen_one() -> None:
    rows = numbers.shuffle(seed=1).frozen(epoch=3)
    batches = list(DataLoader().batch_size(40).epochs(3).build(rows))
    assert [batch.tolist() for batch in batches] == [list(numbers.shuffle(seed=1).at_epoch(3))] * 3


def test_what_comes_after_changes_with_the_epoch() -> None:
    shuffled = numbers.shuffle(seed=42)
    train, held_out = shuffled.frozen()[:30], shuffled.frozen()[30:]
    assert list(train) == list(shuffled)[:30]
    rows = train.shuffle(seed=1)
    orders = [list(rows.at_epoch(epoch)) for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert all(not set(order) & set(held_out.at_epoch(9)) for order in orders)
    assert sorted(orders[3]) == sorted(train)


def test_the_fingerprint_says_so() -> None:
    shuffled = numbers.shuffle(seed=1)
    facts = [shuffled.fingerprint(), shuffled.frozen().fingerprint(), shuffled.frozen(1).fingerprint()]
    assert facts[1] == {"frozen": 0, "source": facts[0]}
    assert facts[2] == {"frozen": 1, "source": facts[0]}


def test_a_frozen_dataset_may_be_filtered_and_cached() -> None:
    rows = numbers.shuffle(seed=1).random_map(add_noise, seed=1).frozen()
    assert list(rows.cache()) == list(rows)
    assert list(rows.filter(lambda x: x % 2 == 0)) == [x for x in rows if x % 2 == 0]
    assert sorted(x for part in rows.random_split([0.5, 0.5], seed=1) for x in part) == sorted(rows)
    with pytest.raises(ValueError, match=r"keep those of one epoch with .frozen\(epoch=0\), or cache first"):
        numbers.shuffle(seed=1).cache()


@pytest.mark.parametrize(("epoch", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_epochs(epoch: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="epoch must be"):
        numbers.frozen(epoch)
    with pytest.raises(error, match="epoch must be"):
        FrozenDataset(numbers, epoch)


shuffled = numbers.shuffle(seed=42)
LEAKS: dict[str, Callable[[], BaseDataset[Any]]] = {
    "slice": lambda: shuffled[:30],
    "the rest": lambda: shuffled[30:],
    "every other": lambda: shuffled[::2],
    "take": lambda: shuffled.take(30),
    "skip": lambda: shuffled.skip(1),
    "select": lambda: shuffled.select([1, 2, 3]),
    "select with repetitions": lambda: shuffled.select([1] * 40),
    "mask": lambda: shuffled.select([True] * 39 + [False]),
    "block shuffle": lambda: numbers.shuffle(seed=1, block=4)[:30],
    "sample": lambda: numbers.sample(20, seed=1)[:10],
    "mixture": lambda: numbers.mix(shuffled)[:10],
    "shuffle of it": lambda: shuffled[:30].shuffle(seed=1),
    "deep below": lambda: (numbers + shuffled.map(str)[3:]).zip(RangeDataset(77)).repeat(2),
    "over a map": lambda: shuffled.map(str).cast(np.int64)[3:],
    "after a frozen one": lambda: numbers.frozen().shuffle(seed=1)[:3],
}
FINE: dict[str, Callable[[], BaseDataset[Any]]] = {
    "slice first": lambda: numbers[:30].shuffle(seed=42),
    "frozen": lambda: shuffled.frozen()[:30],
    "frozen after it": lambda: shuffled[:30].frozen().shuffle(seed=1),
    "split": lambda: numbers.random_split([0.5, 0.5], seed=1)[0].shuffle(seed=1),
    "sample": lambda: numbers.sample(10, seed=1),
    "random map": lambda: numbers.random_map(add_noise, seed=1)[:30],
    "all rows": lambda: shuffled[:],
    "all rows, backwards": lambda: shuffled[::-1],
    "all that there are": lambda: shuffled.take(1000),
    "all rows selected": lambda: shuffled.select(list(range(40))[::-1]),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_part_of_an_order_that_changes_is_warned_of(name: str) -> None:
    rows = LEAKS[name]()
    with pytest.warns(EpochLeakWarning) as caught:
        DataLoader().batch_size(4).build(rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__, "it points at the call of build"
    message = str(caught[0].message)
    for way_out in ("[:900].shuffle", "random_split", ".frozen(epoch=0)", "dataset.sample("):
        assert way_out in message
    assert "ShuffledDataset(seed=" in message or "SampledDataset(" in message
    assert len(pickle.loads(pickle.dumps(rows)).build_warnings()) == 1


@pytest.mark.parametrize("name", FINE)
def test_what_has_the_same_rows_in_each_epoch_is_not(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DataLoader().batch_size(4).build(FINE[name]())


def test_other_datasets_may_warn_too() -> None:
    class Odd(list[int]):
        def build_warnings(self) -> list[Warning]:
            return [UserWarning("these are odd"), DeprecationWarning("and old")]

    with pytest.warns(UserWarning, match="these are odd"), pytest.warns(DeprecationWarning, match="and old"):
        DataLoader().build(Odd([1, 3]))


def test_values_of_a_part_are_as_they_were() -> None:
    rows = ArrayDataset[Any](np.arange(40)).shuffle(seed=42)[:5]
    assert rows.gather is not None
    assert rows.gather(np.arange(5), aligned_empty).tolist() == [int(x) for x in shuffled][:5]
    assert [int(x) for x in rows.at_epoch(1)] != [int(x) for x in rows]
