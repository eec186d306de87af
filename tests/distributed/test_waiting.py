from __future__ import annotations

import threading
from typing import Any

import jax
import pytest
from loadax_core import Stats
from loadax_distributed import wait_shares

STATS = Stats(10, 40, 3.0, 1.0, 0, 0, 0)


def test_a_single_process_needs_no_collective(monkeypatch: pytest.MonkeyPatch) -> None:
    def communicate(*_: Any, **__: Any) -> None:
        raise AssertionError("a single process communicates")

    monkeypatch.setattr(jax, "make_array_from_callback", communicate)
    assert wait_shares(STATS) == (1 / 3,)


def test_only_the_main_thread_communicates() -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            wait_shares(STATS)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert str(raised[0]).startswith("wait_shares() communicates; call it on the main thread, at the same place")
