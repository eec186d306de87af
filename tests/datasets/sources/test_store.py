"""Documents in a store: what `write_jagged` writes, and how it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import testing
from loadax_datasets import BaseDataset, InMemoryDataset, JaggedDataset, RangeDataset, write_jagged
from loadax_datasets.files import jagged_journal

DOCUMENTS = [np.arange(length, dtype=np.uint16) + 100 * length for length in (3, 0, 1, 5, 0, 2, 0, 4, 4, 1)]
SMALL = 38
"""Bytes of a shard, so that `DOCUMENTS` take several."""


class Read:
    """A dataset of `DOCUMENTS` that notes which ones are read, and fails at one."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails
        self.rows: list[int] = []

    def __len__(self) -> int:
        return len(DOCUMENTS)

    def __getitem__(self, row: int) -> Any:
        if row == self.fails:
            raise KeyError("no such document")
        self.rows.append(row)
        return DOCUMENTS[row]


@pytest.fixture(autouse=True)
def read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails spoils all documents that are read at once."""
    monkeypatch.setattr("loadax_datasets.sources.store.READ_AT_ONCE", 1)


def tokenize(row: int) -> np.ndarray[Any, Any]:
    return np.arange(row % 7, dtype=np.int32)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def equal(found: Any, expected: Any) -> bool:
    return len(found) == len(expected) and all(
        a.dtype == b.dtype and a.tolist() == b.tolist() for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("shard_bytes", [1, SMALL, 1 << 20])
@pytest.mark.parametrize("arrays", [DOCUMENTS, InMemoryDataset(DOCUMENTS)], ids=["list", "dataset"])
def test_documents_of_a_dataset(tmp_path: Path, arrays: Any, shard_bytes: int, check_dataset: Any) -> None:
    documents = write_jagged(tmp_path, arrays, shard_bytes=shard_bytes)
    check_dataset(documents, DOCUMENTS, gathers=False)
    testing.check_dataset(documents)
    assert documents.lengths.tolist() == [len(each) for each in DOCUMENTS]
    assert documents.flat.dtypes == [np.dtype(np.uint16)]
    assert not documents[0].flags.writeable
    assert repr(documents) == f"JaggedDataset(10 documents, 20 values: uint16, in {tmp_path.name})"
    assert not [name for name in files(tmp_path) if not name.startswith(("shard-", "manifest.json"))]


def test_documents_of_an_iterable_are_the_same_bytes(tmp_path: Path) -> None:
    write_jagged(tmp_path / "a", DOCUMENTS, shard_bytes=SMALL)
    write_jagged(tmp_path / "b", iter(DOCUMENTS), shard_bytes=SMALL)
    a, b = files(tmp_path / "a"), files(tmp_path / "b")
    assert len(a) > 5
    assert {name for name in a if a[name] != b[name]} == {"manifest.json"}


def test_numpy_opens_the_files(tmp_path: Path) -> None:
    write_jagged(tmp_path, [{"ids": each, "mask": each > 300} for each in DOCUMENTS])
    for mode in (None, "r"):
        offsets = np.load(tmp_path / "shard-000000.offsets.npy", mmap_mode=mode)
        assert offsets.dtype == np.uint64
        assert offsets.tolist() == np.cumsum([0, *map(len, DOCUMENTS)]).tolist()
        for leaf, dtype in enumerate((np.uint16, np.bool_)):
            values = np.load(tmp_path / f"shard-000000.values-{leaf}.npy", mmap_mode=mode)
            assert (values.shape, values.dtype) == ((20,), dtype)


def test_trees(tmp_path: Path, check_dataset: Any) -> None:
    trees = [{"ids": each, "more": ([each > 2], (each / 2,))} for each in DOCUMENTS]
    check_dataset(write_jagged(tmp_path, trees, shard_bytes=SMALL), trees, gathers=False)
    check_dataset(JaggedDataset(tmp_path), trees, gathers=False)


def test_lists_of_integers(tmp_path: Path) -> None:
    lists = [each.tolist() for each in DOCUMENTS]
    assert equal(write_jagged(tmp_path / "a", iter(lists)), [each.astype(np.int64) for each in DOCUMENTS])
    assert equal(write_jagged(tmp_path / "b", lists, dtype="uint16"), DOCUMENTS)
    assert equal(write_jagged(tmp_path / "c", [DOCUMENTS[0], *lists[1:]]), DOCUMENTS)
    rows = write_jagged(tmp_path / "d", [{"ids": each, "mask": [1] * len(each)} for each in lists], dtype={"ids": "u2"})
    assert equal([row["ids"] for row in rows], DOCUMENTS)
    assert rows[0]["mask"].dtype == np.int64


@pytest.mark.parametrize("dtype", [">u2", "<u2", "i1", "f4", "f2", "bool", "c8"])
def test_dtypes(tmp_path: Path, dtype: str) -> None:
    documents = [np.array([0, 1], dtype), np.array([1], dtype)]
    found = write_jagged(tmp_path, documents)
    assert [each.tolist() for each in found] == [each.tolist() for each in documents]
    assert found[0].dtype == np.dtype(dtype).newbyteorder("=")


def test_documents_of_all_shards_are_packed(tmp_path: Path) -> None:
    rows = write_jagged(tmp_path, [{"ids": each, "mask": each > 300} for each in DOCUMENTS], shard_bytes=1).pack(8)
    arrays = {"ids": np.concatenate(DOCUMENTS), "mask": np.concatenate(DOCUMENTS) > 300}
    offsets = np.cumsum([0, *map(len, DOCUMENTS)])
    expected = JaggedDataset.from_arrays(arrays, offsets).pack(8)
    for row, other in zip(rows, expected, strict=True):
        testing.check_same(row, other)


def test_views_with_gaps(tmp_path: Path) -> None:
    assert write_jagged(tmp_path, [np.arange(10)[::3], np.arange(4)[::-1]])[1].tolist() == [3, 2, 1, 0]


def test_two_dimensional_arrays_are_documents_of_equal_length(tmp_path: Path) -> None:
    rows = np.arange(12).reshape(4, 3)
    assert [each.tolist() for each in write_jagged(tmp_path, rows)] == rows.tolist()


@pytest.mark.parametrize("shard_bytes", [SMALL, 1 << 20])
def test_the_fingerprint_is_that_of_the_documents_in_arrays(
    tmp_path: Path, shard_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fingerprints", "jagged_manifest", "jagged_writer"):
        monkeypatch.setattr(f"loadax_datasets.files.{module}.PART", 4)
    found = write_jagged(tmp_path, DOCUMENTS, shard_bytes=shard_bytes)
    for documents in (DOCUMENTS, [*DOCUMENTS, *DOCUMENTS[3:]]):
        if len(documents) > len(found):
            found = write_jagged(tmp_path, documents[len(found) :], append=True, shard_bytes=shard_bytes)
        offsets = np.cumsum([0, *map(len, documents)])
        assert found.fingerprint() == JaggedDataset.from_arrays(np.concatenate(documents), offsets).fingerprint()


def test_the_source_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    one = write_jagged(tmp_path / "a", DOCUMENTS, source={"name": "bytes", "size": (256, 1)}).fingerprint()
    assert one["source"] == {"name": "bytes", "size": [256, 1]}
    assert {**one, "source": "other"} == write_jagged(tmp_path / "b", DOCUMENTS, source="other").fingerprint()
    assert "source" not in write_jagged(tmp_path / "c", DOCUMENTS).fingerprint()


def test_a_finished_store_is_returned_as_it_is(tmp_path: Path) -> None:
    write_jagged(tmp_path, DOCUMENTS, source=1)
    before = files(tmp_path)
    read = Read()
    assert equal(write_jagged(tmp_path, read, source=1, dtype=np.uint16), DOCUMENTS)
    assert read.rows == []
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"source": 2}, "has documents of the source 1, and source=2 is given; give the same source"),
        ({"source": None}, "has documents of the source 1, and source=None is given"),
        ({"dtype": np.int32}, "the store has the dtype uint16, and dtype=int32 is given"),
        ({"arrays": DOCUMENTS[1:]}, r"has the documents of other calls: .*'?\"rows\": 10.*\"rows\": 9"),
        ({"arrays": iter(DOCUMENTS)}, r"and this call gives \[null\] \(null is an iterable\)"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_store_of_other_facts_is_refused(tmp_path: Path, changes: Any, error: str, finished: bool) -> None:
    if finished:
        write_jagged(tmp_path, DOCUMENTS, source=1)
    else:
        stop(tmp_path, Read(fails=7), source=1)
    before = files(tmp_path)
    given: dict[str, Any] = {"arrays": DOCUMENTS, "source": 1, **changes}
    with pytest.raises(ValueError, match=error):
        write_jagged(tmp_path, **given)
    assert files(tmp_path) == before


def stop(folder: Path, arrays: Any, **settings: Any) -> str:
    """Writes until the documents fail; returns the notes of the error."""
    with pytest.raises(KeyError, match="no such document") as failed:
        write_jagged(folder, arrays, shard_bytes=SMALL, **settings)
    return "\n".join(failed.value.__notes__)


def test_a_run_that_failed_goes_on_at_the_first_document_that_is_missing(tmp_path: Path) -> None:
    write_jagged(tmp_path / "whole", DOCUMENTS, shard_bytes=SMALL)
    folder = tmp_path / "parts"
    notes = stop(folder, Read(fails=7))
    assert f"loadax: 6 documents of this call are committed in {folder}; call write_jagged again" in notes
    assert "to go on at document 6." in notes
    with pytest.raises(ValueError, match="parts is not finished; call write_jagged again with the same arguments"):
        JaggedDataset(folder)
    notes = stop(folder, Read(fails=9))
    assert "loadax: 8 documents" in notes
    assert "Row numbers above count from document 6 on." in notes
    read = Read()
    write_jagged(folder, read, shard_bytes=SMALL)
    assert read.rows == [8, 9]
    assert files(folder) == files(tmp_path / "whole")


def test_an_iterable_is_read_again_and_what_is_committed_is_dropped(tmp_path: Path) -> None:
    def documents(fails: bool) -> Iterator[Any]:
        for number, each in enumerate(DOCUMENTS):
            if fails and number == 7:
                raise KeyError("no such document")
            yield each

    assert "6 documents" in stop(tmp_path, documents(True))
    with pytest.raises(ValueError, match="the iterable has ended after 3 documents, and 6 are committed"):
        write_jagged(tmp_path, iter(DOCUMENTS[:3]))
    assert equal(write_jagged(tmp_path, documents(False), shard_bytes=SMALL), DOCUMENTS)


def test_a_part_of_a_shuffle_goes_on_in_the_same_order(tmp_path: Path) -> None:
    read = Read(fails=7)
    shuffled = InMemoryDataset(list(range(10))).shuffle(seed=1)
    stop(tmp_path, shuffled.map(read.__getitem__))
    read.fails = None
    assert equal(write_jagged(tmp_path, shuffled.map(read.__getitem__)), [DOCUMENTS[row] for row in shuffled])


PROGRAM = """
import os, signal, sys
import numpy as np
from loadax_datasets import write_jagged
from loadax_datasets.files import jagged_journal, jagged_writer

