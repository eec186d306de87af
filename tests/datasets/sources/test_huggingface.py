"""Hugging Face datasets."""

import io
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
from loadax_core import DataLoader, PadBatcher, aligned_empty, testing
from loadax_datasets import BaseDataset, HuggingFaceDataset, InMemoryDataset, MappedDataset, as_dataset

hf: Any = pytest.importorskip("datasets")
pa: Any = pytest.importorskip("pyarrow")
pil: Any = pytest.importorskip("PIL.Image")


class CheckDataset(Protocol):
    def __call__(self, dataset: BaseDataset[Any], expected: Sequence[Any], *, gathers: bool) -> None: ...


ReadElsewhere = Callable[[BaseDataset[Any], Sequence[int]], list[list[Any]]]
N = 9
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps progress bars out of the output, and everything else off the network and out of the home folder."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hf.disable_progress_bars()
    # A progress bar that is not shown starts a thread all the same.
    monkeypatch.setattr(pytest.importorskip("tqdm").tqdm, "monitor_interval", 0)
    logging.getLogger("datasets").setLevel(logging.ERROR)


COLUMNS: dict[str, tuple[Any, Any]] = {
    "u8": (hf.Value("uint8"), RNG.integers(0, 256, N).astype(np.uint8)),
    "f16": (hf.Value("float16"), RNG.standard_normal(N).astype(np.float16)),
    "f64": (hf.Value("float64"), np.array([np.nan, -0.0, np.inf, 1, 2, 3, 4, 5, 6])),
    "flag": (hf.Value("bool"), np.arange(N) % 2 == 0),
    "label": (hf.ClassLabel(names=["a", "b", "c"]), np.arange(N) % 3),
    "time": (hf.Value("timestamp[us]"), np.datetime64("2020-01-01", "us") + np.arange(N)),
    "text": (hf.Value("string"), [f"row {i} ü" for i in range(N)]),
    "data": (hf.Value("binary"), [bytes([i]) * i for i in range(N)]),
    "pair": (hf.Sequence(hf.Value("int16"), length=2), RNG.integers(0, 99, (N, 2), np.int16)),
    "grid": (hf.Array2D((2, 3), "uint8"), RNG.integers(0, 256, (N, 2, 3), np.uint8)),
}


def make(columns: dict[str, tuple[Any, Any]]) -> Any:
    values = {
        name: column.tolist() if isinstance(column, np.ndarray) else list(column)
        for name, (_, column) in columns.items()
    }
    return hf.Dataset.from_dict(values, features=hf.Features({name: kind for name, (kind, _) in columns.items()}))


ITEMS: list[dict[str, Any]] = [{name: column[i] for name, (_, column) in COLUMNS.items()} for i in range(N)]


def test_columns_keep_their_dtypes(check_dataset: CheckDataset) -> None:
    rows = HuggingFaceDataset(make(COLUMNS))
    check_dataset(rows, ITEMS, gathers=True)
    testing.check_dataset(rows)


@pytest.mark.parametrize("form", [None, "numpy", "arrow", "python"])
def test_any_format(check_dataset: CheckDataset, form: str | None) -> None:
    data = make(COLUMNS).with_format(form, columns=["text", "u8"])
    check_dataset(HuggingFaceDataset(data), [{k: item[k] for k in ("text", "u8")} for item in ITEMS], gathers=True)
    assert list(HuggingFaceDataset(data, columns=["f16"])[0]) == ["f16"]


def test_a_format_that_gives_the_other_columns_too(check_dataset: CheckDataset) -> None:
    data = make(COLUMNS).with_format("numpy", columns=["text"], output_all_columns=True)
    assert set(data[0]) == set(COLUMNS)
    check_dataset(HuggingFaceDataset(data), ITEMS, gathers=True)
    assert list(HuggingFaceDataset(data, columns=["f16"])[0]) == ["f16"]


def test_rows_that_were_selected_shuffled_and_joined(check_dataset: CheckDataset) -> None:
    data = make(COLUMNS)
    data = hf.concatenate_datasets([data.select([7, 2, 2]), data.shuffle(seed=1)])
    order = [int(np.flatnonzero(COLUMNS["u8"][1] == value)[0]) for value in data["u8"]]
    check_dataset(HuggingFaceDataset(data), [ITEMS[row] for row in order], gathers=True)


