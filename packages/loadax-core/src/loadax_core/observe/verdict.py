"""The verdict of statistics: whether training waits for the loader, and the setting that would change it."""

from __future__ import annotations

from .figures import Figures
from .rules import RULES

HARDLY = 0.05
"""Below this share of time, waiting for data is not worth a change."""

STARTING = 0.5
"""If the wait for the first batch was this share of the run, the run is too short to tell more."""


def verdict(figures: Figures) -> str:
    """Whether the loader or the training step limits a run, and what would help."""
    if figures.total is not None and not figures.batches:
        return "Too early to say: no batch was yielded in this interval."
    # An interval of one batch tells something, unless that is the first batch of the run.
    if figures.batches < 2 and (figures.total is None or figures.first_wait):
        return "Too early to say: the first batch has to be waited for."
    if figures.first_wait > STARTING * figures.elapsed:
        return (
            f"Too early to say: {figures.first_wait / figures.elapsed:.0%} of the run was the wait for the first "
            "batch, when nothing could be ready."
        )
    share = figures.steady_wait_share
    if share < HARDLY:
        return f"Compute-bound: training waited for data {share:.1%} of the time; a faster loader would not help."
    advice = next((text for rule in RULES if (text := rule(figures))), "")
    return f"Loader-bound: training waited for data {share:.0%} of the time. {advice}"
