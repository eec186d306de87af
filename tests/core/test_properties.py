"""For any settings: every row exactly once, in an order that depends on nothing else, and the same after a resume."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loadax_core import Alloc, DataLoader, Rows


class Shuffled:
    """A dataset with a seeded order per epoch, as simple as can be."""

    def __init__(self, rows: int, seed: int, epoch: int = 0, gathers: bool = False) -> None:
        self.order = np.random.default_rng([seed, epoch]).permutation(rows)
        self.seed = seed
        self.gathers = gathers

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, row: int) -> Any:
        return self.order[row]

    def at_epoch(self, epoch: int) -> Shuffled:
        return Shuffled(len(self.order), self.seed, epoch, self.gathers)

    def fingerprint(self) -> dict[str, Any]:
        return {"shuffle": self.seed}

    @property
    def gather(self) -> Any:
        return self._gather if self.gathers else None

    def _gather(self, rows: Rows, alloc: Alloc, /) -> Any:
        return self.order[rows]


Run = tuple[int, int, int | None]
runs = st.tuples(st.integers(1, 12), st.integers(0, 3), st.one_of(st.none(), st.integers(0, 5), st.integers(8, 40)))


def rows_of(batches: Any) -> list[int]:
    return [int(row) for batch in batches for row in batch]


@pytest.mark.filterwarnings("ignore:there is no batch")
@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(0, 40),
    seed=st.integers(0, 5),
    epochs=st.integers(1, 3),
    drop=st.booleans(),
    gathers=st.booleans(),
    first=runs,
    then=runs,
    data=st.data(),
)
def test_every_row_once_and_the_same_remainder_after_a_resume(
    rows: int, seed: int, epochs: int, drop: bool, gathers: bool, first: Run, then: Run, data: st.DataObject
) -> None:
    def loader(run: Run, drop_remainder: bool) -> Any:
        batch_size, workers, prefetch = run
        builder = DataLoader().batch_size(batch_size, drop_remainder=drop_remainder).epochs(epochs)
        if workers:
            builder = builder.workers(workers).prefetch(prefetch)
        return builder.build(Shuffled(rows, seed, gathers=gathers))

    kept = rows // first[0] * first[0] if drop else rows
    expected = [int(row) for epoch in range(epochs) for row in Shuffled(rows, seed, epoch).order[:kept]]
    with iter(loader(first, drop)) as batches:
        stop = data.draw(st.integers(0, len(loader(first, drop))), label="break after")
        seen = rows_of(next(batches) for _ in range(stop))
        state = json.loads(json.dumps(batches.get_state()))
        assert seen + rows_of(batches) == expected
    with iter(loader(first, drop)) as again:
        again.set_state(state)
        assert seen + rows_of(again) == expected
    if not drop:
        with iter(loader(then, drop_remainder=False)) as other:
            other.set_state(state)
            assert seen + rows_of(other) == expected
