"""The import contracts hold, and a violation of each is caught."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of all packages' sources, to be spoiled."""
    for package in sorted(ROOT.glob("packages/*/src/*/")):
        shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def lint_imports(sources: Path) -> tuple[int, str]:
    """The exit status and output of the import linter on `sources`, instead of on the installed packages."""
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", str(ROOT / ".importlinter"), "--no-cache"],
        cwd=sources,
        env=os.environ | {"PYTHONPATH": str(sources), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_contracts_hold(sources: Path) -> None:
    status, output = lint_imports(sources)
    assert status == 0, output
    assert "7 kept, 0 broken" in output


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("loadax_core", "loadax_datasets"),
        ("loadax_core", "loadax_distributed"),
        ("loadax_datasets", "loadax_distributed"),
        ("loadax_distributed", "loadax_datasets"),
        ("loadax_distributed", "loadax"),
        ("loadax_core", "jax"),
        ("loadax_datasets", "jaxlib"),
        ("loadax_datasets", "loadax_core.run.window"),
        ("loadax_distributed", "loadax_core.protocols"),
        ("loadax", "loadax_datasets.base"),
        ("loadax", "loadax_distributed.mesh"),
    ],
)
def test_violation_is_caught(sources: Path, importer: str, imported: str) -> None:
    # Within a function, where it is easiest to overlook.
    (sources / importer / "sly.py").write_text(f"def load():\n    import {imported}\n")
    status, output = lint_imports(sources)
    assert status == 1, output
    assert f"{importer}.sly -> {imported}" in output


@pytest.mark.parametrize(
    ("room", "imported"),
    [("plan", "loadax_core.run.policy"), ("memory", "loadax_core.read"), ("observe", "loadax_core.backends.task")],
)
def test_a_room_of_the_core_that_imports_from_above_is_caught(sources: Path, room: str, imported: str) -> None:
    (sources / "loadax_core" / room / "sly.py").write_text(f"def load():\n    import {imported}\n")
    status, output = lint_imports(sources)
    assert status == 1, output
    assert f"loadax_core.{room}.sly -> {imported}" in output


def test_a_new_module_needs_a_place_among_the_rooms(sources: Path) -> None:
    (sources / "loadax_datasets" / "somewhere.py").write_text("")
    status, output = lint_imports(sources)
    assert status == 1, output
    assert "loadax_datasets.somewhere" in output


def circles(sources: Path, package: str) -> list[tuple[str, str]]:
    """Pairs of modules of a package, each of which leads to the other by imports, for type checkers too."""
    code = (
        "import json, sys, grimp; graph = grimp.build_graph(sys.argv[1], cache_dir=None); "
        "print(json.dumps({m: sorted(graph.find_modules_directly_imported_by(m)) for m in graph.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(sources)}
    done = subprocess.run(
        [sys.executable, "-c", code, package], env=environment, cwd=sources, capture_output=True, text=True, check=True
    )
    # The package itself imports all that it offers.
    imports: dict[str, list[str]] = {m: names for m, names in json.loads(done.stdout).items() if m != package}

    def reached(module: str) -> set[str]:
        found: set[str] = set()
        waiting = [module]
        while waiting:
            new = set(imports.get(waiting.pop(), ())) - found
            found |= new
            waiting += new
        return found

    leads = {module: reached(module) for module in imports}
    return [(a, b) for a in sorted(leads) for b in sorted(leads[a]) if a <= b and a in leads.get(b, ())]


@pytest.mark.parametrize("package", ["loadax_core", "loadax_datasets", "loadax_distributed"])
def test_no_import_leads_back(sources: Path, package: str) -> None:
    assert circles(sources, package) == []
    for here, there in (("one", "two"), ("two", "one")):
        (sources / package / f"{here}.py").write_text(f"def load():\n    from . import {there}\n")
    assert (f"{package}.one", f"{package}.two") in circles(sources, package), "a circle is noticed"
