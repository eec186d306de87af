"""The containers that a batch may be made of: dicts, lists, tuples, named tuples and dataclasses.

JAX treats the same containers as trees, except dataclasses that are not registered with it. `None` is a container
without leaves. Anything else is a leaf. Static fields of dataclasses, marked as JAX, Equinox and Flax do, are part of
the container.

A container is rebuilt without a call of its class. A constructor or a `__post_init__` that changes a value would change
it each time a batch is stacked, joined or placed on a device, and the settings of the loader decide how often that is.
So a dataclass is copied and its fields are set, and a named tuple is made by `tuple.__new__`. A class that JAX opens in
another way than by its fields is rebuilt by JAX's unflatten function.

A mapping that JAX would not open, such as a `UserDict` or a subclass of `dict`, becomes a dict, so that a jitted step
takes the batch. So does a `defaultdict`: JAX compares its factory, and would compile the step again for another one.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import Any, TypeAlias, cast

import numpy as np

Path: TypeAlias = tuple[str, ...]
"""The way from the root of a tree to a node, each step as Python code."""

Opened: TypeAlias = tuple[list[tuple[str, Any]], Callable[[list[Any]], Any]]
"""The children of a container, each with the step to it, and a function that rebuilds the container from new ones."""

_new_tuple: Any = vars(tuple)["__new__"]

_ARRAYS = {np.ndarray}


def children(node: Any) -> Opened | None:
    """Opens one container.

    Args:
        node: Any object.

    Returns:
        The container's children, each with the step that leads to it, and a function that builds the same kind of
        container from new children in the same order, without calling its class; or None for a leaf.
    """
    kind = cast("type[Any]", type(node))
    if kind is np.ndarray:
        # The most frequent leaf is told first, since the checks below take longer.
        return None
    if node is None:
        return [], lambda _: None
    if kind is list:
        return [(f"[{i}]", child) for i, child in enumerate(node)], list
    if isinstance(node, tuple):
        parts = cast("tuple[Any, ...]", node)
        named: tuple[str, ...] | None = getattr(parts, "_fields", None)
        if named is not None:
            return [(f".{f}", c) for f, c in zip(named, parts, strict=True)], partial(_named_tuple, parts)
        return [(f"[{i}]", child) for i, child in enumerate(parts)], tuple
    names = keys(node)
    if names is not None:
        build = cast("Callable[[Any], Any]", OrderedDict if kind is OrderedDict else dict)
        return [(f"[{key!r}]", node[key]) for key in names], lambda new: build(zip(names, new, strict=True))
    if not (isinstance(node, Mapping) or _is_record(node)):
        return None
    known = registered(node)
    if known is not None:
        return known
    record: Any = node  # pyright: ignore[reportUnknownVariableType]
    fields = _unmarked(record)
    return [(f".{name}", getattr(record, name)) for name in fields], partial(_with_fields, record, fields)


def registered(node: Any) -> Opened | None:
    """Opens one container as JAX does, if JAX has been imported.

    JAX's unflatten function may call the constructor, as that of `jax.tree_util.register_dataclass` does. So a
    dataclass whose children are fields is copied, and only others are built by that function.

    Args:
        node: Any object.

    Returns:
        As `children`; None for what JAX takes for a leaf.
    """
    jax = cast("Any", sys.modules.get("jax.tree_util"))
    # Another thread may be about to import it.
    flatten = getattr(jax, "tree_flatten_with_path", None)
    if flatten is None:
        return None
    entries, structure = flatten(node, is_leaf=lambda child: child is not node)  # pyright: ignore[reportUnknownLambdaType]
    if structure.num_nodes == structure.num_leaves:
        return None
    steps = [(jax.keystr(keys), child) for keys, child in entries]
    if _is_record(node) and {step for step, _ in steps} <= {f".{name}" for name in _fields(node)}:
        # Fields with init=False that JAX leaves out: its unflatten function has the constructor compute them. A copy is
        # made without the constructor, so that they are copied.
        made = {f".{f.name}" for f in dataclasses.fields(node) if not f.init} - {step for step, _ in steps}
        steps += [(f".{n}", getattr(node, n)) for n in _unmarked(node) if f".{n}" in made]
        return steps, partial(_with_fields, node, [step[1:] for step, _ in steps])
    return steps, partial(jax.tree_unflatten, structure)


def keys(node: Any) -> list[Any] | None:
    """The keys of a mapping, in the order of its children; None for other objects, and for classes registered with JAX.

    Args:
        node: Any object.
    """
    kind = cast("type[Any]", type(node))
    # JAX opens these too, and sorts their keys.
    if kind in (dict, OrderedDict, defaultdict) or (isinstance(node, Mapping) and registered(node) is None):
        return list(cast("Mapping[Any, Any]", node))
    return None


def constants(node: Any) -> dict[str, Any]:
    """The static fields of a dataclass, which are no leaves and must be equal in all items of a batch.

    Args:
        node: Any object.

    Returns:
        Names and values; nothing for other objects. For a class that JAX opens in another way than by its fields, the
        auxiliary data that JAX keeps beside the children.
    """
    if keys(node) is not None or not _is_record(node):
        return {}
    opened = children(node)
    if opened is None:
        return {}
    steps, build = opened
    if getattr(build, "func", None) is not _with_fields:
        structure: Any = cast("partial[Any]", build).args[0]
        return {"auxiliary data": structure.node_data()[1]}
    found = {step for step, _ in steps}
    return {name: getattr(node, name) for name in _fields(node) if f".{name}" not in found}


def _is_record(node: Any) -> bool:
    # An array of Zarr is a dataclass, and a leaf.
    return dataclasses.is_dataclass(node) and not isinstance(node, type) and not hasattr(node, "__array__")


def _fields(node: Any) -> list[str]:
    """The fields of a dataclass that are set; one with `init=False` need not be."""
    return [field.name for field in dataclasses.fields(node) if hasattr(node, field.name)]


def _unmarked(node: Any) -> list[str]:
    """The fields of a dataclass that are set and not marked as static."""
    static = {
        field.name
        for field in dataclasses.fields(node)
        if field.metadata.get("static", False) or not field.metadata.get("pytree_node", True)
    }
    return [name for name in _fields(node) if name not in static]


def _with_fields(node: Any, names: Sequence[str], values: Sequence[Any]) -> Any:
    """A copy of a dataclass with some fields set anew, without a call of its class."""
    copied = _with_attributes(object.__new__(cast("Any", type(node))), node)
    for name, value in zip(names, values, strict=True):
        # As the constructor of a frozen one does.
        object.__setattr__(copied, name, value)
    return copied


def _named_tuple(node: tuple[Any, ...], values: Sequence[Any]) -> Any:
    """A named tuple of the same class, without a call of that class."""
    return _with_attributes(_new_tuple(type(node), values), node)


def _with_attributes(new: Any, node: Any) -> Any:
    """Gives `new` the attributes of `node`, but no value of a `cached_property`: it was computed from other fields."""
    kind = cast("type[Any]", type(node))
    state: Any = object.__getstate__(node)
    both = cast("tuple[dict[str, Any] | None, ...]", state if isinstance(state, tuple) else (state, None))
    attributes, slots = both
    for name, value in (attributes or {}).items():
        if not isinstance(getattr(kind, name, None), cached_property):
            vars(new)[name] = value
    for name, value in (slots or {}).items():
        object.__setattr__(new, name, value)
    return new


def map_leaves(fn: Callable[[Path, Any], Any], tree: Any, path: Path = ()) -> Any:
    """Applies `fn(path, leaf)` to every leaf.

    Args:
        fn: Takes the leaf's path and the leaf; returns the new leaf.
        tree: Any tree; a bare leaf is one too.
        path: The place of `tree` in a larger tree.

    Returns:
        A tree of the same containers.
    """
    opened = children(tree)
    if opened is None:
        return fn(path, tree)
    steps, build = opened
    return build([map_leaves(fn, child, (*path, step)) for step, child in steps])


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """Takes a tree apart, so that many trees of the same containers can be made of other leaves.

    Args:
        tree: Any tree; a bare leaf is one too.

    Returns:
        The leaves in order, and a function that makes a tree of the same containers from an equal number of leaves.

    Example:
        >>> leaves, build = flatten({"a": 1, "b": (2, 3)})
        >>> build([leaf * 10 for leaf in leaves])
        {'a': 10, 'b': (20, 30)}
    """
    if type(tree) is dict:
        named = cast("dict[Any, Any]", tree)
        if set(map(type, named.values())) == _ARRAYS:
            # The most frequent tree, opened in a fifth of the time.
            names = list(named)
            return list(named.values()), lambda new: dict(zip(names, new, strict=True))
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
    """Yields every leaf with its path, in order.

    Args:
        tree: Any tree; a bare leaf is one too.
        path: The place of `tree` in a larger tree.

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
    """A path as error messages show it: `batch['image'][0]`, or `batch` for the root."""
    return "batch" + "".join(path)