append, left = sys.argv[2] == "append", 0
documents = [np.arange(length, dtype=np.uint16) + 100 * length for length in (3, 0, 1, 5, 0, 2, 0, 4, 4, 1)]

def dies(fn):
    def call(*args):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return fn(*args)
    return call

for module in (jagged_journal, jagged_writer):
    for name in ("sync", "sync_folder"):
        setattr(module, name, dies(getattr(module, name)))

step, status = 0, signal.SIGKILL
while status == signal.SIGKILL:
    step += 1
    folder = os.path.join(sys.argv[1], str(step))
    if append:
        write_jagged(folder, documents, shard_bytes=38)
    pid = os.fork()
    if pid == 0:
        left = step
        write_jagged(folder, documents, shard_bytes=38, append=append)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
print(step, status)
"""
"""Writes `DOCUMENTS` to numbered folders, and is killed before one more call of fsync in each."""


def killed(folder: Path, append: str = "") -> list[Path]:
    """Writes to folders until a run is not killed; returns the folders, the whole one last."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), append], capture_output=True, text=True, timeout=60
    )
    step, status = done.stdout.split()
    assert status == "0", done.stderr
    return [folder / str(number) for number in range(1, int(step) + 1)]


def test_a_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    *parts, whole = killed(tmp_path)
    assert len(parts) > 15
    assert equal(JaggedDataset(whole), DOCUMENTS)
    for folder in parts:
        assert (folder / "lock").exists(), "it was killed while it wrote"
        if (folder / "manifest.json").exists():
            assert equal(JaggedDataset(folder), DOCUMENTS)
        else:
            with pytest.raises(ValueError, match=r"is not finished|has no manifest.json"):
                JaggedDataset(folder)
        assert equal(write_jagged(folder, DOCUMENTS, shard_bytes=SMALL), DOCUMENTS)
        # A finished store is only read, so that the journal and the lock may stay.
        left = {name: data for name, data in files(folder).items() if name not in ("lock", "writing.jsonl")}
        assert left == files(whole)


