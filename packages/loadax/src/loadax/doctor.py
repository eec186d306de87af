"""Show what Loadax finds on this machine, and what is wrong with it.

Prints versions, devices, cores and the kinds of workers that can be used, and then each problem with its remedy. If
there is a problem, the exit status is 1. Packages of Loadax that do not fit together are not reported here: `import
loadax` itself fails then.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from .siblings import PACKAGES, fits, installed, release

PATIENCE = 120
"""Seconds that JAX may take to find its devices, and that a process may take to start."""

LEAST_FILES = 1024

DEVICES = """
import json, jax
print(json.dumps([jax.default_backend(), [device.device_kind for device in jax.local_devices()]]))
"""
PROCESSES = """
import json, os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
began = perf_counter()
with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
    pool.submit(os.getpid).result()
print(json.dumps(perf_counter() - began))
"""


@dataclass(frozen=True)
class Failure:
    """The reason why a probe has no answer."""

    reason: str


@dataclass(frozen=True)
class Requirement:
    """A requirement of one of Loadax's packages, other than a sibling.

    Attributes:
        package: The package with the requirement.
        name: The required package.
        least: The lowest version that fits; empty if any does.
        extra: The extra that has the requirement; empty if it is always needed.
    """

    package: str
    name: str
    least: str
    extra: str


@dataclass(frozen=True)
class Machine:
    """What the command finds; None where the system does not tell.

    Attributes:
        versions: Installed versions of the packages of Loadax and JAX; None for one that is not installed.
        requirements: The requirements of Loadax's packages, other than siblings.
        jaxlib: JAX's requirement of jaxlib; empty if unknown.
        devices: JAX's backend and the kinds of its devices.
        processes: Seconds that a process takes to start.
        cores: Cores of the machine, cores that this process may run on, and the CPU time that it may use, in cores.
        files: Number of files that this process may have open.
        gpu: Whether there is an NVIDIA GPU.
        forks: Whether Python's own process pools fork by default.
        environment: Environment variables that matter.
    """

    versions: dict[str, str | None]
    requirements: list[Requirement]
    jaxlib: str
    devices: tuple[str, list[str]] | Failure
    processes: float | Failure
    cores: tuple[int, int, float | None]
    files: int | None
    gpu: bool
    forks: bool
    environment: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing: the command has no arguments."""


def run(args: argparse.Namespace | None = None) -> int:  # noqa: ARG001 (every command has them)
    """Prints what the command finds, and all problems.

    Args:
        args: Not used.

    Returns:
        1 if there is a problem, otherwise 0.
    """
    machine = look()
    for name, text in describe(machine):
        sys.stdout.write(f"{name:<11}{text}\n")
    found = list(problems(machine))
    sys.stdout.write("\n" + ("\n".join(f"problem: {problem}" for problem in found) or "No problems found.") + "\n")
    return int(bool(found))


def look() -> Machine:
    """Looks at the machine. JAX and worker processes are tried in other processes, since they may fail or hang."""
    required = list(requirements())
    names = ["numpy", "jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", *(line.name for line in required)]
    devices, processes = probe(DEVICES), probe(PROCESSES)
    return Machine(
        versions={name: _version(name) for name in dict.fromkeys([*PACKAGES, *names])},
        requirements=required,
        jaxlib=jaxlib_range(),
        devices=devices if isinstance(devices, Failure) else (devices[0], devices[1]),
        processes=processes,
        cores=(os.cpu_count() or 1, affinity(), quota()),
        files=open_files(),
        gpu=Path("/dev/nvidia0").exists(),
        forks=multiprocessing.get_all_start_methods()[0] == "fork",
        environment={name: os.environ[name] for name in ("JAX_PLATFORMS", "XLA_FLAGS") if os.environ.get(name)},
    )


def _version(package: str) -> str | None:
    about = installed(package)
    return about and about.version


def describe(machine: Machine) -> Iterator[tuple[str, str]]:
    """The lines of the report, as pairs of a name and a text."""
    versions = machine.versions
    extras = {line.name for line in machine.requirements if line.extra}
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for title, names in (("loadax", PACKAGES), ("libraries", [n for n in versions if n not in {*PACKAGES, *extras}])):
        yield title, ", ".join(f"{name} {versions[name]}" for name in names if versions[name])
    yield "extras", ", ".join(f"{name} {versions[name] or '(not installed)'}" for name in sorted(extras))
    if isinstance(machine.devices, Failure):
        yield "devices", "unknown"
    else:
        backend, kinds = machine.devices
        counts = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
        yield "devices", f"{counts} (backend {backend})"
    yield "cores", f"{usable(machine)} to use, of {machine.cores[0]}"
    processes = machine.processes
    spawned = "not processes" if isinstance(processes, Failure) else f"processes ({processes:.1f} s to start one)"
    yield "workers", f"threads, {spawned}"
    if machine.files is not None:
        yield "open files", f"{machine.files:,} at most"
    for name, value in machine.environment.items():
        yield "set", f"{name}={value}"
    if machine.forks:
        note = "Loadax spawns its processes; your own process pools fork by default, which deadlocks beside JAX"
        yield "note", f"{note}: give them mp_context=multiprocessing.get_context('spawn')"


