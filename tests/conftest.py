"""Fixtures for every test."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings
from loadax_core.testing import check_no_threads

# The same examples every time, however busy the machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# A shell starts its background jobs with Ctrl-C ignored, and what a test starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> None:
    # Each test ends with a full collection. It need not look at the libraries that were imported until now: with them,
    # it takes a sixth of a second, longer than most tests do.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    before = threading.active_count()
    yield
    check_no_threads(before)
