"""The benchmark suite runs, notices what is wrong, and computes what it says. Nothing here depends on how fast."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from loadax_core import tree

ROOT = Path(__file__).parents[2]

Batch: TypeAlias = dict[str, Any]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)


def results_of(work: str, measure: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "machine": {"cpu": "a cpu", "cores": 2, "python": "3.11", "system": "Linux", "date": "2026-01-02"},
        "quick": False,
        "versions": {"loadax": "0.3.0"},
        "missing": {"torch": "no module"},
        "works": {work: {"title": "a title", "bar": ">= 0.9", "measure": measure}},
        "configurations": {"loadax": {work: "as configured"}},
        "runs": [{"work": work, **run} for run in runs],
    }


def test_quick_suite(tmp_path: Path) -> None:
    out, readme = tmp_path / "results.json", tmp_path / "README.md"
    readme.write_text("before\n<!-- begin results -->\nold\n<!-- end results -->\nafter\n")
    done = run(
        "benchmarks",
        *("--quick", "--repeats", "1", "--work", "W1,W6,W7-1e12,W8", "--loader", "loadax,handwritten"),
        *("--adapter", "loadax,handwritten", "--out", str(out), "--readme", str(readme)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())
    measured = {(run["work"], run["loader"]) for run in results["runs"] if run.get("value", 0) > 0}
    everywhere = {(work, "loadax") for work in results["works"]}
    limits = {("W1", "limit"), ("W6", "limit")}
    by_hand = {(work, "handwritten") for work in ("W1", "W6", "W8")}
    assert measured == everywhere | limits | by_hand
    assert [run["unsupported"] for run in results["runs"] if "unsupported" in run]  # by hand, for 10^12 rows
    assert all(run["peak_mb"] > run["added_mb"] > 0 for run in results["runs"] if "peak_mb" in run)
    assert all(0 <= run["waited"] < 1 for run in results["runs"] if run["work"] == "W8")
    page = readme.read_text()
    assert page.startswith("before\n<!-- begin results -->\n")
    assert page.endswith("<!-- end results -->\nafter\n")
    assert "old" not in page
    assert "### W8: " in page
    assert "; 1 repeat, medians" in page


def test_the_number_of_repeats_is_that_of_the_runs(part: Any) -> None:
    runs = [{"loader": "loadax", "repeat": i, "value": 1.0} for i in range(3)]
    results = results_of("W1", "rate", runs)
    assert "; 3 repeats, medians" in part("report").tables(results)
    results["runs"] += [{"work": "W2", "loader": "loadax", "repeat": i, "value": 1.0} for i in range(5)]
    results["works"]["W2"] = results["works"]["W1"]
    assert "; 3 to 5 repeats, medians" in part("report").tables(results)


def test_ladder_and_growth_run(tmp_path: Path) -> None:
    done = run("benchmarks.ladder", "--quick", "--work", "W1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| the loader, in the caller's thread |") == 1
    done = run("benchmarks.growth", "--quick", "--out", str(tmp_path / "growth.json"))
    assert done.returncode == 0, done.stderr
    series = json.loads((tmp_path / "growth.json").read_text())
    assert [max(points["x"]) for points in series.values()] == [1e12, 4**8, 10_000]
    assert all(micros > 0 for points in series.values() for micros in points["y"])


def test_unknown_names_are_refused() -> None:
    done = run("benchmarks", "--work", "W99")
    assert done.returncode == 2
    assert "W99 is unknown" in done.stderr


def batch_of(data: Batch, rows: list[int]) -> Batch:
    return {key: array[rows] for key, array in data.items()}


SPOILED: list[tuple[Callable[[Batch], Batch], str]] = [
    (lambda b: {**b, "image": b["image"] + np.float32(1)}, "does not hold the values"),
    (lambda b: {**b, "image": b["image"][::-1]}, "does not hold the values"),
    (lambda b: {**b, "image": b["image"].astype(np.float64)}, "instead of float32"),
    (lambda b: {**b, "label": b["label"].astype(np.int64)}, "instead of int32"),
    (lambda b: {key: leaf[:-1] for key, leaf in b.items()}, "instead of"),
    (lambda b: {"image": b["image"]}, "instead of"),
    (lambda b: {key: leaf[[0, 0, *range(2, 256)]] for key, leaf in b.items()}, "twice"),
    (lambda b: {key: leaf[np.argsort(b["label"])] for key, leaf in b.items()}, "not shuffled"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_wrong_batches_are_noticed(part: Any, spoil: Callable[[Batch], Batch], message: str) -> None:
    checks, work = part("checks"), part("works").WORKS["W1"]
    data = work.data(True)
    # All rows of a quarter, so that sorting them leaves neighbours.
    rows = np.random.default_rng(1).permutation(256).tolist()
    good = batch_of(data, rows)
    checks.check_batches(work, data, [good])
    with pytest.raises(checks.WrongBatchError, match=message):
        checks.check_batches(work, data, [spoil(good)])


def test_a_reused_buffer_is_noticed(part: Any) -> None:
    checks, work = part("checks"), part("works").WORKS["W1"]
    data = work.data(True)
    order = np.random.default_rng(1).permutation(6_000)
    batches = [batch_of(data, order[i * 256 : (i + 1) * 256].tolist()) for i in range(3)]
    checks.check_batches(work, data, batches)
    with pytest.raises(checks.WrongBatchError, match="twice"):
        checks.check_batches(work, data, [batches[2], batches[1], batches[2]])


@pytest.mark.parametrize("name", ["W2", "W6", "W10-38MB"])
def test_rows_without_labels_carry_their_number(part: Any, name: str) -> None:
    checks, work = part("checks"), part("works").WORKS[name]
    data = work.data(True)
    rows = np.random.default_rng(1).permutation(1000)[: work.batch]
    batch: Any = data[rows].astype(np.int32) if name == "W6" else batch_of(data, rows.tolist())
    checks.check_batches(work, data, [batch])
    leaf: Any = batch if name == "W6" else batch["image"]
    leaf[0, -1] = leaf[0, -1] + leaf.dtype.type(1)
    with pytest.raises(checks.WrongBatchError, match="does not hold the values"):
        checks.check_batches(work, data, [batch])


def test_ratios_are_taken_within_a_turn(part: Any) -> None:
    # The machine is half as fast in the second turn, which the ratio must not show.
    runs: list[dict[str, Any]] = []
    for repeat, speed in enumerate([100.0, 50.0, 100.0]):
        runs += [
            {"loader": "limit", "repeat": repeat, "value": speed},
            {"loader": "loadax", "repeat": repeat, "value": 0.9 * speed, "added_mb": 3.0, "children_mb": 2.0},
            {"loader": "handwritten", "repeat": repeat, "value": 0.3 * speed},
            {"loader": "handwritten-threads", "repeat": repeat, "value": 0.6 * speed},
        ]
    lines = part("summary").summarise(results_of("W1", "rate", runs))
    assert [line.loader for line in lines] == ["limit", "loadax", "handwritten-threads", "handwritten"]
    ours = lines[1]
    assert ours.value == pytest.approx((90, 45, 90))
    assert ours.to_limit == pytest.approx((0.9, 0.9, 0.9))
    assert ours.to_handwritten == pytest.approx((1.5, 1.5, 1.5))
    assert ours.added_mb == 5.0


def test_less_time_is_faster_where_time_is_measured(part: Any) -> None:
    runs: list[dict[str, Any]] = [
        {"loader": "handwritten", "repeat": 0, "value": 0.5},
        {"loader": "loadax", "repeat": 0, "value": 0.1},
        {"loader": "torch", "repeat": 0, "unsupported": "too large"},
    ]
    results = results_of("W7", "first", runs)
    lines = part("summary").summarise(results)
    assert [line.loader for line in lines] == ["loadax", "handwritten", "torch"]
    assert lines[0].to_handwritten == pytest.approx((5, 5, 5))
    page = part("report").tables(results)
    assert "| loadax | 100 ms (100-100) | 5.00 (5.00-5.00) |" in page
    assert "| torch | too large |" in page
    assert "Left out: torch (no module)." in page


def test_the_slowest_rate_is_the_longest_time(part: Any) -> None:
    spread = part("summary").Spread(1000.0, 500.0, 2000.0)
    assert part("report").value("rate", spread) == "1 ms (0.5-2)"


def test_new_results_replace_only_their_own_work(part: Any) -> None:
    merged = part("__main__").merged
    old = results_of("W1", "rate", [{"loader": "loadax", "repeat": 0, "value": 1.0}])
    new = results_of("W6", "rate", [{"loader": "loadax", "repeat": 0, "value": 2.0}])
    both = merged(merged(old, new), new)
    assert list(both["works"]) == ["W1", "W6"]
    assert [(run["work"], run["value"]) for run in both["runs"]] == [("W1", 1.0), ("W6", 2.0)]


def test_results_of_two_machines_are_not_merged(part: Any, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    here = part("runner").machine()
    other = results_of("W1", "rate", []) | {"machine": here | {"cpu": "Z80", "cores": 1, "date": "1976-07-01"}}
    out.write_text(json.dumps(other))
    done = run("benchmarks", "--quick", "--work", "W9-1", "--adapter", "loadax", "--out", str(out), "--merge")
    assert done.returncode == 2
    assert f"results.json is of Z80, 1 core, Python {here['python']}, and this is {here['cpu']}" in done.stderr
    assert "give another --out" in done.stderr
    assert json.loads(out.read_text()) == other


@pytest.mark.parametrize("loader", ["loadax", "loadax, pageable", "handwritten"])
def test_beside_a_step_on_an_accelerator(loader: str) -> None:
    done = run("benchmarks.gpu", "--quick", "--one", "W10", loader)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert 0 <= result["waited"] < 1
    measured = ["value", "unwaited", "step_ms", "rate_gb_s", *(["bare_gb_s"] if loader != "handwritten" else [])]
    assert all(result[name] > 0 for name in measured)
    # This platform's traces tell nothing of a device.
    assert result["trace"] == {}


def event(name: str, start: int, duration: int, size: int = 0) -> Any:
    details = {"memcpy_details": f"kind_src:pinned kind_dst:device size:{size} dest:0 async:1"}
    return SimpleNamespace(name=name, start_ns=start, duration_ns=duration, stats=details.items())


def test_a_gpus_trace_is_read(part: Any) -> None:
    gpu = part("gpu")
    copies = [event("MemcpyH2D", 500, 1000, 8), event("MemcpyH2D", 4000, 100, 2), event("MemcpyD2H", 0, 9000, 8)]
    kernels = [event("gemm", 1000, 2000), event("Memset 0", 0, 500)]
    stream = SimpleNamespace(name="Stream #14(Compute,MemcpyH2D)", events=[*copies, *kernels])
    derived = SimpleNamespace(name="XLA Modules", events=[event("jit_update", 0, 9000)])
    host = SimpleNamespace(name="/host:CPU", lines=[stream])
    device = SimpleNamespace(name="/device:GPU:0", lines=[stream, derived])
    computed, received, sizes = gpu.events(SimpleNamespace(planes=[host, device]))
    assert np.allclose(computed, [(1e-6, 3e-6)])
    assert np.allclose(received, [(5e-7, 1.5e-6), (4e-6, 4.1e-6)])
    assert sizes == [8, 2]
    assert gpu.shared(received, computed) == pytest.approx(5e-7)
    assert gpu.merged([(0, 1), (1, 2), (1.5, 1.7), (3, 4)]) == [(0, 2), (3, 4)]


def test_the_report_on_a_gpu(part: Any, tmp_path: Path) -> None:
    gpu = part("gpu")
    trace = {"gb_s": 50.0, "overlap": 0.5, "kernels": [(0, 1e-3)], "transfers": [(0, 1e-4)]}
    found = {"value": 0.9, "waited": 0.01, "step_ms": 3.0, "unwaited": 0.8, "rate_gb_s": 20.0, "trace": trace}
    runs = [{"case": case, "loader": loader, "repeat": 0, **found} for case in gpu.CASES for loader in gpu.LOADERS]
    where = {"cpu": "a cpu", "cores": 2, "python": "3.11", "date": "2026-01-02", "device": "a GPU"}
    text = gpu.report({"machine": where, "quick": False, "runs": runs})
    assert "Measured on 2026-01-02: a GPU, a cpu, 2 cores, Python 3.11; 1 repeat, medians" in text
    row = "| W1, 1 worker, step of 3.0 ms | loadax | 0.900 (0.900-0.900) | 1.00% (1.00%-1.00%) | 50% (50%-50%) | 0.800"
    assert row in text
    assert "| W10 | loadax | 20.0 (20.0-20.0) |  | 50.0 (50.0-50.0) |  |" in text
    path = tmp_path / "trace.svg"
    part("plots").lanes({"W1": trace}, path)
    assert "<svg" in path.read_text()


def test_packed_documents_show_their_tokens_and_padding(part: Any) -> None:
    runs = [
        {"loader": "limit", "repeat": 0, "value": 200.0},
        {"loader": "loadax", "repeat": 0, "value": 100.0, "tokens_s": 99e6, "padding": 0.01},
    ]
    results = results_of("W12-2048", "rate", runs)
    text = part("report").tables(results)
    assert "| loader | a batch | of the limit | tokens/s | padding |" in text
    assert "| loadax | 10 ms (10-10) | 0.50 (0.50-0.50) | 99M | 1.00% |" in text
    limit, ours = part("publish").published(results, ["W12-2048"])["W12-2048"]["rows"]
    assert (ours["tokens_s"], ours["padding"]) == ([99e6] * 3, [0.01] * 3)
    assert "padding" not in limit


def test_what_packing_costs_is_written_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- begin packing -->\n<!-- end packing -->\nafter\n")
    done = run("benchmarks.packing", "--quick", "--rounds", "1", "--readme", str(page))
    assert not done.returncode, done.stderr
    text = page.read_text()
    assert "| documents | size | rows | padding | plan |" in text
    assert re.search(r"\| 10,000 \| 2,048 \| 4,\d+ \| 0\.\d+% \| [\d.]+ ms \|", text)


def test_the_floor_of_packing_is_measured() -> None:
    """The run compares the batches of the loop by hand with those of Loadax, value by value."""
    done = run("benchmarks.packing_floor", "--quick", "--rounds", "1")
    assert not done.returncode, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [(line[1], line[2]) for line in lines] == [(n, what) for n in "12" for what in ("copies", "by", "Loadax")]
    assert all(line[-2:] == ["1.00", "(1.00-1.00)"] for line in lines if line[2] == "copies")


def test_the_cost_of_gathers_is_measured() -> None:
    done = run("benchmarks.gathers", "--rounds", "1")
    assert not done.returncode, done.stderr
    lines = {line[:30].strip(): line for line in done.stdout.splitlines()}
    assert {"array", "tokens", "concatenation", "mixture in turn"} < set(lines)
    assert "10x" in lines["mixture in turn"]


def test_the_cost_of_a_hand_over_is_measured() -> None:
    done = run("benchmarks.handover", "--rounds", "1")
    assert not done.returncode, done.stderr
    lines = done.stdout.splitlines()[1:]
    assert [line[:16].strip() for line in lines] == ["hand-written", "Loadax", "step and queues", "queues alone"]
    assert lines[0].endswith("1.00x")


def test_gathers_are_compared_with_the_same_rows(part: Callable[[str], Any]) -> None:
    """Each kind gathers as many bytes as what it is compared with."""
    gathers = part("gathers")
    for first, *kinds in gathers.cases().values():
        expected = {leaf.shape for _, leaf in tree.leaves(first[1](next(first[2])))}
        for name, call, arguments in kinds:
            assert {leaf.shape for _, leaf in tree.leaves(call(next(arguments)))} == expected, name


def test_a_gather_takes_a_few_times_as_long_as_numpys(part: Callable[[str], Any]) -> None:
    """Twice what the bars allow, since other programs may run beside this one."""
    gathers = part("gathers")
    measured = gathers.ratios(rounds=50)
    assert {name: measured[name][1] for name, bar in gathers.BARS.items() if measured[name][1] > 2 * bar} == {}


def test_works_are_published_with_their_day_and_machine(part: Any, tmp_path: Path, monkeypatch: Any) -> None:
    publish = part("publish")
    results = {
        "machine": {"cpu": "a cpu", "cores": 2, "python": "3.11", "system": "Linux", "date": "2026-01-02"},
        "quick": False,
        "versions": {"numpy": "2", "loadax": "0.3.0", "torch": "2.13"},
        "works": {"W8": {"title": "a step", "bar": "", "measure": "step"}},
        "runs": [
            *({"work": "W8", "loader": "loadax", "repeat": k, "value": 0.9 + k / 10, "waited": 0.01} for k in range(3)),
            {"work": "W8", "loader": "torch", "repeat": 0, "unsupported": "no"},
        ],
    }
    path, out = tmp_path / "results.json", tmp_path / "published.json"
    path.write_text(json.dumps(results))
    out.write_text('{"W1": {}}')
    monkeypatch.setattr(sys, "argv", ["publish", "--results", str(path), "--out", str(out)])
    publish.main()
    shown = json.loads(out.read_text())
    assert set(shown) == {"W1", "W8"}
    assert (shown["W8"]["date"], shown["W8"]["repeats"]) == ("2026-01-02", 3)
    assert shown["W8"]["machine"] == {"cpu": "a cpu", "cores": 2, "python": "3.11"}
    assert shown["W8"]["versions"] == {"loadax": "0.3.0", "torch": "2.13"}
    first, second = shown["W8"]["rows"]
    assert first["value"] == [1.0, 0.9, 1.1]
    assert first["waited"] == [0.01, 0.01, 0.01]
    assert (second["value"], second["note"]) == (None, "no")
    with pytest.raises(ValueError, match="no W2; they have W8"):
        publish.published(results, ["W2"])
    with pytest.raises(ValueError, match="quick run"):
        publish.published({**results, "quick": True}, ["W8"])


def test_bars_are_sorted_and_have_a_title_a_unit_and_a_legend(part: Any, tmp_path: Path) -> None:
    rates = {"loadax": (1.0, 0.1), "handwritten": (3.0, 0.3), "torch": (2.0, 0.2)}
    runs = [
        {"work": "W8", "loader": loader, "repeat": 0, "value": value, "waited": waited}
        for loader, (value, waited) in rates.items()
    ]
    results = results_of("W8", "step", runs)
    drawn = part("plots").draw(results, tmp_path)
    assert [file.name for file in drawn] == ["stall.svg"]
    # Matplotlib writes each text as a comment beside its outlines.
    texts = re.findall(r"<!-- (.+?) -->", (tmp_path / "stall.svg").read_text())
    names = [text for text in texts if text in rates]
    assert names == ["loadax", "torch", "handwritten"], "the shortest wait first, not the highest rate"
    assert {"How long the loop waits for data", "% of its time; shorter is better"} <= set(texts)
    assert {"Loadax", "hand-written", "other libraries"} <= set(texts)


def test_another_version_of_a_library_runs_in_an_environment_of_its_own(
    part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, calls = tmp_path / "bin" / "python", tmp_path / "calls"
    runner = part("runner")
    monkeypatch.setattr(runner, "ENVIRONMENTS", {"loadax": str(tmp_path)})

    def results() -> dict[str, Any]:
        return runner.run_suite(["W7-1e12"], ["loadax", "handwritten"], ["loadax"], 1, True, print)

    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$3" >> {calls}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert [run["value"] > 0 for run in results()["runs"]] == [True]
    assert calls.read_text().split() == ["describe", "measure"]

    python.unlink()
    missing = results()["missing"]
    assert list(missing) == ["loadax"]
    assert missing["loadax"].endswith("bin/python; benchmarks/install.sh makes it")
