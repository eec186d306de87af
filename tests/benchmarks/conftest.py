"""Fixtures of the tests of the benchmark suite."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the suite, which is no package of the workspace."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")

    return load
