"""Opening image files that may come from anywhere."""

from __future__ import annotations

from typing import Any, BinaryIO

from .optional import require

RASTER = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The formats of `ImageFolderDataset`, as Pillow calls them."""

ALL_RASTER = (*RASTER, "AVIF", "JPEG2000")
"""The formats of `HuggingFaceDataset`. Some versions of Pillow lack AVIF."""


def open_picture(file: BinaryIO, name: str, formats: tuple[str, ...], extra: str, user: str) -> Any:
    """Opens an image of one of the formats given. Its pixels are not read yet.

    Pillow knows an image by its content, whatever the name of the file. For PostScript it starts another program, so
    only raster formats are tried.

    Args:
        file: The file.
        name: What errors call the file.
        formats: The formats, as Pillow calls them; those that this version of Pillow lacks are not tried.
        extra: The extra of loadax-datasets that installs Pillow.
        user: The class that needs Pillow.

    Returns:
        A `PIL.Image.Image`.

    Raises:
        OSError: If the file is no image of these formats.
        PIL.Image.DecompressionBombError: If the image has more than twice `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    pillow = require("PIL.Image", extra, user)
    pillow.init()
    known = [each for each in formats if each in pillow.OPEN]
    try:
        return pillow.open(file, formats=known)
    except pillow.DecompressionBombError as error:
        raise pillow.DecompressionBombError(f"{name}: {error}") from error
    except pillow.UnidentifiedImageError as error:
        raise pillow.UnidentifiedImageError(
            f"{name} is no image of the formats {', '.join(known)}; convert it to one of them, or leave it out"
        ) from error
