"""Every Python block of the READMEs and of the site runs, and prints what the text block after it shows."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import re
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.example import SybilFailure
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[2]
SITE = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [ROOT / "README.md", *SITE, *sorted(ROOT.glob("packages/*/README.md"))]

NOT_RUN = {
    "sh": "would install, start whole programs or need a cluster; tests/examples runs the programs",
    "console": "shows what programs print elsewhere",
    "yaml": "configures a cluster",
    "bibtex": "is no program",
}
"""Other languages that blocks may have, each with the reason why nobody runs them."""

PEERS = {
    "torch": "a comparison; it must not enter the lock",
    "grain": "a comparison",
    "tensorflow": "a comparison, of 600 MB",
}
"""What a block may need, said in a comment before it (`<!-- needs: torch -->`), and why it is not installed for tests.

Such a block runs where its peer is installed, and is only compiled elsewhere.
"""

NEEDS = re.compile(r"<!-- needs: (\w+) -->\s*\Z")
FILE = re.compile(r'python title="(\w+\.py)"')
BLOCKS = RawFencedCodeBlockLexer(re.compile(r"(?P<info>.*)$\n", re.MULTILINE))

MODULE = "page"
"""The name of the module that a document's blocks make up, so that what they define can be pickled."""


class Blocks:
    """Runs a document's Python blocks in one namespace, in order.

    A text block holds exactly what the Python block before it prints; a block without one after it prints nothing. A
    block whose title is the name of a file becomes that file, in the current folder, for a later one to import.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._python = PythonEvaluator()
        self._last: Example | None = None
        self._printed: str | None = ""
        self._document = Document.parse(str(path), self._parse)
        self._module = ModuleType(MODULE)
        self._document.namespace = vars(self._module)

    def run(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, MODULE, self._module)
            patch.setattr(sys, "path", [str(Path.cwd()), *sys.path])
            try:
                for example in self._document.examples():
                    example.evaluate()
                self._check_all_shown()
            finally:
                # Ends the iterators that the page has left open, whoever still refers to the namespace.
                self._document.namespace.clear()

    def _parse(self, document: Document) -> Iterator[Region]:
        for region in BLOCKS(document):
            info = region.lexemes["info"]
            region.parsed = region.lexemes["source"]
            if info == "python":
                region.evaluator = self._execute
            elif info == "text":
                region.evaluator = self._compare
            elif file := FILE.fullmatch(info):
                region.evaluator = partial(self._write, file[1])
            else:
                assert info in NOT_RUN, f"{document.path} has a block of {info!r}, which nobody runs; is that meant?"
                continue
            yield region

    def _write(self, name: str, example: Example) -> None:
        self.count += 1
        Path(name).write_text(example.parsed)

    def _execute(self, example: Example) -> None:
        self._check_all_shown()
        self.count += 1
        need = NEEDS.search(self._document.text[: example.start])
        if need and importlib.util.find_spec(need[1]) is None:
            assert need[1] in PEERS, f"{need[1]} is not known to be missing from the tests"
            compile(example.parsed, example.path, "exec")
            self._printed = None
            return
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self._python(example)
        self._last, self._printed = example, out.getvalue()

    def _compare(self, example: Example) -> str | None:
        printed, self._printed = self._printed, ""
        if printed is None or example.parsed == printed:
            return None
        return f"The document shows:\n{example.parsed}\nThis was printed:\n{printed}"

    def _check_all_shown(self) -> None:
        if self._last and self._printed:
            raise SybilFailure(self._last, f"The document does not show what this prints:\n{self._printed}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = Blocks(path)
    blocks.run()
    assert blocks.count or path in SITE, "this README has no example"


COOKBOOK = [
    region.lexemes["source"]
    for region in BLOCKS(Document.parse(str(ROOT / "docs" / "cookbook.md")))
    if region.lexemes["info"] == "python"
]


@pytest.mark.parametrize("recipe", COOKBOOK[1:], ids=range(1, len(COOKBOOK)))
def test_a_recipe_runs_after_the_first_block_alone(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": MODULE}
    exec(COOKBOOK[0] + recipe, namespace)
    assert "print(" not in recipe or capsys.readouterr().out


def test_the_readme_can_be_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


LINK = re.compile(r"""(?:\]\(|(?:href|src)=")([^)"#\s]+)(?:#([^)"\s]+))?""")


def test_links_of_the_readme_lead_somewhere() -> None:
    for target, anchor in LINK.findall((ROOT / "README.md").read_text()):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)", (ROOT / target).read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, anchor


@pytest.mark.parametrize("path", sorted(ROOT.glob("packages/*/README.md")), ids=lambda path: path.parent.name)
def test_links_of_a_package_lead_somewhere_on_its_index_page(path: Path) -> None:
    # The index shows the README of a package without the repository around it.
    for target, _ in LINK.findall(path.read_text()):
        assert target.startswith("https://"), target


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


def test_a_block_that_nobody_runs_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("```python \nprint(1)\n```\n")
    with pytest.raises(AssertionError, match="a block of 'python ', which nobody runs"):
        Blocks(document)


