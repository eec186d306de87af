"""How a loader shows itself."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader, Loader


class Shuffled:
    """Ten rows whose fingerprint is given, and whose reads fail."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> int:
        raise AssertionError("showing a loader has read a row")

    def fingerprint(self) -> dict[str, Any]:
        return self.facts

    def __repr__(self) -> str:
        return "Shuffled <b>\n└─ Rows"


class Sharded:
    def local_rows(self, batch_size: int, /) -> Any:
        return np.arange(batch_size)

    def distribute_global_batch(self, local_batch: Any, /) -> Any:
        return local_batch

    def __repr__(self) -> str:
        return "Sharded(2)"


def line(loader: Loader[Any], name: str) -> str:
    found = re.findall(rf"^├─ {name}: (.*)$", repr(loader), re.MULTILINE)
    assert len(found) == 1, repr(loader)
    return found[0]


@pytest.mark.parametrize(
    ("facts", "order"),
    [
        ({}, "in order"),
        ({"slice": [0, 10, 1], "source": {"rows": 20}}, "in order"),
        ({"shuffle": 7, "source": {"rows": 10}}, "shuffled (seed 7)"),
        ({"sample": 10, "replace": True, "seed": 3, "source": {}}, "sampled (seed 3)"),
        (
            {"mix": [1, 2], "seed": 5, "sources": [{"shuffle": 0}, {"repeat": 2, "source": {"shuffle": 1}}]},
            "mixed (seed 5), shuffled (seed 0), shuffled (seed 1)",
        ),
    ],
)
def test_the_order_is_told_by_the_fingerprint(facts: Any, order: str) -> None:
    assert line(DataLoader().build(Shuffled(**facts)), "rows") == f"10 an epoch, {order}"


def test_batches_and_epochs() -> None:
    loader = DataLoader(len).batch_size(4, drop_remainder=True).epochs(3).build(Shuffled())
    assert line(loader, "batches") == "2 an epoch, of 4 rows; 2 rows at the end left out"
    assert line(DataLoader().batch_size(4).build(Shuffled()), "batches") == "3 an epoch, of 4 rows, the last of 2"
    assert line(DataLoader().build(Shuffled()), "batches") == "10 an epoch, of 1 row"
    assert line(loader, "batcher") == "len"
    assert line(loader, "epochs") == "3"
    assert line(loader.epoch(2), "epochs") == "only epoch 2"


def test_where_batches_go() -> None:
    builder = DataLoader().batch_size(5)
    assert line(builder.build(Shuffled()), "placement") == "on the host"
    builder = builder.shard(Sharded())
    assert line(builder.build(Shuffled()), "sharding") == "Sharded(2)"
    assert line(builder.build(Shuffled()), "placement") == "on the host"
    assert line(builder.prefetch(1, to_device=True).build(Shuffled()), "placement") == "global arrays"


def test_memory_is_shown_once_it_is_known() -> None:
    loader = DataLoader().batch_size(4).prefetch(1).build(np.zeros(8, np.int32))
    assert line(loader, "memory") == "known after loader.peek(), which reads one batch"
    assert line(loader, "memory") == "known after loader.peek(), which reads one batch"
    preview = loader.peek()
    assert line(loader, "memory") == preview.estimate == "32 B for 2 batches, 1 ahead and the one in use"


def test_html_says_the_same_and_is_escaped() -> None:
    loader = DataLoader().batch_size(4).build(Shuffled(shuffle="<script>"))
    page = loader._repr_html_()
    for name in ("rows", "batches", "batcher", "epochs", "workers", "placement", "memory"):
        assert f">{name}</td>" in page
    assert "shuffled (seed &lt;script&gt;)" in page
    assert "Shuffled &lt;b&gt;\n└─ Rows</td>" in page
    assert "<script>" not in page
    assert "Shuffled <b>" not in page