def test_an_append_that_is_killed_goes_on_and_does_not_add_twice(tmp_path: Path) -> None:
    *parts, last, whole = killed(tmp_path, "append")
    assert len(JaggedDataset(last)) == len(JaggedDataset(whole)) == 20
    assert not (last / "writing.jsonl").exists(), "it was killed when all was done"
    for folder in parts:
        assert len(JaggedDataset(folder)) in (10, 20), "half an append is never seen"
        write_jagged(folder, DOCUMENTS, shard_bytes=SMALL, append=True)
        assert files(folder) == files(whole)


def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path) -> None:
    write_jagged(tmp_path / "whole", DOCUMENTS, shard_bytes=SMALL)
    folder = tmp_path / "parts"
    stop(folder, Read(fails=7))
    journal = (folder / "writing.jsonl").read_bytes()
    for size in (len(journal) - 1, journal.index(b"\n"), 3, 0):
        (folder / "writing.jsonl").write_bytes(journal[:size])
        assert "6 documents" in stop(folder, Read(fails=7))
        assert (folder / "writing.jsonl").read_bytes() == journal
    write_jagged(folder, Read(), shard_bytes=SMALL)
    assert files(folder) == files(tmp_path / "whole")
    stop(tmp_path / "damaged", Read(fails=7))
    (tmp_path / "damaged/writing.jsonl").write_bytes(journal.replace(b"head", b"feet"))
    with pytest.raises(ValueError, match=r"writing.jsonl is damaged: 'head'; delete .*damaged, and write it anew"):
        write_jagged(tmp_path / "damaged", Read())


