"""Worker processes compute as their parent does: they have the settings of its `jax.config`."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

SETUP = """
import sys
import numpy as np
from loadax_core import DataLoader

class Halves:
    def __init__(self, rows): self.rows = rows
    def __len__(self): return self.rows
    def __getitem__(self, row):
        import jax, jax.numpy as jnp
        key = jax.random.key(row)
        return [str((jnp.arange(2) + 0.5 * row).dtype), str(jax.random.key_impl(key)),
                str(jax.config.jax_default_matmul_precision), jax.devices()[0].platform]

class WithoutJax(Halves):
    def __getitem__(self, row): return "jax" in sys.modules

class LooksForJax(Halves):
    def __getitem__(self, row):
        import importlib.util
        assert importlib.util.find_spec("jax") is not None
        return super().__getitem__(row)

def initialize():
    import jax
    jax.config.update("jax_enable_x64", False)

def change():
    print("changed")

def show(dataset, **options):
    return list(DataLoader(list).workers(1, kind="process", **options).build(dataset))[0][0]
"""


def run(folder: Path, program: str) -> list[str]:
    """The lines that a program prints."""
    (folder / "settings.py").write_text(SETUP)
    (folder / "program.py").write_text("from settings import *\n" + textwrap.dedent(program))
    done = subprocess.run([sys.executable, folder / "program.py"], capture_output=True, text=True, timeout=110)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout.splitlines()


def test_settings_of_the_program_are_those_of_its_worker_processes(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        if __name__ == "__main__":
            import jax
            jax.config.update("jax_enable_x64", True)
            jax.config.update("jax_default_prng_impl", "rbg")
            jax.config.update("jax_default_matmul_precision", "highest")
            print(show(Halves(2)) == Halves(2)[0], show(Halves(2)))
            # A process that does not import JAX is not made to.
            print(show(WithoutJax(2)))
            # What holds in this thread when the run starts.
            with jax.default_prng_impl("threefry2x32"):
                print(show(Halves(2)) == Halves(2)[0], show(Halves(2))[1])
            # What an initializer says comes later.
            print(show(Halves(2), initializer=initialize)[:2])
        """,
    )
    assert lines == [
        "True ['float64', 'rbg', 'highest', 'cpu']",
        "False",
        "True threefry2x32",
        "['float32', 'rbg']",
    ]


def test_settings_hold_from_the_import_of_jax_on_whatever_the_users_modules_set(tmp_path: Path) -> None:
    (tmp_path / "sets.py").write_text(
        textwrap.dedent(
            """
            import jax, jax.numpy as jnp

            MADE_AT_IMPORT = jnp.arange(2).dtype
            jax.config.update("jax_enable_x64", True)

            class Rows:
                def __len__(self): return 1
                def __getitem__(self, row): return str(MADE_AT_IMPORT), str(jnp.arange(2).dtype)
            """
        )
    )
    lines = run(
        tmp_path,
        """
        if __name__ == "__main__":
            import jax
            jax.config.update("jax_enable_x64", True)
            from sets import Rows
            print(show(Rows()))
            jax.config.update("jax_enable_x64", False)
            print(show(Rows()))
        """,
    )
    assert lines == ["('int64', 'int64')", "('int32', 'int32')"]


def test_settings_hold_in_a_worker_that_has_looked_whether_jax_is_installed(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        if __name__ == "__main__":
            import jax
            jax.config.update("jax_enable_x64", True)
            print(show(LooksForJax(2))[0])
        """,
    )
    assert lines == ["float64"]


def test_a_setting_that_cannot_be_sent_is_an_error_that_names_it(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        if __name__ == "__main__":
            import jax
            loader = DataLoader().workers(1, kind="process").build(Halves(2))

            class Here(int):
                def __reduce__(self): raise RuntimeError("only here")

            jax.config.update("jax_random_seed_offset", Here(3))
            for use in (lambda: next(iter(loader)), lambda: show(Halves(2))):
                try:
                    use()
                except TypeError as error:
                    print(error)
        """,
    )
    message = (
        "workers(1, kind='process') gives each worker process the settings of jax.config, but jax_random_seed_offset "
        "is 3, which cannot be pickled: only here; set jax_random_seed_offset to a plain value, or use threads: "
        ".workers(n)"
    )
    assert lines == [message] * 2


def test_the_choice_of_devices_stays_with_the_program(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        """
        if __name__ == "__main__":
            import jax
            jax.config.update("jax_num_cpu_devices", 3)
            jax.config.update("jax_default_device", jax.devices()[2])
            print(show(Halves(2))[3], len(jax.devices()))
        """,
    )
    assert lines == ["cpu 3"]
