"""Folders of images that nobody has checked."""

import io
import logging
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_datasets import ImageFolderDataset

pil: Any = pytest.importorskip("PIL.Image")
eps: Any = pytest.importorskip("PIL.EpsImagePlugin")

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"


def save(path: Path, color: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pil.new("RGB", (4, 4), (color, color, color)).save(path, format="PNG")
    return path


def colors(rows: ImageFolderDataset) -> list[int]:
    return [int(row["image"][0, 0, 0]) for row in rows]


def png_of_size(width: int, height: int) -> bytes:
    """A small file that says it is a large image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists once Ghostscript was started: a program of its name stands in for it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch '{tmp_path / 'started'}'\n")
    (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(eps, "gs_binary", None)
    return tmp_path / "started"


def test_the_stand_in_for_ghostscript_is_started(started: Path) -> None:
    """Shows that the next test can fail."""
    with pytest.raises(OSError), pil.open(io.BytesIO(POSTSCRIPT)) as image:  # noqa: PT011
        image.load()
    assert started.exists()


@pytest.mark.parametrize("name", ["x.png", "x.JPG", "x.ppm"])
def test_no_program_is_started(tmp_path: Path, started: Path, name: str) -> None:
    save(tmp_path / "root" / "a" / "0.png")
    (tmp_path / "root" / "a" / name).write_bytes(POSTSCRIPT)
    rows = ImageFolderDataset(tmp_path / "root")
    with pytest.raises(OSError, match=rf"{name} is no image of the formats BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"):
        rows[1]
    assert not started.exists()


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "text": b"not an image",
    "cut short": png_of_size(4, 4)[:40],
    "half a picture": png_of_size(400, 400),
    "photoshop": b"8BPS\0\1" + bytes(100),
    "metafile": b"\xd7\xcd\xc6\x9a\0\0" + bytes(100),
    "encapsulated": b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIII", 32, len(POSTSCRIPT), 0, 0, 0, 0) + POSTSCRIPT,
    "pickle": b"cos\nsystem\n(S'touch /pickled'\ntR.",
    "bitmap": b"BM" + bytes(100),
    "graphics": b"GIF89a\xff\xff\xff\xff",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_decoded_is_an_error_that_names_the_file(tmp_path: Path, started: Path, kind: str) -> None:
    save(tmp_path / "root" / "a" / "0.png", 1)
    (tmp_path / "root" / "a" / "1.png").write_bytes(HOSTILE[kind])
    save(tmp_path / "root" / "a" / "2.png", 3)
    rows = ImageFolderDataset(tmp_path / "root")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        rows[1]
    assert isinstance(caught.value, OSError | SyntaxError | ValueError)
    assert any("a/1.png" in note for note in caught.value.__notes__)
    assert [int(rows[i]["image"][0, 0, 0]) for i in (0, 2)] == [1, 3], "the others can be read"
    assert not started.exists()


def test_a_decompression_bomb_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "1.png").write_bytes(png_of_size(60_000, 60_000))
    with pytest.raises(pil.DecompressionBombError, match=r"a/1\.png: Image size \(3600000000 pixels\) exceeds limit"):
        ImageFolderDataset(tmp_path)[1]


def test_links_are_followed(tmp_path: Path) -> None:
    """As users have them who keep images elsewhere; what is no image is not decoded there, either."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    save(root / "a" / "0.png", 1)
    save(elsewhere / "photo", 2)
    save(elsewhere / "more" / "deep" / "0.png", 3)
    save(elsewhere / "b" / "0.png", 4)
    (root / "a" / "1.png").symlink_to(elsewhere / "photo")
    (root / "a" / "2").symlink_to(elsewhere / "more")
    (root / "b").symlink_to(elsewhere / "b")
    (root / "b" / "1.png").symlink_to("/etc/passwd")
    rows = ImageFolderDataset(root)
    assert rows.classes == ["a", "b"]
    assert colors(rows[:4]) == [1, 2, 3, 4]  # pyright: ignore[reportArgumentType]
    with pytest.raises(OSError, match=r"b/1\.png is no image of the formats"):
        rows[4]


@pytest.mark.parametrize("place", ["x.png", "a/x.png", "a/more", "more", "a/deep/x"])
@pytest.mark.parametrize("target", ["nowhere", "itself"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, place: str, target: str) -> None:
    save(tmp_path / "a" / "deep" / "0.png")
    (tmp_path / place).symlink_to(tmp_path / (target if target == "nowhere" else place))
    with pytest.raises(OSError, match=rf"{place} is a link to '.*', which does not exist; mend the link, or delete it"):
        ImageFolderDataset(tmp_path)


def test_a_link_to_a_folder_that_it_lies_in_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "a" / "deep" / "0.png")
    (tmp_path / "a" / "deep" / "again").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="a/deep/again is a link to a folder that it lies in; delete the link"):
        ImageFolderDataset(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_neither_a_file_nor_a_folder_is_an_error(tmp_path: Path, kind: str) -> None:
    """Reading a pipe would wait for ever, and a device need not end."""
    save(tmp_path / "a" / "0.png")
    if kind == "pipe":
        os.mkfifo(tmp_path / "a" / "1.png")
    else:
        (tmp_path / "a" / "1.png").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match=r"a/1\.png is neither a file nor a folder"):
        ImageFolderDataset(tmp_path)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("place", ["a/locked", "locked", "a"])
