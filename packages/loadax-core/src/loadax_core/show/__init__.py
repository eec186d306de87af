"""Shows a loader: as text, as HTML in a notebook, and as the preview of one batch.

This room reads no row; `Loader.peek` passes the batch. Imports: `spec`, `memory`, `run.policy` and text.
"""
