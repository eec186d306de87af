"""Libraries of sources are imported when a source is made, and missed by name."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loadax_datasets import (
    ArrayRecordDataset,
    HuggingFaceDataset,
    ImageFolderDataset,
    ParquetDataset,
    PolarsDataset,
)
from loadax_datasets.sources import optional

LIBRARIES = ("array_record", "datasets", "pandas", "PIL", "polars", "pyarrow", "sqlite3")
ANYTHING: Any = None

MAKERS: dict[str, tuple[str, str, Callable[[], object]]] = {
    "ArrayRecordDataset": ("array_record", "arrayrecord", lambda: ArrayRecordDataset("x")),
    "HuggingFaceDataset": ("datasets", "huggingface", lambda: HuggingFaceDataset(ANYTHING)),
    "ImageFolderDataset": ("PIL", "images", lambda: ImageFolderDataset("x")),
    "ParquetDataset": ("pyarrow", "parquet", lambda: ParquetDataset("x")),
    "PolarsDataset": ("polars", "polars", lambda: PolarsDataset(ANYTHING)),
}


def imported(code: str) -> set[str]:
    """Which of the libraries are in memory after `code`, in a new process."""
    program = f"import sys\n{code}\nprint(*[name for name in {LIBRARIES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_no_library_is_imported_with_the_package() -> None:
    assert imported("from loadax_datasets import *") <= {"sqlite3"}


def test_random_generators_are_imported_when_they_are_needed() -> None:
    """Older NumPy imports them itself."""
    program = "import sys, numpy; known = {*sys.modules}; from loadax_datasets import *; print({*sys.modules} - known)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "loadax_datasets.transforms.random_mapped" in done.stdout
    assert "numpy.random" not in done.stdout


def test_a_library_would_be_seen() -> None:
    assert imported("import loadax_datasets, sqlite3") == {"sqlite3"}


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    library, extra, make = MAKERS[name]
    for module in [module for module in sys.modules if module.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)

    class Finder:
        """As if the library were not installed."""

        @staticmethod
        def find_spec(module: str, *_: object) -> None:
            if module.partition(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    with pytest.raises(
        ImportError, match=rf'{name} needs {library}.*pip install "loadax-datasets\[{extra}\]"'
    ) as caught:
        make()
    assert caught.value.name == library


def test_a_broken_library_is_not_reported_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brokenlib.py").write_text("import nothing_of_that_name")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="nothing_of_that_name"):
        optional.require("brokenlib", "broken", "BrokenDataset")
