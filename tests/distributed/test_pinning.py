"""Memory that a GPU reads is page-locked, as far as that can be seen without one."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from loadax_core import DataLoader
from loadax_distributed import DevicePlacement, MeshShardingStrategy
from loadax_distributed.pinning import Pinning

_jax: Any = jax


class Client:
    """What Loadax uses of a GPU's client.

    Args:
        room: How often memory may be locked.
    """

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.locked: dict[int, int] = {}
        self.unlocked: list[int] = []

    def dma_map(self, address: int, size: int) -> None:
        if len(self.locked) == self.room:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        assert address not in self.locked
        self.locked[address] = size

    def dma_unmap(self, address: int) -> None:
        del self.locked[address]
        self.unlocked.append(address)

    def reads(self, address: int) -> bool:
        return any(start <= address < start + size for start, size in self.locked.items())


class GPU:
    """A GPU, as far as it is asked for its memory."""

    platform = "gpu"

    def __init__(self, client: Any) -> None:
        self.client = client


def test_memory_is_locked_until_it_is_freed() -> None:
    client = Client()
    pin, memory = Pinning([GPU(client)]), np.empty(4096, np.uint8)  # pyright: ignore[reportArgumentType]
    address = memory.ctypes.data
    pin(memory)
    assert pin.gpu
    assert client.locked == {address: 4096}
    del memory
    assert client.unlocked == [address]


@pytest.mark.parametrize("client", [Client(room=1), object()])
def test_where_no_more_can_be_locked_transfers_go_on_without(client: Any) -> None:
    pin = Pinning([GPU(client)])  # pyright: ignore[reportArgumentType]
    held = [np.empty(4096, np.uint8) for _ in range(3)]
    for memory in held:
        pin(memory)
    assert len(getattr(client, "locked", {})) <= 1


def test_other_platforms_are_left_alone() -> None:
    for place in (DevicePlacement(True), MeshShardingStrategy(_jax.make_mesh((8,), ("data",)))):
        # A CPU's client raises if it is asked.
        place.pin(np.empty(4096, np.uint8))
        assert not place.queued


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_batches_are_placed_from_locked_memory(sharded: bool, kind: Any) -> None:
    rows = np.repeat(np.arange(64, dtype=np.float32)[:, None], 1 << 14, axis=1)
    chain = DataLoader().batch_size(8).epochs(6).workers(2, kind=kind)
    if sharded:
        chain = chain.shard(_jax.make_mesh((8,), ("data",)))
    loader = chain.prefetch(2, to_device=True).build(rows)
    owner: Any = loader.sharding_strategy or loader._run.fetch.placement
    client = Client()
    owner.pin._gpu = GPU(client)
    seen: set[int] = set()
    again: list[bool] = []
    for step, batch in enumerate(loader):
        assert np.asarray(batch)[:, 0].tolist() == [8 * (step % 8) + i for i in range(8)]
        # On CPU an array lies in the memory that it was placed from.
        addresses = {shard.data.unsafe_buffer_pointer() for shard in batch.addressable_shards}
        again += [client.reads(address) for address in addresses & seen]
        seen |= addresses
    assert len(again) > 10
    assert all(again)
