"""One item as one file, of arrays and JSON only: reading it back runs no code that the file could bring.

A file is a sequence of arrays in NumPy's `.npy` format. The first holds JSON, as bytes, that says how the item is made
of the others.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

MOST_HEADER = 1 << 24
"""Bytes that the description of an array may take; a dtype may have thousands of fields."""


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
    structure = json.dumps(_pack(item, arrays)).encode()
    buffer = io.BytesIO()
    for array in (np.frombuffer(structure, np.uint8), *arrays):
        np.save(buffer, array, allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, buffer.getbuffer())


def write(path: Path, data: bytes | memoryview) -> None:
    """Writes a file so that others see all of it or nothing.

    Args:
        path: Where to; its folder is there already.
        data: What it shall hold.
    """
    with _temporary(path, data) as written:
        written.replace(path)


def write_first(path: Path, data: bytes) -> None:
    """The same, unless there is a file already: of several writers at once, the first wins."""
    with _temporary(path, data) as written:
        try:
            path.hardlink_to(written)
        except FileExistsError:
            pass
        except OSError:
            # Not every file system has links.
            written.replace(path)


@contextmanager
def _temporary(path: Path, data: bytes | memoryview) -> Generator[Path]:
    """A file of this writer alone, in the same folder, where renaming is atomic; deleted if it is still there."""
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        # Others may read it as far as the system's settings let them, as any new file.
        with temporary.open("xb") as file:
            file.write(data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


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
            return _unpack(json.loads(_array(file).tobytes()), file)
        except (ValueError, EOFError, KeyError, TypeError, struct.error) as error:
            raise ValueError(f"{path} is damaged; delete it, and it will be made again") from error


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


def _unpack(node: dict[str, Any], file: BinaryIO) -> Any:
    ((kind, content),) = node.items()
    match kind:
        case "value":
            return content
        case "float":
            return struct.unpack("<d", bytes.fromhex(content))[0]
        case "complex":
            return complex(*struct.unpack("<dd", bytes.fromhex(content)))
        case "dict":
            return {key: _unpack(child, file) for key, child in content.items()}
        case "list":
            return [_unpack(child, file) for child in content]
        case "tuple":
            return tuple(_unpack(child, file) for child in content)
        case "bytes":
            return _array(file).tobytes()
        case "array" | "scalar":
            array = _array(file)
            array = array if content is None else array.view(_extension_dtype(content))
            array.flags.writeable = False
            return array[()] if kind == "scalar" else array
        case _:
            raise ValueError(f"unknown kind {kind!r}")


def _array(file: BinaryIO) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", np.load(file, allow_pickle=False, max_header_size=MOST_HEADER))


def _has_extension(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype, or one of its fields, is defined by another package than NumPy."""
    if dtype.subdtype is not None:
        return _has_extension(dtype.subdtype[0])
    if dtype.names is not None:
        return any(_has_extension(dtype[name]) for name in dtype.names)
    return dtype.isbuiltin == 2


def _extension_dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        # The dtypes that JAX adds have names only once the package that defines them is imported.
        import ml_dtypes  # noqa: PLC0415

        return np.dtype(getattr(ml_dtypes, name))
