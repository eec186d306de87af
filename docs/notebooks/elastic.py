# # Resume on another number of devices
#
# A run is interrupted on eight devices, and goes on with four. Its batches stay the same,
# row by row. Here one CPU stands for eight devices. It needs `pip install loadax`.

# +
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import json

import jax
import jax.numpy as jnp
import numpy as np
from loadax import ArrayDataset, DataLoader
from loadax.distributed import simulate_hosts

print(jax.device_count(), "devices")
# -

# ## A run on eight devices
#
# `batch_size` counts the rows of the global batch. `shard(mesh)` divides them, and
# `to_device=True` makes each batch one global `jax.Array`.

# +
rng = np.random.default_rng(0)
x = rng.normal(size=(2048, 16)).astype(np.float32)
y = x @ rng.normal(size=16).astype(np.float32)
data = {"x": x, "y": y, "row": np.arange(2048, dtype=np.int32)}
rows = ArrayDataset(data).shuffle(seed=7)

builder = DataLoader().batch_size(64, drop_remainder=True).workers(2).epochs(2)


def loader_on(devices):
    mesh = jax.sharding.Mesh(jax.devices()[:devices], ("data",))
    return builder.shard(mesh).prefetch(to_device=True).build(rows)


loader = loader_on(8)
loader
# -

batch = next(iter(loader))
for shard in batch["row"].addressable_shards[:3]:
    print(shard.device, "holds rows", shard.data)

# ## Interrupted
#
# The state of the iterator is a small dict. It counts the rows that the loop received,
# and is the same on every process. Save it beside the parameters.


# +
@jax.jit
def train_step(w, batch):
    def loss_of(w):
        return jnp.mean((batch["x"] @ w - batch["y"]) ** 2)

    loss, gradient = jax.value_and_grad(loss_of)(w)
    return w - 0.05 * gradient, loss


w, seen = jnp.zeros(16), []
with iter(loader) as batches:
    for batch in batches:
        w, loss = train_step(w, batch)
        seen.append(np.asarray(batch["row"]))
        if batches.step == 40:
            saved = json.dumps(batches.get_state())
            break

print(f"step {len(seen)}, loss {loss:.4f}")
print(saved)
# -

# ## Resumed on four devices
#
# Restoring takes constant time, and reads no row. The parameters move to the new mesh.

# +
smaller = loader_on(4)
w = jax.device_put(np.asarray(w), smaller.sharding_strategy.named_sharding())

with iter(smaller) as batches:
    batches.set_state(json.loads(saved))
    print("goes on at step", batches.step, "in epoch", batches.epoch)
    for batch in batches:
        w, loss = train_step(w, batch)
        seen.append(np.asarray(batch["row"]))

print(f"step {len(seen)}, loss {loss:.6f}, {len(batch['x'].addressable_shards)} shards")
# -

# ## The same batches as without an interruption

# +
whole = [np.asarray(batch["row"]) for batch in loader_on(2)]
same = all(np.array_equal(a, b) for a, b in zip(seen, whole, strict=True))
print("interrupted, and moved to another mesh: the same rows in each step:", same)

for epoch in range(2):
    steps = loader.steps_per_epoch
    in_epoch = np.concatenate(seen[epoch * steps : (epoch + 1) * steps])
    print("epoch", epoch, "has each row once:", len(np.unique(in_epoch)) == 2048)
# -

# ## Another number of hosts
#
# Nothing changes in the program. `simulate_hosts` shows which rows each host would read,
# without a cluster:

for hosts in (4, 2):
    cluster = simulate_hosts(
        hosts=hosts,
        devices_per_host=4,
        mesh_shape={"data": 4 * hosts},
        batch_size=64,
        dataset_length=2048,
    )
    print(hosts, "hosts: the last one reads", cluster.rows(hosts - 1, step=0))

# The last check makes this notebook fail where it is tested, if a row was lost.

assert same
