"""Runs notebooks, and makes pages of the documentation site of them.

A notebook is stored as Python, in the light format of Jupytext, without outputs. So its changes can be read, type
checkers and formatters see it, and the page shows what this version prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

TIMEOUT = 120
"""Seconds that a cell may take."""

TEMPLATE = """
{%- extends "markdown/index.md.j2" -%}
{%- block stream %}
```text
{{ output.text | trim }}
```
{% endblock stream %}
{%- block data_text %}
```text
{{ output.data["text/plain"] | trim }}
```
{% endblock data_text %}
"""
"""What a cell prints is a block of text, as on all other pages; by default it would be indented."""


def pages(path: Path) -> Mapping[str, str | bytes]:
    """Runs a notebook, and returns the files of its page by their names.

    Args:
        path: A notebook in Jupytext's light format.

    Returns:
        The page `name.md`, the notebook `name.ipynb` with its outputs, and the pictures of the page.

    Raises:
        CellExecutionError: If a cell raises an exception.
    """
    return _pages(path.stem, path.read_text())


@cache  # `make docs-serve` builds the site again after each change.
def _pages(name: str, source: str) -> Mapping[str, str | bytes]:
    notebook: Any = jupytext.reads(source, fmt="py:light")
    # The kernel talks through files, which other users of the machine cannot read.
    config = Config({"KernelManager": {"transport": "ipc"}})
    NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", config=config).execute()
    exporter = MarkdownExporter(raw_template=TEMPLATE)
    exporter.register_preprocessor("nbconvert.preprocessors.CoalesceStreamsPreprocessor", enabled=True)
    text, resources = exporter.from_notebook_node(notebook, {"output_files_dir": f"{name}_files"})
    title, rest = text.lstrip().split("\n", 1)
    pictures: dict[str, bytes] = resources["outputs"]
    return {
        f"{name}.md": f"{title}\n\n[Download this notebook]({name}.ipynb)\n{rest}",
        f"{name}.ipynb": nbformat.writes(notebook),
        **pictures,
    }
