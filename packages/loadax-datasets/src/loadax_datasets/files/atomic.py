"""Writing files so that others see all of a file or nothing."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """Opens a new file, which takes the place of `path` when the block ends, unless the block raises.

    Args:
        path: The file; its folder is there already. Of several writers at once, any may win.
    """
    with temporary_path(path) as temporary:
        # Others may read it as far as the system's settings let them, as any new file.
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)


@contextmanager
def temporary_path(path: Path) -> Generator[Path]:
    """The path of a file of this writer alone, in the folder of `path`, where renaming is atomic.

    A file that is there when the block ends is deleted.
    """
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
