"""Files, classes and folders that one person can hold in mind; where one must be larger, it says why."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(ROOT.glob("packages/*/src/**/*.py"))

MOST_LINES, MOST_LINES_OF_CLASS, MOST_FILES = 300, 200, 17


def docstring(path: Path) -> str:
    """What a module says of itself, in one line."""
    return " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())


def lines_of_class(node: ast.ClassDef) -> int:
    """The lines of a class without docstrings."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    for child in ast.walk(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(child) is not None:
            lines -= (child.body[0].end_lineno or 0) - child.body[0].lineno + 1
    return lines


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_long_file_says_why(path: Path) -> None:
    text = path.read_text()
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    long = text.count("\n") > MOST_LINES or any(lines_of_class(node) > MOST_LINES_OF_CLASS for node in classes)
    assert not long or "is longer than others" in docstring(path)


def test_a_full_folder_says_why() -> None:
    for folder, count in Counter(path.parent for path in FILES).items():
        said = docstring(folder / "__init__.py")
        assert count <= MOST_FILES or "has more files than others" in said or "one file for each" in said, folder
