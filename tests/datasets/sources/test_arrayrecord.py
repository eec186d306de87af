"""ArrayRecord files."""

import gc
import json
import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import DataLoader, testing
from loadax_datasets import ArrayRecordDataset, BaseDataset

array_record: Any = pytest.importorskip("array_record.python.array_record_module")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]


def write(path: Path, records: Sequence[bytes]) -> Path:
    writer = array_record.ArrayRecordWriter(str(path), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Fifteen records of different lengths, in three files; a fourth is without any."""
    return [
        write(tmp_path / f"{name}.array_record", [f"record {i} ".encode() * i for i in rows])
        for name, rows in {"b": range(7), "empty": range(0), "a": range(7, 14), "c": range(14, 15)}.items()
    ]


RECORDS = [f"record {i} ".encode() * i for i in range(15)]


def test_files(check_dataset: CheckDataset, files: list[Path]) -> None:
    rows = ArrayRecordDataset(files)
    check_dataset(rows, RECORDS, gathers=False)
    testing.check_dataset(rows)
    check_dataset(ArrayRecordDataset(str(files[0])), RECORDS[:7], gathers=False)
    check_dataset(ArrayRecordDataset(files[1]), [], gathers=False)


def length(record: bytes) -> int:
    return len(record)


def test_threads_and_processes(files: list[Path], read_elsewhere: ReadElsewhere) -> None:
    rows = ArrayRecordDataset(files)
    loader = DataLoader().batch_size(4).workers(4).prefetch(3).build(rows.map(length).shuffle(seed=1))
    assert sorted(np.concatenate(list(loader)).tolist()) == [len(record) for record in RECORDS]
    for items in read_elsewhere(rows, [14, 7, 0]):
        assert items == [RECORDS[14], RECORDS[7], RECORDS[0]]


def test_missing_files(tmp_path: Path, files: list[Path]) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.array_record"):
        ArrayRecordDataset([files[0], tmp_path / "no.array_record"])
    with pytest.raises(ValueError, match="at least one file, got an empty list"):
        ArrayRecordDataset([])
    rows = ArrayRecordDataset(files)
    files[2].unlink()
    with pytest.raises(RuntimeError) as caught:
        rows[9]
    assert any(str(files[2]) in note for note in caught.value.__notes__)


@pytest.mark.parametrize("keep", [0, 1000, 70_000])
def test_truncated_file(files: list[Path], keep: int) -> None:
    files[2].write_bytes(files[2].read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.array_record is not an ArrayRecord file, or is cut short"):
        ArrayRecordDataset(files)


def test_damaged_record(files: list[Path]) -> None:
    data = bytearray(files[0].read_bytes())
    place = data.index(b"record 6")
    data[place : place + 8] = b"\xff" * 8
    files[0].write_bytes(data)
    rows = ArrayRecordDataset(files)
    assert rows[0] == RECORDS[0]
    with pytest.raises(RuntimeError) as caught:
        rows[6]
    assert any(str(files[0]) in note for note in caught.value.__notes__)


def test_fingerprint_knows_the_files(files: list[Path]) -> None:
    prints = [ArrayRecordDataset(each).fingerprint() for each in (files, files[::-1], files[:3], files[0])]
    assert len({str(each) for each in prints}) == 4
    assert ArrayRecordDataset([str(file) for file in files]).fingerprint() == prints[0]


def test_fingerprint_knows_the_content_but_not_the_place(tmp_path: Path) -> None:
    def facts(folder: str, *values: int) -> dict[str, Any]:
        paths: list[Path] = []
        for number, value in enumerate(values):
            (tmp_path / folder / f"{number}").mkdir(parents=True, exist_ok=True)
            records = [np.random.default_rng([value, i]).bytes(50) for i in range(1000)]
            paths.append(write(tmp_path / folder / f"{number}" / "part.array_record", records))
        return ArrayRecordDataset(paths).fingerprint()

    first = facts("a", 1, 2, 3)
    for others in ((2, 1, 3), (1, 3, 2), (1, 2, 4)):
        assert facts("b", *others) != first
    assert facts("c", 1, 2, 3) == first, "in another folder"


def open_files(folder: Path) -> list[str]:
    """The names of the files of a folder that this process has open."""
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    targets = [str(link.readlink()) for link in links if link.is_symlink()]
    return [target for target in targets if target.startswith(f"{folder}/")]


def shards(folder: Path, count: int) -> ArrayRecordDataset:
    return ArrayRecordDataset(
        [write(folder / f"{i:03d}", [f"{i} {j}".encode() for j in range(3)]) for i in range(count)]
    )


def test_no_more_than_64_files_are_open_at_once(tmp_path: Path) -> None:
    rows = shards(tmp_path, 100)
    assert not open_files(tmp_path), "counting the records leaves no file open"
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    for row in order:
        assert rows[row] == f"{row // 3} {row % 3}".encode()
        assert len(open_files(tmp_path)) <= 64
    assert len(open_files(tmp_path)) == 64
    assert [bytes(record) for record in rows.read_many(order)] == [f"{row // 3} {row % 3}".encode() for row in order]
    last = order[-1] // 3
    assert str(tmp_path / f"{last:03d}") in open_files(tmp_path), "the file read last stays open"
    pickle.loads(pickle.dumps(rows))
    del rows
    gc.collect()
    assert not open_files(tmp_path)


def test_threads_read_more_files_than_are_open(tmp_path: Path) -> None:
    rows = shards(tmp_path, 100)
    expected = [f"{row // 3} {row % 3}".encode() for row in range(300)]

    def read(seed: int) -> bool:
        order: list[int] = np.random.default_rng(seed).permutation(300).tolist()
        return all(rows[row] == expected[row] for row in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(16)))


def test_a_file_is_not_closed_while_it_is_read(tmp_path: Path) -> None:
    rows = shards(tmp_path, 100)
    with rows._readers.use(0) as reader:
        for row in range(3, 300):
            rows[row]
        assert 0 in rows._readers._open
        with rows._readers.use(0) as again:
            assert again is reader


def test_a_read_that_fails_is_tried_again_with_the_file_opened_anew(files: list[Path], tmp_path: Path) -> None:
    """As a file that comes back: the library's own error is none that is tried again, and its reader is lost by it."""
    rows = ArrayRecordDataset(files)
    files[2].rename(tmp_path / "away")
    with pytest.raises(OSError, match=r"a\.array_record cannot be read: .*No such file"):
        rows[9]
    (tmp_path / "away").rename(files[2])
    assert rows[9] == RECORDS[9]
    rows = ArrayRecordDataset(files)
    files[2].rename(tmp_path / "away")
    tries: list[float] = []

    def bring_back(seconds: float) -> None:
        tries.append(seconds)
        (tmp_path / "away").rename(files[2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", bring_back)
        assert rows.retry(2)[9] == RECORDS[9]
    assert len(tries) == 1


def test_a_damaged_file_does_not_fail_the_next_one(tmp_path: Path) -> None:
    """Closing a reader raises the error of its last read once more."""
    rows = shards(tmp_path, 70)
    data = bytearray((tmp_path / "000").read_bytes())
    place = data.index(b"0 1")
    data[place : place + 3] = b"\xff" * 3
    (tmp_path / "000").write_bytes(data)
    with pytest.raises(OSError, match="000 cannot be read"):
        rows[1]
    assert rows[0] == b"0 0"
    for row in range(3, 210):
        assert rows[row] == f"{row // 3} {row % 3}".encode()


def test_names_that_look_like_slices_or_are_not_utf_8(tmp_path: Path) -> None:
    """The library's own data source would read the first record of another file."""
    write(tmp_path / "a", [b"wrong", b"wrong"])
    files = [write(tmp_path / "a[0:1]", [b"1", b"2"]), write(tmp_path / "b", [b"3"])]
    files[1] = files[1].rename(tmp_path / os.fsdecode(b"b\xff"))
    rows = ArrayRecordDataset(files)
    assert list(rows) == [b"1", b"2", b"3"]
    json.dumps(rows.fingerprint()).encode()
    repr(rows).encode()
    files[1].unlink()
    elsewhere: ArrayRecordDataset = pickle.loads(pickle.dumps(rows))
    with pytest.raises(OSError, match="cannot be read") as caught:
        elsewhere[2]
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("gs://bucket/a.array_record", "it is a URL"),
        ("~/a.array_record", r"os\.path\.expanduser"),
        ("*.array_record", r"sorted\(glob\.glob"),
    ],
)
def test_what_is_no_path_is_refused(path: str, fix: str) -> None:
    with pytest.raises(FileNotFoundError, match=fix):
        ArrayRecordDataset(path)
