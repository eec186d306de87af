"""How a loader shows itself: as text, as HTML in a notebook, and as the preview of one batch.

Reads no row; `Loader.peek` hands over the batch. Imports: `spec`, `memory`, `run.policy` and text.
"""
