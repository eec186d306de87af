"""What the repository shows on its host: workflows, forms, the citation, the security policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
FORMS = [path for path in sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")) if path.name != "config.yml"]

USES = re.compile(r"^ *(?:- )?uses: (.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def test_every_action_is_pinned_by_its_hash() -> None:
    used = [action for path in WORKFLOWS for action in USES.findall(path.read_text())]
    assert len(used) >= 5
    assert [action for action in used if not PINNED.fullmatch(action)] == []
    # One version of each, so that no workflow is left behind.
    versions = {action.partition("@")[0]: action for action in used}
    assert set(versions.values()) == set(used)


def test_a_tag_is_no_pin() -> None:
    assert not PINNED.fullmatch("actions/checkout@v4")
    assert not PINNED.fullmatch("actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 60, name


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_has_what_its_host_demands(path: Path) -> None:
    form: dict[str, Any] = yaml.safe_load(path.read_text())
    assert form["name"]
    assert form["description"]
    ids = [part["id"] for part in form["body"]]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "dropdown", "checkboxes", "markdown")
        assert part["attributes"]["label"]


def test_dependabot_watches_the_actions_and_the_lock() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "uv"}


def test_the_citation_names_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["license"] == "Apache-2.0"
    assert "version" not in citation, "packages are released one by one; nothing would keep it up to date"


def test_the_site_is_built_by_the_command_of_contributors() -> None:
    build = yaml.safe_load((ROOT / ".readthedocs.yaml").read_text())["build"]
    assert build["commands"][0] == "make docs"
