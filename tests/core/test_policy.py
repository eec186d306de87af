"""What a policy answers: pure functions of numbers."""

from __future__ import annotations

from typing import Any

import pytest
from loadax_core.run.policy import MOST_GROUPED, Policy, auto_depth

MIB = 2**20


def policy_of(workers: int = 1, *, row: float | None = None, most: int | None = None, **settings: Any) -> Policy:
    policy = Policy(workers=workers, **settings)
    policy.row, policy.most = row, most
    return policy


def test_one_slow_read_hardly_changes_what_reads_take() -> None:
    policy = policy_of(gathers=True)
    policy.learn(10, 1e-3)
    assert policy.row == policy.least == 1e-4
    for seconds, row, least in ((1.0, 0.20008, 1.05e-4), (1.0, 0.360064, 1.1025e-4), (0.0, 0.2880512, 0.0)):
        policy.learn(1, seconds)
        assert policy.row == pytest.approx(row)
        assert policy.least == pytest.approx(least)


@pytest.mark.parametrize(
    ("settings", "row", "helps", "loaders"),
    [
        ({"helps": True}, None, False, 3),
        ({"helps": True}, 1.9e-5, True, 3),  # a wait of less than 2 ms
        ({"helps": True}, 2.1e-5, False, 8),
        ({}, 1e-9, False, 8),  # a function of the user may be called
    ],
)
def test_a_consumer_runs_quick_gathers_and_takes_the_core_of_a_worker(
    settings: dict[str, Any], row: float | None, helps: bool, loaders: int
) -> None:
    policy = policy_of(8, gathers=True, **settings)
    if row is not None:
        policy.learn(100, row * 100)
        # Another program had the core.
        policy.learn(100, 1.0)
        policy.learn(100, row * 100)
    assert policy.caller_helps(100) is helps
    assert policy.loaders(100, cores=4) == loaders
    assert policy_of(2, gathers=True, **settings).loaders(100, cores=1) == (1 if "helps" in settings else 2)


@pytest.mark.parametrize(
    ("ahead", "row", "size"),
    [
        (2, 2e-3, 1),  # 1 ms or more, to be divided among all workers
        (2, 1e-4, 8),  # 1 ms would be 10 rows, which would leave 2 for a fourth part
        (64, 2e-3, 32),  # each worker can have four batches
        (16, 2e-3, 8),
        (64, 0.02, 5),  # 0.1 s
        (64, 1.0, 1),
        (64, None, 2),  # nothing is known: all workers share the batch
    ],
)
def test_units_of_items_grow_with_what_is_on_its_way(ahead: int, row: float | None, size: int) -> None:
    assert policy_of(16, row=row, depth=2).unit_rows(32, ahead) == size


@pytest.mark.parametrize(
    ("most", "row", "size"),
    [(64, 1e-6, 32), (64, 1e-3, 8), (0, 1e-3, 32), (None, None, 32)],
)
def test_slow_gathers_have_as_many_parts_as_keep_workers_busy(most: int | None, row: float | None, size: int) -> None:
    assert policy_of(8, row=row, most=most, gathers=True, depth=2).unit_rows(32, 2) == size


@pytest.mark.parametrize(("row", "size"), [(1e-4, 32), (1e-3, 8)])
def test_processes_share_slow_batches(row: float, size: int) -> None:
    assert policy_of(4, row=row, remote=True, unit_seconds=4e-3, depth=1).unit_rows(32, 2) == size


@pytest.mark.parametrize("settings", [{}, {"gathers": True}, {"remote": True}])
@pytest.mark.parametrize("row", [None, 1e-6, 1.0])
def test_rows_that_belong_together_are_one_unit(settings: dict[str, Any], row: float | None) -> None:
    policy = policy_of(8, row=row, most=64, divisible=False, depth=2, **settings)
    assert policy.unit_rows(32, 64) == 32


@pytest.mark.parametrize(
    ("row", "limit", "most", "size"),
    [
        (1e-5, 64, 1000, 8),  # 1 ms
        (1e-9, 64, 1000, 16),  # a quarter of the batches that may be on their way
        (1e-9, 64, 69, 4),  # 4 MiB
        (1e-9, 64, 9, 1),  # a batch has more
        (1e-9, 10**6, 10**6, MOST_GROUPED),
        (1e-2, 64, 1000, 1),
        (1e-9, 64, 0, 1),  # cannot be cut
        (None, 64, None, 1),
    ],
)
def test_quick_gathers_share_a_call(row: float | None, limit: int, most: int | None, size: int) -> None:
    assert policy_of(2, row=row, most=most, gathers=True, groups=True).group(10, limit) == size
    assert policy_of(2, row=row, most=most, gathers=True).group(10, limit) == 1


@pytest.mark.parametrize(("row", "most", "size"), [(1e-9, 1000, MOST_GROUPED), (1e-9, 69, 4), (1e-5, 1000, 8)])
def test_without_workers_the_window_limits_no_group(row: float, most: int, size: int) -> None:
    assert policy_of(1, row=row, most=most, gathers=True, groups=True).group(10) == size


@pytest.mark.parametrize(
    ("row", "fresh", "loaders"), [(None, True, 3), (5e-5, True, 3), (2e-4, True, 8), (5e-5, False, 8)]
)
def test_slow_gathers_have_all_workers_from_the_start(row: float | None, fresh: bool, loaders: int) -> None:
    policy = policy_of(8, gathers=True, helps=True)
    if row is not None:
        policy.learn(100, row * 100)
    assert policy.loaders(100, cores=4, fresh=fresh) == loaders


@pytest.mark.parametrize(
    ("nbytes", "queued", "depth"),
    [(0, False, 2), (0, True, 3), (8 * MIB, False, 8), (1, False, 64), (64 * MIB, True, 3)],
)
def test_a_depth_that_is_left_open_fills_64_mib(nbytes: int, queued: bool, depth: int) -> None:
    policy = policy_of(depth=None, queued=queued)
    assert policy.sizes_depth
    policy.learn_bytes(nbytes)
    assert policy.depth == auto_depth(nbytes, queued) == depth


def test_a_large_batch_counts_at_once_and_is_forgotten_slowly() -> None:
    policy = policy_of(depth=None)
    policy.learn_bytes(MIB)
    policy.learn_bytes(16 * MIB)
    assert policy.depth == 4
    for _ in range(10):
        policy.learn_bytes(MIB)
    assert 4 < policy.depth < 8
    for _ in range(100):
        policy.learn_bytes(MIB)
    assert policy.depth == 64


def test_a_depth_that_is_set_stays() -> None:
    policy = policy_of(depth=5)
    policy.learn_bytes(2**40)
    assert not policy.sizes_depth
    assert policy.depth == 5
