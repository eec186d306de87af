"""The containers that a batch may be made of: dicts, lists, tuples, named tuples and dataclasses.

They are the same ones that JAX treats as trees, plus plain dataclasses; `None` is a container without leaves.
Anything else is a leaf. Fields of dataclasses that are marked as static, as JAX, Equinox and Flax do, are part of the
container.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any, TypeAlias, cast

import numpy as np

Path: TypeAlias = tuple[str, ...]
"""The way from a tree's root to one of its nodes, each step as it would be written in Python."""


def children(node: Any) -> tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]] | None:
    """Opens one container.

    Args:
        node: Any object.

    Returns:
        The container's children, each with the step that leads to it, and a function that builds the same kind of
        container from new children in the same order; or None for a leaf.

    Raises:
        TypeError: If `node` is a dataclass with a field that its constructor does not take.
    """
    kind = cast("type[Any]", type(node))
    if kind is np.ndarray:
        # By far the most frequent, and the questions below take a while.
        return None
    if node is None:
        return [], lambda _: None
    if kind is dict or isinstance(node, Mapping):
        keys = list(cast("Mapping[Any, Any]", node))
        build = cast("Callable[[Any], Any]", OrderedDict if kind is OrderedDict else dict)
        return [(f"[{key!r}]", node[key]) for key in keys], lambda new: build(zip(keys, new, strict=True))
    if kind is list:
        return [(f"[{i}]", child) for i, child in enumerate(node)], list
    if isinstance(node, tuple):
        parts = cast("tuple[Any, ...]", node)
        fields: tuple[str, ...] | None = getattr(parts, "_fields", None)
        if fields is not None:
            return [(f".{f}", c) for f, c in zip(fields, parts, strict=True)], lambda new: kind(*new)
        return [(f"[{i}]", child) for i, child in enumerate(parts)], tuple
    # Zarr's arrays are dataclasses, too.
    if dataclasses.is_dataclass(node) and not isinstance(node, type) and not hasattr(node, "__array__"):
        fixed = constants(node)
        names = [f.name for f in dataclasses.fields(node) if f.name not in fixed]
        closed = [f.name for f in dataclasses.fields(node) if not f.init]
        if closed:
            raise TypeError(
                f"{kind.__name__} cannot be part of a batch: its field {closed[0]!r} has init=False; "
                "let the constructor take every field, or use a dict"
            )
        return [(f".{n}", getattr(node, n)) for n in names], lambda new: kind(
            **fixed, **dict(zip(names, new, strict=True))
        )
    return None


def constants(node: Any) -> dict[str, Any]:
    """The static fields of a dataclass: no leaves, but the same in all that are made of them.

    Args:
        node: Any object.

    Returns:
        Their names and values; nothing for other objects.
    """
    if not dataclasses.is_dataclass(node):
        return {}
    static = [
        field.name
        for field in dataclasses.fields(node)
        if field.metadata.get("static", False) or not field.metadata.get("pytree_node", True)
    ]
    return {name: getattr(node, name) for name in static}


def map_leaves(fn: Callable[[Path, Any], Any], tree: Any, path: Path = ()) -> Any:
    """Applies `fn(path, leaf)` to every leaf.

    Args:
        fn: Takes the leaf's path and the leaf; returns the new leaf.
        tree: Any tree; a bare leaf is one too.
        path: Where `tree` stands in a larger tree.

    Returns:
        A tree of the same containers.
    """
    opened = children(tree)
    if opened is None:
        return fn(path, tree)
    steps, build = opened
    return build([map_leaves(fn, child, (*path, step)) for step, child in steps])


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Takes a tree apart once, to put many like it together.

    Args:
        tree: Any tree; a bare leaf is one too.

    Returns:
        Its leaves, in order, and a function that makes a tree of the same containers from as many other leaves.

    Example:
        >>> leaves, build = flatten({"a": 1, "b": (2, 3)})
        >>> build([leaf * 10 for leaf in leaves])
        {'a': 10, 'b': (20, 30)}
    """
    opened = children(tree)
    if opened is None:
        return [tree], lambda new: new[0]
    steps, build = opened
    parts = [flatten(child) for _, child in steps]
    if all(len(part) == 1 for part, _ in parts) and not any(children(child) for _, child in steps):
        return [part[0] for part, _ in parts], build
    ends = list(accumulate(len(part) for part, _ in parts))

    def rebuild(new: list[Any]) -> Any:
        starts = [0, *ends[:-1]]
        return build([make(new[i:j]) for (_, make), i, j in zip(parts, starts, ends, strict=True)])

    return [leaf for part, _ in parts for leaf in part], rebuild


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf with its path, in order.

    Args:
        tree: Any tree; a bare leaf is one too.
        path: Where `tree` stands in a larger tree.

    Yields:
        Pairs of a path and a leaf.
    """
    opened = children(tree)
    if opened is None:
        yield path, tree
    else:
        for step, child in opened[0]:
            yield from leaves(child, (*path, step))


def name(path: Path) -> str:
    """A path as an error message shows it: `batch['image'][0]`, or `batch` for the root."""
    return "batch" + "".join(path)
