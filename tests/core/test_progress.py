"""A progress bar around a loader."""

from __future__ import annotations

import importlib
import io
import sys
import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from loadax_core import ClosedError, DataLoader, Loader, LoaderIterator, progress, progress_bar

pytest.importorskip("tqdm", reason="an extra of loadax-core")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def last(self) -> str:
        """The last state of the last bar."""
        return self.getvalue().rstrip("\n").rpartition("\r")[2]


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts a terminal in the place of stderr; no fixture, since pytest puts its own there between setup and test."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


@pytest.fixture
def loader() -> Loader[int]:
    return DataLoader(total).batch_size(2).workers(1).epochs(2).build(range(7))


def total(items: list[int]) -> int:
    return sum(items)


def a_quarter(batches: LoaderIterator[Any]) -> Any:
    return SimpleNamespace(wait_share=0.254, counts_per_second={"tokens": 12345.6, "documents": 0.5})


def test_batches_pass_and_are_counted(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    terminal = watch(monkeypatch)
    assert list(progress(loader, "train")) == list(loader)
    assert terminal.getvalue().startswith("\rtrain:   0%|          | 0/8 [")
    assert terminal.last.startswith("train: 100%|")
    assert "| 8/8 [" in terminal.last
    assert "batch/s" in terminal.last
    assert ", waited " in terminal.last


def test_waiting_and_what_is_counted_are_shown(loader: Loader[int], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    monkeypatch.setattr(LoaderIterator, "stats", a_quarter)
    list(progress(loader))
    assert terminal.last.endswith(", 12,346 tokens/s, 0.5 documents/s, waited 25%]")


def test_statistics_are_asked_for_only_when_the_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    asked: list[Any] = []

    def stats(batches: LoaderIterator[Any]) -> Any:
        asked.append(batches)
        return a_quarter(batches)

    monkeypatch.setattr(LoaderIterator, "stats", stats)
    # By tqdm's clock no time passes, so that only the first and the last state are drawn.
    monkeypatch.setattr("tqdm.std.time", lambda: 1.0)
    list(progress(DataLoader().build(range(1000))))
    assert len(asked) == 1


def test_a_run_that_continues_continues_its_count(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    terminal = watch(monkeypatch)
    with iter(loader) as before:
        taken = [next(before) for _ in range(5)]
        assert (before.step, before.steps_left) == (5, 3)
        state = before.get_state()
    with iter(loader) as after:
        after.set_state(state)
        assert taken + list(progress(after)) == list(loader)
        assert (after.step, after.steps_left) == (8, 0)
    assert "| 5/8 [" in terminal.getvalue()
    assert "| 4/8 [" not in terminal.getvalue()
    assert "| 8/8 [" in terminal.last


def test_a_step_back_within_the_loop_is_followed(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    terminal = watch(monkeypatch)
    with iter(loader) as batches:
        start = batches.get_state()
        seen: list[int] = []
        for batch in progress(batches):
            seen.append(batch)
            if len(seen) == 4:
                batches.set_state(start)
    assert seen == seen[:4] + list(loader)
    assert "| 8/8 [" in terminal.last


def test_an_endless_run_has_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    batches = progress(DataLoader().batch_size(2).epochs(None).build(range(4)))
    for _ in range(3):
        next(batches)
    batches.close()
    assert "2batch [" in terminal.last


@pytest.mark.parametrize("leave", ["break", "error", "collected"])
def test_leaving_the_loop_ends_the_iterator_that_it_made(
    leave: str, loader: Loader[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch)
    made: list[LoaderIterator[int]] = []

    make: Any = cast("Any", Loader).__iter__

    def remember(self: Loader[int]) -> LoaderIterator[int]:
        made.append(make(self))
        return made[-1]

    monkeypatch.setattr(Loader, "__iter__", remember)
    if leave == "collected":
        next(progress(loader))
    else:
        with pytest.raises(KeyError) if leave == "error" else nullcontext():
            for _ in progress(loader):
                if leave == "error":
                    raise KeyError
                break
    (iterator,) = made
    with pytest.raises(ClosedError):
        next(iterator)


def test_an_iterator_that_was_given_stays_open(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    watch(monkeypatch)
    with iter(loader) as batches:
        for _ in progress(batches):
            break
        assert next(batches) == 5


def test_a_batch_that_the_loop_drops_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    for batch in progress(DataLoader().batch_size(2).build(np.zeros(4))):
        seen = weakref.ref(batch)
        del batch
        assert seen() is None


def test_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)

    def broken(items: list[int]) -> int:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space") as raised:
        list(progress(DataLoader(broken).build([1])))
    assert raised.value.__notes__[-1] == "loadax: while batching the batch of epoch 0, step 0"


def test_silent_where_nobody_watches(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    assert list(progress(loader)) == list(loader)
    assert log.getvalue() == ""


def test_a_notebook_is_watched_though_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loader: Loader[int]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    list(progress(loader))
    assert "8/8" in capsys.readouterr().err


@pytest.mark.parametrize(("process", "speaks"), [(0, True), (1, False)])
def test_only_the_first_process_speaks(
    process: int, speaks: bool, loader: Loader[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = watch(monkeypatch)
    job = SimpleNamespace(global_state=SimpleNamespace(process_id=process))
    monkeypatch.setitem(sys.modules, "jax._src.distributed", job)
    assert list(progress(loader)) == list(loader)
    assert bool(terminal.getvalue()) == speaks


def test_what_is_no_loader_is_refused() -> None:
    with pytest.raises(TypeError, match=r"progress takes a loader, or iter\(loader\), got list: \[1, 2\]"):
        progress([1, 2])  # pyright: ignore[reportArgumentType]


def test_without_tqdm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, loader: Loader[int]) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=missing)

    monkeypatch.setattr(importlib, "import_module", absent)
    missing = "colorama"
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        progress(loader)
    missing = "tqdm"
    with pytest.raises(ImportError, match=r'pip install "loadax-core\[progress\]"'):
        progress(loader)


def test_work_that_is_no_loop_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = watch(monkeypatch)
    with progress_bar(8, done=2, unit="document", desc="write") as advance:
        advance(1)
        advance(5)
    assert terminal.last.startswith("write: 100%|")
    assert "| 8/8 [" in terminal.last
    assert "document/s" in terminal.last
    before = terminal.getvalue()
    with progress_bar(8, show=False) as advance:
        advance(8)
    assert terminal.getvalue() == before


def test_a_bar_that_is_not_asked_for_needs_no_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="tqdm")

    def nothing(_: str) -> None: ...

    monkeypatch.setattr("importlib.util.find_spec", nothing)
    monkeypatch.setattr(importlib, "import_module", absent)
    with progress_bar(2) as advance:
        advance(2)
    with pytest.raises(ImportError, match=r"progress needs tqdm"), progress_bar(2, show=True):
        pass
