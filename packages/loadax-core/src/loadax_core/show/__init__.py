"""Shows a loader: as text, as HTML in a notebook, as the preview of one batch, and as an audit of its steps.

This room reads no row; `Loader.peek` passes the batch. Imports: `spec`, `memory`, `plan`, `read`, `run.policy` and
text.
"""
