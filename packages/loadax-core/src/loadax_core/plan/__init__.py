"""Computes which rows make which batch, and the position of a run.

Pure arithmetic: no I/O, no threads, no clock. `Plan.steps_from(position)` yields `Step`s, and no other room computes
which rows a batch has. Imports: errors and protocols.
"""
