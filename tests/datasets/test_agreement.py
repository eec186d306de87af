"""States that another dataset accepts, since its rows are the same up to the position."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadax_core import DataLoader, StateError
from loadax_datasets import BaseDataset, InMemoryDataset, JaggedDataset, RangeDataset, TokenDataset, write_jagged


def state_at(dataset: Any, rows: int, epochs: int = 1) -> Any:
    """The state of a run after so many rows."""
    batches = iter(DataLoader().epochs(epochs).build(dataset))
    batches.seek(rows)
    return json.loads(json.dumps(batches.get_state()))


def resume(dataset: Any, state: Any, epochs: int = 1) -> list[int]:
    batches = iter(DataLoader().epochs(epochs).build(dataset))
    batches.set_state(state)
    return [int(batch[0]) for batch in batches]


def sources(*lengths: int) -> list[BaseDataset[int]]:
    return [RangeDataset(10**6 * i, 10**6 * i + n).shuffle(seed=i) for i, n in enumerate(lengths)]


a, b, c = sources(60, 90, 70)


@pytest.mark.parametrize(
    ("now", "rows"),
    [
        (a.mix(b, weights={0: [2, 1], 150: [1, 1]}, rows=400), 150),
        (a.mix(b, weights={0: [2, 1], 150: ("linear", [1, 1], 100)}, rows=400), 150),
        (a.mix(b, weights=[2, 1], rows=1000), 400),
        (a.mix(b, weights=[4, 2], rows=300), 300),
        (a.mix(b, c, weights={0: [2, 1, 0], 77: [1, 1, 1]}, rows=400), 77),
        (a.mix(b, weights=[2, 1], rows=400).map(int), 400),
    ],
)
def test_a_mixture_accepts_a_state_up_to_the_row_where_the_orders_part(now: BaseDataset[int], rows: int) -> None:
    before = a.mix(b, weights=[2, 1], rows=400)
    last = min(rows, 399)
    assert list(now)[:rows] == list(before)[:rows]
    for row in (0, 1, last - 1, last):
        assert resume(now, state_at(before, row)) == list(now)[row:]
    if rows < min(400, len(now)):
        with pytest.raises(StateError, match=f"agree up to row {rows} of epoch 0, and the state is at row {rows + 1}"):
            resume(now, state_at(before, rows + 1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rows_that_agree_are_the_same_rows(data: st.DataObject) -> None:
    weights = st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any)

    def mixture() -> BaseDataset[int]:
        changes: dict[int, Any] = {0: data.draw(weights)}
        begin = 0
        for _ in range(data.draw(st.integers(0, 2))):
            begin += data.draw(st.integers(1, 60))
            if data.draw(st.booleans()):
                over = data.draw(st.integers(1, 60))
                changes[begin] = ("linear", data.draw(weights), over)
                begin += over
            else:
                changes[begin] = data.draw(weights)
        lengths = [data.draw(st.sampled_from([40, 50])) for _ in range(3)]
        parts = [RangeDataset(10**6 * i, 10**6 * i + n).append_only() for i, n in enumerate(lengths)]
        return parts[0].mix(*parts[1:], weights=changes, rows=data.draw(st.integers(1, 200)))

    one, other = mixture(), mixture()
    saved = json.loads(json.dumps(one.fingerprint()))
    agreeing = other.rows_agreeing(saved, 0)
    assert list(one)[:agreeing] == list(other)[:agreeing]


@pytest.mark.parametrize(
    "now",
    [
        a.mix(b, weights=[1, 2], rows=400),
        a.mix(b, weights=[2, 1], rows=400, seed=1),
        b.mix(a, weights=[2, 1], rows=400),
        a.mix(b, weights=[2, 1], rows=400).shuffle(seed=1),
    ],
)
def test_other_orders_are_refused_from_the_first_row_on(now: BaseDataset[int]) -> None:
    with pytest.raises(StateError, match="cannot resume: the state was saved"):
        resume(now, state_at(a.mix(b, weights=[2, 1], rows=400), 1))


@pytest.mark.parametrize("before", [a.sample(30, seed=3), a.frozen().random_split([0.5, 0.5], seed=3)[0]])
def test_a_mixture_refuses_the_state_of_another_dataset_with_its_seed(before: BaseDataset[int]) -> None:
    with pytest.raises(StateError, match="cannot resume: the state was saved with"):
        resume(a.mix(b, seed=3), state_at(before, 2))


@pytest.mark.parametrize(
    "facts",
    [
        {"slice": 5, "source": {"rows": 60}},
        {"slice": [0, 9], "source": {"rows": 60}},
        {"slice": [0, 9, 1]},
        {"mix": [[0, None, 5, 5]], "seed": 0, "sources": [{"rows": 60}, {"rows": 90}]},
        {"mix": 5, "seed": 0, "sources": 5},
        {"mix": [[0, None, [1, 1], [1, 1]]], "seed": 0, "sources": None},
    ],
)
def test_the_state_of_a_dataset_with_entries_of_the_same_names_is_refused(facts: dict[str, Any]) -> None:
    state = state_at(a, 0) | {"fingerprint": {"rows": 9, **facts}}
    for dataset in (a.frozen()[:9], a.mix(b, rows=9)):
        with pytest.raises(StateError, match="cannot resume: the state was saved with"):
            resume(dataset, state)


def test_other_weights_are_refused_in_a_later_epoch() -> None:
    before = a.mix(b, weights=[2, 1], rows=100)
    assert resume(before, state_at(before, 130, 2), 2) == list(before.at_epoch(1))[30:]
    with pytest.raises(StateError):
        resume(a.mix(b, weights={0: [2, 1], 90: [1, 1]}, rows=100), state_at(before, 130, 2), 2)


def test_a_slice_of_a_mixture_accepts_what_the_mixture_does() -> None:
    long, other = RangeDataset(1000), RangeDataset(5000, 6000)
    before = long.mix(other, weights=[2, 1])[10:200:3]
    now = long.mix(other, weights={0: [2, 1], 100: [1, 3]})[10:300:3]
    assert resume(now, state_at(before, 30)) == list(now)[30:]
    with pytest.raises(StateError, match="agree up to row 30"):
        resume(now, state_at(before, 31))


def grown_list(rows: int, _: Path) -> BaseDataset[Any]:
    return InMemoryDataset(list(range(rows)))


def grown_store(rows: int, folder: Path) -> BaseDataset[Any]:
    have = len(JaggedDataset(folder / "store")) if (folder / "store").exists() else 0
    write_jagged(folder / "store", [np.arange(i % 7) for i in range(have, rows)], append=have > 0)
    return JaggedDataset(folder / "store").map(len)


def grown_arrays(rows: int, _: Path) -> BaseDataset[Any]:
    offsets = np.concatenate([[0], np.cumsum(np.arange(rows) % 7)])
    return JaggedDataset.from_arrays(np.arange(offsets[-1]), offsets).map(len)


def grown_tokens(rows: int, _: Path) -> BaseDataset[Any]:
    return TokenDataset(np.arange(10 * rows + 1, dtype=np.uint16), 10).map(lambda row: int(row["tokens"][0]))


def grown_sum(rows: int, _: Path) -> BaseDataset[Any]:
    return RangeDataset(20) + RangeDataset(100, 100 + rows - 20)


@pytest.mark.parametrize("grown", [grown_list, grown_store, grown_arrays, grown_tokens, grown_sum])
def test_a_source_that_grows_accepts_the_states_of_the_shorter_one(
    grown: Callable[[int, Path], BaseDataset[Any]], tmp_path: Path
) -> None:
    states = [state_at(grown(30, tmp_path).append_only(), at, 2) for at in (0, 7, 30, 37)]
    plain = state_at(grown(30, tmp_path), 7)
    now = grown(45, tmp_path)
    later = now.append_only()
    assert resume(later, states[0], 2) == [*now, *now]
    assert resume(later, states[1], 2) == [*list(now)[7:], *now]
    assert resume(later, states[3], 2) == list(now)[7:]
    with pytest.raises(StateError):
        resume(now, plain)
    with pytest.raises(StateError):
        resume(grown_list(20, tmp_path).append_only(), states[1])


def test_a_source_that_changed_before_its_end_is_refused(tmp_path: Path) -> None:
    write_jagged(tmp_path / "a", [np.arange(n) for n in (3, 4, 5)])
    write_jagged(tmp_path / "b", [np.arange(n) for n in (3, 5, 4, 9)])
    state = state_at(JaggedDataset(tmp_path / "a").append_only().map(len), 1)
    with pytest.raises(StateError):
        resume(JaggedDataset(tmp_path / "b").append_only().map(len), state)


def test_the_first_offsets_of_a_store_hash_alike_in_any_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fingerprints", "jagged_writer", "jagged_files", "jagged_manifest"):
        monkeypatch.setattr(f"loadax_datasets.files.{module}.PART", 8)
    documents = [np.arange(i % 5) for i in range(50)]
    for count in (13, 7, 16, 14):
        done = len(JaggedDataset(tmp_path)) if (tmp_path / "manifest.json").exists() else 0
        write_jagged(tmp_path, documents[done : done + count], append=done > 0)
    store = JaggedDataset(tmp_path)
    whole = JaggedDataset.from_arrays(np.concatenate(documents), np.cumsum([0, *map(len, documents)]))
    for rows in range(51):
        assert store.prefix_fingerprint(rows) == whole.prefix_fingerprint(rows)


def test_a_mixture_over_a_source_that_grew_agrees_up_to_its_first_new_row() -> None:
    def mixture(rows: int) -> BaseDataset[int]:
        small: BaseDataset[int] = InMemoryDataset(list(range(rows))).append_only()
        return small.mix(RangeDataset(1000, 2000), weights=[1, 3], rows=300)

    before, now = mixture(20), mixture(30)
    part = next(row for row in range(300) if before[row] != now[row])
    assert resume(now, state_at(before, part)) == list(now)[part:]
    with pytest.raises(StateError, match=f"agree up to row {part} of epoch 0"):
        resume(now, state_at(before, part + 1))


INNER: Sequence[BaseDataset[int]] = [
    a.mix(b, rows=40),
    a.mix(b, rows=60),
    a.mix(b, weights={0: [1, 1], 25: [1, 2]}, rows=40),
    a.mix(b),
    a.mix(b, weights={0: [1, 1], 70: [3, 1]}),
    a.mix(b, until="all"),
    a.mix(b, weights={0: [1, 1], 150: [1, 2]}, until="all"),
    a.mix(b, rows=40).map(int),
    a.mix(b, rows=60)[:45],
    a.mix(b, rows=80)[:45],
    a.mix(b, rows=60)[:50],
]


@pytest.mark.parametrize("before", INNER)
@pytest.mark.parametrize("now", INNER)
def test_a_mixture_of_mixtures_knows_where_a_later_pass_over_one_has_other_rows(
    before: BaseDataset[int], now: BaseDataset[int]
) -> None:
    alike = type(before) is type(now)
    before, now = (c.mix(each, rows=400) for each in (before, now))
    saved = json.loads(json.dumps(before.fingerprint()))
    agreeing = now.rows_agreeing(saved, 0)
    assert list(before)[:agreeing] == list(now)[:agreeing]
    assert agreeing >= (45 if alike else 0), "the first rows of the first pass are the same"
    assert before.rows_agreeing(saved, 0) == 400


@pytest.mark.parametrize("source", [RangeDataset(9).shuffle(seed=1), RangeDataset(9)[2:5]])
def test_append_only_refuses_what_it_cannot_compare(source: BaseDataset[Any]) -> None:
    with pytest.raises(TypeError, match="append_only needs rows in one order"):
        source.append_only()


class Forged(BaseDataset[int]):
    """Says that all its rows agree."""

    def __len__(self) -> int:
        return 10

    def read(self, row: int) -> int:
        return row

    def rows_agreeing(self, saved: Any, epoch: int) -> int:
        self.asked: Sequence[Any] = saved, epoch
        return 4


def test_a_dataset_of_the_users_decides_itself() -> None:
    batches = iter(DataLoader().build(Forged()))
    state = state_at(RangeDataset(99), 4)
    state["fingerprint"]["rows"] = np.array(99)
    batches.set_state(state)
    assert int(next(batches)[0]) == 4
    with pytest.raises(StateError, match="agree up to row 4"):
        batches.set_state(state_at(RangeDataset(99), 5))
