# # A language model on packed documents
#
# Documents differ in length, and a training step wants rows of one length. `pack` puts
# several documents into each row and pads hardly anything. This notebook packs Python's
# own source code, byte by byte, and trains a small transformer on it. It needs
# `pip install loadax optax matplotlib`.
#
# ## Documents
#
# A document is a paragraph of a module of the standard library. Each byte is a token.

# +
import sysconfig
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from loadax import DataLoader, InMemoryDataset

modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]
paragraphs = [
    np.frombuffer(part + b"\n\n", np.uint8)
    for module in modules
    for part in module.read_bytes().split(b"\n\n")
    if part.strip()
]
lengths = np.array([len(paragraph) for paragraph in paragraphs])
print(f"{len(paragraphs):,} documents of {lengths.min()} to {lengths.max():,} bytes")
# -

# Padded to the longest one, nearly all of a batch would be padding. Large corpora go to a
# store on disk, once: see the [guide](../text.md#a-store).

print(f"{1 - lengths.mean() / lengths.max():.0%} of the padded rows would be padding")

# ## Rows of 256 tokens

SIZE = 256
rows = InMemoryDataset(paragraphs).pack(SIZE, seed=1)
rows

# A row holds tokens, the target of each token, the document that it belongs to, and its
# position there. Below, the colour changes with the document. Long documents are cut into rows.

batch = next(iter(DataLoader().batch_size(12).build(rows)))
figure, axis = plt.subplots(figsize=(8, 2.6))
segments = batch["segment_ids"]
counts = segments.max(axis=1)
before = np.cumsum(counts) - counts  # documents in the rows above
colours = np.where(segments > 0, (segments + before[:, None]) % 10, np.nan)
axis.imshow(colours, aspect="auto", cmap="tab10", vmin=0, vmax=9, interpolation="none")
_ = axis.set(xlabel="token", ylabel="row", title="Documents in 12 packed rows")

# ## A model that keeps documents apart
#
# A token may look at the tokens before it in its own document, and at nothing else.
# `segment_ids` make the mask, and `loss_mask` leaves out what has no target.


# +
WIDTH, HEADS = 64, 2


def initialize(key):
    names = ["embed", "place", "qkv", "out", "up", "down", "score"]
    keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))

    def matrix(name, rows, columns):
        return jax.random.normal(keys[name], (rows, columns)) / np.sqrt(rows)

    return {
        "embed": matrix("embed", 256, WIDTH),
        "place": matrix("place", SIZE, WIDTH),
        "qkv": matrix("qkv", WIDTH, 3 * WIDTH),
        "out": matrix("out", WIDTH, WIDTH),
        "up": matrix("up", WIDTH, 4 * WIDTH),
        "down": matrix("down", 4 * WIDTH, WIDTH),
        "score": matrix("score", WIDTH, 256),
    }


def normed(x):
    return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def scores_of(params, batch):
    tokens = batch["tokens"].astype(jnp.int32)
    x = params["embed"][tokens] + params["place"][batch["positions"]]
    segments = batch["segment_ids"]
    same = segments[:, :, None] == segments[:, None, :]
    mask = same & jnp.tril(jnp.ones((SIZE, SIZE), bool))
    qkv = jnp.split(normed(x) @ params["qkv"], 3, axis=-1)
    q, k, v = (part.reshape(*part.shape[:2], HEADS, -1) for part in qkv)
    attended = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None])
    x = x + attended.reshape(x.shape) @ params["out"]
    x = x + jax.nn.gelu(normed(x) @ params["up"]) @ params["down"]
    return normed(x) @ params["score"]


def loss_of(params, batch):
    targets = batch["targets"].astype(jnp.int32)
    scores = scores_of(params, batch)
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, targets)
    return losses.mean(where=batch["loss_mask"])


STEPS = 120
optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))


@jax.jit
def train_step(params, state, batch):
    loss, gradients = jax.value_and_grad(loss_of)(params, batch)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, updates), state, loss


# -

# ## Training
#
# `epochs(None)` makes a run without an end. In each epoch, rows hold other documents, and
# each token is in exactly one row.

# +
loader = (
    DataLoader()
    .batch_size(8, drop_remainder=True)
    .workers(1)
    .prefetch(to_device=True)
    .epochs(None)
    .build(rows)
)

params = initialize(jax.random.key(0))
state = optimizer.init(params)
losses = []
with iter(loader) as batches:
    for batch in islice(batches, STEPS):
        params, state, loss = train_step(params, state, batch)
        losses.append(loss)
    stats = batches.stats()

losses = np.array(jax.device_get(losses)) / np.log(2)
figure, axis = plt.subplots(figsize=(8, 2.5))
axis.plot(losses, linewidth=0.8)
_ = axis.set(xlabel="step", ylabel="bits per byte", title="Loss")
# -

# A model that knows only how frequent each byte is would reach this:

shares = np.bincount(np.concatenate(paragraphs), minlength=256) / lengths.sum()
unigram = -(shares[shares > 0] @ np.log2(shares[shares > 0]))
print(f"unigram {unigram:.2f} bits per byte, this model {losses[-20:].mean():.2f}")

# ## Did training wait for data?

stats

# The last check makes this notebook fail where it is tested, if the model learns nothing.

assert losses[-20:].mean() < unigram - 0.5
