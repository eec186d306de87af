"""`loadax doctor`: what it shows, and what it complains about."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from loadax import doctor
from loadax.cli import main
from loadax.doctor import Failure, Machine, Requirement
from loadax.siblings import Installed, fits

HEALTHY = Machine(
    versions={
        "loadax": "0.3.0",
        "loadax-core": "0.3.0",
        "loadax-datasets": "0.3.1",
        "loadax-distributed": "0.3.0",
        "numpy": "2.4.0",
        "jax": "0.10.2",
        "jaxlib": "0.10.2",
        "jax-cuda12-plugin": "0.10.2",
        "jax-cuda13-plugin": None,
        "tqdm": "4.67.1",
        "polars": None,
    },
    requirements=[
        Requirement("loadax-core", "numpy", "1.26", ""),
        Requirement("loadax-distributed", "jax", "0.6", ""),
        Requirement("loadax-core", "tqdm", "4.66", "progress"),
        Requirement("loadax-datasets", "polars", "1.25.2", "polars"),
    ],
    jaxlib="jaxlib<=0.10.2,>=0.10.1",
    devices=("gpu", ["NVIDIA H200", "NVIDIA H200"]),
    processes=0.25,
    cores=(64, 16, 4.0),
    files=4096,
    gpu=True,
    forks=False,
    environment={},
)


def changed(**changes: Any) -> Machine:
    versions = HEALTHY.versions | changes.pop("versions", {})
    return replace(HEALTHY, versions=versions, **changes)


def test_a_healthy_machine() -> None:
    assert list(doctor.problems(HEALTHY)) == []
    python, *lines = doctor.describe(HEALTHY)
    assert python[0] == "python"
    assert lines == [
        ("loadax", "loadax 0.3.0, loadax-core 0.3.0, loadax-datasets 0.3.1, loadax-distributed 0.3.0"),
        ("libraries", "numpy 2.4.0, jax 0.10.2, jaxlib 0.10.2, jax-cuda12-plugin 0.10.2"),
        ("extras", "polars (not installed), tqdm 4.67.1"),
        ("devices", "2 x NVIDIA H200 (backend gpu)"),
        ("cores", "4 to use, of 64"),
        ("workers", "threads, processes (0.2 s to start one)"),
        ("open files", "4,096 at most"),
    ]


FORCED = "--xla_force_host_platform_device_count=8"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"versions": {"jax": None}}, "loadax-distributed needs jax, which is not installed: pip install jax"),
        (
            {"versions": {"numpy": "1.25.2"}},
            'loadax-core needs "numpy>=1.26", but 1.25.2 is installed: pip install "numpy>=1.26"',
        ),
        (
            {"versions": {"tqdm": "4.65.0"}},
            'loadax-core needs "tqdm>=4.66", but 4.65.0 is installed: pip install "tqdm>=4.66"',
        ),
        (
            {"versions": {"jax": "0.10.1"}, "jaxlib": "jaxlib<=0.10.1,>=0.10.1"},
            'jax 0.10.1 needs "jaxlib<=0.10.1,>=0.10.1", but 0.10.2 is installed: pip install --upgrade jax jaxlib',
        ),
        (
            {"versions": {"jaxlib": "0.9.2", "jax-cuda12-plugin": "0.9.2"}},
            'jax 0.10.2 needs "jaxlib<=0.10.2,>=0.10.1", but 0.9.2 is installed: pip install --upgrade jax jaxlib',
        ),
        (
            {"versions": {"jax-cuda12-plugin": "0.9.0"}},
            "jax-cuda12-plugin 0.9.0 and jaxlib 0.10.2 differ: pip install --upgrade jax-cuda12-plugin jaxlib",
        ),
        ({"devices": Failure("no driver")}, "JAX finds no devices: no driver"),
        (
            {"devices": Failure("AssertionError"), "environment": {"JAX_PLATFORMS": "cuda"}},
            (
                "JAX finds no devices of JAX_PLATFORMS=cuda (AssertionError): unset the variable to use other devices, "
                "or install JAX for it, as https://docs.jax.dev/en/latest/installation.html says"
            ),
        ),
        (
            {"devices": Failure("Unknown flags in XLA_FLAGS: --x"), "environment": {"JAX_PLATFORMS": "cpu"}},
            "JAX finds no devices: Unknown flags in XLA_FLAGS: --x",
        ),
        (
            {"devices": ("cpu", ["cpu"])},
            'there is an NVIDIA GPU, but JAX uses the CPU: pip install "jax[cuda12]"',
        ),
        ({"processes": Failure("no fork")}, "worker processes do not start; use threads: no fork"),
        (
            {"environment": {"XLA_FLAGS": f"--x=1 {FORCED}"}},
            f"XLA_FLAGS makes 8 devices of 4 cores, which is for tests; to train, start without {FORCED}",
        ),
        ({"files": 256}, "this process may open 256 files, too few for datasets of many files: ulimit -n 4096"),
    ],
)
def test_each_problem_comes_alone_and_with_its_remedy(changes: dict[str, Any], problem: str) -> None:
    assert list(doctor.problems(changed(**changes))) == [problem]


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": ("cpu", ["cpu"]), "gpu": False},
        {"devices": ("cpu", ["cpu"]), "environment": {"JAX_PLATFORMS": "cpu"}},
        {"environment": {"XLA_FLAGS": FORCED}, "cores": (64, 16, None)},
        {"files": None},
        {"versions": {"jax-cuda12-plugin": None}},
        {"versions": {"jaxlib": "0.10.1", "jax-cuda12-plugin": "0.10.1"}},
        {"versions": {"jax": "0.10.3"}, "jaxlib": ""},
    ],
)
def test_what_is_no_problem(changes: dict[str, Any]) -> None:
    assert list(doctor.problems(changed(**changes))) == []


def test_what_is_not_known_is_not_shown() -> None:
    machine = changed(devices=Failure("?"), processes=Failure("?"), files=None, forks=True)
    lines = dict(doctor.describe(machine))
    assert (lines["devices"], lines["workers"]) == ("unknown", "threads, not processes")
    assert "open files" not in lines
    assert "deadlocks beside JAX" in lines["note"]
    assert dict(doctor.describe(changed(environment={"JAX_PLATFORMS": "cpu"})))["set"] == "JAX_PLATFORMS=cpu"


def test_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    status = doctor.run()
    printed = capsys.readouterr().out
    assert "\ndevices    3 x cpu (backend cpu)\n" in printed
    assert "\nworkers    threads, processes (" in printed
    assert "numpy" in printed
    assert status == int("\nproblem: " in printed) == int("No problems found." not in printed)


def test_the_exit_status_says_whether_there_are_problems(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "look", lambda: HEALTHY)
    assert doctor.run() == 0
    assert capsys.readouterr().out.endswith("\n\nNo problems found.\n")
    monkeypatch.setattr(doctor, "look", lambda: changed(files=16, versions={"jax": None}))
    assert doctor.run() == 1
    assert capsys.readouterr().out.count("\nproblem: ") == 2


def test_it_is_a_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "look", lambda: HEALTHY)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("No problems found.\n")


def test_a_probe_that_fails_or_hangs_is_an_answer() -> None:
    assert doctor.probe("print('hello'); print([1])") == [1]
    assert doctor.probe("raise OSError('no device')") == Failure("OSError: no device")
    assert doctor.probe("raise SystemExit(3)") == Failure("exit status 3")
    assert doctor.probe("import threading; threading.Event().wait()", 0.2) == Failure("no answer within 0.2 s")


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000", "cpu.max": "max 100000"}, 2.0),
        ({"a/b/c/cpu.max": "100000 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_limit_of_a_container(files: dict[str, str], cores: float | None, tmp_path: Path) -> None:
    process, groups = tmp_path / "process", tmp_path / "groups"
    process.write_text("4:memory:/x\n0::/a/b\n")
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert doctor.quota(groups, process) == cores
    assert doctor.quota(groups, tmp_path / "no such file") is None


def test_requirements_are_those_of_the_installed_packages() -> None:
    found = set(doctor.requirements())
    assert Requirement("loadax-core", "numpy", "1.26", "") in found
    assert Requirement("loadax-core", "tqdm", "4.66", "progress") in found
    assert Requirement("loadax-datasets", "array-record", "0.7.1", "arrayrecord") in found
    assert not {line.name for line in found} & set(HEALTHY.versions) - {"numpy", "jax", "tqdm", "polars"}


@pytest.mark.parametrize(
    ("number", "requirement", "fit"),
    [
        ("0.10.1", "jaxlib<=0.10.2,>=0.10.1", True),
        ("0.10.2", "jaxlib (>=0.10.1,<=0.10.2)", True),
        ("0.10.0", "jaxlib<=0.10.2,>=0.10.1", False),
        ("0.11.0", "jaxlib<=0.10.2,>=0.10.1", False),
        ("0.12.0.1", "jaxlib<=0.12.0.1,>=0.12.0", True),
        ("0.6.0", "jaxlib==0.6.0", True),
        ("0.6.1", "jaxlib == 0.6.0", False),
        ("0.6.1", "jaxlib>0.6.0,<0.7,!=0.6.2", True),
        ("0.6.2", "jaxlib>0.6.0,<0.7,!=0.6.2", False),
        ("0.6.2", "jaxlib", True),
    ],
)
def test_what_a_requirement_permits(number: str, requirement: str, fit: bool) -> None:
    assert fits(number, requirement) is fit


def test_what_jax_requires_of_jaxlib_is_read_from_its_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fits(version("jaxlib"), doctor.jaxlib_range())
    lines = ['jaxlib==0.1; extra == "ci"', "jaxlib-tools>=3", "jaxlib<=0.10.2,>=0.10.1", "numpy>=2.0"]
    found: list[Installed | None] = [Installed("0.10.2", lines), None]

    def installed(_: str) -> Installed | None:
        return found.pop(0)

    monkeypatch.setattr(doctor, "installed", installed)
    assert doctor.jaxlib_range() == "jaxlib<=0.10.2,>=0.10.1"
    assert doctor.jaxlib_range() == ""


def test_the_documentation_shows_all_lines() -> None:
    page = (Path(__file__).parents[2] / "docs" / "start.md").read_text()
    shown = page.partition("$ loadax doctor\n")[2].partition("\n\n")[0].splitlines()
    machine = changed(forks=True)
    assert [line[:11].strip() for line in shown] == [name for name, _ in doctor.describe(machine)]
