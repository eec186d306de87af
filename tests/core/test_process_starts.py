"""How worker processes start: what runs in them before the first row, how long it may take, and what cannot be sent."""

from __future__ import annotations

import io
import mmap
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from elsewhere import Numbers
from faults import Logged, OpensSlowly, initialize, initialize_badly, numbered, stranger
from loadax_core import DataLoader
from loadax_core.backends.pickling import check_picklable
from loadax_core.loader import B_co
from loadax_core.memory.pickled import dumps_with_modules

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no worker processes")

SETUP = f"""
import sys
sys.path.append({str(Path(__file__).parent / "importable")!r})
"""


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60, **options)


def test_an_initializer_runs_once_before_the_dataset_is_opened() -> None:
    loader = DataLoader(list).batch_size(2).workers(1, kind="process", initializer=initialize).build(Logged(4))
    for _ in range(2):
        assert list(loader) == [["initialized, dataset opened"] * 2] * 2


def test_an_error_of_an_initializer_is_the_loops() -> None:
    batches = iter(DataLoader().workers(2, kind="process", initializer=initialize_badly).build(Numbers(4)))
    for _ in range(2):
        with pytest.raises(LookupError, match="no such flag") as caught:
            next(batches)
        assert caught.value.__notes__ == ["loadax: while starting a worker process for the batch of epoch 0, step 0"]
        assert "in initialize_badly" in str(caught.value.__cause__)


def test_what_is_no_initializer_is_refused() -> None:
    builder: Any = DataLoader()
    with pytest.raises(TypeError, match="initializer must be a function without arguments, got 3"):
        builder.workers(2, kind="process", initializer=3)
    with pytest.raises(ValueError, match="initializer runs in worker processes, but kind is 'thread'; add kind='proc"):
        builder.workers(2, initializer=initialize)
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(ValueError, match="an executor starts its own processes; give the initializer to it"),
    ):
        builder.workers(executor, initializer=initialize)
    with pytest.raises(
        TypeError,
        match=r"workers\(2, kind='process'\) sends initializer to .*<lambda> .*\(initializer\) cannot be pick",
    ):
        builder.workers(2, kind="process", initializer=lambda: None).build(Numbers(3))


def test_a_dataset_that_takes_too_long_to_open_is_a_timeout_that_says_so() -> None:
    loader = DataLoader().workers(2, kind="process").timeout(0.3).build(OpensSlowly(4, 60.0))
    began = perf_counter()
    with pytest.raises(TimeoutError, match=r"^opening the dataset in worker process \d+ has taken longer than the "):
        next(iter(loader))
    with iter(loader) as batches:
        for _ in range(2):
            with pytest.raises(TimeoutError, match=r"(?s)timeout of 0\.3 s.*in opens_slowly\n    time\.sleep"):
                next(batches)
    assert perf_counter() - began < 30


