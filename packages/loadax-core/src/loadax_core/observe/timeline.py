"""When each worker read, batched and placed, and when training waited: recorded, and written to a file."""

from __future__ import annotations

import json
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .plot import plot
from .recorder import Recorder
from .span import Span
from .svg import svg
from .traces import NAMES

if TYPE_CHECKING:
    from pathlib import Path


class Timeline:
    """Who waited for whom in a stretch of a run: `with batches.timeline() as timeline`, then `timeline.save(...)`.

    Attributes:
        lanes: The spans of each lane, in order of time. `"training"` has the waits of the thread that calls `next`,
            `"caller"` what was loaded in that thread, `"worker 0"` and so on what each worker did.
        seconds: How long the `with` block took.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from loadax_core import DataLoader
        >>> with iter(DataLoader().batch_size(2).workers(1).build(range(6))) as batches:
        ...     with batches.timeline() as timeline:
        ...         print([batch.tolist() for batch in batches])
        [[0, 1], [2, 3], [4, 5]]
        >>> [(span.stage, span.step) for span in timeline.lanes["training"]]
        [('waiting', 0), ('waiting', 1), ('waiting', 2)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     timeline.save(Path(folder) / "run.json")
    """

    def __init__(self, recorder: Recorder, most: int) -> None:
        self._recorder = recorder
        self._most = most
        self._began = 0.0
        self.lanes: dict[str, list[Span]] = {}
        self.seconds = 0.0

    def __enter__(self) -> Self:
        if self._recorder.waits is not None:
            raise RuntimeError("a timeline of this iterator is being recorded; end its with block before another one")
        self._began = perf_counter()
        self._recorder.record(self._most)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.seconds = perf_counter() - self._began
        for lane, notes in self._recorder.recorded().items():
            self.lanes[lane] = [
                Span(stage, began - self._began, ended - self._began, step.epoch, step.number)
                for stage, began, ended, step in notes
                # One may have begun before.
                if began >= self._began
            ]

    def save(self, path: str | Path) -> None:
        """Writes the timeline to a file.

        Args:
            path: Its ending decides: `.json` for a trace that ui.perfetto.dev and chrome://tracing show, or a picture,
                `.svg`, `.png` or `.pdf`.

        Raises:
            RuntimeError: If its `with` block has not ended: nothing is in the timeline before.
            ValueError: If the ending is another one.
            ImportError: If a picture is asked for and matplotlib is not installed.
        """
        if not self.seconds:
            raise RuntimeError(
                "nothing is recorded yet: write with batches.timeline() as timeline, and save it after the block"
            )
        from pathlib import Path  # noqa: PLC0415 - a tenth of what importing this package takes

        path = Path(path)
        if path.suffix == ".json":
            path.write_text(json.dumps(self._trace()))
        elif path.suffix in (".svg", ".png", ".pdf"):
            plot(self.lanes, self.seconds, path)
        else:
            raise ValueError(f"a timeline is written as .json, .svg, .png or .pdf, not as {path.name!r}")

    def _repr_html_(self) -> str:
        return svg(self.lanes, self.seconds)

    def _trace(self) -> dict[str, Any]:
        """The timeline in the format that Chrome and Perfetto share; times are in microseconds."""
        events: list[dict[str, Any]] = []
        for thread, (lane, spans) in enumerate(self.lanes.items()):
            events.append({"ph": "M", "pid": 0, "tid": thread, "name": "thread_name", "args": {"name": lane}})
            events += [
                {
                    "ph": "X",
                    "pid": 0,
                    "tid": thread,
                    "name": NAMES[span.stage],
                    "ts": span.began * 1e6,
                    "dur": (span.ended - span.began) * 1e6,
                    "args": {"epoch": span.epoch, "step": span.step},
                }
                for span in spans
            ]
        return {"traceEvents": events, "displayTimeUnit": "ms"}
