"""Makes the `Source` of a run: a `Window`, whose workers load ahead, or an `Inline`, which loads in the caller."""

from __future__ import annotations

from .backends.thread import Threads
from .observe.recorder import Recorder
from .plan.steps import Position
from .read.epochs import Epochs
from .run.grouped import Grouped
from .run.inline import Inline
from .run.source import Source
from .run.threads import Context
from .run.window import Window
from .spec import Run


def source_of(run: Run, epochs: Epochs, position: Position, recorder: Recorder, context: Context) -> Source:
    """The source of a run's batches, from a position on.

    Args:
        run: The run.
        epochs: The fetch of each epoch.
        position: Where to begin.
        recorder: Is told what is done.
        context: What workers run in.
    """
    steps, end = run.plan.steps_from(position), run.plan.end
    if not run.workers:
        return (Grouped if run.fetch.helps else Inline)(epochs, steps, recorder)
    return Window(
        epochs,
        steps,
        None if end is None else end.epoch,
        recorder,
        workers=run.workers,
        depth=run.prefetch,
        timeout=run.timeout,
        crew=run.crew() if run.crew else Threads(epochs),
        context=context,
    )
