"""Folders of images."""

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import DataLoader, testing
from loadax_datasets import BaseDataset, ImageFolderDataset

pil: Any = pytest.importorskip("PIL.Image")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def save(path: Path, seed: int, height: int = 4) -> Pixels:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, 5, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    pil.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "animals"


@pytest.fixture
def expected(root: Path) -> list[dict[str, Any]]:
    """Three classes, written in another order than they are read in; the folder of one of them is empty."""
    dogs = [save(root / "dog" / name, seed) for seed, name in enumerate(["b.png", "a.PNG", "a/z.bmp"])]
    cats = [save(root / "Cat" / f"{i}.tiff", 10 + i, height=3 + i) for i in range(3)]
    (root / "bird").mkdir()
    save(root / "dog" / ".thumbnails" / "x.png", 20)
    save(root / "dog" / ".x.png", 20)
    save(root / ".git" / "x.png", 20)
    (root / "dog" / "notes.txt").write_text("not an image")
    (root / "labels.csv").write_text("nor is this")
    return [{"image": image, "label": np.int32(0)} for image in cats] + [
        {"image": dogs[i], "label": np.int32(1)} for i in (1, 2, 0)
    ]


def test_folder(check_dataset: CheckDataset, root: Path, expected: list[dict[str, Any]]) -> None:
    rows = ImageFolderDataset(root)
    assert rows.classes == ["Cat", "dog"], "a folder without an image is no class"
    check_dataset(rows, expected, gathers=False)
    testing.check_dataset(rows)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_modes(root: Path, mode: str) -> None:
    pixels = save(root / "a" / "0.png", 0)
    pil.fromarray(pixels).quantize(7).save(root / "a" / "1.png")
    pil.fromarray(pixels[..., 0]).save(root / "a" / "2.png")
    pil.fromarray(pixels).convert("CMYK").save(root / "a" / "3.jpg")
    rows = ImageFolderDataset(str(root), mode=mode)
    assert len(rows) == 4
    for item, name in zip(rows, ["0.png", "1.png", "2.png", "3.jpg"], strict=True):
        assert item["image"].dtype == np.uint8
        assert np.array_equal(item["image"], np.asarray(pil.open(root / "a" / name).convert(mode)))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_palette_with_a_transparency_for_each_color(root: Path, mode: str) -> None:
    image = pil.fromarray(save(root / "a" / "0.png", 0)).quantize(5)
    image.save(root / "a" / "0.png", transparency=bytes(range(5)))
    # Pillow warns where the transparency is left out, and warnings are errors here.
    pixels = ImageFolderDataset(root, mode=mode)[0]["image"]
    with pil.open(root / "a" / "0.png") as opened:
        assert np.array_equal(pixels, np.asarray((opened if mode == "RGBA" else image).convert(mode)))


SIXTEEN = np.array([[0, 255, 256, 1000, 40000, 65535]], np.uint16)


