"""`Job`: what the processes of a launched job run, as it is pickled for them."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """A job, the same for all its processes. It is pickled into a file that they read.

    Attributes:
        kind: `script`, `name` or `function`.
        target: The path of the script, `module:function`, or the pickled function, which is unpickled after `path` and
            `main` have been set up.
        args: The script's `sys.argv[1:]`, or the arguments of the function.
        path: The folders to import from first.
        main: The dotted name or the path of the main module, if the function belongs to it.
        coordinator: The address of the coordinator of `jax.distributed`.
        processes: The number of processes.
    """

    kind: str
    target: str | bytes
    args: tuple[Any, ...]
    path: tuple[str, ...]
    main: str | Path | None
    coordinator: str
    processes: int


def describe(
    target: str | os.PathLike[str] | Callable[..., Any], args: Sequence[Any], coordinator: str, processes: int
) -> Job:
    """Checks a target without running it, and describes the job.

    Args:
        target: The path of a script, `module:function`, or a function that can be pickled.
        args: Its arguments.
        coordinator: Address of the coordinator.
        processes: Number of processes.

    Returns:
        The job.

    Raises:
        FileNotFoundError: If there is no such script.
        TypeError: If the function cannot be pickled, or `target` is none of these.
    """
    arguments = tuple(args)
    if isinstance(target, str | os.PathLike):
        name: str = os.fspath(target)
        module, colon, function = name.rpartition(":")
        if colon and module.replace(".", "").isidentifier() and function.isidentifier():
            return Job("name", name, arguments, (str(Path.cwd()),), None, coordinator, processes)
        script = Path(name).resolve()
        if not script.is_file():
            raise FileNotFoundError(f"there is no script {script}; give its path, 'module:function', or a function")
        words = tuple(map(str, arguments))
        return Job("script", str(script), words, (str(script.parent),), None, coordinator, processes)
    if not callable(target):
        raise TypeError(f"cannot launch {target!r}; give the path of a script, 'module:function', or a function")
    try:
        pickled = pickle.dumps(target)
        pickle.dumps(arguments)
    except Exception as error:
        raise TypeError(
            f"cannot send {target!r} with its arguments to other processes: {error}; define it at the top of a module"
        ) from error
    main = _main_module(target) if getattr(target, "__module__", None) == "__main__" else None
    return Job("function", pickled, arguments, tuple(sys.path), main, coordinator, processes)


def _main_module(target: Any) -> str | Path:
    """The dotted name or the path of the main module."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return main.__spec__.name
    if not getattr(main, "__file__", None):
        raise TypeError(f"cannot launch {target!r} from an interactive Python; define it in a module")
    return Path(str(main.__file__)).resolve()
