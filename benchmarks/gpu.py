"""Loads batches to a GPU beside a jitted step. Measures the rate of the step, and when and how fast batches arrive.

python -m benchmarks.gpu --out benchmarks/gpu.json --readme benchmarks/README.md --plot benchmarks/plots/gpu.svg
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice, product, repeat
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .report import markdown, repeats, write_between
from .runner import in_python, machine
from .summary import Spread
from .works import WORKS, Work

if TYPE_CHECKING:
    from .step import Step


@dataclass(frozen=True)
class Case:
    """A work beside a step.

    Attributes:
        work: The work whose batches are loaded.
        workers: The number of threads that load them.
        hidden: The width of the step's hidden layer.
    """

    work: str
    workers: int
    hidden: int

    def configured(self, quick: bool) -> Work:
        """The work, with the step of this case."""
        return replace(WORKS[self.work], hidden=8 if quick else self.hidden)


CASES = {
    "W1": Case("W8", 1, 1 << 18),
    "W10": Case("W10-step", 4, 12 << 10),
    "W10, short step": Case("W10-step", 4, 4 << 10),
}

LOADERS = {
    "loadax": "`.workers(n).prefetch(to_device=True)`.",
    "loadax, pageable": "The same, with memory that is not page-locked.",
    "handwritten": "`x[rows]` and `jax.device_put` in n threads, futures of n + 1 batches.",
}

Span = tuple[float, float]
"""The start and the end, in seconds."""

IN_FLIGHT = 2
"""The number of transfers in flight at a time, without a step."""

LOGGED = 50
"""Loops that do not wait for each step wait for every 50th, as if to write a line of a log."""

TRACED, WINDOW = 40, 0.04
"""The number of steps that are traced, and the seconds of the trace that are drawn."""


def batches_of(loader: str, case: Case, work: Work, data: dict[str, Any]) -> Iterator[Any]:
    """An endless iterator over batches on the device."""
    from loadax import ArrayDataset, DataLoader  # noqa: PLC0415
    from loadax_distributed.pinning import Pinning  # noqa: PLC0415

    from .loaders.base import orders  # noqa: PLC0415
    from .loaders.handwritten_adapter import ahead, read_to_device  # noqa: PLC0415

    if loader == "handwritten":
        pool = ThreadPoolExecutor(case.workers)
        return ahead(pool, read_to_device, data, orders(len(data["image"]), work.batch), case.workers + 1)
    if loader == "loadax, pageable":
        Pinning.__call__ = lambda _self, _memory: None
    chain = DataLoader().batch_size(work.batch, drop_remainder=True).epochs(None).workers(case.workers)
    return iter(chain.prefetch(to_device=True).build(ArrayDataset(data).shuffle(seed=0)))


def arrivals(batches: Iterator[Any]) -> Iterator[Any]:
    """Yields batches that have arrived on the device, while a few others are in flight."""
    import jax  # noqa: PLC0415

    under_way: deque[Any] = deque()
    for batch in batches:
        under_way.append(batch)
        if len(under_way) > IN_FLIGHT:
            yield jax.block_until_ready(under_way.popleft())


def bare(work: Work, data: dict[str, Any], locked: bool) -> Iterator[Any]:
    """Transfers the same buffers again and again. Their memory is that of the loader, and nothing fills it."""
    import jax  # noqa: PLC0415
    from loadax_core.memory.pool import Pool  # noqa: PLC0415
    from loadax_distributed import DevicePlacement  # noqa: PLC0415

    image = data["image"][: work.batch]
    pool = Pool(DevicePlacement(True).pin if locked else None)

    def buffers() -> list[Any]:
        return [pool(image.shape, image.dtype) for _ in range(IN_FLIGHT + 2)]

    buffers()  # the pool page-locks memory when it is used for the second time
    kept = buffers()
    for buffer in kept:
        buffer[:] = image
    return (jax.device_put(buffer) for buffer in cycle(kept))


def traced(batches: Iterator[Any], step: Callable[[Any], object]) -> dict[str, Any]:
    """What a trace of some steps shows of the device; empty if the traces of the platform show nothing of it.

    Returns:
        `gb_s`: the bandwidth of the largest transfers, while they last. `overlap`: the share of the time of transfers
        during which the device computed. `kernels` and `transfers`: their starts and ends, in seconds, for a figure.
    """
    import jax  # noqa: PLC0415

    # Recording calls of the host takes the profiler longer than the calls, and would delay the device.
    options: Any = jax.profiler.ProfileOptions()
    options.python_tracer_level = options.host_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for batch in islice(batches, TRACED):
                step(batch)
        (path,) = Path(folder).rglob("*.xplane.pb")
        profile: Any = jax.profiler.ProfileData.from_file(str(path))
        kernels, transfers, sizes = events(profile)
    if not transfers:
        return {}
    rates = [size / (stop - start) / 1e9 for (start, stop), size in zip(transfers, sizes, strict=True)]
    first = min(transfers)[0]
    result: dict[str, Any] = {
        "gb_s": statistics.median(rate for rate, size in zip(rates, sizes, strict=True) if size == max(sizes)),
        "transfers": within(transfers, first),
    }
    if kernels:
        kernels = merged(sorted(kernels))
        result["overlap"] = shared(transfers, kernels) / sum(stop - start for start, stop in transfers)
        result["kernels"] = within(kernels, first)
    return result


def events(profile: Any) -> tuple[list[Span], list[Span], list[int]]:
    """When a GPU computed, when it received data from the host, and the number of bytes of each transfer."""
    kernels: list[Span] = []
    transfers: list[Span] = []
    sizes: list[int] = []
    lines = [line for plane in profile.planes if plane.name.startswith("/device:GPU") for line in plane.lines]
    for event in (event for line in lines if line.name.startswith("Stream") for event in line.events):
        span = 1e-9 * event.start_ns, 1e-9 * (event.start_ns + event.duration_ns)
        if event.name == "MemcpyH2D":
            details = str(dict(event.stats)["memcpy_details"])
            transfers.append(span)
            sizes.append(int(details.partition("size:")[2].partition(" ")[0]))
        elif not event.name.startswith("Mem"):
            kernels.append(span)
    return kernels, transfers, sizes


def unwaited(batches: Iterator[Any], step: Step, on_device: Any, steps: int) -> float:
    """Steps per second with the loader, divided by those without, in a loop that waits for every 50th step only."""

    def seconds(source: Iterator[Any]) -> float:
        began = perf_counter()
        for number, batch in enumerate(islice(source, steps), 1):
            step.dispatch(batch)
            if number % LOGGED == 0:
                step.wait()
        step.wait()
        return perf_counter() - began

    before = seconds(repeat(on_device))
    loaded = seconds(batches)
    return (before + seconds(repeat(on_device))) / 2 / loaded


def merged(spans: list[Span]) -> list[Span]:
    """Sorted spans, with spans that touch merged into one."""
    whole: list[Span] = []
    for start, stop in spans:
        if whole and start <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(stop, whole[-1][1])
        else:
            whole.append((start, stop))
    return whole


def shared(spans: list[Span], others: list[Span]) -> float:
    """The total time in which a span of `spans` overlaps with one of `others`."""
    return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in spans for begin, end in others)


def within(spans: list[Span], first: float) -> list[Span]:
    """The spans in the window that is drawn, in seconds since the start of the window."""
    return [(start - first, stop - first) for start, stop in spans if start - first >= 0 and stop - first <= WINDOW]


def measure(name: str, loader: str, quick: bool) -> dict[str, Any]:
    """Measures one case with one loader, in this process.

    Returns:
        `value`, `waited` and `step_ms` as from `timing.beside_a_step`; `unwaited` as from that function; `rate_gb_s`,
        the rate at which batches arrive without a step; `bare_gb_s`, the rate of a bare loop over the same kind of
        memory; `trace` and `bare_trace`, the results of `traced` for both.
    """
    import jax  # noqa: PLC0415

    from . import timing  # noqa: PLC0415
    from .checks import check_batches  # noqa: PLC0415
    from .step import make_step  # noqa: PLC0415

    case, seconds = CASES[name], 0.05 if quick else 0.8
    work = case.configured(quick)
    data = WORKS[case.work].data(quick)
    batches = batches_of(loader, case, work, data)
    check_batches(work, data, list(islice(batches, 3)))
    step, on_device = make_step(work, data)
    result: dict[str, Any] = timing.beside_a_step(batches, step, on_device, seconds)
    result["unwaited"] = unwaited(batches, step, on_device, max(1, round(1e3 * seconds / result["step_ms"])))
    result["trace"] = traced(batches, step)
    nbytes = sum(array[: work.batch].nbytes for array in data.values())
    result["rate_gb_s"] = nbytes * timing.rate(arrivals(batches), seconds, 0) / 1e9
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    if loader != "handwritten":
        nbytes = data["image"][: work.batch].nbytes
        alone = bare(work, data, loader == "loadax")
        result["bare_gb_s"] = nbytes * timing.rate(arrivals(alone), seconds, 0) / 1e9
        result["bare_trace"] = traced(arrivals(alone), lambda _: None)
    result["device"] = jax.devices()[0].device_kind
    return result


def run(turns: int, quick: bool, out: Path) -> dict[str, Any]:
    """Measures each case with each loader, in a process of its own. Loaders take turns. Saves after each one."""
    runs: list[dict[str, Any]] = []
    results: dict[str, Any] = {"machine": machine(), "quick": quick, "runs": runs}
    for number in range(turns):
        for name, loader in product(CASES, LOADERS):
            arguments = ["-m", "benchmarks.gpu", "--one", name, loader, *(["--quick"] if quick else [])]
            found = json.loads(in_python(*arguments).splitlines()[-1])
            results["machine"]["device"] = found.pop("device")
            found.get("bare_trace", {}).pop("transfers", None)
            if number or loader != "loadax":
                # One figure of each case is enough.
                for what in ("kernels", "transfers"):
                    found["trace"].pop(what, None)
            runs.append({"case": name, "loader": loader, "repeat": number, **found})
            out.write_text(json.dumps(results, indent=1) + "\n")
            shown = f"{found['value']:.3f}, waits {found['waited']:.2%}, {found['unwaited']:.3f} if it does not wait"
            print(f"{name:16} {loader:17} {number + 1}/{turns}  {shown}", flush=True)
    return results


def report(results: dict[str, Any]) -> str:
    """The results as tables."""
    where = results["machine"]
    on = f"{where['device']}, {where['cpu']}, {where['cores']} cores, Python {where['python']}"
    counts = repeats([(run["case"], run["loader"]) for run in results["runs"]])
    parts = [f"Measured on {where['date']}: {on}; {counts}, medians with the minimum and the maximum."]
    if results["quick"]:
        parts.append("**Quick mode: small data and short measurements. These numbers say nothing about speed.**")
    beside: list[list[str]] = []
    transfers: list[list[str]] = []
    for name, case in CASES.items():
        runs = [run for run in results["runs"] if run["case"] == name]
        step = statistics.median(run["step_ms"] for run in runs)
        for loader in LOADERS:
            own = [run for run in runs if run["loader"] == loader]
            title = f"{name}, {case.workers} worker{'s' * (case.workers > 1)}, step of {step:.1f} ms"
            overlap = spread(own, lambda run: run["trace"].get("overlap"), "{:.0%}")
            waited = spread(own, lambda run: run["waited"], "{:.2%}")
            share = spread(own, lambda run: run["value"], "{:.3f}")
            unwaited = spread(own, lambda run: run["unwaited"], "{:.3f}")
            beside.append([title, loader, share, waited, overlap, unwaited])
            if name in ("W1", "W10"):
                picks: list[Callable[[Any], Any]] = [
                    lambda run: run["rate_gb_s"],
                    lambda run: run.get("bare_gb_s"),
                    lambda run: run["trace"].get("gb_s"),
                    lambda run: run.get("bare_trace", {}).get("gb_s"),
                ]
                transfers.append([name, loader, *(spread(own, pick, "{:.1f}") for pick in picks)])
    header = [
        *("work", "loader", "of the step's own rate", "the loop waits", "of transfers, beside a step"),
        "of the rate, if steps are not waited for",
    ]
    parts += [markdown(header, beside)]
    header = [
        "work",
        "loader",
        "arriving, without a step",
        "of bare transfers",
        "a transfer, beside the step",
        "a bare one",
    ]
    parts += ["Gigabytes a second:", markdown(header, transfers)]
    parts += ["\n".join(f"- {loader}: {how}" for loader, how in LOADERS.items())]
    return "\n\n".join(parts) + "\n"


def spread(runs: list[dict[str, Any]], pick: Callable[[dict[str, Any]], float | None], form: str) -> str:
    """The median, with the minimum and the maximum; empty if there are no values."""
    found = Spread.of(value for run in runs if (value := pick(run)) is not None)
    return f"{form.format(found.median)} ({form.format(found.least)}-{form.format(found.most)})" if found else ""


def main() -> int:
    """Prints and saves the measurements, and makes tables and a figure of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each loader (default 5)")
    parser.add_argument("--quick", action="store_true", help="small data, to see that it works; no speeds")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "gpu.json", help="where results go")
    parser.add_argument("--report", action="store_true", help="run nothing; report on the results in --out")
    parser.add_argument("--readme", type=Path, help="a page to write tables into, such as benchmarks/README.md")
    parser.add_argument("--plot", type=Path, help="a file for the picture of a trace, as SVG")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "LOADER"), help="one measurement, in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.quick)))
        return 0
    if arguments.report:
        results = json.loads(arguments.out.read_text())
    else:
        results = run(arguments.repeats, arguments.quick, arguments.out)
    if arguments.readme:
        write_between(arguments.readme, "gpu", report(results))
    else:
        print(report(results))
    if arguments.plot:
        from .plots import lanes  # noqa: PLC0415 - measuring needs no matplotlib

        traces = [run for run in results["runs"] if run["loader"] == "loadax" and "kernels" in run["trace"]]
        print("drew", lanes({run["case"]: run["trace"] for run in traces}, arguments.plot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
