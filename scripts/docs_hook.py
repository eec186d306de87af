"""Makes files outside `docs/` part of the documentation site. MkDocs calls these functions while it builds.

- A page may link to other files of the repository. On the site, such a link leads to the repository.
- `benchmarks/README.md` becomes the page of all measurements, with its pictures. `make bench` fills in its tables.
- The changelogs of the packages become one page.
- The search of the site must find the right page for some words: see `docs_search.py`.
- Each notebook of `docs/notebooks/` is run, and becomes a page that shows what it has printed.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import docs_search
import notebooks
from changelog import HEADING, unreleased
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "https://github.com/loadax/loadax/blob/main/"

BENCHMARKS = "benchmarks/README.md"
PLOTS = "benchmarks/plots"

FOUND_LAST = "---\nsearch:\n  boost: 0.001\n---\n\n"
"""Begins a page that has all words, and answers no question: the search shows it below the others."""

PAGE = "measurements.md"
CAPTIONS = {
    "limit": "How close each loader comes to the limit of the machine.",
    "stall": "The share of its time that a training loop waits for data.",
    "memory": "How much memory each loader adds.",
    "gpu": "When a GPU computes, and when it receives batches of Loadax.",
    "growth": "The cost of a batch as rows, batches and hosts grow.",
}

CHANGELOGS = ("loadax", "loadax-core", "loadax-datasets", "loadax-distributed")

UPWARDS = re.compile(r"(?<=\]\()\.\./[^)#\s]+")
"""The target of a link that starts with `../`, without its anchor."""

RELATIVE = re.compile(r"(?<=\]\()(?!\w+:|#|/|plots/)[^)#\s]+")
"""The target of a link to a file beside `benchmarks/README.md`. Its plots are files of the site, and not matched."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page of all measurements and its pictures, the page of changelogs, and the notebooks."""
    files.append(File.generated(config, "changelog.md", content=FOUND_LAST + changelog()))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.py")):
        for name, content in notebooks.pages(path).items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    text = links_to_source((ROOT / BENCHMARKS).read_text(), RELATIVE, "benchmarks")
    text = text.replace("# Benchmarks\n", "# All measurements\n", 1)
    plots = sorted((ROOT / PLOTS).glob("*.svg"))
    if plots:
        text += "\n## Pictures\n"
    for plot in plots:
        caption = CAPTIONS.get(plot.stem, plot.stem)
        text += f"\n{caption}\n\n![{caption}](plots/{plot.name})\n"
        files.append(File.generated(config, f"plots/{plot.name}", abs_src_path=str(plot)))
    files.append(File.generated(config, PAGE, content=FOUND_LAST + text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Checks the search, by the index that browsers get.

    Raises:
        PluginError: If a word finds another page first than the one that answers it.
    """
    wrong = docs_search.wrong(Path(config.site_dir, "search", "search_index.json"))
    if wrong:
        raise PluginError("the search finds other pages first: " + "; ".join(wrong))


def changelog() -> str:
    """The changelogs of all packages, each below a heading with the name of its package."""
    parts = ["# Changelog\n\nEach package is released on its own, and has a changelog of its own.\n"]
    for name in CHANGELOGS:
        text = (ROOT / "packages" / name / "CHANGELOG.md").read_text()
        if not unreleased(text):
            text = text.replace(f"\n{HEADING}\n", "", 1)
        # After the title and a paragraph about the format.
        versions = text[text.index("\n## ") :]
        parts.append(f"\n## {name}\n" + re.sub(r"^(#+) \[?([^]\n]*)\]?", r"#\1 \2", versions, flags=re.MULTILINE))
    return "".join(parts)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turns links that leave `docs/` into links to the repository."""
    return links_to_source(markdown, UPWARDS, posixpath.join("docs", posixpath.dirname(page.file.src_uri)))


def links_to_source(text: str, links: re.Pattern[str], folder: str) -> str:
    """Replaces links to files outside `docs/` with links to the repository.

    Args:
        text: Markdown.
        links: Matches the targets of links that may lead outside `docs/`.
        folder: The folder of the repository to which the targets are relative.

    Returns:
        The new Markdown.

    Raises:
        PluginError: If there is no such file.
    """

    def replace(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[0]))
        if path.startswith("docs/"):
            # A page that is made from a file elsewhere lies at the top of the site.
            return link[0] if folder.startswith("docs") else posixpath.relpath(path, "docs")
        if not (ROOT / path).exists():
            raise PluginError(f"a link leads to {link[0]}, but there is no {path}")
        return SOURCE + path

    return links.sub(replace, text)
