"""What is in flight between the dataset and the consumer, which is whoever calls `next`.

`Window` loads batches ahead with a team of threads; `Inline` loads in the caller's thread, when a batch is asked for,
and `Grouped`, an `Inline`, gathers several quick ones then. All are a `Source`. Imports: all rooms below,
none of `show` and `tools`. What holds at all times:

1.  *One producer of work.* Only the consumer, inside `Window.start` and `Window.take`, adds slots (a batch to be
    loaded, or several quick ones), in the order of the steps. Their units of work enter the queue in that order. The
    oldest slot that is not done is therefore always being worked on, or next: in the queue, or with a worker that was
    sent a unit ahead. Waiting for it cannot deadlock.
2.  *No worker waits for another*, but for an epoch that another one is opening. Slow slots are split into several
    units, and quick batches share a slot, so that a unit holds about 1 ms of work, more if it has to travel. Whoever
    completes a slot's last unit also batches, places and publishes the slot.
3.  *Published once.* A slot's outcome is written before `done` is set and `ready` is released, all under the bench's
    lock; after that nobody writes to it.
4.  *Bounded.* At most `depth` batches are loaded or loading beyond the one that the consumer holds. `start` adds that
    many, and the first `take`, when the consumer holds none, one more. If the depth is left open, a unit is held back
    as long as the batches that are ready fill the memory.
5.  *The lowest failing row wins.* If several units of a slot fail, the error of the first rows is reported, whichever
    came first in time, and it is reported at its step, after all earlier batches.
6.  *Stopping takes no lock and does not wait.* `stop` may be called by a signal handler, at any instruction, so it only
    sets flags, puts one None per worker into the queue (`SimpleQueue.put` is reentrant), and shuts sockets.
7.  *Nothing keeps the consumer alive.* Workers refer to the team and the bench, never to the iterator that owns the
    window, so that an abandoned iterator is collected. Then the reaper stops the window, in a thread of its own.
8.  *Workers are daemons*, so that a read that never returns cannot keep the interpreter from exiting. At exit, every
    open window is stopped and given a moment to leave foreign code.
9.  *Users' functions run in workers*, in the context of the iterator's creation, and never in the consumer. It takes
    units from the queue itself if they are quick and call none, instead of waiting.
"""
