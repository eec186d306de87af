"""One stretch of time of a timeline."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """What was done from one moment to another, both in seconds since the timeline began.

    Attributes:
        stage: `"waiting"` for data, or loading it: `"reading"`, `"batching"` or `"placing"`.
        began: When it began.
        ended: When it ended.
        epoch: For which epoch's batch.
        step: For which of its batches; the first one, if several were read at once.

    Example:
        >>> span = Span("reading", began=0.5, ended=0.75, epoch=0, step=3)
        >>> span.ended - span.began
        0.25
    """

    stage: str
    began: float
    ended: float
    epoch: int
    step: int
