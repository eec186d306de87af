# # An image classifier
#
# This notebook trains a small convolutional network on handwritten digits. The data ship
# with scikit-learn, so nothing is downloaded. Install what it needs:
# `pip install loadax flax optax scikit-learn matplotlib`.
#
# ## The data
#
# 1,797 images of 8 x 8 pixels. Every fifth one is held out.

# +
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from loadax import ArrayDataset, DataLoader
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8).astype(np.float32) / 16
labels = labels.astype(np.int32)

held_out = np.arange(len(labels)) % 5 == 0
train = ArrayDataset({"image": images[~held_out], "label": labels[~held_out]})
test = ArrayDataset({"image": images[held_out], "label": labels[held_out]})
train
# -

# ## Augmentation
#
# `random_map` gives each row a random generator of its own, from the seed, the epoch and
# the row. An image is moved by up to one pixel, in another way in each epoch.


# +
def shift(row, rng):
    down, right = rng.integers(0, 3, size=2)
    padded = np.pad(row["image"], 1)
    return {**row, "image": padded[down : down + 8, right : right + 8]}


rows = train.random_map(shift, seed=1).shuffle(seed=2)

figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for epoch, line in enumerate(axes):
    for row, axis in enumerate(line):
        # Row 0, 1, ... of the training set, as it is in this epoch.
        image = train.random_map(shift, seed=1).at_epoch(epoch)[row]["image"]
        axis.imshow(image, cmap="gray_r")
        axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(f"epoch {epoch}")
# -

# ## The loader
#
# Two threads load. Up to 64 batches wait on the device, also at the end of an epoch.

loader = (
    DataLoader()
    .batch_size(32, drop_remainder=True)
    .workers(2)
    .prefetch(to_device=True)
    .epochs(8)
    .build(rows)
)
loader

# `peek` loads one batch, and shows what a step will get.

loader.peek()

# ## The network


# +
class Network(nnx.Module):
    def __init__(self, rngs):
        self.conv1 = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), strides=2, rngs=rngs)
        self.linear = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, images):
        x = nnx.relu(self.conv1(images[..., None]))
        x = nnx.relu(self.conv2(x))
        return self.linear(x.reshape(len(x), -1))


def loss_of(network, batch):
    scores = network(batch["image"])
    losses = optax.softmax_cross_entropy_with_integer_labels(scores, batch["label"])
    return losses.mean()


@nnx.jit
def train_step(network, optimizer, batch):
    loss, gradients = nnx.value_and_grad(loss_of)(network, batch)
    optimizer.update(network, gradients)
    return loss


@nnx.jit
def count_right(network, batch):
    return (network(batch["image"]).argmax(axis=-1) == batch["label"]).sum()


# -

# ## Training
#
# One run has all epochs, so the workers never stop. The held-out digits are evaluated
# whenever an epoch ends.

# +
network = Network(nnx.Rngs(0))
learning_rate = optax.cosine_decay_schedule(1e-2, decay_steps=len(loader))
optimizer = nnx.Optimizer(network, optax.adam(learning_rate), wrt=nnx.Param)
evaluation = DataLoader().batch_size(len(test)).build(test)

losses = []
with iter(loader) as batches:
    for step, batch in enumerate(batches, start=1):
        losses.append(train_step(network, optimizer, batch))
        if step % loader.steps_per_epoch == 0:
            right = sum(int(count_right(network, batch)) for batch in evaluation)
            print(f"after epoch {batches.epoch}: {right / len(test):.1%} recognised")
    stats = batches.stats()
# -

figure, axis = plt.subplots(figsize=(8, 2.5))
axis.plot(jax.device_get(losses), linewidth=0.8)
_ = axis.set(xlabel="step", ylabel="loss", title="Loss on the training batches")

# ## Did training wait for data?

stats

# The last check makes this notebook fail where it is tested, if training no longer works.

assert right / len(test) > 0.95
