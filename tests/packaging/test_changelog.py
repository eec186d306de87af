"""Changelogs are read and rolled as Keep a Changelog says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import changelog
import pytest

ROOT = Path(__file__).parents[2]

HEAD = "# Changelog\n\nAbout.\n\n"
FULL = HEAD + "## [Unreleased]\n\n### Added\n\n- `b`\n\n## [0.1.0] - 2020-01-01\n\n### Added\n\n- `a`\n"


def test_sections() -> None:
    assert changelog.unreleased(FULL) == "### Added\n\n- `b`"
    assert changelog.section(FULL, "0.1.0") == "### Added\n\n- `a`"
    assert changelog.unreleased(HEAD + "## [Unreleased]\n") == ""
    with pytest.raises(ValueError, match=r"no heading '## \[0\.2\.0\]'"):
        changelog.section(FULL, "0.2.0")


def test_rolled() -> None:
    rolled = changelog.rolled(FULL, "0.2.0", dt.date(2021, 2, 3))
    assert changelog.unreleased(rolled) == ""
    assert "\n## [Unreleased]\n\n## [0.2.0] - 2021-02-03\n\n### Added\n\n- `b`\n\n## [0.1.0]" in rolled
    with pytest.raises(ValueError, match="nothing to release"):
        changelog.rolled(rolled, "0.3.0", dt.date(2021, 2, 3))
    with pytest.raises(ValueError, match=r"section for 0\.1\.0 already"):
        changelog.rolled(FULL, "0.1.0", dt.date(2021, 2, 3))


PLANNED = HEAD + "## [Unreleased]\n{}\n## [0.1.0] - 2020-01-01\n\n### Added\n\n- `a`\n"


@pytest.mark.parametrize(
    ("unreleased", "merged"),
    [
        ("", "### Added\n\n- `a`"),
        ("\n### Added\n\n- `b`\n  more\n", "### Added\n\n- `a`\n- `b`\n  more"),
        ("\n### Changed\n\n- `c`\n", "### Added\n\n- `a`\n\n### Changed\n\n- `c`"),
    ],
)
def test_what_is_unreleased_joins_a_section_that_is_planned(unreleased: str, merged: str) -> None:
    text = PLANNED.format(unreleased) + "\n## [0.0.1] - 2019-01-01\n\n### Added\n\n- `z`\n"
    rolled = changelog.rolled(text, "0.1.0", dt.date(2021, 2, 3), planned=True)
    assert changelog.unreleased(rolled) == ""
    assert changelog.section(rolled, "0.1.0") == merged
    assert changelog.section(rolled, "0.0.1") == "### Added\n\n- `z`"
    assert rolled.startswith(f"{HEAD}## [Unreleased]\n\n## [0.1.0] - 2021-02-03\n\n### Added\n")
    assert rolled.count("\n\n\n") == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "### Changed\n\n- new"),
        ("### Added\n\n- `b`", "### Added\n\n- `b`\n\n### Changed\n\n- new"),
        ("### Changed\n\n- old\n\n### Fixed\n\n- c", "### Changed\n\n- new\n- old\n\n### Fixed\n\n- c"),
    ],
)
def test_with_entry(before: str, after: str) -> None:
    rest = "\n## [0.1.0]\n\n### Changed\n\n- old\n"
    text = HEAD + "## [Unreleased]\n" + (f"\n{before}\n" if before else "") + rest
    changed = changelog.with_entry(text, "new")
    assert changelog.unreleased(changed) == after
    assert changed.endswith(rest)
    assert changed.startswith(HEAD)


@pytest.mark.parametrize("path", sorted(ROOT.glob("packages/*/CHANGELOG.md")), ids=lambda path: path.parent.name)
def test_changelogs_of_the_packages_can_be_read(path: Path) -> None:
    changelog.unreleased(path.read_text())
