"""The benchmarks of packed documents run, and wrong batches are noticed. Nothing here depends on how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from loadax_datasets import JaggedDataset

ROOT = Path(__file__).parents[2]
SIZE = 2_048

Batch: TypeAlias = dict[str, Any]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_every_piece_begins_with_its_number(part: Any) -> None:
    data = part("sources").documents(1_000, 64)
    assert len(data.offsets) == 1_001
    assert data.values.dtype == np.uint16
    assert data.starts[0] == 0
    assert data.stops[-1] == len(data.values) == data.offsets[-1]
    assert (data.starts[1:] == data.stops[:-1]).all()
    lengths = data.stops - data.starts
    assert (lengths >= 2).all()
    assert (lengths <= 64).all()
    assert np.isin(data.offsets[:-1], data.starts).all()
    inner = ~np.isin(data.stops, data.offsets)
    assert (lengths[inner] == 64).all()
    number = data.values[data.starts].astype(np.int64) + (data.values[data.starts + 1].astype(np.int64) << 16)
    assert number.tolist() == list(range(len(data)))


def test_documents_are_packed_by_the_suite(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    chosen = ("--work", "W12", "--adapter", "loadax,handwritten", "--out", str(out))
    done = run("benchmarks", "--quick", "--repeats", "1", *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())["runs"]
    loaders = "limit", "loadax", "loadax-1", "loadax-sync", "handwritten"
    expected = {(work, loader) for work in ("W12-2048", "W12-8192") for loader in loaders}
    assert {(run["work"], run["loader"]) for run in results if run.get("value", 0) > 0} == expected
    for run_ in results:
        if run_["loader"] != "limit":
            # Batches are nearly full of tokens.
            full = run_["value"] * 32 * int(run_["work"].partition("-")[2])
            assert 0.8 * full < run_["tokens_s"] <= full
    assert done.stdout.count("M tokens/s") == len(results) - 2
    assert done.stdout.count("| tokens/s | padding |") == 2


def batches_of(part: Any, loader: str, data: Any, count: int) -> list[Batch]:
    work = part("works").WORKS[f"W12-{SIZE}"]
    adapter, _, _ = loader.partition("-")
    batches: Any = part(f"loaders.{adapter}_adapter").LOADERS[loader]().open(work, data)
    found: list[Batch] = list(islice(batches, count))
    if hasattr(batches, "close"):
        batches.close()
    return found


@pytest.mark.parametrize("loader", ["loadax-sync", "handwritten"])
def test_documents_of_several_epochs_are_right(part: Any, loader: str) -> None:
    checks, work = part("checks"), part("works").WORKS[f"W12-{SIZE}"]
    data = part("sources").documents(500, SIZE)
    batches = batches_of(part, loader, data, 3 * len(data.values) // (32 * SIZE))
    for batch in batches:
        checks.check_batches(work, data, [batch])
    with pytest.raises(checks.WrongBatchError, match="twice"):
        checks.check_batches(work, data, batches)


def without_document(batch: Batch) -> Batch:
    return {key: np.zeros_like(leaf) for key, leaf in batch.items()}


def spoiled(name: str, row: int, place: int) -> Callable[[Batch], Batch]:
    def spoil(batch: Batch) -> Batch:
        leaf = batch[name].copy()
        leaf[row, place] = ~leaf[row, place] if leaf.dtype == bool else leaf[row, place] + 1
        return {**batch, name: leaf}

    return spoil


SPOILED: list[tuple[Callable[[Batch], Batch], str]] = [
    *((spoiled(name, 3, 7), f"{name} does not hold") for name in ("tokens", "targets", "loss_mask")),
    *((spoiled(name, -1, 100), f"{name} does not hold") for name in ("segment_ids", "positions")),
    (spoiled("tokens", 3, 1), "has no room|does not hold|rows .* of"),
    (lambda b: {key: leaf for key, leaf in b.items() if key != "targets"}, "the batch has"),
    (lambda b: {**b, "positions": b["positions"].astype(np.int64)}, "instead of int32"),
    (lambda b: {key: leaf[:-1] for key, leaf in b.items()}, "instead of"),
    (without_document, "no document"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
@pytest.mark.parametrize("loader", ["loadax-sync", "handwritten"])
def test_wrong_rows_are_noticed(part: Any, loader: str, spoil: Callable[[Batch], Batch], message: str) -> None:
    checks, work = part("checks"), part("works").WORKS[f"W12-{SIZE}"]
    data = part("sources").documents(500, SIZE)
    (good,) = batches_of(part, loader, data, 1)
    checks.check_batches(work, data, [good])
    with pytest.raises(checks.WrongBatchError, match=message):
        checks.check_batches(work, data, [spoil(good)])


def test_a_target_beyond_a_cut_may_be_left_out_but_not_be_wrong(part: Any) -> None:
    checks, work = part("checks"), part("works").WORKS[f"W12-{SIZE}"]
    data = part("sources").documents(500, SIZE)
    (batch,) = batches_of(part, "loadax-sync", data, 1)
    # A row of one piece that another one follows.
    row = np.flatnonzero(batch["loss_mask"][:, -1])[0]
    batch["targets"][row, -1] += 1
    with pytest.raises(checks.WrongBatchError, match="targets does not hold"):
        checks.check_batches(work, data, [batch])
    batch["targets"][row, -1], batch["loss_mask"][row, -1] = 0, False
    checks.check_batches(work, data, [batch])


def test_the_limit_copies_rows_that_were_packed_before(part: Any) -> None:
    work = part("works").WORKS[f"W12-{SIZE}"]
    data = part("sources").documents(500, SIZE)
    packed = part("limits").packed_rows(work, data)
    assert sum(leaf.itemsize for leaf in packed.values()) == 13
    assert {leaf.shape for leaf in packed.values()} == {(len(data.values) // (32 * SIZE) * 32, SIZE)}
    assert part("limits").limit(work, data, 0.01) > 0


def test_packing_is_measured() -> None:
    done = run("benchmarks.packing", "--quick", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    header, _, row = done.stdout.splitlines()
    assert header.startswith("| documents | size | rows | padding |")
    assert row.startswith("| 10,000 | 2,048 |")
    assert row.count(" ms") == 3
    assert row.count("%") == 3


def test_pairs_of_documents_are_counted(part: Any) -> None:
    packing = part("packing")
    # Six documents of two values, whose values are their numbers, in rows of two documents.
    documents = JaggedDataset.from_arrays(np.repeat(np.arange(6), 2), np.arange(0, 13, 2))
    packed = documents.pack(4, seed=0)
    expected = [{tuple(sorted(set(row["tokens"].tolist()))) for row in packed.at_epoch(epoch)} for epoch in (0, 1)]
    assert all(len(pairs) == 3 for pairs in expected)
    for epoch, pairs in enumerate(expected):
        assert {divmod(pair, 6) for pair in packing.pairs_of(packed.at_epoch(epoch), 6).tolist()} == pairs
    again, chance = packing.shared_again(packed, 6)
    assert again == pytest.approx(len(expected[0] & expected[1]) / 3)
    assert chance == pytest.approx(3 / 15)


def test_a_document_is_no_pair_with_itself(part: Any) -> None:
    # One document in two pieces, and one short document.
    documents = JaggedDataset.from_arrays(np.repeat(np.arange(2), [5, 1]), [0, 5, 6])
    assert part("packing").pairs_of(documents.pack(4, seed=0), 2).tolist() == [1]
