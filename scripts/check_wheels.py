"""Checks that each package works as users install it: as a wheel, without the rest of this workspace.

The script builds every wheel and checks its metadata. uv and Hatch, with or without a source distribution in between,
must build the same bytes. Then the script installs each wheel by path into two new environments, which have the package
and its dependencies, and nothing else:

* With the newest dependencies, `python -I` imports the package, and loadax-core runs `examples/embedded.py`.
* With the oldest dependencies that the package allows, its own tests run. `make test` runs them with the newest. A test
  that needs more than the package fails here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wheels import UV, build, check_metadata, run, wheel_in
from workspace import ROOT, Package, closure, packages

TESTS = {
    # Tests that start many processes are slow, and do not depend on what is installed beside the package.
    "loadax-core": ["tests/core", "--ignore=tests/core/test_lifetimes.py"],
    "loadax-datasets": ["tests/datasets"],
    "loadax-distributed": [
        "tests/distributed",
        "--ignore=tests/distributed/test_launch.py",
        "--ignore=tests/distributed/test_processes.py",
    ],
    # The other tests of the namespace read the sources.
    "loadax": ["tests/meta/test_namespace.py", "tests/meta/test_siblings.py"],
}

EXAMPLES = {"loadax-core": ["examples/embedded.py"]}

NEEDS_JAX = {"loadax-distributed", "loadax"}


def check_same_bytes(found: dict[str, Package], wheels: dict[str, Path], scratch: Path) -> None:
    """Checks that a wheel has the same bytes built from the tree or from its sdist, and by Hatch or by uv."""
    tools = scratch / "hatch-tools"
    install(tools, "-r", requirements("hatch", scratch))
    hatch = tools / "bin/hatch"
    # Hatch makes environments with uv. If UV_PYTHON were set, uv would install into that Python instead.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("UV_PYTHON", "VIRTUAL_ENV"))}
    env["HATCH_DATA_DIR"] = str(scratch / "hatch-data")
    for name, package in found.items():
        direct, by_hatch = scratch / "direct", scratch / "by-hatch"
        options = ["--quiet", "--wheel", "--python", sys.executable, "--out-dir", direct]
        run(UV, "build", *options, package.folder)
        run(hatch, "build", by_hatch, cwd=package.folder, env=env)
        assert run(hatch, "version", cwd=package.folder, env=env).strip() == package.version
        for folder in (direct, by_hatch):
            other = wheel_in(folder, package)
            assert other.read_bytes() == wheels[name].read_bytes(), f"{other} differs from {wheels[name]}"


def requirements(group: str, scratch: Path) -> Path:
    """A file with the locked versions of one dependency group."""
    path = scratch / f"{group}.txt"
    if not path.exists():
        run(UV, "export", "--quiet", "--frozen", "--only-group", group, "--no-hashes", "--output-file", path, cwd=ROOT)
    return path


def install(environment: Path, *arguments: str | Path) -> None:
    """Installs into an environment, and makes the environment if there is none."""
    if not environment.exists():
        run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    run(UV, "pip", "install", "--quiet", "--python", environment, *arguments)


def install_alone(environment: Path, package: Package, wheels: dict[str, Path], *options: str | Path) -> None:
    """Installs a wheel by path. Its siblings come from the other wheels, never from an index."""
    constraints = environment.with_suffix(".constraints")
    constraints.write_text("".join(f"{name} @ {wheel.as_uri()}\n" for name, wheel in wheels.items()))
    install(environment, wheels[package.name], "--constraints", constraints, *options)


def check_import(environment: Path, package: Package, needed: list[str]) -> None:
    """Checks that Python imports the package from its environment, and that nothing else is installed there."""
    others = sorted(set(TESTS) - set(needed))
    absent = [name.replace("-", "_") for name in others] + ["jax"] * (package.name not in NEEDS_JAX)
    code = f"""
import sys, importlib.util, {package.module} as package
assert package.__file__.startswith(sys.prefix), package.__file__
for name in {absent}:
    assert importlib.util.find_spec(name) is None, f"{{name}} is installed beside {package.name}"
"""
    run(environment / "bin/python", "-I", "-c", code, cwd=environment)


def oldest(package: Package, scratch: Path) -> Path:
    """A file with the lowest versions that a package allows of its direct dependencies, without siblings."""
    wanted = scratch / f"{package.name}.in"
    direct = [line for line in package.dependencies if not line.startswith("loadax-")]
    wanted.write_text("".join(f"{line}\n" for line in direct))
    path = scratch / f"{package.name}.lowest"
    options = ["--resolution", "lowest-direct", "--python", sys.executable, "--output-file", path]
    run(UV, "pip", "compile", "--quiet", *options, wanted)
    return path


def run_tests(environment: Path, tests: list[str], root: Path = ROOT) -> None:
    """Runs tests in an environment.

    Raises:
        SystemExit: If a test fails; pytest has printed why.
    """
    command = [str(environment / "bin/python"), "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    if subprocess.run(command, cwd=root, check=False).returncode:
        raise SystemExit(f"failed: {' '.join(command)}")


def check(package: Package, found: dict[str, Package], wheels: dict[str, Path], scratch: Path) -> None:
    """Checks one package in two new environments: with its newest and with its oldest dependencies."""
    needed = closure(found, package.name)
    newest, lowest = scratch / f"{package.name}-newest", scratch / f"{package.name}-oldest"
    install_alone(newest, package, wheels)
    check_import(newest, package, needed)
    for example in EXAMPLES.get(package.name, []):
        run(newest / "bin/python", "-I", ROOT / example)

    install_alone(lowest, package, wheels, "--constraints", oldest(package, scratch))
    check_import(lowest, package, needed)
    install(lowest, "-r", requirements("unit", scratch))
    run_tests(lowest, TESTS[package.name])


def main() -> None:
    """Checks all packages, or those that are named."""
    found = packages()
    parser = argparse.ArgumentParser(description="Check the wheels of the packages.")
    parser.add_argument("names", nargs="*", metavar="package", help=f"of {', '.join(found)}; all if left out")
    names = parser.parse_args().names or list(found)
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        scratch = Path(folder)
        wheels = build(found.values(), scratch / "dist")
        for name, package in found.items():
            check_metadata(package, wheels[name])
        check_same_bytes(found, wheels, scratch)
        for name in names:
            print(f"--- {found[name].tag}", flush=True)
            start = time.perf_counter()
            check(found[name], found, wheels, scratch)
            print(f"--- {found[name].tag}: passed in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
