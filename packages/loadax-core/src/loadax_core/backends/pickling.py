"""Errors about pickling: what cannot be pickled, what cannot be unpickled elsewhere, and how errors are sent."""

from __future__ import annotations

import io
import mmap
import pickle
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any, cast

from ..errors import WorkerError, add_note, alike, parts, remade
from ..memory.pickled import dumps

DEPTH = 12
"""How many parts within each other are looked into, to find the one that cannot be pickled."""

OPENED_PACKAGES = {"h5py", "sqlite3", "lmdb", "netCDF4", "socket", "tarfile", "zipfile"}
OPENED_TYPES = io.IOBase, mmap.mmap
"""What is opened in one process: files, databases, connections."""


def check_picklable(value: Any, setting: str, name: str = "the dataset") -> None:
    """Raises an error that names the innermost part of `value` that cannot be pickled, if there is one.

    Args:
        value: Anything.
        setting: The call that needs it pickled.
        name: What it is called in the error.

    Raises:
        TypeError: If a part cannot be pickled; names it, the way to it, and the remedy.
    """
    path, culprit, error = "", value, _error_of(value)
    if error is None:
        return
    for _ in range(DEPTH):
        for step, part in _parts(culprit):
            inner = _error_of(part)
            if inner is not None:
                path, culprit, error = path + step, part, inner
                break
        else:
            break
    own, module = getattr(culprit, "__qualname__", None), getattr(culprit, "__module__", None)
    # A generator has a name, and no module.
    what = f"{own} of module {module}" if own and module else f"a {type(culprit).__name__}"
    raise TypeError(
        f"{setting} sends {name} to other processes, but {what} ({path.lstrip('.') or name}) cannot be pickled: "
        f"{error}; {_remedy(culprit)}, or use threads: .workers(n)"
    ) from error


def _remedy(culprit: Any) -> str:
    """What to do about an object that cannot be pickled."""
    kind = cast("type[Any]", type(culprit))
    if isinstance(culprit, FunctionType):
        return "define the function with `def` at the top of a module"
    if isinstance(culprit, ModuleType):
        return "keep the module's name, or import it in the function that uses it"
    # Before iterators, since files are some.
    if kind.__module__.partition(".")[0] in OPENED_PACKAGES or isinstance(culprit, OPENED_TYPES):
        return "keep its path or address instead, and open it in each process when the first row is read there"
    if isinstance(culprit, Iterator):
        return "keep what the generator or iterator is made from, and make a new one in each process"
    if "<locals>" in (culprit if isinstance(culprit, type) else kind).__qualname__:
        return "define the class at the top of a module"
    if kind.__module__ in ("_thread", "threading", "_contextvars", "multiprocessing.synchronize"):
        return "leave it out in `__getstate__`, and make a new one in `__setstate__`"
    return "leave it out in `__getstate__`, and make it anew in `__setstate__`"


def explain_arrival(error: BaseException) -> None:
    """Adds a note to an error that unpickling raised in another process, where there is advice to give."""
    if "__mp_main__" in str(error):
        add_note(error, 'loadax: define it above `if __name__ == "__main__":`, where a worker process finds it')
    elif isinstance(error, AttributeError) and "'__main__'" in str(error):
        add_note(
            error,
            "loadax: move it to a module; a worker process cannot import the main program, which is interactive or a "
            "package's",
        )


def _error_of(value: Any) -> Exception | None:
    try:
        dumps(value, lambda _: False)
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts that an object consists of, each with the step that leads to it, such as `[3]` or `.name`."""
    if isinstance(value, type | FunctionType):
        # These are pickled by their names, whatever they consist of.
        return
    if isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for i, part in enumerate(cast("list[Any]", value)):
            yield f"[{i}]", part
    else:
        try:
            state: Any = value.__reduce_ex__(4)
        except Exception:
            state = ((), (), getattr(value, "__dict__", {}))
        if isinstance(state, tuple):
            for part in cast("tuple[Any, ...]", state)[1:3]:
                yield from _attributes(part)


def _attributes(state: Any) -> Iterator[tuple[str, Any]]:
    """The parts of what `__reduce_ex__` returns, under the names of their attributes where they have some."""
    if isinstance(state, Mapping):
        for key, part in cast("Mapping[Any, Any]", state).items():
            yield f".{key}", part
    elif isinstance(state, tuple):
        for part in cast("tuple[Any, ...]", state):
            if isinstance(part, Mapping):
                yield from _attributes(part)
            else:
                yield f".{type(part).__name__}", part


def pack(error: BaseException) -> bytes:
    """An error as bytes, with its notes, which some types forget when they are pickled.

    Pickle calls the error's type with its arguments. Where `__init__` does not take a message, that fails, or gives
    another message. Such an error is sent as its arguments and attributes. An error that cannot be sent at all becomes
    a `WorkerError` with its type and message.
    """
    kind, notes = type(error), getattr(error, "__notes__", [])
    with suppress(Exception):
        body = pickle.dumps((error, None, notes))
        if alike(unpack(body), error):
            return body
    with suppress(Exception):
        body = pickle.dumps((kind, parts(error), notes))
        if type(unpack(body)) is kind:
            return body
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its message cannot be shown: {type(broken).__name__})"
    substitute = WorkerError(
        f"{kind.__module__}.{kind.__qualname__}: {message} (pickle cannot send an error of this type)"
    )
    return pickle.dumps((substitute, None, notes))


def unpack(body: bytes) -> BaseException:
    """The error that was packed."""
    error, consists_of, notes = pickle.loads(body)
    if consists_of is not None:
        error = remade(error, *consists_of)
    if getattr(error, "__notes__", []) != notes:
        BaseException.__setattr__(error, "__notes__", notes)
    return error