def test_a_block_with_the_title_of_a_file_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = tmp_path / "page.md"
    file = '```python title="shown_in_a_test.py"\nx = 2\n```\n'
    document.write_text(f"{file}\n```python\nimport shown_in_a_test\nprint(shown_in_a_test.x)\n```\n```text\n2\n```\n")
    Blocks(document).run()


def test_what_blocks_define_can_be_pickled(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("```python\nimport pickle\nclass A: pass\npickle.loads(pickle.dumps(A()))\n```\n")
    Blocks(document).run()


def test_blocks_in_tabs_run(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        '=== "Loadax"\n\n    ```python\n    if True:\n        print(1)\n    ```\n\n    ```text\n    2\n    ```\n'
    )
    with pytest.raises(SybilFailure, match="The document shows:\n2\n\nThis was printed:\n1\n"):
        Blocks(document).run()


@pytest.mark.parametrize(
    ("need", "error"), [("numpy", ZeroDivisionError), ("not_there", AssertionError), ("", ZeroDivisionError)]
)
def test_only_known_peers_excuse_a_block(tmp_path: Path, need: str, error: type[Exception]) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"<!-- needs: {need} -->\n```python\n1 / 0\n```\n")
    with pytest.raises(error):
        Blocks(document).run()


def test_blocks_that_cannot_run_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "not_there", "it does not exist")
    document = tmp_path / "page.md"
    text = "<!-- needs: not_there -->\n```python\n1 / 0\n```\n```text\n?\n```\n"
    text += "\n```python\nprint(1)\n```\n```text\n1\n```\n"
    document.write_text(text)
    Blocks(document).run()
    document.write_text(text.replace("1 / 0", "1 /"))
    with pytest.raises(SyntaxError):
        Blocks(document).run()


@pytest.mark.parametrize("package", ["loadax", "loadax_core", "loadax_datasets", "loadax_distributed"])
def test_the_reference_has_every_public_name(package: str) -> None:
    reference = "".join(path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
    # A method, such as `loadax_core.DataLoader.build`, is no name of the package; a function in a module is one.
    places = re.findall(rf"^::: {package}\.([\w.]+)$", reference, re.MULTILINE)
    shown = {place.rpartition(".")[2] for place in places if not place[0].isupper() or "." not in place}
    assert len(places) == len(set(places)), "a name is on two pages"
    recorded = (ROOT / "packages" / package.replace("_", "-") / "api.txt").read_text()
    # `loadax.Name is loadax_core.Name` stands on another page.
    names = set(re.findall(rf"^{package}\.(\w+)\b(?!.* is loadax_)", recorded, re.MULTILINE))
    modules = {"testing", "sources"} & names  # `sources` repeats what the package has
    assert shown | modules == names
    source = ROOT / "packages" / package.replace("_", "-") / "src" / package
    for name in re.findall(rf"^{package}\.(\w+)\(", recorded, re.MULTILINE):
        if (source / name).with_suffix(".py").exists() or (source / name).is_dir():
            assert f"::: {package}.{name}.{name}\n" in reference, f"{package}.{name} would show the module of that name"


HIDDEN = {
    "JaggedDataset.flat": "returns what is private; for the transforms of this package",
    "LoaderIterator.load": "for Orbax, which calls it",
    "LoaderIterator.save": "for Orbax, which calls it",
    "MegatronDataset.flat": "returns what is private; for the transforms of this package",
}
"""Public methods that the reference does not show, each with the reason."""


def test_the_reference_has_every_public_method() -> None:
    shown: dict[str, set[str]] = {}
    for path in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for entry in re.split(r"^::: ", path.read_text(), flags=re.MULTILINE)[1:]:
            place, _, options = entry.partition("\n")
            package, *names = place.split(".")
            if names[0][0].isupper():
                options = options.partition("\n\n")[0]
                members = set(names[1:]) or members_shown(getattr(import_module(package), names[0]), options)
                shown.setdefault(names[0], set()).update(members)
    recorded = "".join(path.read_text() for path in sorted(ROOT.glob("packages/*/api.txt")))
    members = set(re.findall(r"^loadax_\w+\.([A-Z]\w*)\.([a-z]\w*)\b", recorded, re.MULTILINE))
    shared = {member for owner, member in members if owner == "BaseDataset"}
    for owner, member in members:
        if owner == "BaseDataset" or not (owner.endswith("Dataset") and member in shared):
            assert member in shown[owner] or f"{owner}.{member}" in HIDDEN, f"{owner}.{member}"


def members_shown(kind: Any, options: str) -> set[str]:
    """The members of a class that an entry of the reference shows; none for an alias of a type."""
    if not inspect.isclass(kind):
        return set()
    chosen = {
        name: set(re.findall(r"\w+", text))
        for name, text in re.findall(r"^ +(members|inherited_members):((?: \[.*|\n +- \w+)*)", options, re.MULTILINE)
    }
    own = {*vars(kind), *getattr(kind, "__annotations__", ()), *chosen.get("inherited_members", ())}
    inherited = {name for base in kind.__mro__[1:] for name in vars(base)} - own
    attributes = re.findall(r"^    (\w+): ", inspect.getdoc(kind) or "", re.MULTILINE)
    return (chosen.get("members", own) - inherited) | set(attributes)
