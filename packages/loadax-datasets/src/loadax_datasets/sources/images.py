"""Folders of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from loadax_core import Rows, add_note

from ..base import BaseDataset
from ..files.fingerprints import digest, sample_file
from ..files.folders import advice, files_below, is_folder, shown
from ..log import inform
from .optional import require
from .pictures import RASTER, open_picture

SUFFIXES = frozenset(
    [".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"]
)

SIZED, SAMPLED = 64, 4
"""A cache directory is compared by the sizes of 64 files, and by some bytes of 4 files."""


BITS, INTERPRETATION = 258, 262
"""Tags of TIFF: how many bits a channel has, and what its numbers mean."""

WHITE_IS_ZERO = 0
"""The interpretation of gray that is stored as a negative."""


class LabelledImage(TypedDict):
    """One image, of shape `(height, width)` or `(height, width, channels)`, and the number of its class."""

    image: npt.NDArray[np.uint8]
    label: np.int32


class ImageFolderDataset(BaseDataset[LabelledImage]):
    """Images in one folder for each class, as `root/class/.../name.png`.

    Rows are dicts: `"image"` is a `uint8` array of shape `(height, width, 3)`, or `(height, width)` with `mode="L"`;
    `"label"` is the place of the class among `classes`, an `int32`. Classes and images are in the order of their names,
    the same on every machine. An image is decoded when its row is read, and only then; images of other sizes need a
    `.map` that crops or resizes before they make a batch.

    An image is a file whose name ends in `.bmp`, `.gif`, `.jfif`, `.jpe`, `.jpeg`, `.jpg`, `.pbm`, `.pgm`, `.png`,
    `.pnm`, `.ppm`, `.tif`, `.tiff` or `.webp`, and whose content is BMP, GIF, JPEG, PNG, PPM, TIFF or WebP: nothing
    else is decoded. Links to files and folders are followed. Left out are names that begin with a dot, other files, and
    folders without an image, which are no classes; the logger `loadax.datasets` names these folders, at level INFO.

    Pixels are as they are stored. The turn that a photo's EXIF data may ask for is not made; `HuggingFaceDataset` makes
    it. Of 12 or 16 bits the upper 8 are kept, in gray images as in color. Gray images of 32-bit integers or
    floating-point numbers are refused, as nothing says which numbers are black and white.

    Args:
        root: The folder with the folders of the classes.
        mode: What Pillow converts every image to: `"RGB"`, `"L"` for gray, or `"RGBA"`.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ImportError: If Pillow is not installed.
        OSError: If a folder cannot be read, or a link leads nowhere; or when an image is cut short, or of another
            format.
        ValueError: If an image lies beside the folders of the classes, a link leads to a folder that it lies in, what
            has the name of an image is neither a file nor a folder, or `mode` is something else; or when an image is
            gray, of 32 bits.
        PIL.Image.DecompressionBombError: When an image has so many pixels that it must be a mistake or an attack: more
            than twice Pillow's `Image.MAX_IMAGE_PIXELS`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("cat", "dog"):
        ...     (root / name).mkdir()
        ...     Image.new("RGB", (6, 4)).save(root / name / "0.png")
        >>> rows = ImageFolderDataset(root)
        >>> rows.classes, int(rows[1]["label"]), rows[1]["image"].shape
        (['cat', 'dog'], 1, (4, 6, 3))
    """

    def __init__(self, root: str | os.PathLike[str], *, mode: str = "RGB") -> None:
        require("PIL.Image", "images", "ImageFolderDataset")
        if mode not in ("RGB", "L", "RGBA"):
            raise ValueError(f"mode must be 'RGB', 'L' or 'RGBA', got {mode!r}")
        self._mode = mode
        self._root = Path(root).absolute()
        if not self._root.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self._root)!r}{advice(root)}")
        self._names: list[str] = []
        self._labels: list[int] = []
        self.classes: list[str] = []
        without: list[str] = []
        with os.scandir(self._root) as listed:
            entries = sorted(
                (entry for entry in listed if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
        for entry in entries:
            path = self._root / entry.name
            if not is_folder(path, entry):
                if path.suffix.lower() in SUFFIXES:
                    raise ValueError(
                        f"{shown(path)} belongs to no class: move it into a folder with the name of its class"
                    )
                continue
            found = files_below(path, SUFFIXES, hidden=(".",))
            if not found:
                without.append(entry.name)
                continue
            names = sorted(name.relative_to(self._root).as_posix() for name in found)
            self._names += names
            self._labels += [len(self.classes)] * len(names)
            self.classes.append(entry.name)
        if without:
            inform("folders without an image in %r, which are no classes: %r", str(self._root), without)
        if not self._names:
            raise FileNotFoundError(
                f"there is no image in the folders of {str(self._root)!r}; images end in {', '.join(sorted(SUFFIXES))}"
            )

    def __len__(self) -> int:
        return len(self._names)

    def read(self, row: int) -> LabelledImage:
        """The image at `row`, decoded."""
        path = self._root / self._names[row]
        try:
            with (
                path.open("rb") as file,
                open_picture(file, shown(path), RASTER, "images", "ImageFolderDataset") as image,
            ):
                if image.mode == "P" and self._mode != "RGBA":
                    # Pillow warns of a transparency that the other modes leave out.
                    image.info.pop("transparency", None)
                pixels: npt.NDArray[np.uint8] = np.asarray(_of_8_bits(image, path).convert(self._mode))
        except Exception as error:
            add_note(error, f"raised while reading {shown(path)}")
            raise
        return {"image": pixels, "label": np.int32(self._labels[row])}

    def names_of(self, rows: Rows) -> Sequence[str]:
        """The file of each row, below the folder."""
        numbers: list[int] = rows.tolist()
        return [self._names[row] for row in numbers]

    def fingerprint(self) -> dict[str, Any]:
        """The number of rows and of classes, and a hash of the names of these and of the files."""
        return {
            "rows": len(self),
            "classes": len(self.classes),
            "names": digest("\0".join([*self.classes, *self._names]).encode("utf-8", "surrogateescape")),
            "mode": self._mode,
        }

    def _own_contents(self) -> dict[str, Any]:
        """A hash of the sizes of some files, spread over all of them, and of a few bytes of a few."""
        sizes = [path.stat().st_size for path in self._spread(SIZED)]
        samples = [sample_file(path) for path in self._spread(SAMPLED)]
        return {"files": digest(repr((sizes, samples)).encode())}

    def _spread(self, count: int) -> list[Path]:
        """`count` files, spread over all of them; some more than once if there are fewer."""
        rows: list[int] = np.linspace(0, len(self) - 1, count).astype(np.int64).tolist()
        return [self._root / self._names[row] for row in rows]

    def describe(self) -> str:
        """The number of rows and classes, and the folder."""
        return f"ImageFolderDataset({len(self)} rows: {len(self.classes)} classes in {str(self._root)!r}, {self._mode})"


def _of_8_bits(image: Any, path: Path) -> Any:
    """The image with 8 bits a channel, of a mode that Pillow converts to all others.

    Pillow's conversion of 16 bits would cut larger numbers off at 255.
    """
    mode: str = image.mode
    # Some versions of Pillow have 32 bits of memory for the 16 bits of these formats.
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        pillow = require("PIL.Image", "images", "ImageFolderDataset")
        # Pillow leaves these tags to its users where a channel has more than 8 bits.
        tags: Any = image.tag_v2 if image.format == "TIFF" else {}
        bits: int = tags.get(BITS, (16,))[0]
        # Pillow does the same with colors of 16 bits.
        upper = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
        return pillow.fromarray(255 - upper if tags.get(INTERPRETATION) == WHITE_IS_ZERO else upper)
    if mode == "LAB":
        # To gray, Pillow cannot convert it.
        return image.convert("RGB")
    if mode in ("I", "F"):
        raise ValueError(
            f"{shown(path)} has the mode {mode!r}, 32 bits a pixel, and nothing says which numbers are black and "
            "white; scale it to 8 bits and save it anew, or read such files by a map of their names, as in "
            "InMemoryDataset(names).map(read)"
        )
    return image
