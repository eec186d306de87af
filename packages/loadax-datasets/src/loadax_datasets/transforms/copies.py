"""Copies of items that share arrays and other leaves, but no container.

No constructor runs, since it may change its arguments, or not take every field.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, cast

import numpy as np

LEAVES: frozenset[type] = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""Types of leaves that cannot be changed, and need no copy."""


_new_tuple: Any = vars(tuple)["__new__"]
_new_object: Any = vars(object)["__new__"]


def copied(node: Any, array: Callable[[Any], Any] | None = None) -> Any:
    """A copy of a tree in which every container is a new one, equal to the old one.

    Containers are dicts, OrderedDicts, defaultdicts, lists, tuples, named tuples, sets and dataclasses. Other objects
    are not copied, nor is what they hold.

    Args:
        node: Any tree; a bare leaf is one too.
        array: Returns what the copy has in place of a NumPy array; None to use the arrays themselves.

    Returns:
        The copy.
    """
    kind = cast("Any", type(node))
    if issubclass(kind, np.ndarray):
        return node if array is None else array(node)
    if kind in LEAVES:
        return node
    if kind is dict:
        return {key: child if type(child) in LEAVES else copied(child, array) for key, child in node.items()}
    if kind in (list, tuple):
        # A list of plain leaves, such as tokens, may be long, and is copied in one call.
        plain = LEAVES.issuperset(map(type, node))
        return cast("Any", kind)(node if plain else [copied(child, array) for child in node])
    if issubclass(kind, np.generic):
        return node
    if kind is OrderedDict:
        return OrderedDict((key, copied(child, array)) for key, child in node.items())
    if kind is defaultdict:
        return defaultdict(node.default_factory, {key: copied(child, array) for key, child in node.items()})
    if kind is set:
        return node.copy()
    if tuple in kind.__mro__ and hasattr(kind, "_fields"):
        return _with_attributes(_new_tuple(kind, [copied(child, array) for child in node]), node)
    # A dataclass that derives from a dict, say, or has a `__new__` of its own, holds more than its fields.
    if dataclasses.is_dataclass(kind) and kind.__new__ is object.__new__:
        new = _with_attributes(_new_object(kind), node)
        for field in dataclasses.fields(kind):
            if hasattr(node, field.name):
                object.__setattr__(new, field.name, copied(getattr(node, field.name), array))
        return new
    return node


def _with_attributes(new: Any, old: Any) -> Any:
    attributes: dict[str, Any] | None = getattr(old, "__dict__", None)
    if attributes:
        new.__dict__.update(attributes)
    return new
