"""Iterators in the checkpoints of Orbax: its `CheckpointManager`, and its experimental v1."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from loadax import ArrayDataset, DataLoader, Loader, LoaderIterator, StateError, launch

ocp: Any = pytest.importorskip("orbax.checkpoint", reason="an extra of loadax")

PROGRAM = Path(__file__).parent / "programs" / "checkpoints.py"
PARAMS = {"w": np.arange(3.0)}


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    """Takes the place of the fixture of that name: Orbax leaves threads behind; those of Loadax end."""
    yield
    gc.collect()
    deadline = perf_counter() + 5
    while left := [thread.name for thread in threading.enumerate() if thread.name.startswith("loadax")]:
        assert perf_counter() < deadline, left
        threading.Event().wait(0.001)


def v1() -> Any:
    if importlib.util.find_spec("orbax.checkpoint.experimental.v1") is None:
        pytest.skip("this version of Orbax has no v1")
    return importlib.import_module("orbax.checkpoint.experimental.v1")


def v0() -> Any:
    return importlib.import_module("loadax.orbax")


def make(seed: int = 1, batch_size: int = 4) -> Loader[Any]:
    rows = ArrayDataset(np.arange(64)).shuffle(seed=seed)
    return DataLoader().batch_size(batch_size).workers(1).epochs(2).build(rows)


def after(steps: int, loader: Loader[Any] | None = None) -> LoaderIterator[Any]:
    batches = iter(loader or make())
    for _ in range(steps):
        next(batches)
    return batches


def values(batches: Any) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """No other thread writes JSON before this is set."""
    may_write, dumps = threading.Event(), json.dumps

    def wait(*arguments: Any, **named: Any) -> str:
        if threading.current_thread() is not threading.main_thread():
            assert may_write.wait(20)
        return dumps(*arguments, **named)

    monkeypatch.setattr(json, "dumps", wait)
    return may_write


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_manager_restores_the_next_row(asynchronous: bool, tmp_path: Path) -> None:
    orbax, options = v0(), ocp.CheckpointManagerOptions(enable_async_checkpointing=asynchronous)
    with ocp.CheckpointManager(tmp_path, options=options) as manager:
        batches = after(18)
        saved = ocp.args.Composite(params=ocp.args.StandardSave(PARAMS), data=orbax.IteratorSave(batches))
        assert manager.save(18, args=saved)
        manager.wait_until_finished()
        resumed = after(3, make(batch_size=2))
        wanted = ocp.args.Composite(params=ocp.args.StandardRestore(PARAMS), data=orbax.IteratorRestore(resumed))
        restored = manager.restore(18, args=wanted)
        assert restored["data"] is resumed
        assert np.concatenate(values(resumed)).tolist() == np.concatenate(values(batches)).tolist()
    # The file is that of JSON.
    with ocp.CheckpointManager(tmp_path, options=options) as manager:
        plain = manager.restore(18, args=ocp.args.Composite(data=ocp.args.JsonRestore()))
        assert plain["data"] == after(18).get_state()


def test_json_is_read_too(tmp_path: Path) -> None:
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(2, args=ocp.args.Composite(data=ocp.args.JsonSave(after(2).get_state())))
        manager.wait_until_finished()
    resumed = after(0)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.restore(2, args=ocp.args.Composite(data=v0().IteratorRestore(resumed)))
    assert resumed.get_state() == after(2).get_state()


def test_an_iterator_alone_can_be_saved(tmp_path: Path) -> None:
    orbax, batches, resumed = v0(), after(5), after(0)
    with ocp.Checkpointer(orbax.IteratorHandler()) as checkpointer:
        checkpointer.save(tmp_path / "data", args=orbax.IteratorSave(batches))
        assert checkpointer.restore(tmp_path / "data", args=orbax.IteratorRestore(resumed)) is resumed
    handler = orbax.IteratorHandler()
    (tmp_path / "plain").mkdir()
    handler.save(ocp.test_utils.epath.Path(tmp_path / "plain"), args=orbax.IteratorSave(after(7)))
    handler.close()
    assert json.loads((tmp_path / "plain" / "metadata").read_text())["row"] == 28
    assert values(resumed) == values(batches)


def test_an_asynchronous_save_has_the_state_of_the_call(tmp_path: Path, writing: threading.Event) -> None:
    orbax, batches, resumed = v0(), after(2), after(0)
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(2, args=ocp.args.Composite(data=orbax.IteratorSave(batches)))
        following = [next(batches).tolist() for _ in range(3)]
        writing.set()
        manager.wait_until_finished()
        manager.restore(2, args=ocp.args.Composite(data=orbax.IteratorRestore(resumed)))
    assert [next(resumed).tolist() for _ in range(3)] == following


def test_the_manager_refuses_another_order(tmp_path: Path) -> None:
    orbax, other = v0(), after(1, make(seed=2))
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(2, args=ocp.args.Composite(data=orbax.IteratorSave(after(2))))
        manager.wait_until_finished()
        with pytest.raises(StateError, match="the state was saved with shuffle seed 1, and this dataset has 2"):
            manager.restore(2, args=ocp.args.Composite(data=orbax.IteratorRestore(other)))
    assert other.get_state()["row"] == 4


def test_v1_takes_the_iterator_itself(tmp_path: Path) -> None:
    orbax, batches = v1(), after(18)
    assert isinstance(batches, orbax.handlers.StatefulCheckpointable)
    orbax.save_checkpointables(tmp_path / "sync", {"params": PARAMS, "data": batches})
    resumed = after(3, make(batch_size=2))
    loaded = orbax.load_checkpointables(tmp_path / "sync", {"params": PARAMS, "data": resumed})
    assert loaded["data"] is resumed
    assert loaded["params"]["w"].tolist() == PARAMS["w"].tolist()
    assert np.concatenate(values(resumed)).tolist() == np.concatenate(values(batches)).tolist()


def test_v1_saves_the_state_of_the_call(tmp_path: Path, writing: threading.Event) -> None:
    orbax, batches, resumed = v1(), after(2), after(0)
    with orbax.training.Checkpointer(tmp_path / "run") as checkpointer:
        response = checkpointer.save_checkpointables_async(2, {"params": PARAMS, "data": batches})
        following = [next(batches).tolist() for _ in range(3)]
        writing.set()
        response.result()
        checkpointer.load_checkpointables(2, {"params": PARAMS, "data": resumed})
    assert [next(resumed).tolist() for _ in range(3)] == following


def test_v1_refuses_another_order(tmp_path: Path) -> None:
    orbax, other = v1(), after(1, make(seed=2))
    orbax.save_checkpointables(tmp_path / "one", {"data": after(2)})
    with pytest.raises(StateError, match="the state was saved with shuffle seed 1, and this dataset has 2"):
        orbax.load_checkpointables(tmp_path / "one", {"data": other})
    assert other.get_state()["row"] == 4


@pytest.mark.timeout(300)
def test_of_several_processes_one_writes_and_all_restore(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    assert launch(PROGRAM, [tmp_path, reports], processes=2, devices_per_process=1, timeout=200) == [0, 0]
    first, second = (json.loads((reports / f"{number}.json").read_text()) for number in range(2))
    for report in (first, second):
        assert report["v0"] == report["own"]
        assert report.get("v1") == report.get("own v1")
    assert first["own"] != second["own"], "each process has rows of its own"
    assert (first["v0 written"], second["v0 written"]) == (1, 0)
    assert (first.get("v1 written", 1), second.get("v1 written", 0)) == (1, 0)


def test_orbax_is_not_imported_before_it_is_asked_for() -> None:
    code = "import sys, loadax; iter(loadax.DataLoader().build([1])); sys.exit('orbax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = "import sys, loadax.orbax; sys.exit('orbax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 1