def test_appending(tmp_path: Path, check_dataset: Any) -> None:
    old = write_jagged(tmp_path, DOCUMENTS, append=True, source=1)
    before = old[3]
    new = write_jagged(tmp_path, (each for each in DOCUMENTS[2:5]), append=True, source=1, shard_bytes=1)
    check_dataset(new, [*DOCUMENTS, *DOCUMENTS[2:5]], gathers=False)
    assert equal(old, DOCUMENTS)
    assert before.tolist() == DOCUMENTS[3].tolist()
    assert len(write_jagged(tmp_path, [], append=True, source=1)) == 13
    assert len(write_jagged(tmp_path, [[7]], append=True, source=1)) == 14
    with pytest.raises(ValueError, match="has documents of the source 1, and source='b' is given"):
        write_jagged(tmp_path, DOCUMENTS, append=True, source="b")
    with pytest.raises(ValueError, match=r"has the documents of other calls: .* or give append=True to add documents"):
        write_jagged(tmp_path, DOCUMENTS, source=1)
    with pytest.raises(TypeError, match="document 0 has the dtype float64, and the store has uint16"):
        write_jagged(tmp_path, [np.zeros(2)], append=True, source=1)


def test_an_unfinished_run_is_finished_by_the_same_call(tmp_path: Path) -> None:
    stop(tmp_path, Read(fails=7))
    with pytest.raises(ValueError, match=r"not finished, with append=False; finish it by the same call, or delete its"):
        write_jagged(tmp_path, Read(), append=True)
    write_jagged(tmp_path, Read(), shard_bytes=SMALL)
    stop(tmp_path, Read(fails=7), append=True)
    assert equal(JaggedDataset(tmp_path), DOCUMENTS)
    with pytest.raises(
        ValueError, match=r"other calls: .* delete its writing.jsonl to give up the run that is not fin"
    ):
        write_jagged(tmp_path, [[1]], append=True)
    (tmp_path / "given up").mkdir()
    for name, data in files(tmp_path).items():
        if name != "writing.jsonl":
            (tmp_path / "given up" / name).write_bytes(data)
    assert len(write_jagged(tmp_path / "given up", [[1]], append=True)) == 11
    shards = json.loads((tmp_path / "given up/manifest.json").read_bytes())["shards"]
    assert len(files(tmp_path / "given up")) == 2 * len(shards) + 1, "what the other run has left is deleted"
    assert len(write_jagged(tmp_path, Read(), append=True)) == 20