@pytest.mark.parametrize("name", ["0.png", "0.tif", "0.ppm"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_gray_of_16_bits_is_scaled_to_8(root: Path, name: str, mode: str) -> None:
    file = root / "a" / name
    file.parent.mkdir(parents=True)
    if file.suffix == ".ppm":
        # Pillow opens it with the mode that older versions have for PNG too.
        file.write_bytes(b"P5 6 1 65535\n" + SIXTEEN.astype(">u2").tobytes())
    else:
        pil.fromarray(SIXTEEN).save(file)
    pixels = ImageFolderDataset(root, mode=mode)[0]["image"]
    expected = pil.fromarray(np.array([[0, 0, 1, 3, 156, 255]], np.uint8)).convert(mode)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(expected))


def test_the_byte_order_of_16_bits_does_not_matter(root: Path) -> None:
    (root / "a").mkdir(parents=True)
    for name, mode in (("0.tif", "I;16"), ("1.tif", "I;16B")):
        data = SIXTEEN.astype("<u2" if mode == "I;16" else ">u2").tobytes()
        pil.frombytes(mode, (6, 1), data).save(root / "a" / name)
    assert [item["image"].tolist() for item in ImageFolderDataset(root, mode="L")] == [[[0, 0, 1, 3, 156, 255]]] * 2


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize(
    ("bits", "white", "expected"), [(16, 1, [0, 1, 255]), (16, 0, [255, 254, 0]), (12, 1, [0, 16, 255])]
)
def test_gray_tiff_says_how_many_bits_it_has_and_which_number_is_white(
    root: Path, mode: str, bits: int, white: int, expected: list[int]
) -> None:
    numbers = [0, 256, 2**bits - 1, 0]
    pixels = int("".join(f"{number:0{bits}b}" for number in numbers), 2).to_bytes(bits // 2)
    if bits == 16:
        pixels = np.array(numbers, "<u2").tobytes()
    # Width, height, bits, no compression, which is white, where the pixels are, and how many bytes.
    tags = {256: 4, 257: 1, 258: bits, 259: 1, 262: white, 273: 8, 279: len(pixels)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    (root / "a").mkdir(parents=True)
    (root / "a" / "0.tif").write_bytes(head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4))
    image = pil.fromarray(np.array([[*expected, expected[0]]], np.uint8)).convert(mode)
    assert np.array_equal(ImageFolderDataset(root, mode=mode)[0]["image"], np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_colors_of_lab(root: Path, mode: str) -> None:
    (root / "a").mkdir(parents=True)
    lab = pil.merge("LAB", [pil.new("L", (2, 1), level) for level in (200, 140, 120)])
    lab.save(root / "a" / "0.tif")
    expected = np.asarray(lab.convert("RGB").convert(mode))
    assert np.array_equal(ImageFolderDataset(root, mode=mode)[0]["image"], expected)


@pytest.mark.parametrize(("dtype", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_images_whose_range_is_unknown_are_refused(root: Path, dtype: Any, mode: str) -> None:
    (root / "a").mkdir(parents=True)
    pil.fromarray(np.array([[0, 1000, 70000]], dtype)).save(root / "a" / "0.tiff")
    with pytest.raises(ValueError, match=rf"0\.tiff has the mode '{mode}', .* scale it to 8 bits"):
        ImageFolderDataset(root)[0]


def test_batches_by_threads_and_processes(root: Path, read_elsewhere: ReadElsewhere) -> None:
    images = [save(root / str(i % 2) / f"{i}.png", i) for i in range(12)]
    rows = ImageFolderDataset(root)
    batches = list(DataLoader().batch_size(4).workers(3).prefetch(2).build(rows.shuffle(seed=2)))
    assert all(batch["image"].shape == (4, 4, 5, 3) for batch in batches)
    seen = {
        image.tobytes(): int(y) for batch in batches for image, y in zip(batch["image"], batch["label"], strict=True)
    }
    assert seen == {image.tobytes(): i % 2 for i, image in enumerate(images)}
    for items in read_elsewhere(rows, [11, 0]):
        assert [item["label"] for item in items] == [1, 0]


def test_no_file_is_left_open(root: Path, expected: list[dict[str, Any]]) -> None:
    """Warnings are errors here, and Python warns of files that were not closed."""
    assert len(list(ImageFolderDataset(root))) == len(expected)
    (root / "dog" / "b.png").write_bytes((root / "dog" / "b.png").read_bytes()[:60])
    with pytest.raises(OSError, match="truncated"):
        ImageFolderDataset(root)[5]


@pytest.mark.parametrize("keep", [0, 20, 80])
def test_truncated_file(root: Path, keep: int) -> None:
    save(root / "a" / "0.png", 0)
    save(root / "a" / "1.png", 1)
    rows = ImageFolderDataset(root)
    file = root / "a" / "1.png"
    file.write_bytes(file.read_bytes()[:keep])
    rows[0]
    with pytest.raises(OSError) as caught:  # noqa: PT011
        rows[1]
    assert any(str(file) in note for note in caught.value.__notes__)


def test_missing_files(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolderDataset(root)
    (root / "a").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="there is no image in the folders of"):
        ImageFolderDataset(root)
    save(root / "a" / "0.png", 0)
    rows = ImageFolderDataset(root)
    (root / "a" / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"0\.png"):
        rows[0]


def test_the_decompression_limit_stays_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(root / "a" / "0.png", 0)
    rows = ImageFolderDataset(root)
    rows[0]
    assert pil.MAX_IMAGE_PIXELS is not None
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(pil.DecompressionBombError):
        rows[0]


def test_an_image_without_class_is_refused(root: Path) -> None:
    save(root / "a" / "0.png", 0)
    save(root / "1.png", 0)
    with pytest.raises(ValueError, match=r"1\.png belongs to no class"):
        ImageFolderDataset(root)


def test_unknown_mode_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="mode must be 'RGB', 'L' or 'RGBA', got 'HSV'"):
        ImageFolderDataset(root, mode="HSV")


def test_fingerprint_knows_the_files(root: Path, expected: list[dict[str, Any]]) -> None:
    prints = [ImageFolderDataset(root).fingerprint(), ImageFolderDataset(root, mode="L").fingerprint()]
    (root / "dog" / "b.png").rename(root / "dog" / "c.png")
    prints.append(ImageFolderDataset(root).fingerprint())
    assert len({str(each) for each in prints}) == 3
    elsewhere = root.rename(root.parent / "moved")
    assert ImageFolderDataset(elsewhere).fingerprint() == prints[-1]


def test_a_cache_knows_images_of_the_same_names(root: Path) -> None:
    for folder, first, height in (("train", 0, 4), ("copy", 0, 4), ("other pixels", 9, 4), ("other sizes", 0, 5)):
        for i in range(3):
            save(root / folder / "cat" / f"{i}.bmp", first + i, height)
    kept = list(ImageFolderDataset(root / "train").cache(root / "cache"))
    assert len(list(ImageFolderDataset(root / "copy").cache(root / "cache"))) == len(kept)
    for folder in ("other pixels", "other sizes"):
        with pytest.raises(ValueError, match="is the cache of another dataset"):
            ImageFolderDataset(root / folder).cache(root / "cache")


def test_a_cache_looks_at_few_files_of_a_large_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(root / "cat" / "0.bmp", 0)
    for i in range(1, 300):
        (root / "cat" / f"{i}.bmp").hardlink_to(root / "cat" / "0.bmp")
    rows = ImageFolderDataset(root)
    looked: list[Path] = []
    stat = Path.stat

    def look(path: Path, **kwargs: Any) -> Any:
        looked.append(path)
        return stat(path, **kwargs)

    monkeypatch.setattr(Path, "stat", look)
    facts = rows.content_fingerprint()
    assert {root / "cat" / "0.bmp", root / "cat" / "99.bmp"} <= set(looked), "the first by name, and the last"
    assert 60 < len(set(looked)) <= len(looked) < 100
    assert json.loads(json.dumps(facts)) == facts
