"""`loadax` gives every public name of its packages, and needs JAX for none but the distributed ones."""

from __future__ import annotations

import ast
import importlib
import pickle
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import loadax
import loadax_core
import loadax_datasets
import loadax_distributed
import pytest

MEMBERS = (loadax_core, loadax_datasets, loadax_distributed)


def public_names(package: ModuleType) -> set[str]:
    """What a package's `__init__` re-exports in the form `from .module import Name as Name`."""
    assert package.__file__
    nodes = ast.walk(ast.parse(Path(package.__file__).read_text()))
    imports = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {alias.name for alias in imports if alias.asname == alias.name}


def imports_jax(code: str) -> bool:
    """Whether code in a fresh interpreter imports JAX."""
    code += "\nimport sys\nprint('jax' in sys.modules or 'jaxlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {"True\n": True, "False\n": False}[done.stdout]


@pytest.mark.parametrize("package", MEMBERS, ids=lambda package: package.__name__)
def test_every_public_name_is_the_same_object(package: ModuleType) -> None:
    names, extend = public_names(package), public_names(loadax.extend)
    assert names
    missing = names - set(loadax.__all__) - extend
    assert not missing, f"add these to packages/loadax/src/loadax/__init__.py or extend.py: {sorted(missing)}"
    for name in names:
        assert getattr(loadax.extend if name in extend else loadax, name) is getattr(package, name), name


def test_all_is_sorted_and_holds_nothing_else() -> None:
    members = {name for package in MEMBERS for name in public_names(package)} - public_names(loadax.extend)
    assert loadax.__all__ == sorted({*members, "__version__", "distributed", "export", "extend", "versions"})


def test_what_authors_need_is_not_among_what_training_scripts_use() -> None:
    extend = public_names(loadax.extend)
    assert extend < public_names(loadax_core)
    assert {"Alloc", "Rows", "SupportsGather", "join_batches", "tree"} <= extend
    assert not extend & set(loadax.__all__)
    for name in extend:
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; import it from loadax.extend$"):
            getattr(loadax, name)


def test_distributed_holds_the_names_of_its_package() -> None:
    names = public_names(loadax_distributed)
    assert public_names(loadax.distributed) == names
    for name in names:
        assert getattr(loadax.distributed, name) is getattr(loadax_distributed, name)
    assert names <= set(dir(loadax.distributed))


def test_no_two_packages_share_a_name() -> None:
    names = [name for package in MEMBERS for name in public_names(package)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("package", [loadax, loadax_datasets])
def test_dir_is_complete(package: ModuleType) -> None:
    assert dir(package) == sorted(package.__all__)
    assert public_names(package) <= set(package.__all__)


@pytest.mark.parametrize("package", [loadax, loadax_datasets])
def test_star_import(package: ModuleType) -> None:
    namespace: dict[str, object] = {}
    exec(f"from {package.__name__} import *", namespace)
    assert set(package.__all__) <= set(namespace)


def test_a_dataset_is_imported_when_it_is_first_used() -> None:
    code = """
import sys, loadax
def imported():
    return sorted(name.rsplit(".", 1)[1] for name in sys.modules if name.startswith("loadax_datasets."))
print(imported())
rows = loadax.RangeDataset(3)
print([name in imported() for name in ("ranges", "shuffled", "concatenated", "parquet")])
rows + rows
print([name in imported() for name in ("ranges", "shuffled", "concatenated", "parquet")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[True, True, False, False]", "[True, True, True, False]"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("DataLoadre", "; did you mean DataLoader?"),
        ("Dataloader", "; did you mean DataLoader?"),
        ("arraydataset", "; did you mean ArrayDataset?"),
        ("ConcatDataset", "; write a + b"),
        ("IterableDataset", "; rows must have numbers: anything with len() and [i] is a dataset"),
        ("TensorDataset", "; write ArrayDataset((x, y))"),
        ("random_split", "; write dataset.random_split([0.9, 0.1], seed=0)"),
        ("sharding", ""),
        ("__wrapped__", ""),
    ],
)
def test_unknown_name(name: str, hint: str) -> None:
    message = f"module 'loadax' has no attribute '{name}'{hint}"
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}$") as caught:
        getattr(loadax, name)
    assert (caught.value.name, caught.value.obj) == (name, loadax)
    assert not hasattr(loadax, name)
    with pytest.raises(ImportError, match=rf"^cannot import name '{name}' from 'loadax'{re.escape(hint) or ' '}"):
        exec(f"from loadax import {name}")


def test_a_name_for_authors_says_where_it_is() -> None:
    with pytest.raises(ImportError, match=r"cannot import name 'Alloc' from 'loadax'; import it from loadax\.extend$"):
        exec("from loadax import Alloc")


def test_modules_can_be_imported_by_statements() -> None:
    code = "from loadax import doctor, siblings; print(doctor.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "loadax.doctor\n"


def test_pickles_do_not_need_the_meta_package() -> None:
    pickled = pickle.dumps([loadax.RangeDataset(3).map(float).shuffle(seed=1), loadax.PadBatcher()])
    # As in an environment with loadax-core and loadax-datasets alone.
    code = """
import pickle, sys
sys.modules["loadax"] = sys.modules["loadax_distributed"] = sys.modules["jax"] = None
dataset, batcher = pickle.load(sys.stdin.buffer)
print(sorted(dataset), batcher)
"""
    done = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, check=True)
    assert done.stdout.decode() == f"[0.0, 1.0, 2.0] {loadax.PadBatcher()}\n"


def test_versions() -> None:
    assert loadax.__version__ == version("loadax")
    names = ["loadax", "loadax-core", "loadax-datasets", "loadax-distributed"]
    assert loadax.versions() == {name: version(name) for name in names}
    for name in names:
        package = importlib.import_module(name.replace("-", "_"))
        assert package.__version__ == version(name)
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
            _ = package.nothing


@pytest.mark.parametrize("package", [loadax_core, loadax_datasets, loadax])
def test_import_leaves_jax_alone(package: ModuleType) -> None:
    # All public names, since a name may be imported when it is first used.
    names = sorted(public_names(package) - public_names(loadax_distributed) - {"distributed"})
    assert names
    assert not imports_jax(f"import {package.__name__}\nfor name in {names}: getattr({package.__name__}, name)")


def test_import_of_jax_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert imports_jax("import loadax_distributed")
    # The same, for a package that hides it: without this, the test above might pass because nothing is ever noticed.
    package = tmp_path / "sly.py"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for line in ("loadax.make_mesh", "loadax.distributed.launch", "import loadax.distributed"):
        package.write_text(f"import loadax\n{line}\n")
        assert imports_jax("import sly"), line
