"""Windows of token files."""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import testing
from loadax_datasets import BaseDataset, TokenDataset

ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
Tokens = np.ndarray[Any, np.dtype[Any]]


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


def as_bin(path: Path, tokens: Tokens) -> TokenDataset:
    tokens.tofile(path / "train.bin")
    return TokenDataset(path / "train.bin", 4, stride=3, dtype=tokens.dtype)


def as_npy(path: Path, tokens: Tokens) -> TokenDataset:
    np.save(path / "train.npy", tokens)
    return TokenDataset(str(path / "train.npy"), 4, stride=3)


def as_array(path: Path, tokens: Tokens) -> TokenDataset:
    return TokenDataset(tokens, 4, stride=3)


Source = Callable[[Path, Tokens], TokenDataset]
sources = pytest.mark.parametrize("source", [as_bin, as_npy, as_array])


@sources
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "<i4", ">u2", ">i8"])
def test_contract(check_dataset: CheckDataset, tmp_path: Path, source: Source, dtype: str) -> None:
    tokens = np.random.default_rng(0).integers(0, 100, 30).astype(dtype)
    native = tokens.astype(tokens.dtype.newbyteorder("="))
    expected = [{"tokens": native[s : s + 4], "targets": native[s + 1 : s + 5]} for s in range(0, 26, 3)]
    rows = source(tmp_path, tokens)
    check_dataset(rows, expected, gathers=True)
    testing.check_dataset(rows)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 12), st.booleans())
def test_every_window_that_fits_and_no_other(count: int, length: int, stride: int, targets: bool) -> None:
    tokens = np.arange(count)
    starts = [s for s in range(0, count, stride) if s + length + targets <= count]
    if not starts:
        with pytest.raises(ValueError, match=f"{count} tokens, fewer than the {length + targets}"):
            TokenDataset(tokens, length, stride=stride, targets=targets)
        return
    rows = TokenDataset(tokens, length, stride=stride, targets=targets)
    assert [row["tokens"].tolist() for row in rows] == [list(range(s, s + length)) for s in starts]
    for row in rows:
        assert list(row) == (["tokens", "targets"] if targets else ["tokens"])
        if targets:
            assert row["targets"].tolist() == (row["tokens"] + 1).tolist()
    testing.check_dataset(rows)


def test_stride_is_the_length_unless_given() -> None:
    assert [int(row["tokens"][0]) for row in TokenDataset(np.arange(100), 10)] == list(range(0, 90, 10))
    assert len(TokenDataset(np.arange(100), 10, targets=False)) == 10


@pytest.mark.parametrize("source", [as_bin, as_npy])
def test_a_file_is_mapped_and_pickled_by_reference(tmp_path: Path, source: Source) -> None:
    rows = source(tmp_path, np.arange(50_000, dtype=np.uint16))
    data = pickle.dumps(rows)
    assert len(data) < 2000
    copied: TokenDataset = pickle.loads(data)
    assert copied[7]["tokens"].tolist() == [21, 22, 23, 24]
    assert len(pickle.dumps(copied)) < 2000, "a copy is still mapped"
    # The numbers are seen to change with the file: nothing has been copied.
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[: -2 * 50_000] + np.ones(50_000, np.uint16).tobytes())
    assert rows[7]["tokens"].tolist() == [1, 1, 1, 1]


def test_rows_are_read_only(tmp_path: Path) -> None:
    mine = np.arange(9)
    for rows in (TokenDataset(mine, 4), as_bin(tmp_path, mine)):
        with pytest.raises(ValueError, match="read-only"):
            rows[0]["tokens"][0] = 1
    mine[0] = 5
    assert mine.flags.writeable


@pytest.mark.parametrize("source", [as_bin, as_npy])
def test_processes_read_the_file(tmp_path: Path, source: Source, read_elsewhere: ReadElsewhere) -> None:
    rows = source(tmp_path, np.arange(100, dtype=np.uint16))
    for items in read_elsewhere(rows, [31, 0]):
        assert [item["targets"].tolist() for item in items] == [[94, 95, 96, 97], [1, 2, 3, 4]]


def test_fingerprint_knows_the_tokens_and_the_windows() -> None:
    tokens = np.arange(1000)
    prints = [
        TokenDataset(tokens, 10).fingerprint(),
        TokenDataset(tokens[:-1], 10).fingerprint(),
        TokenDataset(tokens + 1, 10).fingerprint(),
        TokenDataset(tokens, 11).fingerprint(),
        TokenDataset(tokens, 10, stride=9).fingerprint(),
        TokenDataset(tokens, 10, targets=False).fingerprint(),
    ]
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert TokenDataset(tokens.astype(np.uint16), 10).fingerprint() == prints[0], "the same rows"


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.bin"):
        TokenDataset(tmp_path / "no.bin", 4, dtype=np.uint16)
    rows = as_bin(tmp_path, np.arange(50))
    data = pickle.dumps(rows)
    (tmp_path / "train.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.bin"):
        pickle.loads(data)


def test_empty_file(tmp_path: Path) -> None:
    for name in ("train.bin", "train.npy"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"{name} is empty"):
            TokenDataset(tmp_path / name, 4)
    np.save(tmp_path / "none.npy", np.empty(0, np.uint16))
    with pytest.raises(ValueError, match=r"none\.npy"):
        TokenDataset(tmp_path / "none.npy", 4)


