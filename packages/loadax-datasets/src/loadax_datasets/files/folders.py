"""Finding files in folders, and writing their names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path


def files_below(folder: Path, suffixes: Collection[str], hidden: tuple[str, ...]) -> list[Path]:
    """Lists the files in a folder and in its subfolders. Links to files and to folders are followed.

    Args:
        folder: The folder.
        suffixes: Endings of the files to list, in lower case, such as `{".png"}`; `.PNG` counts as `.png`.
        hidden: Names that begin with one of these are left out.

    Returns:
        The paths, in no particular order.

    Raises:
        OSError: If a subfolder cannot be read, or a link leads nowhere.
        ValueError: If a link leads to a folder that it lies in, or a name with one of the suffixes is neither a file
            nor a folder.
    """
    return list(_walk(folder, suffixes, hidden, ()))


def _walk(
    folder: Path, suffixes: Collection[str], hidden: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[Path]:
    found = folder.stat()
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise ValueError(f"{shown(folder)} is a link to a folder that it lies in; delete the link")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(hidden):
                continue
            path = folder / entry.name
            if is_folder(path, entry):
                yield from _walk(path, suffixes, hidden, (*above, here))
            elif path.suffix.lower() not in suffixes:
                continue
            elif entry.is_file():
                yield path
            else:
                raise ValueError(f"{shown(path)} is neither a file nor a folder; delete it, or move it elsewhere")


def is_folder(path: Path, entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a folder, or a link to one.

    Args:
        path: The path of the entry.
        entry: The entry.

    Raises:
        OSError: If the entry is a link that leads nowhere, which might have been a folder of rows.
    """
    if not entry.is_symlink() or path.exists():
        return entry.is_dir()
    raise FileNotFoundError(
        f"{shown(path)} is a link to {str(path.readlink())!r}, which does not exist; mend the link, or delete it"
    )


def shown(path: Path) -> str:
    """A path for messages: names that are not UTF-8 could not be printed as they are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def local_path(given: str | os.PathLike[str], user: str) -> Path:
    """The path of something that must exist.

    Args:
        given: The path, as the user gave it.
        user: The class that takes it, for errors.

    Returns:
        The path, absolute.

    Raises:
        FileNotFoundError: If there is nothing; says so if a URL, a pattern or a home folder was given, which are not
            taken.
    """
    path = Path(given).absolute()
    if not path.exists():
        raise FileNotFoundError(f"{user} finds no file or folder {os.fspath(given)!r}{advice(given)}")
    return path


def advice(given: str | os.PathLike[str]) -> str:
    """What to give instead of something that is no path: `": "` and a sentence, or nothing if it looks like a path."""
    text = os.fspath(given)
    if "://" in text:
        return ": it is a URL, and only files of this machine are read; copy them here, or mount their store"
    if text.startswith("~"):
        return ": a shell puts the home folder in place of ~, Python does not; give os.path.expanduser(path)"
    if any(sign in text for sign in "*?["):
        return ": patterns are not taken; give sorted(glob.glob(pattern))"
    return ""
