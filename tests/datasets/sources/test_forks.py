"""Datasets in processes that `os.fork` made."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("polars")
pytest.importorskip("datasets")
pytest.importorskip("array_record.python.array_record_module")
pytest.importorskip("PIL.Image")

START = """
import os, signal, sqlite3, sys, threading, time
import numpy as np

folder = sys.argv[1]

def forked(use):
    # What `use` returns in a child, or its error.
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # A child that hangs is ended.
        signal.alarm(30)
        try:
            text = repr(use())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"the child ended with the status {status}"
    return text

def parquet():
    import pyarrow as pa, pyarrow.parquet as pq
    from loadax_datasets import ParquetDataset
    pq.write_table(pa.table({"x": [1, 2, 3]}), f"{folder}/a.parquet", row_group_size=1)
    return lambda: ParquetDataset(f"{folder}/a.parquet")

def huggingface():
    from datasets import Dataset
    from loadax_datasets import HuggingFaceDataset
    return lambda: HuggingFaceDataset(Dataset.from_dict({"x": [1, 2, 3]}))

def sqlite():
    from loadax_datasets import SQLiteDataset
    connection = sqlite3.connect(f"{folder}/a.db")
    with connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
        connection.execute("INSERT INTO t VALUES (1), (2), (3)")
    connection.close()
    return lambda: SQLiteDataset(f"{folder}/a.db", "t")

def polars():
    import polars as pl
    from loadax_datasets import PolarsDataset
    return lambda: PolarsDataset(pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "c"]}))

def numbers():
    import polars as pl
    from loadax_datasets import PolarsDataset
    return lambda: PolarsDataset(pl.DataFrame({"x": [1, 2, 3]}))

def arrayrecord():
    from array_record.python.array_record_module import ArrayRecordWriter
    from loadax_datasets import ArrayRecordDataset
    writer = ArrayRecordWriter(f"{folder}/a", "group_size:1")
    for i in (1, 2, 3):
        writer.write(bytes([i]))
    writer.close()
    return lambda: ArrayRecordDataset(f"{folder}/a").map(lambda record: {"x": record[0]})

def images():
    from PIL import Image
    from loadax_datasets import ImageFolderDataset
    os.mkdir(f"{folder}/a")
    for i in (1, 2, 3):
        Image.new("L", (1, 1), i).save(f"{folder}/a/{i}.png")
    return lambda: ImageFolderDataset(folder, mode="L").map(lambda row: {"x": row["image"][0, 0]})

def cached():
    from loadax_datasets import InMemoryDataset
    return lambda: InMemoryDataset([{"x": i} for i in (1, 2, 3)]).cache(f"{folder}/cache")

def read(rows):
    return [int(row["x"]) for row in rows.read_many([2, 0, 1])]
"""


def run(tmp_path: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", START + program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SURVIVING = ["parquet", "huggingface", "sqlite", "numbers", "images", "cached"]


@pytest.mark.parametrize("kind", SURVIVING)
def test_a_child_reads_as_its_parent_does(tmp_path: Path, kind: str) -> None:
    program = f"rows = {kind}()()\nprint(read(rows), forked(lambda: read(rows)), read(rows))"
    assert run(tmp_path, program) == "[3, 1, 2] [3, 1, 2] [3, 1, 2]"


@pytest.mark.parametrize("kind", ["parquet", "huggingface", "sqlite", "images", "cached"])
def test_a_child_reads_a_dataset_of_its_own(tmp_path: Path, kind: str) -> None:
    program = f"make = {kind}()\nprint(read(make()), forked(lambda: read(make())))"
    assert run(tmp_path, program) == "[3, 1, 2] [3, 1, 2]"


@pytest.mark.parametrize("kind", ["polars", "arrayrecord"])
@pytest.mark.parametrize("use", ["rows", "make()"])
def test_a_library_that_does_not_survive_is_an_error(tmp_path: Path, kind: str, use: str) -> None:
    """In the child, ArrayRecord would crash, and Polars wait for ever."""
    program = f"make = {kind}()\nrows = make()\nprint(read(rows), forked(lambda: read({use})), read(rows), sep='; ')"
    text = run(tmp_path, program)
    read = "[3, 1, 2]"
    assert text.startswith(f"{read}; RuntimeError: ")
    assert text.endswith(f"; {read}"), "the parent reads on"
    child = text[len(read) : -len(read)]
    assert "which os.fork made" in child
    assert 'multiprocessing.get_context("spawn")' in child
    assert '.workers(n, kind="process")' in child


@pytest.mark.parametrize("kind", ["polars", "arrayrecord"])
def test_a_library_that_was_not_used_before_can_be_used(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path, f"print(forked(lambda: read({kind}()())))") == "[3, 1, 2]"


def test_a_lock_that_another_thread_held_does_not_lock_the_child(tmp_path: Path) -> None:
    program = """
rows = parquet()()
held = threading.Event()

def hold():
    loading = rows._kept._loading.setdefault(0, threading.Lock())
    with rows._kept._lock, loading:
        held.set()
        threading.Event().wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
print(forked(lambda: read(rows)), flush=True)
os._exit(0)
"""
    assert run(tmp_path, program) == "[3, 1, 2]"


def test_a_fork_waits_for_threads_that_are_in_sqlite(tmp_path: Path) -> None:
    program = """
from loadax_datasets import forks
rows = sqlite()()
inside, left = threading.Event(), []

def hold():
    with rows._connections.use():
        inside.set()
        while forks._GATE._forking is None:
            time.sleep(0.001)
        left.append(True)

threading.Thread(target=hold, daemon=True).start()
inside.wait()
print(forked(lambda: (left, read(rows))), flush=True)
os._exit(0)
"""
    assert run(tmp_path, program) == "([True], [3, 1, 2])"


def test_a_thread_that_is_in_sqlite_may_fork_and_read(tmp_path: Path) -> None:
    """As a signal handler may do, between two steps of a read. Threads that come meanwhile wait."""
    program = """
rows = sqlite()()
with rows._connections.use() as connection:
    print(forked(lambda: (read(rows), rows._connections._local.held.connection is connection)))
    connection.execute("SELECT 1").fetchone()
print(read(rows))
"""
    assert run(tmp_path, program).split("\n") == ["([3, 1, 2], False)", "[3, 1, 2]"]


def test_children_of_children(tmp_path: Path) -> None:
    program = "rows = sqlite()()\nprint(forked(lambda: (forked(lambda: read(rows)), read(rows))))"
    assert run(tmp_path, program) == "('[3, 1, 2]', [3, 1, 2])"
