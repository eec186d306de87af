"""Checks which page the search of the site finds first.

The site searches with lunr.js. `lunr` is the same in Python, and is set up here as Material for MkDocs sets it up: a
match in a title counts 1,000 times one in the text, and words are not stemmed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lunr import get_default_builder, lunr
from lunr.stemmer import stemmer

FIRST = {
    "bucket": "faq/",
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
    "s3": "faq/",
    "shuffle": "cookbook/",
    "slow": "troubleshooting/",
    "streaming": "faq/",
    "skip": "cookbook/",
    "tpu": "clusters/",
    "validation": "cookbook/",
    "webdataset": "faq/",
    "windows": "faq/",
}
"""Words that people search for, and the page that answers them."""


def wrong(index: Path) -> list[str]:
    """The words of `FIRST` that find another page first.

    Args:
        index: The file `search_index.json` of the built site.

    Returns:
        A sentence for each of these words.
    """
    builder = get_default_builder()
    builder.pipeline.remove(stemmer)
    builder.search_pipeline.remove(stemmer)
    entries: list[dict[str, Any]] = json.loads(index.read_text())["docs"]
    documents = [(entry, {"boost": entry.get("boost", 1)}) for entry in entries]
    fields = [{"field_name": "title", "boost": 1000}, {"field_name": "text", "boost": 1}]
    search = lunr(ref="location", fields=fields, documents=documents, builder=builder)
    found = {word: [match["ref"].partition("#")[0] for match in search.search(f"{word} {word}*")] for word in FIRST}
    return [
        f"{word} finds {pages[0] if pages else 'nothing'}, and {FIRST[word]} answers it"
        for word, pages in found.items()
        if pages[:1] != [FIRST[word]]
    ]