def test_a_folder_that_cannot_be_read_is_an_error(public: Path, place: str) -> None:
    save(public / "a" / "0.png")
    (public / place).mkdir(exist_ok=True)
    (public / place).chmod(0)
    user = os.geteuid()
    if user == 0:
        # The superuser may read everything.
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError, match=place):
            ImageFolderDataset(public)
    finally:
        os.seteuid(user)
        (public / place).chmod(0o755)


def test_folders_without_an_image_are_no_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As archives made on a Mac have them, and as notebooks leave them behind."""
    save(tmp_path / "cat" / "0.png", 1)
    save(tmp_path / "dog" / "0.png", 2)
    save(tmp_path / "__MACOSX" / "cat" / "._0.png")
    (tmp_path / "Notes").mkdir()
    (tmp_path / "Notes" / "a.txt").touch()
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with caplog.at_level(logging.INFO, "loadax.datasets"):
        rows = ImageFolderDataset(tmp_path)
    assert rows.classes == ["cat", "dog"]
    assert [(int(row["image"][0, 0, 0]), int(row["label"])) for row in rows] == [(1, 0), (2, 1)]
    assert "which are no classes: ['Notes', '__MACOSX', 'empty']" in caplog.text


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPEG", "pgm", "pbm", "pnm", "ppm", "webp", "tif", "gif", "bmp"])
def test_all_common_names_of_the_formats(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / "a" / "0.png")
    kind = {"jfif": "JPEG", "jpe": "JPEG", "tif": "TIFF", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}
    mode = {"pgm": "L", "pbm": "1"}.get(suffix, "RGB")
    image = pil.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
    image.save(tmp_path / "a" / f"1.{suffix}", format=kind.get(suffix.lower(), "JPEG" if suffix == "JPEG" else "PPM"))
    assert colors(ImageFolderDataset(tmp_path)) == [0, 255]


def test_a_photo_of_several_pictures(tmp_path: Path) -> None:
    """Telephones write JPEG files that have more than one picture; the first is the photo."""
    (tmp_path / "a").mkdir()
    first, second = pil.new("RGB", (8, 8), (255, 255, 255)), pil.new("RGB", (4, 4))
    first.save(tmp_path / "a" / "0.jpg", format="MPO", save_all=True, append_images=[second])
    assert ImageFolderDataset(tmp_path)[0]["image"].shape == (8, 8, 3)
    assert colors(ImageFolderDataset(tmp_path)) == [255]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff"))
    for kind in (b"a", b"b\xfe"):
        save(root / os.fsdecode(kind) / os.fsdecode(b"\xe9.png"))
    (root / "a" / "x.png").write_bytes(b"not an image")
    rows = ImageFolderDataset(root)
    prints = [rows.fingerprint(), ImageFolderDataset(root.rename(tmp_path / "moved")).fingerprint()]
    assert prints[0] == prints[1]
    rows = ImageFolderDataset(tmp_path / "moved")
    (tmp_path / "moved").rename(root)
    rows = ImageFolderDataset(root)
    repr(rows).encode()
    assert rows.classes == ["a", "b\udcfe"]
    assert len(list(rows[1:])) == 2
    with pytest.raises(OSError, match=r"r\\xff/a/x\.png") as caught:
        rows[0]
    "".join([str(caught.value), *caught.value.__notes__]).encode()
    batches = iter(DataLoader().batch_size(2).build(rows[1:]))
    assert next(batches)["label"].tolist() == [0, 1]
    batches.set_state(batches.get_state())
    assert len(list(rows[1:].cache(root / "cache"))) == 2
    assert len(list(rows[1:].cache(root / "cache"))) == 2
    np.testing.assert_array_equal(rows[1]["image"], 0)


@pytest.mark.parametrize(("path", "fix"), [("~/images", "expanduser"), ("gs://bucket/images", "URL"), ("im*", "glob")])
def test_what_is_no_path_is_refused(path: str, fix: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"there is no folder .*: .*{fix}"):
        ImageFolderDataset(path)
