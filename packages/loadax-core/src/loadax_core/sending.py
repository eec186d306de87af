"""Errors on their way to another process."""

from __future__ import annotations

import pickle
from typing import Any

from .errors import WorkerError


def pack(error: BaseException) -> bytes:
    """An error as bytes, with its notes, which some types forget when they are pickled.

    Pickle would make an error anew from its arguments, which fails for many a type whose `__init__` takes something
    else than a message. Such an error is sent as its arguments and attributes. One that cannot be sent at all becomes a
    `WorkerError`, which tells its type and message.
    """
    kind, notes = type(error), getattr(error, "__notes__", [])
    ways: list[tuple[Any, Any]] = [(error, None), (kind, (error.args, vars(error)))]
    for way in ways:
        try:
            body = pickle.dumps((*way, notes))
            if type(unpack(body)) is kind:
                return body
        except Exception:
            continue
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
    error, parts, notes = pickle.loads(body)
    if parts is not None:
        kind: type[BaseException] = error
        arguments, attributes = parts
        error = kind.__new__(kind, *arguments)
        for name, value in attributes.items():
            BaseException.__setattr__(error, name, value)
    if getattr(error, "__notes__", []) != notes:
        BaseException.__setattr__(error, "__notes__", notes)
    return error
