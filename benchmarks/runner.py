"""Runs each pair of a work and a loader several times, in new processes. The loaders take turns."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .loaders import ENVIRONMENTS
from .works import AS_BEFORE, WORKS

ROOT = Path(__file__).parent.parent
TIMEOUT = 300
"""The time limit of a process, in seconds; a process that takes longer hangs."""

IMPORTS = ["loadax_core", "loadax", "grain", "torch", "jax_dataloader", "spdl.pipeline", "tensorflow", "datasets"]
"""The packages of W11."""

IMPORT_TITLE = "import time over that of numpy"

Run = dict[str, Any]
Pair = tuple[str, str]


class FailedError(Exception):
    """A process has failed; the message says how."""


def run_suite(
    works: Sequence[str],
    adapters: Sequence[str],
    loaders: Sequence[str] | None,
    repeats: int,
    quick: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Runs works with loaders.

    Args:
        works: Names of works; W11 measures imports.
        adapters: Names of libraries.
        loaders: The configurations of these libraries to run; None for all.
        repeats: How often each pair is run.
        quick: Whether to use small data and short measurements, which only show that everything works.
        say: Is called with every result, as text.

    Returns:
        The results for `summary.py`; JSON-able.
    """
    configurations, versions, missing = _describe(adapters, say)
    owner = {name: adapter for adapter, found in configurations.items() for name in found}
    wanted = [name for name in owner if loaders is None or name in loaders]
    seconds = 0.05 if quick else 1.0
    runs: list[Run] = []
    for name in works:
        if name == "W11":
            measured = [package for package in IMPORTS if importlib.util.find_spec(package.partition(".")[0])]
            runs += _take_turns(name, measured, repeats, import_seconds, say)
            continue
        work = WORKS[name]
        suited = [loader for loader in wanted if name in configurations[owner[loader]][loader]]
        size = "small" if quick else "full"

        def measure(loader: str, name: str = name, size: str = size) -> Run:
            adapter = owner.get(loader, "-")
            return child("measure", name, adapter, loader, str(seconds), size, python=_python(adapter))

        limits = ["limit"] if work.measure == "rate" and work.kind != "numbers" else []
        runs += _take_turns(name, limits + suited, repeats, measure, say)
    about = {work.name: {"title": work.title, "bar": work.bar, "measure": work.measure} for work in WORKS.values()}
    about["W11"] = {"title": IMPORT_TITLE, "bar": AS_BEFORE, "measure": "import"}
    return {
        "machine": machine(),
        "quick": quick,
        "versions": versions,
        "missing": missing,
        "works": {name: about[name] for name in works},
        "configurations": {loader: configurations[owner[loader]][loader] for loader in wanted},
        "runs": runs,
    }


def _describe(
    adapters: Sequence[str], say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    configurations: dict[str, Any] = {}
    versions = {name: _version(name) for name in ("numpy", "jax", "jaxlib")}
    missing: dict[str, str] = {}
    for adapter in adapters:
        try:
            found = child("describe", adapter, python=_python(adapter))
        except FailedError as error:
            missing[adapter] = str(error)
            say(f"{adapter} is left out: {error}")
            continue
        configurations[adapter] = found["loaders"]
        versions[adapter] = found["version"]
    return configurations, versions, missing


def _python(adapter: str) -> str:
    """The interpreter of a library.

    Raises:
        FailedError: If its environment was not made.
    """
    if adapter not in ENVIRONMENTS:
        return sys.executable
    python = ROOT / "benchmarks" / ENVIRONMENTS[adapter] / "bin" / "python"
    if not python.exists():
        raise FailedError(f"there is no {python}; benchmarks/install.sh makes it")
    return str(python)


def _take_turns(
    work: str, loaders: Sequence[str], repeats: int, measure: Callable[[str], Run], say: Callable[[str], None]
) -> list[Run]:
    """Runs all loaders once, then all again, so that a slow moment of the machine affects all alike."""
    runs: list[Run] = []
    out: set[str] = set()
    for repeat in range(repeats):
        # Each turn begins with another loader, so that none always follows the same one.
        turn = repeat % max(1, len(loaders))
        for loader in [*loaders[turn:], *loaders[:turn]]:
            if loader in out:
                continue
            try:
                result = measure(loader)
            except FailedError as error:
                result = {"error": str(error)}
            if "value" not in result:
                out.add(loader)
            runs.append({"work": work, "loader": loader, "repeat": repeat, **result})
            shown = result.get("value", result.get("unsupported", result.get("error")))
            text = shown if isinstance(shown, str) else f"{shown:.5g}"
            if "tokens_s" in result:
                text += f"  {result['tokens_s'] / 1e6:.1f}M tokens/s"
            say(f"{work:14} {loader:20} {repeat + 1}/{repeats}  {text}")
    return runs


def child(*arguments: str, python: str = sys.executable, root: Path = ROOT) -> Any:
    """The result of `child.py`, in a new process.

    Raises:
        FailedError: If it fails.
    """
    return json.loads(in_python("-m", f"{__package__}.child", *arguments, python=python, root=root).splitlines()[-1])


def import_seconds(package: str, *, python: str = sys.executable, root: Path = ROOT) -> Run:
    """How long a package takes to import once NumPy is there, in a new process.

    Raises:
        FailedError: If it fails.
    """
    code = f"import numpy, time; began = time.perf_counter()\nimport {package}; print(time.perf_counter() - began)"
    return {"value": float(in_python("-c", code, python=python, root=root).splitlines()[-1])}


def in_python(*arguments: str, python: str = sys.executable, root: Path = ROOT) -> str:
    """The output of a new Python process.

    Args:
        arguments: Of the interpreter.
        python: The interpreter.
        root: The checkout of Loadax to run in.

    Raises:
        FailedError: If it fails, prints nothing, or takes too long.
    """
    # Without bytecode, each process would compile all imports, which takes seconds, and W11 would time the compiler.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            [python, *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FailedError(f"still running after {TIMEOUT} s") from None
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise FailedError(f"exit status {done.returncode}: {lines[-1]}")
    return done.stdout


def machine() -> dict[str, Any]:
    """The machine and the date."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"cpu": cpu, "cores": cores, "python": platform.python_version(), "system": platform.system(), "date": now}


def described(machine: dict[str, Any]) -> str:
    """What tells two machines apart, whose times do not belong into one table."""
    cores = machine["cores"]
    return f"{machine['cpu']}, {cores} core{'s' if cores != 1 else ''}, Python {machine['python']}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
