"""Runs the examples, and writes what they print into `examples/README.md`.

    python scripts/run_examples.py            # all of them: some minutes
    python scripts/run_examples.py digits     # only these

Between its markers, the README has the output of each example, with the command.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workspace import ROOT

README = ROOT / "examples" / "README.md"

COMMANDS = {
    "digits": "python examples/digits.py",
    "image_folder": "python examples/image_folder.py",
    "bytes_lm": "python examples/bytes_lm.py",
    "tabular": "python examples/tabular.py",
    "huggingface_local": "python examples/huggingface_local.py",
    "resume": "python examples/resume.py --directory {folder}",
    "several_hosts": "loadax-launch -n 2 -d 2 examples/several_hosts.py --parallel fsdp",
    "fsdp_equinox": "loadax-launch -n 2 -d 2 examples/fsdp_equinox.py",
    "dask_workers": "python examples/dask_workers.py",
    "embedded": "python examples/embedded.py",
}

NOISE = re.compile(r"^(\[\d+\] )?\[Gloo\] .*\n", re.MULTILINE)
"""What JAX's collectives print when they connect."""


def output(name: str) -> str:
    """Runs an example, and returns its command and what it prints.

    Raises:
        SystemExit: If it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = COMMANDS[name].format(folder=folder)
        program, *arguments = command.split()
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
        began = time.perf_counter()
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            check=False,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stdout}")
        print(f"{name}: {time.perf_counter() - began:.0f} s")
        printed = NOISE.sub("", done.stdout).strip().replace(folder, "/tmp/run").replace(tempfile.gettempdir(), "/tmp")
        shown = command.replace(folder, "/tmp/run")
    return f"On {dt.datetime.now(dt.UTC).date()}, on {os.cpu_count()} cores:\n\n```console\n$ {shown}\n{printed}\n```"


def with_output(page: str, name: str, text: str) -> str:
    """A page with the output of an example between its markers.

    Raises:
        ValueError: If the page has no place for it.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{README.name} has no place for {name}: it needs the lines {begin.strip()} and {end}")
    return f"{page.partition(begin)[0]}{begin}\n{text}\n\n{end}{page.partition(end)[2]}"


def main() -> None:
    """Runs the examples that the command line names."""
    for name in sys.argv[1:] or COMMANDS:
        text = output(name)
        README.write_text(with_output(README.read_text(), name, text))


if __name__ == "__main__":
    main()