def test_a_slow_run_commits_without_waiting_for_a_full_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadax_datasets.files.jagged_writer.SHARD_SECONDS", 0)
    with pytest.raises(KeyError) as failed:
        write_jagged(tmp_path, Read(fails=7))
    assert "loadax: 6 documents of this call are committed" in failed.value.__notes__[-1]
    read = Read()
    assert equal(write_jagged(tmp_path, read), DOCUMENTS)
    assert read.rows == [6, 7, 8, 9]


def test_a_run_that_has_committed_nothing_binds_nobody(tmp_path: Path) -> None:
    documents = [[1], [70000]]
    with pytest.raises(OverflowError, match="document 1: 70000 does not fit uint16; choose a wider dtype"):
        write_jagged(tmp_path, documents, dtype=np.uint16, source=1)
    store = write_jagged(tmp_path, documents, dtype=np.uint32)
    assert equal(store, [np.array(document, np.uint32) for document in documents])
    with pytest.raises(TypeError, match="document 1 has the dtype float64, and the store has uint32"):
        write_jagged(tmp_path, [[1], np.zeros(2)], append=True)
    assert len(write_jagged(tmp_path, iter([[3]]), append=True)) == 3


FULL = """
import resource, sys
import numpy as np
from loadax_datasets import write_jagged

documents = [np.full(1000, number) for number in range(20)]
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8000 + 128, limits[1]))
try:
    write_jagged(sys.argv[1], [*documents[:5], np.full(2000, 5), *documents[5:]], shard_bytes=1)
except OSError as error:
    print(error.__notes__[-1])
"""


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert "5 documents of this call are committed" in done.stdout, done.stderr
    assert not done.stderr
    assert sorted(name for name in files(tmp_path) if name.endswith(".tmp")) == []


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lockf(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.lockf", lockf)
    with pytest.raises(OSError, match=r"cannot lock .*lock: No locks available; write to a folder of a file system"):
        write_jagged(tmp_path, DOCUMENTS)
    monkeypatch.undo()
    assert len(write_jagged(tmp_path, DOCUMENTS)) == 10


class Meddling(BaseDataset[Any]):
    """A dataset that calls a function while it is read."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._fn = fn

    def __len__(self) -> int:
        return 2

    def read(self, row: int) -> Any:
        if row == 1:
            self._fn()
        return DOCUMENTS[row]


def test_there_is_one_writer_at_a_time(tmp_path: Path) -> None:
    messages: list[str] = []

    def second_thread() -> None:
        with pytest.raises(RuntimeError) as failed:
            write_jagged(tmp_path, DOCUMENTS)
        messages.append(str(failed.value))

    def second_process() -> None:
        program = f"from loadax_datasets import write_jagged; write_jagged({str(tmp_path)!r}, [[1]])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        messages.append(done.stderr)

    def both() -> None:
        thread = threading.Thread(target=second_thread)
        thread.start()
        thread.join()
        second_process()

    assert len(write_jagged(tmp_path, Meddling(both))) == 2
    assert f"another thread of this program is writing to {tmp_path}; wait" in messages[0]
    assert f"{tmp_path} is being written by process " in messages[1]
    assert not jagged_journal._writing


@pytest.mark.parametrize("kind", ["caller", "thread", "process", "executor"])
def test_workers_keep_the_order(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadax_datasets.sources.store.READ_AT_ONCE", 8)
    rows: Any = RangeDataset(100).map(np.arange)
    if kind == "executor":
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            found = write_jagged(tmp_path, rows, workers=pool, shard_bytes=4000)
    elif kind == "caller":
        found = write_jagged(tmp_path, rows, shard_bytes=4000)
    else:
        found = write_jagged(tmp_path, rows, workers=2, kind="process" if kind == "process" else "thread")
    assert equal(found, list(rows))


def test_iterables_have_no_workers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"workers read datasets, .* a list_iterator is an iterable"):
        write_jagged(tmp_path, iter(DOCUMENTS), workers=2)


WRONG: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (np.zeros((2, 2), np.uint16), {}, ValueError, r"document 2 has the shape \(2, 2\), and a document has \(n,\)"),
    (np.zeros((), np.uint16), {}, ValueError, r"document 2 has the shape \(\)"),
    (np.uint16(3), {}, TypeError, r"document 2 is a uint16, .* no array of shape \(n,\)"),
    (7, {}, TypeError, "document 2 is a int, 7, and no array"),
    (None, {}, TypeError, "document 2 is a NoneType, None"),
    ("text", {}, TypeError, "document 2 is text, 'text', and no array of numbers; tokenize it first"),
    (["a"], {}, ValueError, "document 2 is a list of 1, and those before are one array"),
    (np.array(["a"]), {}, TypeError, "document 2 has the dtype <U1, which a store cannot hold"),
    (np.array([None]), {}, TypeError, "document 2 has the dtype object"),
    (np.zeros(2), {}, TypeError, "document 2 has the dtype float64, and the store has uint16; cast it in the dataset"),
    (np.zeros(2), {"dtype": np.uint16}, TypeError, "document 2 has the dtype float64, and the store has uint16"),
    ([1, 2.5], {}, TypeError, "document 2 has the dtype float64, and the store has uint16"),
    ([1, "a"], {}, TypeError, "document 2 is a list of other things than numbers"),
    ([1, [2]], {}, ValueError, "document 2 is a list of other things than numbers"),
    ([1, None], {}, TypeError, "document 2 is a list of other things than numbers"),
    ([1, 2**70], {}, TypeError, "document 2 is a list of other things than numbers, or of numbers that do not fit"),
    ([70000], {}, OverflowError, "document 2: 70000 does not fit uint16; choose a wider dtype"),
    ([-1], {}, OverflowError, "document 2: -1 does not fit uint16"),
    (np.array([70000]), {"dtype": np.uint16}, OverflowError, "document 2: 70000 does not fit uint16"),
    (np.array([1]), {}, TypeError, "the dtype int64, and the store has uint16; give dtype=uint16 to cast numbers"),
    (np.array([70000], np.uint32), {}, OverflowError, "document 2: 70000 does not fit uint16"),
    (np.array([1e300]), {"dtype": np.float32}, OverflowError, "document 2: 1e.300 does not fit float32"),
    (np.ma.masked_array([1]), {}, ValueError, "document 2 is a masked array, whose mask the store would lose"),
    ({"ids": DOCUMENTS[0]}, {}, ValueError, "document 2 is a dict of 'ids', and those before are one array"),
    ((DOCUMENTS[0],), {}, ValueError, "document 2 is a tuple of 1, and those before are one array"),
]


@pytest.mark.parametrize(("document", "settings", "kind", "error"), WRONG)
def test_documents_that_are_refused(
    tmp_path: Path, document: Any, settings: Any, kind: type[Exception], error: str
) -> None:
    first = DOCUMENTS[0].astype(settings.get("dtype", np.uint16))
    with pytest.raises(kind, match=error) as failed:
        write_jagged(tmp_path, [first, first, document], shard_bytes=1, **settings)
    assert "loadax: 1 documents of this call are committed" in failed.value.__notes__[-1]


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"ids": [1, 2], "mask": [1]}, "the arrays of document 1 have the lengths 2, 1; all arrays of a document need"),
        ({"ids": [1]}, "document 1 is a dict of 'ids', and those before are a dict of 'ids', 'mask'"),
        ({"ids": [1], "mask": {"a": [1]}}, r"document 1\['mask'\] is a dict of 'a', and those before are one array"),
        ([[1], [1]], "document 1 is a list of 2, and those before are a dict of 'ids', 'mask'"),
        (DOCUMENTS[0], "document 1 is one array, and those before are a dict of"),
        ({"ids": [1], "mask": [2.5]}, r"document 1\['mask'\] has the dtype float64, and the store has int64"),
        ({"ids": [1], "mask": "a"}, r"document 1\['mask'\] is text"),
    ],
)
def test_trees_that_are_refused(tmp_path: Path, document: Any, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        write_jagged(tmp_path, [{"ids": [1], "mask": [1]}, document])


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({}, "documents need at least one array, got {}"),
        ({1: [1]}, "document 0 is a dict with the key 1; a store keeps keys that are strings"),
        ([["a"]], r"document 0\[0\]\[0\] is text"),
        ("text", "document 0 is text"),
    ],
)
def test_first_documents_that_are_refused(tmp_path: Path, document: Any, error: str) -> None:
    with pytest.raises((ValueError, TypeError), match=error):
        write_jagged(tmp_path, [document])
    assert len(write_jagged(tmp_path, [[1]])) == 1


def test_casts_that_lose_nothing(tmp_path: Path) -> None:
    others: list[Any] = [np.array([7], np.uint8), np.array([7], np.uint64), np.array([True]), [7], []]
    found = write_jagged(tmp_path, [DOCUMENTS[0], *others])
    assert [each.tolist() for each in found][1:] == [[7], [7], [1], [7], []]
    assert write_jagged(tmp_path / "floats", [[0.5], [1, 2]])[1].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "kind", "error"),
    [
        ({"arrays": 7}, TypeError, "documents are a dataset or an iterable, got a int"),
        ({"arrays": "text"}, TypeError, "a str is one item, not a dataset"),
        ({"arrays": {"a": [1]}}, TypeError, "a dict has keys, not rows"),
        ({"arrays": []}, ValueError, "there is no document to write to .*; give at least one"),
        ({"folder": "s3://bucket/a"}, ValueError, "folder='s3://bucket/a' is no path of a folder: it is a URL"),
        ({"folder": "~/a"}, ValueError, "folder='~/a' is no path of a folder: a shell puts the home folder"),
        ({"folder": DOCUMENTS}, TypeError, "takes its path first; got a list"),
        ({"dtype": "nothing"}, TypeError, "dtype is a dtype, such as np.uint16, .* got 'nothing'"),
        ({"dtype": "U3"}, TypeError, "dtype=<U3 is not one of numbers"),
        ({"dtype": {}}, ValueError, "dtype={} names no entry"),
        ({"dtype": {"ids": np.uint16}}, TypeError, "dtype names the entry 'ids', which documents lack: they are one"),
        ({"source": object()}, TypeError, "source must be JSON-able, such as the name of a tokenizer: .*object"),
        ({"source": float("nan")}, TypeError, "source must be JSON-able"),
        ({"append": 1}, TypeError, "append must be True or False, got 1"),
        ({"shard_bytes": 0}, ValueError, "shard_bytes must be at least 1, got 0"),
        ({"workers": -1}, ValueError, "workers must be at least 0, got -1"),
        ({"workers": 0, "kind": "process"}, ValueError, "workers must be at least 1"),
        ({"kind": "fibre"}, ValueError, "kind must be 'thread' or 'process', got 'fibre'"),
    ],
)
def test_arguments_that_are_refused(tmp_path: Path, arguments: Any, kind: type[Exception], error: str) -> None:
    given: dict[str, Any] = {"folder": tmp_path / "new", "arrays": DOCUMENTS, **arguments}
    with pytest.raises(kind, match=error):
        write_jagged(**given)
    assert not (tmp_path / "new/manifest.json").exists()


def test_folders_of_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match=r"has other files, such as thesis.tex; choose a new folder"):
        write_jagged(tmp_path, DOCUMENTS)
    with pytest.raises(ValueError, match=r"thesis.tex is a file; write_jagged writes to a folder"):
        write_jagged(tmp_path / "thesis.tex", DOCUMENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_progress_is_counted_in_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tqdm = pytest.importorskip("tqdm", reason="an extra of loadax-core")
    assert tqdm
    bars: list[Any] = []

    class Bar:
        def __init__(self, **settings: Any) -> None:
            bars.append([settings["total"], settings["initial"], settings["unit"]])

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, n: int) -> None:
            bars[-1].append(n)

    monkeypatch.setattr("loadax_core.tools.progress_bar._bar_type", lambda: Bar)
    stop(tmp_path, Read(fails=7))
    bars.clear()
    write_jagged(tmp_path, Read(), progress=True)
    assert bars == [[10, 6, "document", *[1] * 4]]
    write_jagged(tmp_path / "iterable", iter(DOCUMENTS))
    assert bars[1][:3] == [None, 0, "document"]
    write_jagged(tmp_path / "silent", iter(DOCUMENTS), progress=False)
    assert len(bars) == 2


def test_the_manifest_says_what_was_written(tmp_path: Path) -> None:
    write_jagged(tmp_path, [{"ids": DOCUMENTS[0], "mask": [True] * 3}], source="bytes")
    facts = json.loads((tmp_path / "manifest.json").read_bytes())
    assert facts["tree"] == {"dict": {"ids": {"array": "<u2"}, "mask": {"array": "|b1"}}}
    assert facts["source"] == "bytes"
    ((documents, values, checksums),) = facts["shards"]
    assert (documents, values, len(checksums)) == (1, 3, 2)