# By name: a feature, its values, and the items that they should become.
NESTED: dict[str, tuple[Any, list[Any], list[Any], bool]] = {
    "list": (
        hf.Sequence(hf.Value("int16")),
        [[i] * (i % 4) for i in range(N)],
        [np.array([i] * (i % 4), np.int16) for i in range(N)],
        False,
    ),
    "words": (
        hf.Sequence(hf.Value("string")),
        [["a", "b"][: i % 3] for i in range(N)],
        [["a", "b"][: i % 3] for i in range(N)],
        False,
    ),
    "struct": (
        {"a": hf.Value("int8"), "b": {"c": hf.Value("string")}},
        [{"a": i, "b": {"c": f"{i}"}} for i in range(N)],
        [{"a": np.int8(i), "b": {"c": f"{i}"}} for i in range(N)],
        True,
    ),
    "boxes": (
        [{"x": hf.Value("float32"), "name": hf.Value("string")}],
        [[{"x": i / 2, "name": "a"}] * (i % 3) for i in range(N)],
        [{"x": np.array([i / 2] * (i % 3), np.float32), "name": ["a"] * (i % 3)} for i in range(N)],
        False,
    ),
    "translation": (
        hf.Translation(["de", "en"]),
        [{"de": f"eins {i}", "en": f"one {i}"} for i in range(N)],
        [{"de": f"eins {i}", "en": f"one {i}"} for i in range(N)],
        True,
    ),
    "clips": (
        hf.Array2D((None, 2), "int8"),
        [[[i, 1]] * (1 + i % 3) for i in range(N)],
        [[np.array([i, 1], np.int8)] * (1 + i % 3) for i in range(N)],
        False,
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_nested_features(check_dataset: CheckDataset, name: str) -> None:
    feature, values, expected, gathers = NESTED[name]
    rows = HuggingFaceDataset(make({"v": (feature, values), "x": (hf.Value("int32"), np.arange(N))}))
    check_dataset(rows, [{"v": v, "x": np.int32(i)} for i, v in enumerate(expected)], gathers=gathers)


def picture(seed: int, mode: str = "RGB") -> Any:
    pixels = np.random.default_rng(seed).integers(0, 256, (3 + seed, 4, 3), np.uint8)
    return pil.fromarray(pixels).convert(mode)


def png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def test_images_are_decoded_when_they_are_read(check_dataset: CheckDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [picture(0), picture(1), picture(2, "L"), picture(3, "RGBA")]
    data = make({"image": (hf.Image(), images), "label": (hf.Value("int8"), [0, 1, 2, 3])})
    expected = [{"image": np.asarray(image), "label": np.int8(i)} for i, image in enumerate(images)]
    rows = HuggingFaceDataset(data)
    check_dataset(rows, expected, gathers=False)
    decoded: list[int] = []
    decode = hf.Image.decode_example

    def count(*args: Any, **kwargs: Any) -> Any:
        decoded.append(1)
        return decode(*args, **kwargs)

    monkeypatch.setattr(hf.Image, "decode_example", count)
    rows = HuggingFaceDataset(data)
    assert len(rows) == 4
    assert not decoded
    rows[2]
    assert len(decoded) == 1
    assert list(HuggingFaceDataset(data, columns=["label"])[:1]) == [{"label": 0}]
    assert len(decoded) == 1


def test_a_palette_is_applied() -> None:
    image = picture(0).quantize(5)
    rows = HuggingFaceDataset(make({"image": (hf.Image(), [image])}))
    assert np.array_equal(rows[0]["image"], np.asarray(image.convert("RGB")))


def test_a_palette_with_a_transparency_for_each_color_is_applied() -> None:
    image = picture(0).quantize(5)
    buffer = io.BytesIO()
    image.save(buffer, "png", transparency=bytes(range(5)))
    rows = HuggingFaceDataset(make({"image": (hf.Image(), [{"bytes": buffer.getvalue(), "path": None}])}))
    assert np.array_equal(rows[0]["image"], np.asarray(image.convert("RGB")))


def test_images_of_16_bits_in_the_other_byte_order_have_the_dtype_of_the_machine() -> None:
    pixels = np.array([[1, 2, 300], [4, 5, 65535]], np.uint16)
    buffer = io.BytesIO()
    pil.frombytes("I;16B", (3, 2), pixels.astype(">u2").tobytes()).save(buffer, "tiff")
    assert pil.open(buffer).mode == "I;16B"
    image = HuggingFaceDataset(make({"image": (hf.Image(), [{"bytes": buffer.getvalue(), "path": None}])}))[0]["image"]
    assert image.dtype == np.uint16
    assert image.dtype.isnative
    assert np.array_equal(image, pixels)


@pytest.mark.parametrize(("mode", "dtype"), [("1", "bool"), ("I;16", "uint16"), ("I", "int32"), ("F", "float32")])
def test_images_of_other_depths_keep_theirs(mode: str, dtype: str) -> None:
    buffer = io.BytesIO()
    pixels = np.arange(6).reshape(2, 3).astype(dtype)
    pil.fromarray(pixels).save(buffer, "tiff")
    stored = {"bytes": buffer.getvalue(), "path": None}
    image = HuggingFaceDataset(make({"image": (hf.Image(), [stored])}))[0]["image"]
    assert pil.open(buffer).mode == mode
    assert image.dtype == dtype
    assert np.array_equal(image, pixels)


def test_media_that_are_not_decoded_are_bytes(check_dataset: CheckDataset, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(picture(1)))
    stored = [{"bytes": png(picture(0)), "path": None}, {"bytes": None, "path": str(tmp_path / "a.png")}]
    storage = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for feature in (hf.Image(decode=False), hf.Audio(decode=False)):
        # Not by way of `from_dict`, which encodes sounds anew.
        data = hf.Dataset(
            pa.table({"m": pa.array(stored, storage)}), info=hf.DatasetInfo(features=hf.Features(m=feature))
        )
        check_dataset(HuggingFaceDataset(data), [{"m": png(picture(0))}, {"m": png(picture(1))}], gathers=True)


def test_the_decompression_limit_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = HuggingFaceDataset(make({"image": (hf.Image(), [picture(0)])}))
    rows[0]
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(pil.DecompressionBombError):
        rows[0]


def test_an_image_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow starts Ghostscript for PostScript, whatever the name of the file."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch '{tmp_path / 'started'}'\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(pytest.importorskip("PIL.EpsImagePlugin"), "gs_binary", None)
    data = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "x.png").write_bytes(data)
    stored = [{"bytes": data, "path": None}, {"bytes": None, "path": str(tmp_path / "x.png")}]
    rows = HuggingFaceDataset(make({"image": (hf.Image(), stored)}))
    for row, name in enumerate(["the image in column 'image'", f"'{tmp_path}/x.png' in column 'image'"]):
        with pytest.raises(OSError, match=rf"{name} is no image of the formats BMP"):
            rows[row]
    assert not (tmp_path / "started").exists()
    with pytest.raises(OSError):  # noqa: PT011
        hf.Image().decode_example(stored[0])
    assert (tmp_path / "started").exists(), "without the check, a program is started"


@pytest.mark.parametrize("decode", [True, False])
def test_nothing_is_downloaded(decode: bool) -> None:
    stored = [{"bytes": None, "path": "https://example.invalid/x.png"}]
    rows = HuggingFaceDataset(make({"image": (hf.Image(decode=decode), stored)}))
    with pytest.raises(ValueError, match=r"'https://example\.invalid/x\.png', which is not on this machine"):
        rows[0]


@pytest.mark.parametrize("decode", [True, False])
@pytest.mark.parametrize("path", ["/dev/zero", "/", "nowhere.png"])
def test_what_is_no_file_is_not_read(decode: bool, path: str) -> None:
    """A device need not end."""
    rows = HuggingFaceDataset(make({"image": (hf.Image(decode=decode), [{"bytes": None, "path": path}])}))
    with pytest.raises(FileNotFoundError, match=rf"column 'image' has '{path}', which is no file of this machine"):
        rows[0]


@pytest.mark.parametrize("kind", ["JPEG2000", "WEBP", "TIFF", "MPO", "GIF"])
def test_other_formats_are_decoded(kind: str) -> None:
    buffer = io.BytesIO()
    picture(0).save(buffer, format=kind)
    rows = HuggingFaceDataset(make({"image": (hf.Image(), [{"bytes": buffer.getvalue(), "path": None}])}))
    expected = pil.open(buffer).convert("RGB")
    assert np.array_equal(rows[0]["image"], np.asarray(expected))


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(TypeError, match=r"column 'a' is Audio, .*\.cast_column\('a', Audio\(decode=False\)\)"):
        HuggingFaceDataset(make({"a": (hf.Audio(), [])}))
    for feature in (hf.Sequence(hf.Image()), {"i": hf.Image()}, [{"i": [hf.Image()]}]):
        with pytest.raises(TypeError, match="column 'a' has Image within lists or structs"):
            HuggingFaceDataset(make({"a": (feature, [])}))


@pytest.mark.skipif(not hasattr(hf, "Json"), reason="older versions have no JSON")
def test_json_that_is_not_decoded_is_its_text(check_dataset: CheckDataset) -> None:
    texts = ["{}", "[1, null]", '"a"']
    with pytest.raises(TypeError, match=r"column 'v' is Json, .*\('v', Json\(decode=False\)\) for its text"):
        HuggingFaceDataset(make({"v": (hf.Json(), texts)}))
    raw = hf.Json(decode=False)
    rows = HuggingFaceDataset(make({"v": (raw, texts)}))
    check_dataset(rows, [{"v": text} for text in texts], gathers=True)
    lists, structs = [[text] for text in texts], [{"j": text} for text in texts]
    nested = make({"v": (hf.Sequence(raw), lists), "s": ({"j": raw}, structs)})
    expected = [{"v": one, "s": struct} for one, struct in zip(lists, structs, strict=True)]
    check_dataset(HuggingFaceDataset(nested), expected, gathers=False)
    with pytest.raises(TypeError, match="column 'v' has Json within lists or structs"):
        HuggingFaceDataset(make({"v": (hf.Sequence(hf.Json()), [])}))


def test_nulls_are_refused_or_filled_as_told(check_dataset: CheckDataset) -> None:
    data = make({"x": (hf.Value("uint8"), [1, None]), "s": (hf.Value("string"), [None, "b"])})
    rows = HuggingFaceDataset(data, fill_null={"s": ""})
    assert rows[0] == {"x": 1, "s": ""}
    with pytest.raises(ValueError, match=r"a null in column 'x'; give fill_null=\{'x': ...\}"):
        rows[1]
    expected = [{"x": np.uint8(1), "s": ""}, {"x": np.uint8(0), "s": "b"}]
    check_dataset(HuggingFaceDataset(data, fill_null={"s": "", "x": 0}), expected, gathers=True)
    with pytest.raises(ValueError, match="a null in column 'i'"):
        HuggingFaceDataset(make({"i": (hf.Image(), [None])}))[0]
    with pytest.raises(ValueError, match=r"fill_null gives 0\.5 for column 'x'"):
        HuggingFaceDataset(data, fill_null={"x": 0.5})


def test_times_are_filled_with_what_rows_have(check_dataset: CheckDataset) -> None:
    columns: dict[str, tuple[str, Any]] = {
        "day": ("date32", np.datetime64("2020-01-02")),
        "utc": ("timestamp[us, tz=UTC]", np.datetime64(3, "us")),
        "nano": ("timestamp[ns]", np.datetime64(3, "ns")),
        "span": ("duration[ms]", np.timedelta64(3, "ms")),
    }
    data = make({name: (hf.Value(kind), [None]) for name, (kind, _) in columns.items()})
    filling = {name: value for name, (_, value) in columns.items()}
    rows = HuggingFaceDataset(data, fill_null=filling)
    check_dataset(rows, [filling], gathers=True)
    check_dataset(HuggingFaceDataset(data, fill_null=rows[0]), [filling], gathers=True)


def test_missing_images_are_filled_as_told(check_dataset: CheckDataset) -> None:
    data = make({"image": (hf.Image(), [picture(1), None]), "x": (hf.Value("uint8"), [1, None])})
    blank = np.zeros((2, 3, 3), np.uint8)
    rows = HuggingFaceDataset(data, fill_null={"image": blank, "x": 7})
    expected = [{"image": np.asarray(picture(1)), "x": np.uint8(1)}, {"image": blank, "x": np.uint8(7)}]
    check_dataset(rows, expected, gathers=False)
    with pytest.raises(ValueError, match=r"a null in column 'image'; give fill_null=\{'image': ...\}"):
        HuggingFaceDataset(data, fill_null={"x": 7})[1]
    stored = data.cast_column("image", hf.Image(decode=False))
    assert HuggingFaceDataset(stored, columns=["image"], fill_null={"image": b""})[1] == {"image": b""}
    for column, wrong in ((data, b""), (data, np.zeros(3)), (data, None), (stored, blank), (stored, "")):
        with pytest.raises(ValueError, match=r"(?s)fill_null gives .* for column 'image'; give (an array|bytes)"):
            HuggingFaceDataset(column, fill_null={"image": wrong})


def test_an_empty_dataset(check_dataset: CheckDataset) -> None:
    rows = HuggingFaceDataset(make({name: (kind, []) for name, (kind, _) in COLUMNS.items()}))
    check_dataset(rows, [], gathers=True)
    assert rows.gather is not None
    assert rows.gather(np.array([], np.int64), aligned_empty)["grid"].shape == (0, 2, 3)


def double(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"twice": [2 * x for x in batch["x"]]}


def test_a_transform_is_kept(check_dataset: CheckDataset) -> None:
    data = make({"x": (hf.Value("int8"), np.arange(5))})
    rows = HuggingFaceDataset(data.with_transform(double))
    assert list(rows) == [{"twice": 2 * i} for i in range(5)]
    assert rows.read_many([3, -1]) == [{"twice": 6}, {"twice": 8}]
    assert rows.gather is None
    assert rows.fingerprint() == {"rows": 5}
    assert "5 rows" in repr(rows)
    with pytest.raises(ValueError, match="is read through it"):
        HuggingFaceDataset(data.with_transform(double), columns=["x"])


def test_streams_and_dicts_of_splits_are_refused() -> None:
    data = make({"x": (hf.Value("int8"), np.arange(5))})
    with pytest.raises(TypeError, match=r"IterableDataset is a stream: .*without streaming=True"):
        HuggingFaceDataset(data.to_iterable_dataset())
    with pytest.raises(TypeError, match=r"choose one of its splits: \['test', 'train'\]"):
        HuggingFaceDataset(hf.DatasetDict({"train": data, "test": data}))
    wrong: Any = [{"x": 1}]
    with pytest.raises(TypeError, match=r"takes a datasets\.Dataset, got a list"):
        HuggingFaceDataset(wrong)


USES: list[Any] = [as_dataset, DataLoader().build, partial(MappedDataset, fn=str), InMemoryDataset]


@pytest.mark.parametrize("use", USES)
def test_streams_and_dicts_of_splits_get_advice_of_their_own(use: Callable[[Any], Any]) -> None:
    data = make({"x": (hf.Value("int8"), np.arange(5))})
    with pytest.raises(TypeError, match=r"a datasets DatasetDict .* holds several datasets .* splits\['train'\]"):
        use(hf.DatasetDict({"train": data, "test": data}))
    stream = data.to_iterable_dataset()
    if use is InMemoryDataset:
        assert list(use(stream)) == [{"x": i} for i in range(5)], "a stream may be collected"
        return
    for given in (stream, hf.IterableDatasetDict({"train": stream})):
        with pytest.raises(TypeError, match=r"a datasets Iterable\w+ .* is a stream.* without streaming=True"):
            use(given)


def test_from_disk_by_threads_and_processes(tmp_path: Path, read_elsewhere: ReadElsewhere) -> None:
    make(COLUMNS).save_to_disk(tmp_path / "saved", num_shards=2)
    rows = HuggingFaceDataset(hf.load_from_disk(tmp_path / "saved"), columns=["text", "u8"])
    testing.check_dataset(rows)
    batches = list(DataLoader().batch_size(4).workers(3).prefetch(2).build(rows.shuffle(seed=1)))
    assert sorted(text for batch in batches for text in batch["text"]) == sorted(COLUMNS["text"][1])
    for items in read_elsewhere(rows, [8, 0]):
        assert [item["text"] for item in items] == ["row 8 ü", "row 0 ü"]


@pytest.mark.parametrize("cut", [100, 1000])
def test_missing_or_truncated_file(tmp_path: Path, cut: int) -> None:
    make({"x": (hf.Value("int64"), np.arange(1000))}).save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises((OSError, ValueError)):
        list(HuggingFaceDataset(hf.load_from_disk(tmp_path / "saved")))
    file.unlink()
    with pytest.raises(FileNotFoundError):
        HuggingFaceDataset(hf.load_from_disk(tmp_path / "saved"))


def test_lists_are_padded() -> None:
    rows = HuggingFaceDataset(make({"ids": (hf.Sequence(hf.Value("int32")), [[1, 2], [3]])}))
    (batch,) = DataLoader(PadBatcher()).batch_size(2).build(rows)
    assert batch["ids"].tolist() == [[1, 2], [3, 0]]


def test_fingerprint_is_of_what_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make({"image": (hf.Image(), [picture(0), None]), "x": (hf.Value("uint8"), [None, 2])})
    other = make({"image": (hf.Image(), [picture(1), None]), "x": (hf.Value("uint8"), [None, 2])})

    def decode(*_: Any, **__: Any) -> Any:
        raise AssertionError("what comes of it depends on the version of Pillow")

    monkeypatch.setattr(hf.Image, "decode_example", decode)
    before = HuggingFaceDataset(data, fill_null={"x": 0}).fingerprint()
    assert before == HuggingFaceDataset(data, fill_null={"x": 0}).fingerprint()
    assert before != HuggingFaceDataset(other, fill_null={"x": 0}).fingerprint()
    # A null is an error where it is read.
    DataLoader().build(HuggingFaceDataset(data))


def test_a_cache_knows_what_is_decoded_and_how(tmp_path: Path) -> None:
    data = make({"image": (hf.Image(), [picture(0)]), "x": (hf.Value("uint8"), [1])})
    assert HuggingFaceDataset(data).cache(tmp_path)[0]["image"].shape == (3, 4, 3)
    HuggingFaceDataset(data).cache(tmp_path)
    others = [
        HuggingFaceDataset(data.cast_column("image", hf.Image(**how))) for how in ({"mode": "L"}, {"decode": False})
    ]
    for other in (*others, HuggingFaceDataset(data, fill_null={"x": 0})):
        with pytest.raises(ValueError, match="is the cache of another dataset"):
            other.cache(tmp_path)


def test_fingerprint_knows_the_rows() -> None:
    data = make(COLUMNS)
    others = [data.select(range(8)), data.select(range(N)[::-1]), data.select_columns(["u8"]), data.shuffle(seed=1)]
    prints = [HuggingFaceDataset(each).fingerprint() for each in (data, *others)]
    assert len({str(each) for each in prints}) == 5
    assert HuggingFaceDataset(make(COLUMNS)).fingerprint() == prints[0], "made again, it is the same"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"columns": "u8"}, TypeError, r"write \['u8'\]"),
        ({"columns": [["u8"]]}, TypeError, r"columns is a sequence of names, and \['u8'\] in it is of type list"),
        ({"columns": []}, ValueError, "columns names no column; name one, or leave it out"),
        ({"fill_null": 0}, TypeError, r"fill_null .* got 0; write \{'name': 0\}"),
        ({"columns": ["y"]}, ValueError, "no column 'y'; it has .*'text'"),
        ({"columns": ["u8", "u8"]}, ValueError, "columns names 'u8' more than once"),
        ({"fill_null": {"y": 0}}, ValueError, "no column 'y'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        HuggingFaceDataset(make(COLUMNS), **arguments)
