"""One process of a launched job. It joins `jax.distributed`, runs the target, and ends with the launcher."""

from __future__ import annotations

import importlib
import os
import pickle
import runpy
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import jax

from .job import Job


def main(job_file: str, number: str) -> None:
    """Runs this process's part of a job.

    Args:
        job_file: The file with the pickled job.
        number: The number of this process.
    """
    _end_with_launcher()
    job: Job = pickle.loads(Path(job_file).read_bytes())
    try:
        _run(job, int(number))
    except SystemExit as stop:
        if stop.code is None or stop.code == 0:
            return
        if not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)  # noqa: T201
        _fail(stop.code if isinstance(stop.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        _fail(1)


def _run(job: Job, number: int) -> None:
    sys.path[:0] = job.path
    jax.distributed.initialize(
        job.coordinator,
        job.processes,
        number,
        cluster_detection_method="deactivate",
        coordinator_bind_address=job.coordinator,
    )
    if job.kind == "script":
        sys.argv = [str(job.target), *job.args]
        runpy.run_path(str(job.target), run_name="__main__")
        return
    if isinstance(job.target, bytes):
        if job.main is not None:
            _import_main(job.main)
        function: Any = pickle.loads(job.target)
    else:
        module, _, name = job.target.partition(":")
        function = getattr(importlib.import_module(module), name)
    function(*job.args)


def _import_main(main: str | Path) -> None:
    """Imports the launching program's main module as `__main__`, without running what `__main__` guards in it."""
    # With the name that multiprocessing uses, `if __name__ == "__main__":` is false in it.
    name = "__mp_main__"
    module = ModuleType(name)
    if isinstance(main, Path):
        module.__dict__.update(runpy.run_path(str(main), run_name=name))
    else:
        module.__dict__.update(runpy.run_module(main, run_name=name, alter_sys=True))
    sys.modules["__main__"] = sys.modules[name] = module


def _fail(code: int) -> NoReturn:
    # A normal exit waits at the barrier of `jax.distributed.shutdown` for other processes, which may be stuck.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_launcher() -> None:
    """Ends this process, and all processes that it starts, when the launcher ends for any reason."""
    # The launcher holds the other end of this process's standard input and never writes to it.
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait() -> None:
        os.read(lifeline, 1)
        if os.name == "posix":
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, name="loadax-lifeline", daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
