"""Where rows come from, through every transform, and back."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import DataLoader, Origin
from loadax_datasets import (
    ArrayDataset,
    BaseDataset,
    InMemoryDataset,
    JaggedDataset,
    PackedDataset,
    RangeDataset,
    TokenDataset,
)
from loadax_datasets.orders.permutation import Permutation

BASE = 1000
"""Row r of source s has the value 1000 s + r."""


def ranges(*lengths: int) -> list[BaseDataset[int]]:
    return [RangeDataset(BASE * i, BASE * i + n) for i, n in enumerate(lengths)]


one, two, three = ranges(60, 25, 7)

CHAINS: dict[str, BaseDataset[Any]] = {
    "slice": one[50:3:-4],
    "shuffle": one.shuffle(seed=1),
    "long shuffle": RangeDataset(20_000).shuffle(seed=1)[19_900:].frozen(),
    "shuffle in blocks": one.shuffle(seed=1, block=7, window=2),
    "sample": one.sample(30, seed=2),
    "sample with replacement": one.sample(100, replace=True, seed=2),
    "sample with weights": one.sample(20, weights=np.arange(60), seed=2),
    "select": one.select([3, 3, 59, 0]),
    "filter": one.filter(lambda x: x % 3 == 1).shuffle(seed=1),
    "split": one.random_split([0.5, 0.5], seed=3)[1].shuffle(seed=1),
    "repeat": one.shuffle(seed=4).repeat(3),
    "frozen": one.shuffle(seed=5).frozen(3).shuffle(seed=6),
    "map": one.map(lambda x: x).random_map(lambda x, rng: x, seed=1).shuffle(seed=1),
    "cache": one.cache().cast(np.int64).retry(2).append_only(),
    "list": InMemoryDataset(list(range(10))).shuffle(seed=1),
    "concat": (one + two.shuffle(seed=1) + three).shuffle(seed=2),
    "mix": one.shuffle(seed=1).mix(two.shuffle(seed=2), three, weights=[3, 2, 1], rows=110, seed=1),
    "mix all": one.shuffle(seed=1).mix(two, weights=[1, 3], until="all"),
    "nested": (one.shuffle(seed=1).mix(two, rows=40) + three).shuffle(seed=2)[5:30].frozen(2),
}


def value_of(origin: Origin, dataset: BaseDataset[Any]) -> int:
    """The value of a lowest row. The path ends in the number of its source, but for the source beside the mixture."""
    source = 2 if dataset is CHAINS["nested"] and origin.path == (1,) else origin.path[-1] if origin.path else 0
    return BASE * source + origin.row


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("epoch", [0, 1, 4])
def test_origins_say_which_row_was_read(name: str, epoch: int) -> None:
    dataset = CHAINS[name]
    later = dataset.at_epoch(epoch)
    seen: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for row, item in enumerate(later):
        (origin,) = later.origins(row)
        assert value_of(origin, dataset) == item
        assert later.origins(row - len(later)) == (origin,)
        seen.setdefault((origin.path, origin.row), []).append(row)
    for (path, row), places in seen.items():
        assert sorted(later.places(row, path)) == places
    rows = np.arange(len(later))[::-1].copy()
    loader = DataLoader().batch_size(7).epochs(5).build(dataset)
    first = epoch * loader.steps_per_epoch
    origins = [origin for step in range(first, first + loader.steps_per_epoch) for origin in loader.origins(step)]
    assert [value_of(origin, dataset) for (origin,) in origins] == list(later)
    traced = later.trace(rows, epoch)
    assert sum(len(group.rows) for group in traced) == len(rows)


def test_the_epoch_of_an_origin_is_the_pass_over_its_source() -> None:
    mixture = one.shuffle(seed=1).mix(three.shuffle(seed=2), weights=[1, 1], rows=50)
    for epoch in (0, 3):
        later = mixture.at_epoch(epoch)
        for row, item in enumerate(later):
            (origin,) = later.origins(row)
            source = (one.shuffle(seed=1), three.shuffle(seed=2))[origin.path[0]].at_epoch(origin.epoch)
            assert item % BASE in [value % BASE for value in source]
        passes = [later.origins(row)[0].epoch for row in range(50) if later.origins(row)[0].path == (1,)]
        assert passes == [(25 * epoch + i) // 7 for i in range(25)]


def test_a_zip_has_an_origin_for_each_source() -> None:
    rows = one.shuffle(seed=1)[:20].frozen().zip(two[:20])
    for row, (left, right) in enumerate(rows):
        assert rows.origins(row) == (Origin((0,), 0, left), Origin((1,), 0, right - BASE))
        assert rows.places(left, (0,)) == [row]
        assert rows.places(right - BASE, (1,)) == [row]


def test_padding_has_the_origin_of_what_it_repeats() -> None:
    rows = one[:5].pad_to_multiple(4)
    assert [rows.origins(row)[0].row for row in range(8)] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert sorted(rows.places(1)) == [1, 6]


documents = [np.arange(n) + 100 * i for i, n in enumerate([30, 7, 1, 12, 0, 5, 9, 16, 2])]


@pytest.mark.parametrize("how", ["best", "split"])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("leave_out", [[], [3]])
def test_a_packed_row_has_an_origin_for_each_document(how: Any, flat: bool, leave_out: list[int]) -> None:
    offsets = np.cumsum([0, *map(len, documents)])
    source: Any = JaggedDataset.from_arrays(np.concatenate(documents), offsets) if flat else InMemoryDataset(documents)
    for epoch in (0, 2):
        rows = PackedDataset(source, 16, how=how, seed=1, leave_out=leave_out).at_epoch(epoch)
        where: dict[int, set[int]] = {}
        for row in range(len(rows)):
            tokens = rows[row]["tokens"][rows[row]["segment_ids"] > 0]
            pieces = [documents[o.row][o.start : o.start + (o.length or 0)] for o in rows.origins(row)]
            assert np.concatenate([*pieces, np.empty(0, int)]).tolist() == tokens.tolist()
            assert {origin.epoch for origin in rows.origins(row)} <= {epoch}
            for origin in rows.origins(row):
                where.setdefault(origin.row, set()).add(row)
        for document in range(len(documents)):
            assert sorted(rows.places(document)) == sorted(where.get(document, []))


@pytest.mark.parametrize("sources", [2, 3, 12])
@pytest.mark.parametrize("how", ["best", "split"])
def test_the_documents_of_a_row_come_in_one_order_whatever_rows_are_traced_with_it(how: Any, sources: int) -> None:
    lengths = [1 + i % 5 for i in range(12 * sources)]
    # Arrays of one layout are gathered in the order of their rows.
    parts = [ArrayDataset(np.arange(12 * i, 12 * i + 12)) for i in range(sources)]
    rows = PackedDataset(parts[0].concat(*parts[1:]), 8, lengths=lengths, how=how)
    alone = [rows.origins(row) for row in range(len(rows))]
    assert DataLoader().batch_size(len(rows)).build(rows).origins(0) == alone
    for origins in alone:
        assert list(origins) == sorted(origins, key=lambda origin: origin.path), "by source, and then as they come"


def test_windows_say_where_they_begin() -> None:
    tokens = TokenDataset(np.arange(101, dtype=np.uint16), 10, stride=5).shuffle(seed=1)
    for row, item in enumerate(tokens):
        (origin,) = tokens.origins(row)
        assert (origin.start, origin.length) == (item["tokens"][0], 10)


class Halves(BaseDataset[int]):
    """A dataset of the user's that reads another one, and says nothing of it."""

    def __init__(self, source: BaseDataset[int]) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source) // 2

    def read(self, row: int) -> int:
        return self.source.read(2 * row)


