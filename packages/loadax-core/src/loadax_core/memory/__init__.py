"""Memory for batches: aligned, leased, and recycled once nobody can see it.

A batch stays valid for as long as anything refers to it, a `jax.Array` that aliases it among them. Each allocator here
is an `Alloc`, and thread-safe unless its docstring says otherwise. Imports: protocols and tree.
"""
