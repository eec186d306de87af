"""In a job of several processes, one progress bar is enough."""

from __future__ import annotations

from pathlib import Path

from loadax import launch

PROGRAM = """
import io, sys
from pathlib import Path
import jax
from jax._src import xla_bridge
from loadax import DataLoader, progress

class Terminal(io.StringIO):
    def isatty(self):
        return True

started, sys.stderr = xla_bridge.backends_are_initialized(), Terminal()
for batch in progress(DataLoader().build([1, 2])):
    pass
spoke = "2/2" in sys.stderr.getvalue()
assert xla_bridge.backends_are_initialized() == started, "the bar has started the backend"
(Path(sys.argv[1]) / str(jax.process_index())).write_text(f"{spoke} {started}")
"""


def test_the_first_process_speaks_and_no_backend_is_started(tmp_path: Path) -> None:
    program, results = tmp_path / "program.py", tmp_path / "results"
    program.write_text(PROGRAM)
    results.mkdir()
    assert launch(program, [results], processes=2, devices_per_process=1, timeout=60) == [0, 0]
    assert [(results / str(number)).read_text() for number in range(2)] == ["True False", "False False"]
