"""Stores that are opened: quickly, with few descriptors, and never with files that are not as the manifest says."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_datasets import JaggedDataset, write_jagged
from loadax_datasets.files import jagged_files, jagged_manifest
from loadax_datasets.files.fingerprints import PART

DOCUMENTS = [np.arange(length, dtype=np.uint16) for length in (3, 0, 1, 5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of two shards."""
    write_jagged(tmp_path / "store", DOCUMENTS, source="bytes", shard_bytes=35)
    assert (tmp_path / "store/shard-000001.offsets.npy").exists()
    return tmp_path / "store"


def change(folder: Path, **entries: Any) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | entries))


def nested(depth: int) -> Any:
    return {"list": [nested(depth - 1)]} if depth else {"array": "<u2"}


@pytest.mark.parametrize(
    "entries",
    [
        {"format": "another"},
        {"tree": {}},
        {"tree": None},
        {"tree": {"array": "O"}},
        {"tree": {"array": "|O8"}},
        {"tree": {"array": "<M8[s]"}},
        {"tree": {"array": "<u3"}},
        {"tree": {"array": ["<u2"]}},
        {"tree": {"array": "../../etc/passwd"}},
        {"tree": {"list": []}},
        {"tree": {"set": [{"array": "<u2"}]}},
        {"tree": {"array": "<u2", "list": []}},
        {"tree": {"dict": [["a", {"array": "<u2"}]]}},
        {"tree": {"list": [{"array": "<u2"}, {"array": "<u2"}]}},
        {"shards": []},
        {"shards": None},
        {"shards": [["../x", 9, [1]]]},
        {"shards": [[4, 9]]},
        {"shards": [[4, -9, [1]]]},
        {"shards": [[True, 9, [1]]]},
        {"shards": [[4.0, 9, [1]]]},
        {"shards": [[10**30, 9, [1]]]},
        {"shards": [[4, 9, ["a"]]]},
        {"shards": [[PART, 9, [1]]]},
        {"offset_hashes": []},
        {"offset_hashes": [1]},
        {"offset_hashes": None},
        {"datasets": {}},
    ],
    ids=json.dumps,
)
def test_manifests_that_are_none(folder: Path, entries: dict[str, Any]) -> None:
    change(folder, **entries)
    with pytest.raises(ValueError, match=r"manifest.json is no manifest of documents: |has the version None"):
        JaggedDataset(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"text"', "\xff", "[" * 100_000, '{"tree": ' * 100_000])
def test_manifests_that_are_not_even_objects(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text, "latin-1")
    with pytest.raises(ValueError, match=r"manifest.json is no manifest of documents: "):
        JaggedDataset(folder)


@pytest.mark.parametrize("entry", ["tree", "source", "datasets", "offset_hashes", "shards", "version", "format"])
def test_manifests_that_lack_an_entry(folder: Path, entry: str) -> None:
    facts = json.loads((folder / "manifest.json").read_text())
    del facts[entry]
    (folder / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=f"manifest.json is no manifest of documents: '{entry}'"):
        JaggedDataset(folder)


def test_manifests_of_other_versions(folder: Path) -> None:
    change(folder, version=2)
    with pytest.raises(ValueError, match=r"has the version 2, and this version of loadax-datasets reads 1; upgrade it"):
        JaggedDataset(folder)


def test_folders_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"JaggedDataset finds no file or folder .*absent"):
        JaggedDataset(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="it is a URL"):
        JaggedDataset("gs://bucket/store")
    with pytest.raises(ValueError, match=r"has no manifest.json: it is no store of documents; make one with write_jag"):
        JaggedDataset(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file; give the folder that write_jagged made"):
        JaggedDataset(tmp_path / "file")
    with pytest.raises(TypeError, match=r"got a ndarray; for arrays, use JaggedDataset.from_arrays"):
        JaggedDataset(np.arange(3))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["shard-000000.offsets.npy", "shard-000001.values-0.npy"])
def test_files_that_are_cut_short_or_missing(folder: Path, name: str) -> None:
    file = folder / name
    data = file.read_bytes()
    for damaged in (data[:-1], data + b"0", b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{name} has {len(damaged)} bytes and should be a file of {len(data)}"):
            JaggedDataset(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} is missing; copy it here again"):
        JaggedDataset(folder)
    os.mkfifo(file)
    with pytest.raises(ValueError, match=f"{name} has 0 bytes and should be"):
        JaggedDataset(folder)


def test_a_file_that_is_cut_short_later_is_not_mapped(folder: Path) -> None:
    documents = JaggedDataset(folder)
    os.truncate(folder / "shard-000001.values-0.npy", 130)
    assert documents[0].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"values-0.npy has 130 bytes and should be a file of 138"):
        documents[3]


def test_files_of_another_dtype_or_with_other_offsets(folder: Path) -> None:
    np.save(folder / "shard-000001.offsets.npy", np.array([0, 10**12], np.uint64))
    with pytest.raises(ValueError, match=r"the offsets of shard 1 of .*store do not run from 0 to its 5 values"):
        JaggedDataset(folder)[3]
    np.save(folder / "shard-000000.values-0.npy", np.arange(4, dtype=np.int16))
    assert (folder / "shard-000000.values-0.npy").stat().st_size == 136
    with pytest.raises(ValueError, match=r"values-0.npy is not a .npy file of 4 numbers of uint16"):
        JaggedDataset(folder)[0]


@pytest.mark.parametrize("changed", ["appended", "written anew"])
def test_a_store_that_has_changed_is_not_unpickled(folder: Path, changed: str) -> None:
    documents = JaggedDataset(folder)
    pickled = pickle.dumps(documents)
    assert len(pickled) < 400, "it is pickled as its path"
    assert pickle.loads(pickled)[3].tolist() == [0, 1, 2, 3, 4]
    if changed == "appended":
        write_jagged(folder, [[1]], append=True, source="bytes")
    else:
        for file in folder.iterdir():
            file.unlink()
        write_jagged(folder, [each + np.uint16(1) for each in DOCUMENTS], source="bytes", shard_bytes=35)
    with pytest.raises(ValueError, match=r"store has changed since it was opened: .* open it again, JaggedDataset"):
        pickle.loads(pickled)
    if changed == "appended":
        assert documents[0].tolist() == [0, 1, 2]
    else:
        with pytest.raises(ValueError, match=r"shard 1 of .* was written anew since the store was opened; open it aga"):
            documents[3]


def test_process_workers_open_it_themselves(folder: Path) -> None:
    loader = DataLoader(list).batch_size(2).workers(1, kind="process").build(JaggedDataset(folder))
    assert [[each.tolist() for each in batch] for batch in loader] == [
        [[0, 1, 2], []],
        [[0], [0, 1, 2, 3, 4]],
    ]


def test_saved_states_of_another_source_are_refused(folder: Path, tmp_path: Path) -> None:
    other = write_jagged(tmp_path / "other", DOCUMENTS, source="words")
    first = iter(DataLoader(list).build(JaggedDataset(folder)))
    next(first)
    with pytest.raises(ValueError, match="source"):
        iter(DataLoader(list).build(other)).set_state(first.get_state())


def test_contents_tell_stores_of_other_values_apart(folder: Path, tmp_path: Path) -> None:
    one = JaggedDataset(folder)
    other = write_jagged(tmp_path / "b", [each + np.uint16(1) for each in DOCUMENTS], source="bytes", shard_bytes=35)
    assert one.fingerprint() == other.fingerprint()
    assert one.content_fingerprint() != other.content_fingerprint()


MANY = """
import resource, sys
import numpy as np
from loadax_datasets import JaggedDataset, write_jagged

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
documents = write_jagged(sys.argv[1], (np.full(3, number) for number in range(300)), shard_bytes=1)
assert [document.item(0) for document in JaggedDataset(sys.argv[1])] == list(range(300))
kept = list(documents)
assert documents.lengths.tolist() == [3] * 300
"""


def test_shards_take_no_descriptors(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MANY, str(tmp_path)], check=True, timeout=100)


