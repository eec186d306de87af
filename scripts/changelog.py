"""Reading and rolling the changelogs, which follow https://keepachangelog.com/en/1.1.0/."""

from __future__ import annotations

import datetime as dt
import re

HEADING = "## [Unreleased]"


def unreleased(text: str) -> str:
    """The entries of a changelog under "Unreleased", without the heading.

    Raises:
        ValueError: If there is no such heading.
    """
    return section(text, "Unreleased")


def section(text: str, version: str) -> str:
    """The entries of a changelog about a version, without the heading.

    Raises:
        ValueError: If it has no heading for it.
    """
    parts = re.split(rf"^## \[{re.escape(version)}\].*$", text, maxsplit=1, flags=re.MULTILINE)
    if len(parts) == 1:
        raise ValueError(f"the changelog has no heading '## [{version}]'")
    return re.split(r"^## ", parts[1], maxsplit=1, flags=re.MULTILINE)[0].strip()


def rolled(text: str, version: str, date: dt.date, *, planned: bool = False) -> str:
    """The changelog with its unreleased changes under the heading of a version.

    Args:
        text: The changelog.
        version: The version.
        date: The date of its release.
        planned: Whether the version may have a section, with the date for which it was planned. Unreleased changes
            join it, and it gets the new date.

    Raises:
        ValueError: If nothing is unreleased, or the version is in the changelog already.
    """
    if planned and f"\n## [{version}]" in text:
        changes = merged(section(text, version), unreleased(text))
        text = text.replace(unreleased(text), "", 1)
        before, after = re.split(rf"^## \[{re.escape(version)}\].*$", text, maxsplit=1, flags=re.MULTILINE)
        older = re.search(r"^## ", after, re.MULTILINE)
        rest = f"\n{after[older.start() :]}" if older else ""
        heading = f"## [{version}] - {date.isoformat()}"
        return f"{before.rstrip()}\n\n{heading}\n\n{changes}\n{rest}"
    if not unreleased(text):
        raise ValueError("the changelog has nothing under Unreleased: there is nothing to release")
    if f"\n## [{version}]" in text:
        raise ValueError(f"the changelog has a section for {version} already")
    return text.replace(f"\n{HEADING}\n", f"\n{HEADING}\n\n## [{version}] - {date.isoformat()}\n", 1)


def merged(changes: str, more: str) -> str:
    """The entries of two sections, under one heading for each kind of change."""
    found: dict[str, list[str]] = {}
    for text in (changes, more):
        for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
            kind, _, entries = part.partition("\n")
            found.setdefault(kind, []).append(entries.strip())
    return "\n\n".join(f"### {kind}\n\n" + "\n".join(entries) for kind, entries in found.items())


def with_entry(text: str, entry: str) -> str:
    """The changelog with one more entry under "Unreleased", in the section "Changed"."""
    changes = unreleased(text)
    section = re.search(r"^### Changed\n\n", changes, re.MULTILINE)
    if section:
        extended = f"{changes[: section.end()]}- {entry}\n{changes[section.end() :]}"
    else:
        extended = f"{changes}\n\n### Changed\n\n- {entry}".strip()
    if changes:
        return text.replace(changes, extended, 1)
    return text.replace(f"\n{HEADING}\n", f"\n{HEADING}\n\n{extended}\n", 1)
