"""Where the time of a run went.

Each thread writes to a `Lane` of its own, without a lock; `Stats` are sums over the lanes. What is kept does not grow
with the run. This room is told what happened, and when: it loads nothing and starts no thread. It has more files than
others: one for each thing that is measured, and for each form in which it is shown. Imports: `plan`, `memory` and text.
"""
