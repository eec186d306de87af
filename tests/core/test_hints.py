"""What is written in the way of other loaders, or at the wrong object, is an error that says what to write instead."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from operator import attrgetter, methodcaller
from typing import Any

import pytest
from loadax_core import DataLoader, PadBatcher, StackError, tree
from loadax_core.hints import ITERATOR as ITERATOR_HINTS

Use = Callable[[Any], Any]


def use(obj: Any, by: Use) -> Any:
    return by(obj)


def enter(obj: Any) -> None:
    with obj:
        pass


BUILDER: list[tuple[Use, type[Exception], str]] = [
    (iter, TypeError, r"iterate over what build returns: for batch in DataLoader\(\)\.build\(dataset\)"),
    (list, TypeError, "iterate over what build returns"),
    (next, TypeError, r"next\(iter\(DataLoader\(\)\.build\(dataset\)\)\)"),
    (len, TypeError, r"the number of batches is len\(DataLoader\(\)\.build\(dataset\)\)"),
    (methodcaller("shuffle", 9), AttributeError, r"no attribute 'shuffle'; .*build\(dataset\.shuffle\(seed=0\)\)"),
    (methodcaller("num_workers", 4), AttributeError, r"use \.workers\(n\)"),
    (methodcaller("batch", 4), AttributeError, r"use \.batch_size\(n\)"),
    (methodcaller("map", str), AttributeError, r"\.build\(dataset\.map\(fn\)\)"),
    (methodcaller("repeat"), AttributeError, r"\.epochs\(None\)"),
    (methodcaller("epoch", 1), AttributeError, r"call \.build\(dataset\) first"),
    (methodcaller("persistent_workers", True), AttributeError, r"use \.epochs\(n\): one run keeps its workers"),
    (enter, TypeError, r"with iter\(DataLoader\(\)\.build\(dataset\)\) as batches"),
    (lambda b: b.batch_size(4, True), TypeError, r"given by name: batch_size\(4, drop_remainder=True\)"),
    (
        lambda b: b.batch_size(4, drop_last=True),
        TypeError,
        r"batch_size\(n, drop_remainder=True\) instead of drop_last",
    ),
    (lambda b: b.workers(2, "process"), TypeError, r"given by name: workers\(2, kind='process'\)"),
    (lambda b: b.prefetch(2, True), TypeError, r"given by name: prefetch\(2, to_device=True\)"),
    (lambda b: b.skip(steps=3), TypeError, r"write skip\(steps=\[3\]\)"),
    (lambda b: b.skip([3]), TypeError, r"given by name: skip\(steps=\[3\]\)"),
    (attrgetter("nonsense"), AttributeError, "^'DataLoader' object has no attribute 'nonsense'$"),
]

LOADER: list[tuple[Use, type[Exception], str]] = [
    (next, TypeError, r"batches = iter\(loader\) has one, and next\(batches\) takes its next batch"),
    (methodcaller("workers", 4), AttributeError, r"settings come before \.build\(dataset\): DataLoader\(\)\.workers"),
    (methodcaller("prefetch", 4), AttributeError, r"DataLoader\(\)\.prefetch\(\.\.\.\)\.build\(dataset\)"),
    (methodcaller("shuffle", 4), AttributeError, r"dataset\.shuffle\(seed=0\)\); one epoch .* loader\.epoch\(e\)"),
    (methodcaller("set_epoch", 4), AttributeError, r"for batch in loader\.epoch\(e\)"),
    (methodcaller("count"), AttributeError, r"DataLoader\(\)\.count\(\.\.\.\)\.build\(dataset\)"),
    (methodcaller("skip"), AttributeError, r"DataLoader\(\)\.skip\(\.\.\.\)\.build\(dataset\)"),
    (methodcaller("take", 3), AttributeError, r"use itertools\.islice\(loader, n\) for n batches"),
    (enter, TypeError, r"with iter\(loader\) as batches"),
    (methodcaller("state_dict"), AttributeError, r"position: iter\(loader\)\.get_state\(\)"),
    (methodcaller("start"), AttributeError, r"belongs to an iterator: batches = iter\(loader\)"),
    (methodcaller("get_state"), AttributeError, r"belongs to an iterator: batches = iter\(loader\)"),
    (methodcaller("epochs", 2), AttributeError, r"DataLoader\(\)\.epochs\(n\)\.build\(dataset\)"),
    (methodcaller("build", [1]), AttributeError, "this is the loader that build returned"),
    (attrgetter("nonsense"), AttributeError, "^'Loader' object has no attribute 'nonsense'$"),
]


ITERATOR: list[tuple[Use, type[Exception], str]] = [
    (methodcaller("state_dict"), AttributeError, r"no attribute 'state_dict'; use batches\.get_state\(\)"),
    (methodcaller("load_state_dict", {}), AttributeError, r"use batches\.set_state\(state\)"),
    (methodcaller("next"), AttributeError, r"use next\(batches\)"),
    (methodcaller("origins", 3), AttributeError, r"the loader has it: loader\.origins$"),
    (methodcaller("batch", 3), AttributeError, r"the loader has it: loader\.batch$"),
    (attrgetter("steps_per_epoch"), AttributeError, r"the loader has it: loader\.steps_per_epoch$"),
    (methodcaller("reset"), AttributeError, r"use batches\.seek\(0\), or a new iter\(loader\)"),
    (attrgetter("nonsense"), AttributeError, "^'LoaderIterator' object has no attribute 'nonsense'$"),
]


@pytest.mark.parametrize(("by", "kind", "message"), BUILDER)
def test_a_builder_says_what_to_write_instead(by: Use, kind: type[Exception], message: str) -> None:
    builder = DataLoader().batch_size(4)
    with pytest.raises(kind, match=message):
        use(builder, by)


@pytest.mark.parametrize(("by", "kind", "message"), LOADER)
def test_a_loader_says_what_to_write_instead(by: Use, kind: type[Exception], message: str) -> None:
    loader = DataLoader().batch_size(4).build(range(8))
    with pytest.raises(kind, match=message):
        use(loader, by)


@pytest.mark.parametrize(("by", "kind", "message"), ITERATOR)
def test_an_iterator_says_what_to_write_instead(by: Use, kind: type[Exception], message: str) -> None:
    with iter(DataLoader().batch_size(4).build(range(8))) as batches, pytest.raises(kind, match=message):
        use(batches, by)


def test_what_is_said_to_be_the_loaders_is() -> None:
    loader = DataLoader().build(range(8))
    with iter(loader) as batches:
        for name, hint in ITERATOR_HINTS.items():
            assert not hasattr(batches, name)
            assert hasattr(loader, name) or "the loader has it" not in hint


def test_builders_and_loaders_are_true_and_can_be_copied() -> None:
    builder = DataLoader().batch_size(4)
    assert builder
    for copied in (copy.copy(builder), copy.deepcopy(builder), pickle.loads(pickle.dumps(builder))):
        assert repr(copied) == repr(builder)
        assert not hasattr(copied, "shuffle")
    loader = builder.build(range(8))
    for again in (copy.copy(loader), copy.deepcopy(loader), pickle.loads(pickle.dumps(loader))):
        assert [batch.tolist() for batch in again] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_arguments_of_other_loaders_are_translated() -> None:
    kind: Any = DataLoader
    message = (
        r"no num_workers, drop_last; .*; write \.workers\(n\) instead of num_workers, "
        r"\.batch_size\(n, drop_remainder=True\) instead of drop_last"
    )
    with pytest.raises(TypeError, match=message):
        kind(num_workers=4, drop_last=True)
    message = (
        r"\.build\(dataset\) instead of data_source, dataset\.map\(fn\), .*, instead of operations, .*read_options$"
    )
    with pytest.raises(TypeError, match=message):
        kind(data_source=[1], operations=[], read_options=None)
    with pytest.raises(TypeError, match=r"DataLoader\(batcher\), .* instead of batch_fn$"):
        kind(batch_fn=list)
    with pytest.raises(TypeError, match=r"seed=0\)\)$"):
        kind(nonsense=1)


def test_settings_at_build_are_translated() -> None:
    builder: Any = DataLoader()
    message = r"build takes a dataset, and no batch_size, shuffle; .*; write \.batch_size\(n\) instead of batch_size, "
    with pytest.raises(TypeError, match=message):
        builder.build(range(3), batch_size=4, shuffle=True)
    with pytest.raises(TypeError, match=r"build takes a dataset, and no 32; settings are calls"):
        builder.build(range(3), 32)


def test_settings_by_position_are_translated() -> None:
    kind: Any = DataLoader
    with pytest.raises(TypeError, match=r"takes a batcher, and no 32, shuffle; .*; write dataset\.shuffle\(seed=0\)"):
        kind([1, 2], 32, shuffle=True)


@pytest.mark.parametrize("items", [[[1, 2], [3]], [{"tokens": [1, 2]}, {"tokens": [3]}]])
def test_lists_of_different_lengths_are_to_be_padded(items: list[Any]) -> None:
    with pytest.raises(StackError, match=r"one by one. To pad lists of numbers .*, use DataLoader\(PadBatcher\(\)\)"):
        next(iter(DataLoader().batch_size(2).build(items)))
    padded = next(iter(DataLoader(PadBatcher()).batch_size(2).build(items)))
    assert [[1, 2], [3, 0]] in [leaf.tolist() for _, leaf in tree.leaves(padded)]


def test_a_dataset_in_a_list_is_to_be_built_itself() -> None:
    for dataset in (range(3), "abc".split):
        hint = r"\.build\(dataset\)" if dataset == range(3) else "map it to one in the dataset"
        with pytest.raises(TypeError, match=f"is neither an array nor a number nor a string; .*{hint}"):
            next(iter(DataLoader().build([dataset])))