def test_a_process_may_take_its_time_to_import_what_it_needs(tmp_path: Path) -> None:
    """Only opening the dataset is under the timeout: an import of JAX takes longer than many a row."""
    (tmp_path / "slow_to_import.py").write_text(
        textwrap.dedent(
            """
            import multiprocessing, time
            if multiprocessing.current_process().name == "loadax-worker":
                time.sleep(1.0)

            class Rows(list):
                pass

            def initialize():
                time.sleep(1.0)
            """
        )
    )
    program = """
        from slow_to_import import Rows, initialize
        from loadax_core import DataLoader
        print(*DataLoader().batch_size(2).workers(1, kind="process", initializer={}).timeout(0.5).build(Rows([1, 2])))
    """
    for initializer in ("None", "initialize"):
        done = run("-c", textwrap.dedent(program.format(initializer)), cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("[1 2]\n", "")


def test_a_module_that_unpickling_can_do_without_is_not_needed() -> None:
    dataset: Any = Numbers(2)
    dataset.kind = stranger()
    (batch,) = DataLoader().batch_size(2).workers(1, kind="process").build(dataset)
    assert batch.tolist() == [0, 1]


def test_main_may_be_a_word_in_the_data() -> None:
    program = """
        from loadax_core import DataLoader
        lines = ["if __name__ == '__main__':", "    main()", "__main__", "__mp_main__"]
        print(*DataLoader(list).batch_size(4).workers(1, kind="process").build(lines))
    """
    for arguments, typed in ((["-c", textwrap.dedent(program)], None), (["-"], textwrap.dedent(program))):
        done = run(*arguments, input=typed)
        assert done.stderr == ""
        assert done.stdout.startswith("[\"if __name__ == '__main__':\"")


def test_modules_of_a_pickle_are_those_that_opening_it_imports() -> None:
    value = {"__main__": ["__main__", b"__mp_main__"], "array": np.arange(3), "partial": partial(initialize)}
    body, modules = dumps_with_modules(value)
    assert {"functools", "faults"} < modules
    assert not modules & {"__main__", "__mp_main__"}
    assert b"__main__" in body
    assert "elsewhere" in dumps_with_modules([Numbers(3)])[1]
    assert "elsewhere" in dumps_with_modules(Numbers)[1]
    # It is pickled by its name, and is neither a class nor a function.
    assert dumps_with_modules(B_co)[1] == {"loadax_core.loader"}


PACKAGE = """
from loadax_core import DataLoader

class Mine:
    def __len__(self): return 4
    def __getitem__(self, row): return row

if __name__ == "__main__":
    print(*DataLoader().batch_size(2).workers(1, kind="process").build({dataset}))
"""


@pytest.mark.parametrize("how", ["package", "folder"])
def test_what_a_packages_main_program_defines_is_refused_in_build(how: str, tmp_path: Path) -> None:
    def run_with(dataset: str) -> subprocess.CompletedProcess[str]:
        # Each has a folder of its own, since Python takes stored bytecode of the same second and size for current.
        package = tmp_path / dataset / "training"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(PACKAGE.format(dataset=dataset))
        return run(*(["-m", "training"] if how == "package" else ["training"]), cwd=package.parent)

    done = run_with("Mine()")
    assert done.returncode == 1
    assert "which cannot import what was defined in " in done.stderr
    assert "__main__.py, the main program of a package or folder; move its functions and classes" in done.stderr
    done = run_with("[1, 2]")
    assert (done.stdout, done.stderr) == ("[1 2]\n", "")


def test_a_module_of_a_package_that_is_the_main_program_is_imported(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "run.py").write_text(PACKAGE.format(dataset="Mine()"))
    done = run("-m", "training.run", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[0 1] [2 3]\n", "")


def test_an_executor_that_cannot_import_the_main_program_is_told_why(tmp_path: Path) -> None:
    program = """
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        from loadax_core import DataLoader

        class Mine:
            def __len__(self): return 4
            def __getitem__(self, row): return row

        with ProcessPoolExecutor(1, get_context("spawn")) as executor:
            list(DataLoader().workers(executor).build(Mine()))
    """
    done = run("-c", textwrap.dedent(program))
    assert done.returncode == 1
    assert "loadax: move it to a module; a worker process cannot import the main program" in done.stderr


class Local:
    """Stands for what a test makes anew."""


def in_a_function() -> Any:
    class Mine(Local):
        pass

    return Mine()


def h5py_file(folder: Path) -> Any:
    h5py: Any = pytest.importorskip("h5py")
    return h5py.File(folder / "x.h5", "w").create_dataset("x", (3,), "f4")


def open_file(folder: Path) -> Any:
    return (folder / "x").open("w")


def database(folder: Path) -> Any:
    return sqlite3.connect(folder / "x.db")


def a_function(folder: Path) -> Any:
    def double(row: int) -> int:
        return 2 * row

    return double


def a_class(folder: Path) -> Any:
    class Mine:
        pass

    return Mine


OPEN = "keep its path or address instead, and open it in each process when the first row is read there"
LEAVE = "leave it out in `__getstate__`, and make a new one in `__setstate__`"
CULPRITS: list[tuple[Callable[[Path], Any], str]] = [
    (h5py_file, OPEN),
    (open_file, OPEN),
    (database, OPEN),
    (lambda _: socket.socket(), OPEN),
    (lambda _: mmap.mmap(-1, 10), OPEN),
    (lambda _: threading.Lock(), LEAVE),
    (lambda _: threading.RLock(), LEAVE),
    (lambda _: threading.local(), LEAVE),
    (lambda _: numbered(), "keep what the generator or iterator is made from, and make a new one in each process"),
    (a_function, "define the function with `def` at the top of a module"),
    (lambda _: in_a_function(), "define the class at the top of a module"),
    (a_class, "define the class at the top of a module"),
    (lambda _: os, "keep the module's name, or import it in the function that uses it"),
    (lambda _: sys._getframe(), "leave it out in `__getstate__`, and make it anew in `__setstate__`"),
]


@pytest.mark.parametrize(("make", "remedy"), CULPRITS)
def test_advice_fits_what_cannot_be_pickled(make: Callable[[Path], Any], remedy: str, tmp_path: Path) -> None:
    dataset: Any = Numbers(3)
    culprit = dataset.culprit = make(tmp_path)
    with pytest.raises(TypeError) as caught:
        DataLoader().workers(1, kind="process").build(dataset)
    assert "culprit" in str(caught.value)
    assert f"; {remedy}, or use threads: .workers(n)" in str(caught.value)
    if isinstance(culprit, io.IOBase | socket.socket | sqlite3.Connection):
        culprit.close()
    elif hasattr(culprit, "file") and not isinstance(culprit, ModuleType):
        culprit.file.close()


def test_what_can_be_pickled_is_no_error() -> None:
    check_picklable(Numbers(3), "workers(1)")
