"""Checks which page the search of the site finds first.

The site searches with lunr.js. `lunr` is the same in Python, and is set up here as the worker of Material for MkDocs
sets it up: a match in a title counts 1,000 times one in the text, the length of a text does not count, words are
neither stemmed nor trimmed, and a word that is typed may be the beginning of a longer one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lunr import get_default_builder, lunr
from lunr.stemmer import stemmer
from lunr.trimmer import trimmer

FIRST = {
    "bucket": "faq/",
    "bucketing": "faq/",
    "checkpoint": "resume/",
    "corrupt": "cookbook/",
    "csv": "tabular/",
    "hang": "troubleshooting/",
    "jsonl": "tabular/",
    "memory": "troubleshooting/",
    "mix": "cookbook/",
    "numpy": "start/",
    "oom": "troubleshooting/",
    "packing": "text/",
    "prefetch": "speed/",
    "s3": "faq/",
    "shuffle": "cookbook/",
    "slow": "troubleshooting/",
    "streaming": "faq/",
    "skip": "cookbook/",
    "tfrecord": "from-tfdata/",
    "tpu": "faq/",
    "validation": "cookbook/",
    "webdataset": "faq/",
    "windows": "faq/",
}
"""Words that people search for, and the page that answers them."""

FIELDS = {"title": 1000, "text": 1}
"""What of an entry is searched, and how much a match there counts."""

PAGE, SECTION = 5, 2
"""How much a match counts in the entry of a page, and in that of a section."""

TAG = re.compile(r"<[^>]*>")


def wrong(index: Path) -> list[str]:
    """The words of `FIRST` that find another page first.

    Args:
        index: The file `search_index.json` of the built site.

    Returns:
        A sentence for each of these words.
    """
    builder = get_default_builder()
    for function in (stemmer, trimmer):
        builder.pipeline.remove(function)
        builder.search_pipeline.remove(function)
    builder.b(0)
    built: dict[str, Any] = json.loads(index.read_text())
    separator = re.compile(built["config"]["separator"])

    def words(html: str) -> list[str]:
        return [word for text in TAG.split(html) for word in separator.split(text) if word]

    documents: list[tuple[dict[str, Any], dict[str, float]]] = []
    for entry in built["docs"]:
        fields = {name: words(entry[name]) for name in FIELDS}
        documents.append(({"location": entry["location"], **fields}, {"boost": entry.get("boost", 1)}))
    boosts = [{"field_name": name, "boost": boost} for name, boost in FIELDS.items()]
    search = lunr(ref="location", fields=boosts, documents=documents, builder=builder)

    def pages(word: str) -> list[str]:
        found: list[tuple[float, str]] = []
        for match in search.search(f"{word}*"):
            # The worker prefers whole pages to their sections.
            page, section, _ = match["ref"].partition("#")
            found.append((match["score"] * (SECTION if section else PAGE), page))
        return [page for _, page in sorted(found, reverse=True)]

    found = {word: pages(word) for word in FIRST}
    return [
        f"{word} finds {first[0] if first else 'nothing'}, and {FIRST[word]} answers it"
        for word, first in found.items()
        if first[:1] != [FIRST[word]]
    ]
