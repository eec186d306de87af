"""What people write who come from other libraries: an error says what to write here."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import loadax_datasets
import numpy as np
import pytest
from loadax_core import DataLoader, PadBatcher, RepeatedEpochWarning
from loadax_datasets import BaseDataset, RandomMappedDataset, RangeDataset, ShuffledDataset, SplitDataset
from loadax_datasets.hints import ELSEWHERE

rows: Any = RangeDataset(10)
ArrayDataset: Any = loadax_datasets.ArrayDataset
X = np.zeros(3)


def draw(x: int, rng: np.random.Generator) -> int:
    return x + int(rng.integers(10))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (lambda: rows.shuffle(1000), r"shuffle\(seed=1000\); there is no buffer"),
        (lambda: rows.random_map(draw, 3), r"random_map\(draw, seed=3\)"),
        (lambda: rows.random_split([0.5, 0.5], 3), r"random_split\(\[0.5, 0.5\], seed=3\)"),
        (lambda: rows.mix(rows, [0.7, 0.3]), r"mix\(..., weights=\[0.7, 0.3\]\); if .* InMemoryDataset\(\["),
        (lambda: rows.mix(rows, rows, (3, 1, 1)), r"weights are given by name, mix\(..., weights=\(3, 1, 1\)\)"),
        (lambda: rows.shuffle(buffer_size=1000), r"takes no buffer_size: there is no buffer: all rows are shuffled$"),
        (lambda: rows.shuffle(seed=1, reshuffle_each_iteration=True), r"each epoch has another order; .*frozen\(\)"),
        (lambda: rows.map(draw, batched=True), r"map takes no batched: write vectorized=True"),
        (lambda: rows.map(draw, num_parallel_calls=4), r"takes no num_parallel_calls: .*\.workers\(4\)\.build"),
        (lambda: rows.random_map(draw, seed=1, vectorized=True), "takes no vectorized: each row has random numbers of"),
        (lambda: rows.random_map(draw, num_proc=4), r"random_map takes no num_proc: a loader has workers"),
        (lambda: rows.filter(draw, num_proc=4), r"filter takes no num_proc: all rows are read once"),
        (rows.repeat, r"repeat\(3\) makes one epoch.*DataLoader\(\)\.epochs\(None\)"),
        (lambda: rows.repeat(None), r"repeat\(3\) makes one epoch.*DataLoader\(\)\.epochs\(None\)"),
        (lambda: ArrayDataset(X, X), r"takes one tree of arrays; write ArrayDataset\(\(x, y\)\)"),
        (lambda: ArrayDataset(x=X), r"takes one tree of arrays; write ArrayDataset\(\{'x': \.\.\.\}\)"),
        (lambda: rows.sample(3, 7), r"sample\(3, replace=..., weights=..., seed=...\)"),
    ],
)
def test_seeds_and_weights_are_given_by_name(wrong: Any, right: str) -> None:
    with pytest.raises(TypeError, match=right):
        wrong()


def test_lists_of_numbers_can_be_mixed() -> None:
    assert sorted(rows.mix([20, 21, 22], [30, 31, 32], until="all"))[-1] == 32
    assert sorted(rows.mix([20], until="all"))[-1] == 20


@pytest.mark.parametrize(
    ("index", "right"),
    [
        ("x", r"dataset\.map\(lambda row: row\['x'\]\)"),
        ([0, 1], r"dataset\.select\(rows\)"),
        (np.array([0, 1]), r"dataset\.select\(rows\)"),
        (1.5, r"1\.5 \(float\)$"),
    ],
)
def test_other_indices_are_translated(index: Any, right: str) -> None:
    with pytest.raises(TypeError, match=f"a row is an integer or a slice, got .*{right}"):
        rows[index]


def test_a_dataset_shows_itself_in_a_notebook() -> None:
    def label(row: int) -> str:
        return f"<{row}>"

    shown = rows.map(label).shuffle(seed=1)._repr_html_()
    assert shown.startswith("<pre>ShuffledDataset(")
    assert "└─ RangeDataset" in shown
    assert "&lt;locals&gt;" in shown
    assert "<locals>" not in shown


@pytest.mark.parametrize(
    ("kind", "arguments"), [(ShuffledDataset, ()), (RandomMappedDataset, (draw,)), (SplitDataset, ([0.5, 0.5], 0))]
)
def test_classes_take_seeds_by_name(kind: Any, arguments: tuple[Any, ...]) -> None:
    assert list(kind(rows, *arguments, seed=3)) == list(kind(rows, *arguments, seed=3))
    with pytest.raises(TypeError, match="positional argument"):
        kind(rows, *arguments, 3)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("batch", r"DataLoader\(\).batch_size\(32\).build\(dataset\)"),
        ("prefetch", r".prefetch\(2\).build\(dataset\)"),
        ("num_workers", r".workers\(4\).build\(dataset\)"),
        ("mp_prefetch", r"workers\(4, kind='process'\).build\(dataset\)"),
        ("select_columns", r"dataset.map\(lambda row: \{'x': row\['x'\]\}\)"),
        ("window_shuffle", r"dataset.shuffle\(seed=1, block=100\)"),
        ("bucket_by_sequence_length", r"dataset\.select\(np\.argsort\(lengths\)\)\.shuffle\(seed=1, block=32\)"),
        ("flat_map", "derived from BaseDataset, says which rows of this dataset make its row i"),
        ("train_test_split", r"dataset.random_split\(\[0.9, 0.1\], seed=0\)"),
    ],
)
def test_names_of_other_libraries_say_what_to_write(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"'RangeDataset' object has no attribute '{name}': .*{hint}") as caught:
        getattr(rows, name)
    assert caught.value.name == name
    assert not hasattr(rows, name)


def test_what_the_hints_say_can_be_written(tmp_path: Path) -> None:
    kinds = {kind.__name__: kind for kind in (DataLoader, PadBatcher, RangeDataset)}
    names: dict[str, Any] = {
        "dataset": RangeDataset(100),
        "other": rows,
        "my_batcher": list,
        "my_function": list,
        **kinds,
    }
    names |= {"np": np, "lengths": np.arange(100), "directory": tmp_path}
    for name, hint in ELSEWHERE.items():
        assert not hasattr(BaseDataset, name)
        code = hint.split(": ", 1)[-1].split(";")[0].removeprefix("write ").split(", or ")[0]
        code = code.rsplit(" is ", 1)[-1]
        if "mesh" not in code and "to_device" not in code and "loader)" not in code and "BaseDataset" not in code:
            eval(code, names)


def test_other_names_are_missing_as_always() -> None:
    for missing in ("spam", "__array__", "shape", "_sources_"):
        with pytest.raises(AttributeError, match=f"'RangeDataset' object has no attribute '{missing}'$"):
            getattr(rows, missing)
    assert list(copy.deepcopy(rows)) == list(pickle.loads(pickle.dumps(rows))) == list(rows)


def test_an_error_in_a_property_is_not_hidden() -> None:
    class Broken(RangeDataset):
        @property
        def batched(self) -> bool:
            return getattr(self, "_not_there")  # noqa: B009

    with pytest.raises(AttributeError, match="no attribute '_not_there'"):
        Broken(3).batched  # noqa: B018


@pytest.mark.parametrize(
    "dataset",
    [
        rows[2:].map(str),
        rows.zip(rows),
        rows + rows,
        rows.mix(rows, weights=[1, 2]),
        rows.mix(rows, until="all"),
        rows.repeat(2),
        rows.pad_to_multiple(4),
        rows.random_split([0.5, 0.5], seed=1)[0],
        rows.shuffle(seed=1).frozen(),
        rows.cache(),
        rows.filter(bool).select([1, 0]),
        rows.retry(2).cast(np.int32),
    ],
    ids=lambda dataset: repr(dataset).split("(")[0],
)
def test_evaluation_may_repeat_rows_that_no_epoch_changes(dataset: Any) -> None:
    # A loop over epochs that warns would be an error here.
    loader = DataLoader().batch_size(4).build(dataset)
    for _ in range(4):
        assert list(loader)


def test_a_loop_over_the_first_epoch_of_a_shuffle_warns() -> None:
    loader = DataLoader().batch_size(4).build(rows.shuffle(seed=1))
    runs = (list(loader) for _ in range(3))
    with pytest.warns(RepeatedEpochWarning, match=r"loader\.epoch\(e\)"):
        list(runs)
