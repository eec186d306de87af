"""audit and digest: what a run will do, from the order of its rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, Loader
from loadax_core.read import order as module
from loadax_datasets import ArrayDataset, BaseDataset, JaggedDataset, RangeDataset


class Untouched(BaseDataset[int]):
    """Rows that nobody may read."""

    def __init__(self, rows: int, first: int = 0) -> None:
        self.rows, self.first = rows, first

    def __len__(self) -> int:
        return self.rows

    def read(self, row: int) -> int:
        raise AssertionError("an audit reads no row")


def small(rows: int = 100, seed: int = 1) -> Loader[Any]:
    mixture = Untouched(60).shuffle(seed=seed).mix(Untouched(7).shuffle(seed=2), weights=[3, 1], rows=rows)
    return DataLoader().batch_size(8).epochs(3).build(mixture)


def test_passes_end_where_their_last_row_is_read() -> None:
    loader = small()
    found = loader.audit()
    assert (found.steps, found.rows, found.host_rows, found.sizes) == (39, 300, 300, {8: 36, 4: 3})
    read: dict[tuple[int, ...], dict[int, list[int]]] = {}
    for step in range(39):
        for (origin,) in loader.origins(step):
            read.setdefault(origin.path, {}).setdefault(origin.epoch, []).append(step)
    assert {source.path: source.read for source in found.passes} == {
        path: tuple((epoch, len(steps), steps[-1]) for epoch, steps in sorted(passes.items()))
        for path, passes in read.items()
    }
    assert [source.epochs for source in found.passes] == [225 / 60, 75 / 7]
    assert [source.rows for source in found.passes] == [60, 7]


def test_its_text() -> None:
    assert repr(small().audit(20)).splitlines()[:8] == [
        "20 steps, 156 rows",
        "this host loads 156 rows",
        "shapes to compile: 2",
        "  19 steps of 8 rows",
        "  1 step of 4 rows",
        "  arrays: not known without reading; loader.peek() reads one batch",
        "source 0: 117 rows, 1.95 epochs over 60 rows",
        "  epoch 0 ends in step 9",
    ]


def arrays() -> BaseDataset[Any]:
    return ArrayDataset({"x": np.zeros((20, 3), np.float32), "y": np.zeros(20, np.int8)}).shuffle(seed=1)


def packed() -> BaseDataset[Any]:
    return JaggedDataset.from_arrays(np.arange(90, dtype=np.uint16), [0, 30, 60, 90]).pack(32)


@pytest.mark.parametrize("make", [arrays, packed, lambda: packed().mix(packed(), rows=6), lambda: arrays() + arrays()])
def test_shapes_and_bytes_are_those_of_the_batches(make: Callable[[], BaseDataset[Any]]) -> None:
    loader = DataLoader().batch_size(4).build(make())
    found = loader.audit()
    assert found.specs is not None
    batches = list(loader)
    for batch in batches:
        spec = found.specs[len(next(iter(batch.values())))]
        assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
            name: (leaf.shape, leaf.dtype) for name, leaf in spec.items()
        }
    assert found.host_bytes == sum(array.nbytes for batch in batches for array in batch.values())


def test_padding_is_the_share_of_what_is_no_document() -> None:
    rows = packed()
    (what, share), *others = DataLoader().build(rows.shuffle(seed=1).map(dict)).audit().padding
    assert not others
    assert what.startswith("PackedDataset(3 rows of 32")
    assert share == pytest.approx(np.mean([row["segment_ids"] == 0 for row in rows]))
    ((_, share),) = DataLoader().build(RangeDataset(5).pad_to_multiple(4)).audit().padding
    assert share == 3 / 8


def test_digests_depend_on_the_order_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 10)
    whole = small().audit()
    assert [step for step, _ in whole.digests] == [10, 20, 30, 39]
    assert len({digest for _, digest in whole.digests}) == 4
    assert small(seed=3).audit().digests != whole.digests
    assert small().audit(25).digests[:2] == whole.digests[:2]
    monkeypatch.setattr(module, "CHUNK", 3)
    assert small().audit().digests == whole.digests


def test_an_iterator_has_the_digest_of_its_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 10)
    dataset = RangeDataset(100).shuffle(seed=1)
    known = dict(DataLoader().batch_size(3).epochs(2).build(dataset).audit().digests)
    for builder in (DataLoader(), DataLoader().workers(2).prefetch(4)):
        loader = builder.batch_size(3).epochs(2).build(dataset)
        with iter(loader) as batches:
            for step in range(1, len(loader) + 1):
                next(batches)
                if step in known:
                    assert batches.digest() == known[step]
            batches.seek(20)
            assert batches.digest() == known[20]
            batches.seek(13)
            assert batches.digest() not in known.values()
    nothing = iter(loader).digest()
    assert nothing not in known.values()


def test_a_skipped_step_is_in_no_digest() -> None:
    dataset = RangeDataset(100).shuffle(seed=1)
    one, other = (DataLoader().batch_size(10).skip(steps=steps).build(dataset) for steps in ([3], []))
    assert one.audit().digests != other.audit().digests
    assert one.audit(3).digests == other.audit(3).digests
    assert (one.audit().steps, one.audit().rows) == (9, 90)


def test_an_endless_run_is_looked_at_in_part() -> None:
    loader = DataLoader().batch_size(10).epochs(None).build(Untouched(100))
    assert loader.audit(25).passes[0].read == ((0, 100, 9), (1, 100, 19), (2, 50, 24))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        loader.audit(0)
