"""Which rows make which batch, and where a run stands.

Pure arithmetic: no I/O, no threads, no clock. `Plan.steps_from(position)` yields `Step`s, and no other room computes
which rows a batch has. Imports: errors and protocols.
"""
