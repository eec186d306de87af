"""Items to a batch: stacking, padding, and joining parts.

The dtype and the structure of a batch never depend on which items share it: items that differ raise an error that names
the leaf and the two items. No threads, no clock. Imports: `memory`, tree and errors.
"""
