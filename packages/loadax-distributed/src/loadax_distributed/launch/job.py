"""What each process of a launched job runs, and how it is handed over."""

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
    """A job, alike in all its processes. It is pickled into a file that they read.

    Attributes:
        kind: `script`, `name` or `function`.
        target: Path of the script, `module:function`, or the function, pickled by itself: it can be read only after
            the imports have been set up.
        args: What the script finds in `sys.argv[1:]`, or the arguments of the function.
        path: Folders to import from first.
        main: For a function of a program's main module, where that module is: its dotted name, or its path.
        coordinator: Address of the coordinator of `jax.distributed`.
        processes: Their number.
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
    """Checks a target as far as that goes without running it.

    Args:
        target: The path of a script, `module:function`, or a function that can be pickled.
        args: Its arguments.
        coordinator: Address of the coordinator.
        processes: Number of processes.

    Returns:
        The job.

    Raises:
        FileNotFoundError: If there is no such script.
        TypeError: If the function cannot be pickled, or the target is something else.
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
    """Where the module that Python was started with can be found again."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return main.__spec__.name
    if not getattr(main, "__file__", None):
        raise TypeError(f"cannot launch {target!r} of an interactive session; define it in a module")
    return Path(str(main.__file__)).resolve()
