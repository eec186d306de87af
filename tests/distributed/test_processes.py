"""The same promises with real JAX processes. Each job checks as much as it can: starting one takes seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loadax_distributed import launch

PROGRAMS = Path(__file__).parent / "programs"
TIMEOUT = 100


def results(folder: Path) -> list[Any]:
    """What each process has written."""
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(len(list(folder.iterdir())))]


@pytest.mark.parametrize(("processes", "devices"), [(1, 4), (2, 4), (4, 1), (4, 2)])
def test_every_layout(processes: int, devices: int, tmp_path: Path) -> None:
    codes = launch(
        PROGRAMS / "layouts.py", [tmp_path], processes=processes, devices_per_process=devices, timeout=TIMEOUT
    )
    assert codes == [0] * processes
    read: list[dict[str, list[int]]] = results(tmp_path)
    for name in read[0]:
        rows = [row for process in read for row in process[name]]
        assert set(rows) == set(range(max(rows) + 1)), f"{name}: a row that nobody read"
        if name in ("data", "reversed", "interleaved", "permuted", "model in a process"):
            assert len(rows) == len(set(rows)), f"{name}: a row that two processes read"
    if processes > 1:
        assert all(process["model across processes"] == read[0]["model across processes"] for process in read)


def test_a_process_needs_nobody_else(tmp_path: Path) -> None:
    assert launch(PROGRAMS / "alone.py", [tmp_path], processes=4, devices_per_process=2, timeout=TIMEOUT) == [0] * 4
    assert len(list(tmp_path.glob("*-done"))) == 4


def test_assembling_beside_a_step_with_collectives() -> None:
    assert launch(PROGRAMS / "beside.py", processes=2, devices_per_process=2, timeout=TIMEOUT) == [0, 0]


def test_errors_are_alike_on_every_process(tmp_path: Path) -> None:
    assert launch(PROGRAMS / "errors.py", [tmp_path], processes=4, devices_per_process=2, timeout=TIMEOUT) == [0] * 4
    messages = results(tmp_path)
    assert all(process == messages[0] for process in messages)
    differently = "ValueError: processes were configured differently:"
    expected = {
        "indivisible": "ValueError: a batch of 12 rows is not divisible by 8 data shards",
        "unknown axis": "ValueError: data_axis_name='batch' names the axis 'batch'; the mesh has 'data', 'model'",
        "repeated axis": "ValueError: data_axis_name=('data', 'data') names the axis 'data' twice",
        "abstract mesh": "TypeError: AbstractMesh",
        "absent process": "ValueError: the mesh has no device of process 2, 3, of 4 processes",
        "rank 0": "ValueError: batch['x'] is a single value",
        "strings": "TypeError: batch['x'] has dtype <U1",
        "rows": "ValueError: batch['x'] has 3 rows, and this process holds 2 data shards",
        "mesh": "ValueError: data=3 does not divide the 8 devices",
        "global placement": "ValueError: NamedSharding",
        "agreement": "nothing",
        "disagreement": f"{differently} seed is 8 on process 0; 7 on processes 1, 2, 3",
        "long": f"{differently} classes is 'xxx",
        "long and equal": "nothing",
        "loaders": f"{differently} dataset.rows is 64 on process 0; 65 on process 1; 66 on process 2; 67 on process 3",
        "equal loaders": "nothing",
        "batchers": f"{differently} batcher is 'StackBatcher()' on process 0; \"PadBatcher(length=4",
        "axes": f"{differently} sharding is \"data_axis_name=('data',) of mesh(data=4, model=2) of devices",
        "specs": f"{differently} sharding is ",
        "settings": f"{differently} batch_size is 8 on process 0; 16 on process 1; 24 on process 2; 32 on process 3",
        "skipped": f"{differently} skip is '[0, 9]' on process 0; '[1, 9]' on process 1; '[2, 9]' on process 2;",
        "padding": "ValueError: PadBatcher(value=0, add='lengths') chooses the length of a batch by the longest",
        "functions": "nothing",
        "missing": f"{differently} seed is nothing on processes 0, 1, 3; 7 on process 2",
        "thread": "RuntimeError: check_agreement() communicates; call it on the main thread",
        "default mesh": "{'data': 4, 'model': 2}",
    }
    assert set(messages[0]) == set(expected)
    for name, start in expected.items():
        assert messages[0][name].startswith(start), (name, messages[0][name])
    assert ".shard(mesh)" in messages[0]["global placement"]
    assert len(messages[0]["long"]) < 600


@pytest.mark.parametrize("processes", [1, 3])
def test_processes_can_be_compared_anywhere_and_whatever_they_have(processes: int, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"processes": processes, "devices_per_process": 2, "timeout": TIMEOUT}
    assert launch(PROGRAMS / "agreement.py", [tmp_path], **arguments) == [0] * processes
    messages = results(tmp_path)
    assert all(process == messages[0] for process in messages)
    last = f"on process {processes - 1};"
    expected = {
        "no context": "nothing",
        "Auto mesh": "nothing",
        "Explicit mesh": "nothing",
        "mesh of this process": "nothing",
        "default device": "nothing",
        "transfer guard": "nothing",
        "float": f"TypeError: config['seed'] is 7.5, of type float {last} give a dict of strings and integers",
        "not compiled": f"TypeError: config['seed'] is 7.5, of type float {last}",
        "mixed names": f"TypeError: config has the name 1, of type int {last}",
        "number as name": "TypeError: config has the name 7, of type int on process",
        "unprintable": f"TypeError: config cannot be read (OSError: no text) {last}",
        "too long": "TypeError: config cannot be read (ValueError: Exceeds the limit",
        "no config": f"TypeError: config is None {last}",
        "two": "TypeError: config['seed'] is [0], of type list on process 0; ",
        "afterwards": "nothing",
    }
    # Versions of NumPy write the number differently.
    assert ", of type int64 on process 0" in messages[0].pop("array")
    assert set(messages[0]) == set(expected)
    for name, start in expected.items():
        assert messages[0][name].startswith(start), (name, messages[0][name])


@pytest.mark.parametrize("processes", [1, 3])
def test_every_process_learns_how_long_each_waits(processes: int, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"processes": processes, "devices_per_process": 2, "timeout": TIMEOUT}
    assert launch(PROGRAMS / "waiting.py", [tmp_path], **arguments) == [0] * processes
    read = results(tmp_path)
    # To the last bit.
    assert [shares for _, shares in read] == [[own for own, _ in read]] * processes
    assert read[-1][0] == pytest.approx(0.1 * (processes - 1) / 3)


def test_a_state_continues_on_other_processes_and_meshes(tmp_path: Path) -> None:
    def run(name: str, processes: int, devices: int, model: int, batch: int, steps: int, state: str = "") -> Any:
        folder = tmp_path / name
        folder.mkdir()
        arguments = [folder, model, batch, steps, state]
        codes = launch(
            PROGRAMS / "elastic.py", arguments, processes=processes, devices_per_process=devices, timeout=TIMEOUT
        )
        assert codes == [0] * processes
        reports = results(folder)
        assert all(report["state"] == reports[0]["state"] for report in reports)
        rows: list[int] = []
        for step in range(steps):
            pieces: dict[str, list[int]] = {}
            for report in reports:
                for start, values in report["pieces"][step].items():
                    assert pieces.setdefault(start, values) == values, "replicas that differ"
            rows += [row for _, values in sorted(pieces.items(), key=lambda item: int(item[0])) for row in values]
        # Together the processes read each row once, or once for each replica that crosses processes.
        read = [tuple(row) for report in reports for row in report["read"]]
        assert len(set(read)) == len(rows)
        assert all(len({tuple(row) for row in report["read"]}) == len(report["read"]) for report in reports)
        return rows, reports[0]["state"]

    whole, _ = run("whole", processes=1, devices=1, model=1, batch=8, steps=6)
    seen, state = run("two", processes=2, devices=2, model=1, batch=8, steps=2)
    saved = tmp_path / "state.json"
    saved.write_text(json.dumps(state))
    one, end_of_one = run("one", processes=1, devices=4, model=2, batch=4, steps=8, state=str(saved))
    four, end_of_four = run("four", processes=4, devices=1, model=2, batch=8, steps=4, state=str(saved))
    assert whole == seen + one == seen + four
    assert end_of_one == end_of_four
