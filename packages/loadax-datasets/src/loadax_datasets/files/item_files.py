"""One item as one file, of arrays and JSON only: reading it back runs no code that the file could bring.

A file begins with `MAGIC` and the length of a header. The header is JSON: how the item is made of arrays, and of each
array the dtype, the shape and the order of its elements. The elements of the arrays follow, one array after the other.

NumPy's own format has headers of Python literals. CPython before 3.11.8 parses those with a parser that several threads
cannot use at once: a garbage collection in between lets another thread in, and the first one fails with a SystemError
(https://github.com/python/cpython/issues/106905).
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .atomic import replacing, temporary_path
from .folders import shown

MAGIC, LENGTH = b"LOADAX\0\1", struct.Struct("<Q")
"""The first bytes of a file, the last of them a version; and the length of the header that follows, in bytes."""

PLAIN_DTYPE = re.compile(r"[<>|][?a-zA-Z][0-9]*(\[[0-9]*[a-zA-Z]+\])?")
"""What `numpy.dtype.str` says of a dtype without fields, such as `<f4` or `<M8[25s]`."""

MALFORMED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    struct.error,
    RecursionError,
    OverflowError,
)
"""Errors of reading a file that `save` did not write, or did not finish."""


def save(path: Path, item: Any) -> None:
    """Writes an item, so that others see a complete file or none.

    Args:
        path: Where to; its folder is made if need be. Of several writers at once, any may win.
        item: Dicts with string keys, lists, tuples and None, made of arrays, NumPy scalars, numbers, strings and bytes.

    Raises:
        TypeError: If the item has anything else in it, such as a masked array, or a structured one with a field of a
            dtype that is not NumPy's.
    """
    arrays: list[npt.NDArray[Any]] = []
    structure = _pack(item, arrays)
    header = json.dumps({"item": structure, "arrays": [_described(array) for array in arrays]}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.writelines([MAGIC, LENGTH.pack(len(header)), header])
        file.writelines(array.tobytes("F" if _is_fortran(array) else "C") for array in arrays)


def write_first(path: Path, data: bytes) -> None:
    """Writes a file so that others see all of it or nothing. Of several writers at once, the first wins.

    Args:
        path: Where to; its folder is there already. If there is a file already, it stays.
        data: What the file shall hold.
    """
    with temporary_path(path) as temporary:
        temporary.write_bytes(data)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        except OSError:
            # Not every file system has links.
            temporary.replace(path)


def load(path: Path) -> Any:
    """Reads an item that `save` wrote.

    Args:
        path: The file.

    Returns:
        An equal item.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a file that `save` has written to its end.
    """
    with path.open("rb") as file:
        try:
            magic, length = file.read(len(MAGIC)), file.read(LENGTH.size)
            if magic != MAGIC:
                raise ValueError(f"it begins with {magic!r}")
            header = json.loads(_read(file, LENGTH.unpack(length)[0]).tobytes())
            arrays = [_array(file, *facts) for facts in header["arrays"]]
            if file.read(1):
                raise ValueError("there is more after the last array")
            return _unpack(header["item"], iter(arrays))
        except MALFORMED as error:
            raise ValueError(f"{shown(path)} is damaged; delete it, and it will be made again") from error


def _pack(node: Any, arrays: list[npt.NDArray[Any]]) -> Any:
    kind = cast("type[Any]", type(node))
    if node is None or kind in (bool, int, str):
        return {"value": node}
    if kind is float:
        # By its bytes: JSON knows no NaN, let alone which one.
        return {"float": struct.pack("<d", node).hex()}
    if kind is complex:
        return {"complex": struct.pack("<dd", node.real, node.imag).hex()}
    if kind is dict:
        if not all(type(key) is str for key in node):
            raise TypeError(f"a cache directory holds dicts with string keys only, got {list(node)!r:.200}")
        return {"dict": {key: _pack(child, arrays) for key, child in node.items()}}
    if kind in (list, tuple):
        return {kind.__name__: [_pack(child, arrays) for child in node]}
    if kind is bytes:
        arrays.append(np.frombuffer(node, np.uint8))
        return {"bytes": None}
    if isinstance(node, np.ma.MaskedArray):
        raise TypeError(
            f"a cache directory would lose the mask of a {kind.__name__}; fill it with .filled(value), or cache in "
            "memory"
        )
    if not hasattr(node, "__array__") or np.asarray(node).dtype.hasobject:
        raise TypeError(
            f"a cache directory cannot hold a {kind.__name__}: only dicts, lists and tuples of arrays, numbers, "
            "strings and bytes; map the items to those, or cache in memory"
        )
    array = np.asarray(node)
    # NumPy's format knows its own dtypes only; others, such as bfloat16, are stored as bytes under their name.
    known = not _has_extension(array.dtype)
    if not known and array.dtype.names is not None:
        raise TypeError(
            f"a cache directory cannot hold the dtype {array.dtype}, with fields of a dtype that is not NumPy's; give "
            "each field an array of its own, in a dict, or cache in memory"
        )
    arrays.append(array if known else array.view(f"u{array.dtype.itemsize}"))
    return {"scalar" if isinstance(node, np.generic) else "array": None if known else array.dtype.name}


def _unpack(node: dict[str, Any], arrays: Iterator[npt.NDArray[Any]]) -> Any:
    ((kind, content),) = node.items()
    match kind:
        case "value":
            return content
        case "float":
            return struct.unpack("<d", bytes.fromhex(content))[0]
        case "complex":
            return complex(*struct.unpack("<dd", bytes.fromhex(content)))
        case "dict":
            return {key: _unpack(child, arrays) for key, child in content.items()}
        case "list":
            return [_unpack(child, arrays) for child in content]
        case "tuple":
            return tuple(_unpack(child, arrays) for child in content)
        case "bytes":
            return _next(arrays).tobytes()
        case "array" | "scalar":
            array = _next(arrays)
            array = array if content is None else array.view(_extension_dtype(content))
            array.flags.writeable = False
            return array[()] if kind == "scalar" else array
        case _:
            raise ValueError(f"unknown kind {kind!r}")


def _next(arrays: Iterator[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    array = next(arrays, None)
    if array is None:
        raise ValueError("the item has more arrays than the file")
    return array


def _described(array: npt.NDArray[Any]) -> list[Any]:
    return [_dtype_facts(array.dtype), list(array.shape), "F" if _is_fortran(array) else "C"]


def _is_fortran(array: npt.NDArray[Any]) -> bool:
    return array.flags.f_contiguous and not array.flags.c_contiguous


def _array(file: BufferedReader, dtype_facts: Any, shape: list[int], order: Any) -> npt.NDArray[Any]:
    """The array whose elements come next in a file."""
    dtype = _dtype(dtype_facts)
    if dtype.hasobject or order not in ("C", "F") or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"no array has the dtype {dtype}, the shape {shape} and the order {order!r}")
    size = math.prod(shape) * dtype.itemsize
    # Elements of no bytes, as those of empty strings, have no view.
    return _read(file, size).view(dtype).reshape(shape, order=order) if size else np.empty(shape, dtype, order)


def _read(file: BufferedReader, size: int) -> npt.NDArray[np.uint8]:
    """The next bytes of a file, in memory of their own."""
    if size > os.fstat(file.fileno()).st_size:
        raise ValueError(f"it is too short for {size} bytes")
    data = np.empty(size, np.uint8)
    if file.readinto(data.data) != size:
        raise ValueError("it is cut short")
    return data


def _dtype_facts(dtype: np.dtype[Any]) -> Any:
    """A dtype as JSON."""
    if dtype.subdtype is not None:
        return {"base": _dtype_facts(dtype.subdtype[0]), "shape": list(dtype.subdtype[1])}
    if dtype.names is None:
        return dtype.str
    fields: Any = dtype.fields
    return {
        "names": list(dtype.names),
        "formats": [_dtype_facts(fields[name][0]) for name in dtype.names],
        "offsets": [fields[name][1] for name in dtype.names],
        "titles": [fields[name][2] if len(fields[name]) > 2 else None for name in dtype.names],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def _dtype(facts: Any) -> np.dtype[Any]:
    if isinstance(facts, str):
        # NumPy evaluates parts of what it takes for a list of dtypes.
        if not PLAIN_DTYPE.fullmatch(facts):
            raise ValueError(f"{facts!r} is no dtype")
        return np.dtype(facts)
    if "base" in facts:
        return np.dtype((_dtype(facts["base"]), tuple(facts["shape"])))
    fields: Any = {**facts, "formats": [_dtype(each) for each in facts["formats"]]}
    return np.dtype(fields)


def _has_extension(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype, or one of its fields, is defined by another package than NumPy."""
    if dtype.subdtype is not None:
        return _has_extension(dtype.subdtype[0])
    if dtype.names is not None:
        return any(_has_extension(dtype[name]) for name in dtype.names)
    return dtype.isbuiltin == 2


def _extension_dtype(name: str) -> np.dtype[Any]:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name of a dtype")
    try:
        return np.dtype(name)
    except TypeError:
        # The dtypes that JAX adds have names only once the package that defines them is imported.
        import ml_dtypes  # noqa: PLC0415

        return np.dtype(getattr(ml_dtypes, name))