def problems(machine: Machine) -> Iterator[str]:
    """The problems, each with its remedy."""
    versions, environment = machine.versions, machine.environment
    for line in machine.requirements:
        found = versions[line.name]
        if found is None and not line.extra:
            yield f"{line.package} needs {line.name}, which is not installed: pip install {line.name}"
        elif found is not None and line.least and release(found) < release(line.least):
            wanted = f'"{line.name}>={line.least}"'
            yield f"{line.package} needs {wanted}, but {found} is installed: pip install {wanted}"
    jaxlib = versions["jaxlib"]
    if jaxlib and not fits(jaxlib, machine.jaxlib):
        yield (
            f'jax {versions["jax"]} needs "{machine.jaxlib}", but {jaxlib} is installed: '
            "pip install --upgrade jax jaxlib"
        )
    # JAX does not use a plugin of another version than jaxlib; see jaxlib/plugin_support.py.
    for name in ("jax-cuda12-plugin", "jax-cuda13-plugin"):
        other = versions[name]
        if other and jaxlib and release(other) != release(jaxlib):
            yield f"{name} {other} and jaxlib {jaxlib} differ: pip install --upgrade {name} jaxlib"
    if isinstance(machine.devices, Failure):
        reason, platforms = machine.devices.reason, environment.get("JAX_PLATFORMS")
        if platforms and "XLA_FLAGS" not in reason:
            yield (
                f"JAX finds no devices of JAX_PLATFORMS={platforms} ({reason}): unset the variable to use other "
                "devices, or install JAX for it, as https://docs.jax.dev/en/latest/installation.html says"
            )
        else:
            yield f"JAX finds no devices: {reason}"
    elif machine.gpu and machine.devices[0] == "cpu" and "JAX_PLATFORMS" not in environment:
        yield 'there is an NVIDIA GPU, but JAX uses the CPU: pip install "jax[cuda12]"'
    if isinstance(machine.processes, Failure):
        yield f"worker processes do not start; use threads: {machine.processes.reason}"
    forced = re.search(r"--xla_force_host_platform_device_count=(\d+)", environment.get("XLA_FLAGS", ""))
    if forced and int(forced[1]) > usable(machine):
        yield (
            f"XLA_FLAGS makes {forced[1]} devices of {usable(machine)} cores, which is for tests; to train, start "
            f"without {forced[0]}"
        )
    if machine.files is not None and machine.files < LEAST_FILES:
        yield f"this process may open {machine.files} files, too few for datasets of many files: ulimit -n 4096"


def requirements() -> Iterator[Requirement]:
    """The requirements of the installed packages of Loadax, other than siblings."""
    for package in PACKAGES:
        for line in requires(package) or []:
            name = re.match(r"[\w.-]+", line)
            least, extra = re.search(r">=\s*([\d.]+)", line), re.search(r"""extra == ['"]([\w-]+)""", line)
            if name and name[0] not in PACKAGES:
                yield Requirement(package, name[0], least[1] if least else "", extra[1] if extra else "")


def jaxlib_range() -> str:
    """The installed JAX's requirement of jaxlib, such as `jaxlib<=0.10.2,>=0.10.1`; empty if it has none."""
    about = installed("jax")
    lines = [line for line in (about.requires if about else []) if "extra ==" not in line]
    return next((line.partition(";")[0].strip() for line in lines if re.match(r"jaxlib\b(?!-)", line)), "")


def probe(code: str, seconds: float = PATIENCE) -> Any:
    """The JSON that a Python process running `code` prints, or the reason why it prints none."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return Failure(f"no answer within {seconds:g} s")
    if done.returncode:
        return Failure((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def usable(machine: Machine) -> int:
    """The number of cores that this process can keep busy."""
    _, allowed, time = machine.cores
    return allowed if time is None else min(allowed, math.ceil(time))


def affinity() -> int:
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(groups: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPU time that the container or the job of this process may use, in cores; None for no limit.

    Args:
        groups: The folder of control groups.
        process: The file with the control groups of this process.
    """
    try:
        own = re.search(r"^0::/(.*)$", process.read_text(), re.MULTILINE)
    except OSError:
        return None
    folder = groups / own[1] if own else groups
    # The limits of outer groups hold too. Version 1 of control groups has a folder for each resource.
    bounds = [groups / "cpu", folder, *(outer for outer in folder.parents if outer.is_relative_to(groups))]
    return min((found for bound in bounds if (found := limit(bound)) is not None), default=None)


def limit(group: Path) -> float | None:
    """The limit of one control group, in cores."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            most, period = " ".join((group / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if most not in ("max", "-1"):
            return int(most) / int(period)
    return None


def open_files() -> int | None:
    """The number of files that this process may have open; None for no limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 (not on Windows)

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
