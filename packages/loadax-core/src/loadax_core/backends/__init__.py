"""Where a unit of work is done: in the worker's thread, in a process of its own, or by an executor.

All three are an `Engine`: a `Task` goes in, a `Done` comes out, and whatever was raised on the way is part of it. An
engine never hangs: a process that dies is an outcome too. Imports: `read`, `memory` and `observe`.
"""
