from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from loadax_core import StackBatcher, StackError, tree


class Pair(NamedTuple):
    x: Any
    y: Any


@dataclass
class Sample:
    image: Any
    label: Any = 0


def test_every_container_is_rebuilt_as_it_was() -> None:
    value = {"a": [1, (2, None)], "b": Pair(3, OrderedDict(z=4)), "c": Sample(5, Pair(6, 7))}
    doubled = tree.map_leaves(lambda _, leaf: leaf * 2, value)
    assert doubled == {"a": [2, (4, None)], "b": Pair(6, OrderedDict(z=8)), "c": Sample(10, Pair(12, 14))}
    assert type(doubled["b"].y) is OrderedDict


def test_paths_read_as_python() -> None:
    value = {"a": [1, (2,)], "b": Pair(3, Sample(4))}
    assert [tree.name(path) for path, _ in tree.leaves(value)] == [
        "batch['a'][0]",
        "batch['a'][1][0]",
        "batch['b'].x",
        "batch['b'].y.image",
        "batch['b'].y.label",
    ]
    assert tree.name(()) == "batch"


def test_a_bare_leaf_is_a_tree() -> None:
    assert list(tree.leaves(3)) == [((), 3)]
    assert tree.map_leaves(lambda path, leaf: (path, leaf), 3) == ((), 3)


@dataclass
class Marked:
    x: Any
    name: str = field(default="", metadata={"static": True})
    size: int = field(default=0, metadata={"pytree_node": False})


def test_static_fields_belong_to_the_container() -> None:
    value = {"a": Marked(1, "first", 5)}
    assert [(tree.name(path), leaf) for path, leaf in tree.leaves(value)] == [("batch['a'].x", 1)]
    assert tree.map_leaves(lambda _, leaf: leaf * 2, value) == {"a": Marked(2, "first", 5)}
    leaves, build = tree.flatten(value)
    assert build([leaf + 1 for leaf in leaves]) == {"a": Marked(2, "first", 5)}
    assert StackBatcher()([Marked(1, "a"), Marked(2, "a")]).name == "a"
    with pytest.raises(StackError, match=r"item 0 has static fields .*'a'.* but item 1 has static fields .*'b'"):
        StackBatcher()([Marked(1, "a"), Marked(2, "b")])
