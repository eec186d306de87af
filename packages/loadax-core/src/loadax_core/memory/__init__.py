"""Memory for batches: aligned, leased, and recycled once nobody can see it.

A batch stays valid as long as anything refers to it, including a `jax.Array` that aliases it. Each allocator here is
an `Alloc`, and thread-safe unless its docstring says otherwise. Memory that is shared with worker processes has two
sides: `segments` is the worker's, `mapped` the parent's; `shared` is the dataset, which the parent sends. Imports:
protocols and tree.
"""
