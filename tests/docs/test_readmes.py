"""Every Python block of the READMEs runs, and prints what the text block after it shows."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[2]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("packages/*/README.md"))]


class Blocks:
    """Runs a document's Python blocks in one namespace, in order.

    A text block holds exactly what the Python block before it prints; a block without one after it prints nothing.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._python = PythonEvaluator()
        self._last: Example | None = None
        self._printed = ""
        parsers = CodeBlockParser("python", self._execute), CodeBlockParser("text", self._compare)
        self._document = Document.parse(str(path), *parsers)
        self._document.namespace["__name__"] = "__main__"

    def run(self) -> None:
        for example in self._document.examples():
            example.evaluate()
        self._check_all_shown()

    def _execute(self, example: Example) -> None:
        self._check_all_shown()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self._python(example)
        self._last, self._printed = example, out.getvalue()
        self.count += 1

    def _compare(self, example: Example) -> str | None:
        printed, self._printed = self._printed, ""
        if example.parsed == printed:
            return None
        return f"The document shows:\n{example.parsed}\nThis was printed:\n{printed}"

    def _check_all_shown(self) -> None:
        if self._last and self._printed:
            raise SybilFailure(self._last, f"The document does not show what this prints:\n{self._printed}")


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readme(path: Path) -> None:
    blocks = Blocks(path)
    blocks.run()
    assert blocks.count, "this README has no example"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "```python\nprint(1)\n```\n\n```text\n2\n```\n",
            "line 5, .*\nThe document shows:\n2\n\nThis was printed:\n1\n",
        ),
        ("```python\nprint(1)\n```\n\nNothing.\n", "line 1, .*\nThe document does not show what this prints:\n1\n"),
        ("```python\nprint(1)\n```\n\n```python\nx = 1\n```\n", "line 1, .*\nThe document does not show"),
        ("```text\n1\n```\n", "line 1, .*\nThe document shows:\n1\n\nThis was printed:\n$"),
        ("```python\nprint(1)\n```\n```text\n1\n```\n```text\n1\n```\n", "line 7, .*\nThe document shows"),
    ],
    ids=["wrong", "not shown at the end", "not shown in between", "without code", "shown twice"],
)
def test_wrong_output_is_caught(tmp_path: Path, text: str, complaint: str) -> None:
    document = tmp_path / "README.md"
    document.write_text(text)
    with pytest.raises(SybilFailure, match=complaint):
        Blocks(document).run()


def test_blocks_share_a_namespace(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("```python\nx = 2\n```\n\n```python\nprint(x)\n```\n\n```text\n2\n```\n")
    blocks = Blocks(document)
    blocks.run()
    assert blocks.count == 2


def test_errors_are_relayed(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        Blocks(document).run()
