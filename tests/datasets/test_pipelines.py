"""Pipelines of any transforms, in any order, against lists that are transformed alike."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import aligned_empty, read_items
from loadax_datasets import BaseDataset, RangeDataset, as_dataset
from loadax_datasets.orders.block_order import BlockOrder
from loadax_datasets.orders.keys import nth_purpose
from loadax_datasets.orders.permutation import Permutation


@dataclass
class Step:
    """A transform, what it does to a list in an epoch after so many of its kind, and what it asks of the pipeline."""

    name: str
    apply: Callable[[BaseDataset[Any]], BaseDataset[Any]]
    model: Callable[[list[int], int, int], list[int]]
    needs_constant_rows: bool = False
    kind: str = ""
    """That of a random order, which changes with the epoch."""

    def __repr__(self) -> str:
        return self.name


def negate(x: Any) -> Any:
    return -x


def to_int32(x: Any) -> Any:
    return np.int32(x)


def is_even(x: int) -> bool:
    return x % 2 == 0


def sliced(start: int | None, stop: int | None, step: int | None) -> Step:
    part = slice(start, stop, step)
    return Step(f"[{start}:{stop}:{step}]", lambda ds: ds[part], lambda items, _, __: items[part])


def shuffled(seed: int, block: int | None) -> Step:
    def model(items: list[int], epoch: int, before: int) -> list[int]:
        order = (
            Permutation(len(items), seed, epoch, nth_purpose("shuffle", before))
            if block is None
            else BlockOrder(len(items), seed, epoch, block, 2, before)
        )
        return [items[order.at(row)] for row in range(len(items))]

    return Step(
        f"shuffle({seed}, block={block})",
        lambda ds: ds.shuffle(seed=seed, block=block, window=block and 2),
        model,
        kind="shuffle",
    )


def sampled(seed: int) -> Step:
    def model(items: list[int], epoch: int, before: int) -> list[int]:
        order = Permutation(len(items), seed, epoch, nth_purpose("sample", before))
        return [items[order.at(row)] for row in range(len(items) // 2)]

    return Step(f"sample({seed})", lambda ds: ds.sample(len(ds) // 2, seed=seed), model, kind="sample")


def repeated(times: int) -> Step:
    return Step(f"repeat({times})", lambda ds: ds.repeat(times), lambda items, _, __: items * times)


def concatenated(length: int) -> Step:
    return Step(
        f"+ range({length})", lambda ds: ds + RangeDataset(length), lambda items, _, __: items + list(range(length))
    )


steps = st.one_of(
    st.builds(
        sliced,
        st.none() | st.integers(-9, 9),
        st.none() | st.integers(-9, 9),
        st.none() | st.sampled_from([1, 2, -1, -3]),
    ),
    st.builds(shuffled, st.integers(0, 5), st.none() | st.integers(1, 5)),
    st.builds(sampled, st.integers(0, 5)),
    st.builds(repeated, st.integers(0, 3)),
    st.builds(concatenated, st.integers(0, 6)),
    st.sampled_from(
        [
            Step("map", lambda ds: ds.map(negate), lambda items, _, __: [-x for x in items]),
            Step(
                "vectorized map", lambda ds: ds.map(negate, vectorized=True), lambda items, _, __: [-x for x in items]
            ),
            Step("cast", lambda ds: ds.map(to_int32).cast(np.int64), lambda items, _, __: items),
            Step(
                "cast of a gather",
                lambda ds: ds.map(to_int32, vectorized=True).cast(np.int64),
                lambda items, _, __: items,
            ),
            Step("retry", lambda ds: ds.retry(2), lambda items, _, __: items),
            Step("tolerate", lambda ds: ds.tolerate(2), lambda items, _, __: items, kind="tolerate"),
            Step("filter", lambda ds: ds.filter(is_even), lambda items, _, __: [*filter(is_even, items)], True),
            Step("cache", lambda ds: ds.cache(), lambda items, _, __: items, True),
            Step("foreign", lambda ds: as_dataset(list(ds)), lambda items, _, __: items, True),
        ]
    ),
)


@given(length=st.integers(0, 25), chain=st.lists(steps, max_size=6), epoch=st.integers(0, 2), data=st.data())
def test_a_pipeline_does_what_its_steps_do_to_a_list(
    length: int, chain: list[Step], epoch: int, data: st.DataObject
) -> None:
    rows: BaseDataset[Any] = RangeDataset(length)
    expected = list(range(length))
    kinds: list[str] = []
    for step in chain:
        if step.needs_constant_rows and any(kinds):
            continue
        rows, expected = step.apply(rows), step.model(expected, epoch, kinds.count(step.kind))
        kinds.append(step.kind)
    rows = pickle.loads(pickle.dumps(rows.at_epoch(epoch + 1))).at_epoch(epoch)
    assert list(rows) == expected
    assert len(rows) == len(expected)
    wanted = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=9)) if expected else []
    assert list(read_items(rows, wanted)) == [expected[row] for row in wanted]
    if rows.gather is not None and wanted:
        batch = rows.gather(np.array(wanted, np.int64), aligned_empty)
        assert batch.dtype == np.int64
        assert batch.tolist() == [expected[row] for row in wanted]