def forge(folder: Path, documents: int) -> None:
    """Makes a store of empty documents, of files with a header only."""
    folder.mkdir()
    facts = jagged_manifest.ShardFacts(documents, 0, [0])
    dtypes = [np.dtype("<u2")]
    for file, dtype, length in jagged_files.shard_files(folder, 0, facts, dtypes):
        Path(file).write_bytes(jagged_files.npy_header(dtype, length))
        os.truncate(file, jagged_files.HEADER + length * dtype.itemsize)
    hashes = ["0" * 16] * -(-(documents + 1) // PART)
    manifest = jagged_manifest.Manifest(dtypes[0], None, [None], hashes, [facts])
    (folder / "manifest.json").write_bytes(manifest.encode())


def quickest(fn: Callable[[], Any]) -> float:
    times: list[float] = []
    for _ in range(5):
        start = time.perf_counter()
        fn()
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_billion_documents_are_opened_in_milliseconds(tmp_path: Path) -> None:
    forge(tmp_path / "store", 10**9)
    documents = JaggedDataset(tmp_path / "store")
    assert len(documents) == 10**9
    assert documents[10**9 - 1].tolist() == []
    assert quickest(lambda: JaggedDataset(tmp_path / "store").fingerprint()) < 0.05
    assert quickest(lambda: pickle.loads(pickle.dumps(documents))[12345]) < 0.05
