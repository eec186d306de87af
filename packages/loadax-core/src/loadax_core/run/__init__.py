"""What is in flight between the dataset and the caller of `next`.

`Window` loads batches ahead with a pool of threads; `Inline` loads each batch in the caller's thread when it is asked
for. Imports: all rooms below, none of `show` and `tools`.
"""
