"""Fixtures for every test."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from loadax_core.testing import check_no_threads


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    before = threading.active_count()
    yield
    check_no_threads(before)