def test_a_class_of_the_users_is_a_lowest_dataset() -> None:
    rows = Halves(one).shuffle(seed=1)
    assert [rows.origins(row)[0].row for row in range(30)] == [item // 2 for item in rows]


@pytest.mark.parametrize(
    ("row", "path", "message"),
    [(60, (0,), "no row 60"), (1, (), "path must say which of 2"), (1, (2,), "path must say"), (1, (0, 0), "at path")],
)
def test_rows_that_are_not_there(row: int, path: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        (one + two).places(row, path)
    with pytest.raises(IndexError):
        one.origins(60)


@given(
    length=st.one_of(st.integers(1, 40_000), st.integers(2**31, 2**33), st.integers(2**60, 2**63 - 1)), data=st.data()
)
def test_the_inverse_of_an_order_finds_each_row(length: int, data: st.DataObject) -> None:
    order = Permutation(length, data.draw(st.integers(0, 99)), data.draw(st.integers(0, 3)))
    row = data.draw(st.integers(0, length - 1))
    assert order.inverse(order.at(row)) == row
    assert order.at(order.inverse(row)) == row
    assert order.once(np.array([row])).tolist() == [order.at(row)]


def test_steps_are_looked_into_at_any_size_without_their_rows() -> None:
    """The cost does not grow with the position, nor with the number of rows: no plan and no block is made for it."""
    seconds: list[float] = []
    for rows in (10**6, 10**12):
        loader = DataLoader().batch_size(1024).epochs(3).build(RangeDataset(rows).shuffle(seed=1))
        batches = iter(loader)
        last = loader.steps_per_epoch - 2

        def look(loader: Any = loader, batches: Any = batches, last: int = last) -> None:
            batches.seek(last)
            batches.get_state()
            assert len(loader.origins(last)) == 1024
            assert last in loader.find(loader.origins(last)[5][0].row)

        look()
        best = np.inf
        for _ in range(5):
            began = perf_counter()
            look()
            best = min(best, perf_counter() - began)
        seconds.append(best)
    assert seconds[1] < 4 * seconds[0]
