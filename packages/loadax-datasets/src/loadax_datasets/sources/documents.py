"""Documents as flat arrays: how they are taken apart, checked and cast before they are written to a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from loadax_core import tree

from .flat import Array

KINDS = "biufc"
"""The kinds of dtypes that a store holds."""

NUMBERS = (bool, int, float, np.number, np.bool_)

Dtypes = npt.DTypeLike | Mapping[str, npt.DTypeLike]


class Documents:
    """Takes documents apart that are all alike.

    Args:
        dtype: The dtype of all leaves, or of some entries of a dict, as `check_dtype` returns it. With None, and for
            entries that are not named, that of the first document is taken.
        form: A document, with dtypes in place of arrays; None if there is none yet.

    Raises:
        TypeError: If entries are named that documents lack.
        ValueError: If `form` has other dtypes than `dtype`.
    """

    def __init__(self, dtype: Any, form: Any = None) -> None:
        self._dtype: dict[str, np.dtype[Any]] | np.dtype[Any] | None = dtype
        self._form: Any = None
        if form is not None:
            self._set_form(form)
            self._check_dtypes()

    @property
    def form(self) -> Any:
        """A document, with dtypes in place of arrays; None until there was one."""
        return self._form

    def leaves(self, document: Any, number: int) -> list[Array]:
        """The arrays of a document, of equal lengths and in the dtypes of the store.

        Args:
            document: The document.
            number: Its number, for errors.

        Raises:
            TypeError: If it has a part that is no array of numbers, or of a kind of numbers that a cast would lose.
            ValueError: If an array is not flat or is masked, lengths differ, or it is another tree than the first one.
            OverflowError: If a number does not fit the dtype.
        """
        if self._form is None:
            self._set_form(self._form_of(document, f"document {number}", ()))
        form = self._form
        if isinstance(form, np.dtype):
            # Most documents are one array.
            if type(document) is np.ndarray and document.dtype == form and document.ndim == 1:
                return [document]
            return [self._leaf(document, cast("np.dtype[Any]", form), f"document {number}", ())]
        found: list[Array] = []
        self._take(document, form, f"document {number}", (), found)
        lengths = [len(leaf) for leaf in found]
        if min(lengths) != max(lengths):
            raise ValueError(
                f"the arrays of document {number} have the lengths {', '.join(map(str, lengths))}; all arrays of a "
                "document need the same length"
            )
        return found

    def _set_form(self, form: Any) -> None:
        if isinstance(self._dtype, dict):
            missing = [name for name in self._dtype if not (isinstance(form, dict) and name in form)]
            if missing:
                raise TypeError(
                    f"dtype names the entry {missing[0]!r}, which documents lack: they are {shape_of(form)}"
                )
        if not list(_dtypes(form)):
            raise ValueError(f"documents need at least one array, got {form!r:.80}")
        self._form = form

    def _check_dtypes(self) -> None:
        def check(path: tree.Path, found: np.dtype[Any]) -> None:
            wanted = self._given(path)
            if wanted not in (None, found):
                raise ValueError(
                    f"the store has the dtype {found}, and dtype={wanted} is given; give dtype={found}, or write to "
                    "another folder"
                )

        tree.map_leaves(check, self._form)

    def _given(self, path: tree.Path) -> np.dtype[Any] | None:
        """The dtype that the user gave for a leaf."""
        if not isinstance(self._dtype, dict):
            return self._dtype
        return next((dtype for name, dtype in self._dtype.items() if path[:1] == (f"[{name!r}]",)), None)

    def _form_of(self, node: Any, document: str, path: tree.Path) -> Any:
        """The form of the first document."""
        if isinstance(node, Mapping):
            entries = cast("Mapping[Any, Any]", node)
            for name in entries:
                if not isinstance(name, str):
                    raise TypeError(f"{document} is a dict with the key {name!r}; a store keeps keys that are strings")
            return {name: self._form_of(child, document, (*path, f"[{name!r}]")) for name, child in entries.items()}
        kind = cast("type[Any]", type(node))
        if kind in (list, tuple) and not _is_numbers(node):
            children = [self._form_of(child, document, (*path, f"[{i}]")) for i, child in enumerate(node)]
            return children if kind is list else tuple(children)
        dtype = _as_array(node, _place(document, path)).dtype.newbyteorder("<")
        given = self._given(path)
        return dtype if given is None else given

    def _take(self, node: Any, form: Any, document: str, path: tree.Path, found: list[Array]) -> None:
        """Appends the leaves of a document to `found`."""
        if isinstance(form, np.dtype):
            found.append(self._leaf(node, cast("np.dtype[Any]", form), document, path))
        elif isinstance(form, dict):
            if not isinstance(node, Mapping) or node.keys() != form.keys():
                raise self._other(node, form, document, path)
            for name, child in cast("dict[str, Any]", form).items():
                self._take(node[name], child, document, (*path, f"[{name!r}]"), found)
        else:
            if type(node) is not type(form) or len(node) != len(form):
                raise self._other(node, form, document, path)
            for i, (part, child) in enumerate(zip(node, form, strict=True)):
                self._take(part, child, document, (*path, f"[{i}]"), found)

    def _other(self, node: Any, form: Any, document: str, path: tree.Path) -> ValueError:
        return ValueError(
            f"{_place(document, path)} is {shape_of(node)}, and those before are {shape_of(form)}; all documents of a "
            "store are alike"
        )

    def _leaf(self, node: Any, dtype: np.dtype[Any], document: str, path: tree.Path) -> Array:
        place, kind = _place(document, path), cast("type[Any]", type(node))
        if issubclass(kind, Mapping | tuple) or (kind is list and not _is_numbers(node)):
            raise self._other(node, dtype, document, path)
        values = _as_array(node, place)
        if values.dtype == dtype:
            return values
        if kind is list and not node:
            return np.empty(0, dtype)
        # The numbers of a list have no width of their own.
        given = kind is list or self._given(path) is not None
        return _cast(values, dtype, place, given=given)


def check_dtype(dtype: Dtypes | None) -> Any:
    """The argument `dtype` of `write_jagged`, checked.

    Returns:
        A dtype or a dict of them, little-endian; or None.

    Raises:
        TypeError: If a dtype is not one of numbers.
        ValueError: If a dict is empty.
    """
    if dtype is None:
        return None
    if isinstance(dtype, Mapping):
        named = cast("Mapping[str, npt.DTypeLike]", dtype)
        if not named:
            raise ValueError("dtype={} names no entry; name one, as in dtype={'ids': np.uint16}, or leave it out")
        return {name: check_dtype(each) for name, each in named.items()}
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(
            f"dtype is a dtype, such as np.uint16, or a dict from names of entries to dtypes; got {dtype!r:.80}"
        ) from error
    if found.kind not in KINDS:
        raise TypeError(f"dtype={found} is not one of numbers; give one such as np.uint16 or np.int32")
    return found.newbyteorder("<")


def shape_of(node: Any) -> str:
    """What a document is, for errors."""
    if isinstance(node, Mapping):
        return f"a dict of {', '.join(map(repr, cast('Mapping[Any, Any]', node))) or 'nothing'}"
    kind = cast("type[Any]", type(node))
    if kind in (list, tuple) and not _is_numbers(node):
        return f"a {kind.__name__} of {len(node)}"
    return "one array" if isinstance(node, np.dtype | np.ndarray | list) else f"of type {kind.__name__}"


def _dtypes(form: Any) -> list[Any]:
    return tree.flatten(form)[0]


def _place(document: str, path: tree.Path) -> str:
    return document + "".join(path)


def _is_numbers(node: Any) -> bool:
    """Whether a list or a tuple stands for an array: an empty list does."""
    return isinstance(node[0], NUMBERS) if len(node) else type(node) is list


def _as_array(node: Any, place: str) -> Array:
    """A leaf as an array of shape `(n,)`."""
    if isinstance(node, np.ma.MaskedArray):
        raise ValueError(f"{place} is a masked array, whose mask the store would lose; fill it with .filled(value)")
    if type(node) is list:
        return _of_list(cast("list[Any]", node), place)
    if isinstance(node, str | bytes):
        raise TypeError(f"{place} is text, {node[:40]!r}, and no array of numbers; tokenize it first")
    kind = cast("type[Any]", type(node))
    if issubclass(kind, NUMBERS) or not hasattr(node, "__array__"):
        raise TypeError(
            f"{place} is a {kind.__name__}, {node!r:.40}, and no array of shape (n,); a document is an array, a list "
            "of integers, or a dict, list or tuple of those"
        )
    array = np.asarray(node)
    if array.dtype.kind not in KINDS:
        raise TypeError(f"{place} has the dtype {array.dtype}, which a store cannot hold; cast it to one of numbers")
    if array.ndim != 1:
        raise ValueError(f"{place} has the shape {array.shape}, and a document has (n,); flatten it")
    return array


def _of_list(numbers: list[Any], place: str) -> Array:
    if not numbers:
        return np.empty(0, np.int64)
    try:
        array = np.asarray(numbers)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{place} is a list of other things than numbers: {error}") from error
    if array.ndim != 1 or array.dtype.kind not in KINDS:
        raise TypeError(f"{place} is a list of other things than numbers, or of numbers that do not fit int64")
    return array


def _cast(values: Array, dtype: np.dtype[Any], place: str, *, given: bool) -> Array:
    """An array in another dtype, checked."""
    whole = values.dtype.kind in "iu" and dtype.kind in "iu"
    if not (np.can_cast(values.dtype, dtype, "same_kind") or (given and whole)):
        fix = f"give dtype={dtype} to cast numbers that fit" if whole else "cast it in the dataset, if that is meant"
        raise TypeError(f"{place} has the dtype {values.dtype}, and the store has {dtype}; {fix}")
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(dtype)
    if np.can_cast(values.dtype, dtype):
        return made
    wrong = made != values if dtype.kind in "iu" else np.isinf(made) & np.isfinite(values)
    if wrong.any():
        raise OverflowError(f"{place}: {values[wrong][0]} does not fit {dtype}; choose a wider dtype")
    return made
