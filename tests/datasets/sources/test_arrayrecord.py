"""ArrayRecord files."""

from collections.abc import Callable, Sequence
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
    loader = DataLoader().batch_size(4).workers(4).prefetch(3).build(rows.map(length).shuffle(1))
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