def test_truncated_file(tmp_path: Path) -> None:
    np.arange(50, dtype=np.uint16).tofile(tmp_path / "t.bin")
    (tmp_path / "t.bin").write_bytes((tmp_path / "t.bin").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"t\.bin has 99 bytes, no multiple of the 2 of uint16"):
        TokenDataset(tmp_path / "t.bin", 4, dtype=np.uint16)
    np.save(tmp_path / "t.npy", np.arange(50))
    whole = (tmp_path / "t.npy").read_bytes()
    for cut in (1, 400, len(whole) - 20, len(whole) - 3):
        (tmp_path / "t.npy").write_bytes(whole[:-cut])
        with pytest.raises(ValueError, match=r"t\.npy is not a \.npy file of numbers, or is cut short"):
            TokenDataset(tmp_path / "t.npy", 4)


@pytest.mark.parametrize("name", ["t.bin", "t.NPY", "t", "t.npz"])
def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "t.npy", np.arange(50, dtype=np.uint16))
    file = (tmp_path / "t.npy").rename(tmp_path / name)
    assert [row["tokens"].tolist() for row in TokenDataset(file, 25, targets=False)] == [
        list(range(25)),
        list(range(25, 50)),
    ]
    with pytest.raises(ValueError, match=rf"which {name} does: it is in NumPy's \.npy format; leave dtype out"):
        TokenDataset(file, 4, dtype=np.uint16)


@pytest.mark.parametrize("name", ["t.npy", "t.NPY"])
def test_flat_tokens_may_be_named_npy(tmp_path: Path, name: str) -> None:
    np.arange(50, dtype=np.uint16).tofile(tmp_path / name)
    assert TokenDataset(tmp_path / name, 25, targets=False, dtype=np.uint16)[1]["tokens"].tolist() == [*range(25, 50)]
    with pytest.raises(ValueError, match=rf"{name} is not a \.npy file .* if it holds nothing .* dtype=np\.uint16"):
        TokenDataset(tmp_path / name, 4)


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", tokens=np.arange(50, dtype=np.uint16))
    for dtype in (None, np.uint8):
        with pytest.raises(ValueError, match=r"t\.npz is an archive of arrays.*np\.save"):
            TokenDataset(tmp_path / "t.npz", 4, dtype=dtype)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled a file",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "evil.npy", np.array([Evil()] * 20, object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"evil\.npy"):
        TokenDataset(tmp_path / "evil.npy", 4)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"raw\.npy"):
        TokenDataset(tmp_path / "raw.npy", 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TokenDataset(np.arange(9), 0), ValueError, "length must be at least 1, got 0"),
        (lambda: TokenDataset(np.arange(9), 2, stride=0), ValueError, "stride must be at least 1, got 0"),
        (lambda: TokenDataset(np.arange(9), True), TypeError, "length must be an integer"),
        (
            lambda: TokenDataset(np.arange(9), 2, targets="no"),  # pyright: ignore[reportArgumentType]
            TypeError,
            "targets must be True or False, got 'no'",
        ),
        (lambda: TokenDataset(np.zeros((3, 3), np.int32), 2), ValueError, r"shape \(tokens,\), but has \(3, 3\)"),
        (lambda: TokenDataset(np.zeros(9), 2), TypeError, "must hold integers, but has the dtype float64"),
        (lambda: TokenDataset(np.zeros(9, bool), 2), TypeError, "must hold integers, but has the dtype bool"),
        (lambda: TokenDataset(np.arange(9), 2, dtype=np.uint8), ValueError, "is for files"),
        (
            lambda: TokenDataset(np.ma.array(np.arange(9)), 2),
            ValueError,
            r"tokens is a masked array, .*\.filled\(value\)",
        ),
        (lambda: TokenDataset([1, 2, 3], 2), TypeError, "a path or a NumPy array, got a list"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_wrong_arguments(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_dtype_of_a_file(tmp_path: Path) -> None:
    np.arange(50).tofile(tmp_path / "t.bin")
    with pytest.raises(ValueError, match=r"t\.bin does not tell its dtype; give it"):
        TokenDataset(tmp_path / "t.bin", 4)
    with pytest.raises(TypeError, match=r"t\.bin must hold integers"):
        TokenDataset(tmp_path / "t.bin", 4, dtype=np.float32)
    for nothing in ("S", "U", "V"):
        with pytest.raises(TypeError, match=r"t\.bin must hold integers, .*; give the integer dtype"):
            TokenDataset(tmp_path / "t.bin", 4, dtype=nothing)
    np.save(tmp_path / "t.npy", np.arange(50))
    with pytest.raises(ValueError, match=r"which t\.npy does"):
        TokenDataset(tmp_path / "t.npy", 4, dtype=np.int64)


def test_messages_show_names_that_are_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"t\xff.bin")
    file.write_bytes(b"123")
    for dtype in (None, np.uint16):
        with pytest.raises(ValueError, match=r"t\\xff\.bin") as caught:
            TokenDataset(file, 1, dtype=dtype)
        str(caught.value).encode()
    file.write_bytes(b"1234")
    rows = TokenDataset(file, 1, dtype=np.uint16)
    for text in (rows.describe(), repr(rows.shuffle(seed=1))):
        assert r"of t\xff.bin" in text
        text.encode()
    with pytest.raises(ValueError, match=r"t\\xff\.bin has 2 tokens, fewer than the 6"):
        TokenDataset(file, 5, dtype=np.uint16)
