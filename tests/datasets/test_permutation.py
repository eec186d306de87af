"""Random orders: that they are permutations, and that they look random.

Every statistical threshold is derived: it is what a truly random order exceeds with a probability below one in a
billion. The seeds are fixed, so that a test that passes passes always.
"""

# pyright: reportPrivateUsage=false

import math
import pickle
import threading
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadax_core import Rows
from loadax_datasets.orders import hashing, permutation
from loadax_datasets.orders.permutation import BLOCK, Feistel, Permutation

KEYS = [0x9D5C2F1B7A3E6480 * (i + 1) % 2**64 for i in range(6)]
BILLION_TO_ONE = math.log(1e9)
# A normal variable is further than this many standard deviations from its mean once in a billion times.
SIGMAS = 6.1


def chi_square(counts: Rows, expected: float) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


def chi_square_limit(freedom: int) -> float:
    """Exceeded with probability below 1e-9 (Laurent and Massart, 2000, lemma 1)."""
    return freedom + 2 * math.sqrt(freedom * BILLION_TO_ONE) + 2 * BILLION_TO_ONE


def assert_permutation(values: Rows) -> None:
    assert values.dtype == np.int64
    assert np.array_equal(np.sort(values), np.arange(len(values)))


def test_every_short_length_gives_a_permutation() -> None:
    for length in range(5001):
        rows: Rows = np.arange(length)
        assert_permutation(Permutation(length, seed=length)(rows))
        assert_permutation(Feistel(length, KEYS)(rows))


@pytest.mark.parametrize("bits", range(1, 21))
def test_lengths_around_powers_of_two_give_permutations(bits: int) -> None:
    for length in ((1 << bits) - 1, 1 << bits, (1 << bits) + 1):
        assert_permutation(Feistel(length, KEYS)(np.arange(length)))
        assert_permutation(Permutation(length, seed=5)(np.arange(length)))


def network_of(order: Permutation) -> Feistel:
    assert order._feistel is not None, "orders of so few rows are sorted"
    return order._feistel


def inverse(feistel: Feistel, value: int) -> int:
    """The number whose image is `value`: the rounds of the network, backwards."""
    width, highs, bits = feistel._width, feistel._highs, feistel._bits
    while True:
        high, low = value >> width, value & (2**width - 1)
        for i in reversed(range(len(feistel._keys))):
            if i % 2:
                low ^= hashing.mix_low_one(high ^ feistel._keys[i], bits) >> (bits - width)
            else:
                high = (high - (hashing.mix_low_one(low ^ feistel._keys[i], bits) * highs >> bits)) % highs
        value = high << width | low
        if value <= feistel._last:
            return value


@pytest.mark.parametrize("bits", [32, 64])
def test_scaled_words_are_the_upper_half_of_a_product(bits: int) -> None:
    top, root = 2**bits - 1, 2 ** (bits // 2)
    numbers = [0, 1, root - 1, root, root + 1, top - root, top - 1, top, *(top // k for k in range(2, 50))]
    for count in (1, 2, 3, 129, root // 2 + 1, root - 1, root):
        words = np.array(numbers, np.uint32) if bits == 32 else np.array(numbers, np.uint64)
        hashing.scale(words, count)
        assert words.tolist() == [number * count >> bits for number in numbers]


@pytest.mark.parametrize("length", [33_000, 60_000, 2**20 + 1, 1_281_167, 2**32 - 1, 2**33 + 1, 2**62 + 1])
def test_hardly_any_number_goes_through_the_network_again(length: int) -> None:
    """What lies beyond the end is less than one low part, of about the root of the length."""
    feistel = Feistel(length, KEYS)
    domain = feistel._highs << feistel._width
    assert length <= domain < length + 1.5 * math.isqrt(length)


LENGTHS = st.one_of(st.integers(BLOCK + 1, 2**32 + 2), st.sampled_from([2**32 - 1, 2**32, 2**32 + 1]))
LONG = st.one_of(LENGTHS, st.integers(BLOCK + 1, 2**63 - 1))


@given(length=LONG, data=st.data())
def test_long_orders_can_be_inverted(length: int, data: st.DataObject) -> None:
    order = Permutation(length, seed=3)
    rows = data.draw(st.lists(st.integers(0, length - 1) | st.just(length - 1), min_size=1, max_size=5))
    for row in rows:
        value = order.at(row)
        assert 0 <= value < length
        assert inverse(network_of(order), value) == row
        assert order.at(inverse(network_of(order), row)) == row


@pytest.mark.parametrize("length", [10**9, 10**12, 2**40 + 1, 2**62 + 1])
def test_stretches_of_long_orders_have_no_duplicates(length: int) -> None:
    order = Permutation(length, seed=1)
    starts = (0, length // 3, length - 3 * BLOCK)
    rows = np.concatenate([np.arange(start, start + 3 * BLOCK) for start in starts])
    values = order(rows)
    assert values.min() >= 0
    assert values.max() < length
    assert len(np.unique(values)) == len(rows)


@given(
    length=st.one_of(st.integers(2, BLOCK), LONG),
    seed=st.integers(0, 2**70),
    epoch=st.integers(0, 2**40),
    data=st.data(),
)
def test_one_row_and_many_rows_agree(length: int, seed: int, epoch: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, length - 1), max_size=8))
    many = Permutation(length, seed, epoch)(np.array(rows, np.int64)) if length > BLOCK else None
    feistel = Feistel(length, KEYS)
    assert feistel(np.array(rows, np.int64)).tolist() == [feistel.at(row) for row in rows]
    if many is not None:
        assert many.tolist() == [network_of(Permutation(length, seed, epoch)).at(row) for row in rows]


@given(data=st.data())
def test_what_is_kept_does_not_show(data: st.DataObject) -> None:
    length = data.draw(st.sampled_from([10, 17, 100, 333]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(permutation, "BLOCK", 16)
        patch.setattr(permutation, "SORTED", 16)
        expected = Permutation(length, seed=9)(np.arange(length))
        order = Permutation(length, seed=9)
        row = st.integers(0, length - 1)
        for asked in data.draw(st.lists(row | st.lists(row, max_size=40), max_size=30)):
            if isinstance(asked, int):
                assert order.at(asked) == expected[asked]
            else:
                assert np.array_equal(order(np.array(asked, np.int64)), expected[asked])


class CountingFeistel(Feistel):
    """Counts the rows that are computed many at once."""

    computed = 0

    def __call__(self, rows: Rows) -> Rows:
        self.computed += len(rows)
        return super().__call__(rows)


def counting(length: int) -> tuple[Permutation, CountingFeistel]:
    order = Permutation(length, seed=0)
    feistel = CountingFeistel(length, KEYS)
    order._feistel = feistel
    return order, feistel


def test_each_block_is_computed_once_when_rows_are_read_in_turn() -> None:
    order, feistel = counting(5 * BLOCK)
    for row in range(4 * BLOCK):
        order.at(row)
    assert feistel.computed == 4 * BLOCK
    order, feistel = counting(5 * BLOCK)
    for start in range(0, 4 * BLOCK, 96):
        order(np.arange(start, start + 96))
    assert feistel.computed == 5 * BLOCK


def test_workers_on_both_sides_of_a_boundary_do_not_evict_each_other() -> None:
    order, feistel = counting(5 * BLOCK)
    for i in range(100):
        order.at(BLOCK - 100 + i)
        order.at(BLOCK + i)
    assert feistel.computed == 2 * BLOCK


@pytest.mark.parametrize("batches", [1, 4])
@pytest.mark.parametrize("distance", [3_200, 32_000, 320_000])
def test_who_reads_a_few_rows_of_each_large_batch_does_not_compute_the_others(distance: int, batches: int) -> None:
    """As one of many hosts does."""
    order, feistel = counting(10**9)
    starts = np.arange(40).reshape(-1, batches, 1) * distance
    for group in starts:
        order((group + np.arange(32)).ravel())
    assert feistel.computed <= 2 * BLOCK + 40 * 32


@pytest.mark.parametrize(("length", "block"), [(2**32, BLOCK), (2**32 + 1, BLOCK // 2)])
def test_a_block_takes_as_many_bytes_whatever_its_words(length: int, block: int) -> None:
    order, feistel = counting(length)
    whole = order(np.arange(block + 1))
    assert feistel.computed == 2 * block
    assert whole[-1] == order.at(block) == feistel.at(block)


def test_who_reads_a_third_of_each_batch_computes_each_block_once() -> None:
    order, feistel = counting(10**9)
    for start in range(0, 4 * BLOCK, 96):
        order(np.arange(start, start + 32))
    assert feistel.computed == 4 * BLOCK


def test_scattered_rows_do_not_compute_whole_blocks() -> None:
    order, feistel = counting(10**9)
    for row in np.random.default_rng(0).integers(0, 10**9, 1000).tolist():
        order.at(row)
    assert feistel.computed == BLOCK
    order(np.random.default_rng(0).integers(0, 10**9, 256))
    assert feistel.computed == BLOCK + 256


def test_reading_from_the_start_again_finds_its_blocks_again() -> None:
    order, feistel = counting(10**9)
    order(np.arange(10 * BLOCK, 10 * BLOCK + 8))
    for row in range(1000):
        order.at(row)
    assert feistel.computed == 2 * BLOCK


class WatchedLock:
    """A lock that says when somebody is about to wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.wanted.release()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_two_threads_that_need_a_block_compute_it_once() -> None:
    order, feistel = counting(10 * BLOCK)
    watched = WatchedLock()
    order._lock._lock = watched  # pyright: ignore[reportAttributeAccessIssue]
    with watched.lock:
        threads = [threading.Thread(target=order.at, args=(row,)) for row in (0, 1)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert watched.wanted.acquire(timeout=10)
    for thread in threads:
        thread.join()
    assert feistel.computed == BLOCK


def test_memory_does_not_grow() -> None:
    order = Permutation(10**9, seed=0)
    tracemalloc.start()
    try:
        for start in range(0, 40 * BLOCK, 512):
            order(np.arange(start, start + 512))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 8 * BLOCK


@pytest.mark.parametrize("length", [10**9, 10**12])
def test_the_first_batch_of_a_billion_rows_is_there_at_once(length: int) -> None:
    def first_batch() -> float:
        begin = time.perf_counter()
        Permutation(length, seed=0)(np.arange(256))
        return time.perf_counter() - begin

    assert min(first_batch() for _ in range(5)) < 0.010


def test_an_order_is_pickled_as_its_seed() -> None:
    order = Permutation(10 * BLOCK, seed=4, epoch=2)
    order.at(0)
    data = pickle.dumps(order)
    assert len(data) < 200
    assert np.array_equal(pickle.loads(data)(np.arange(100)), order(np.arange(100)))


def test_orders_are_the_same_on_every_machine() -> None:
    """A saved position is worth nothing if another version or machine orders the rows otherwise."""
    assert Permutation(10, seed=0)(np.arange(10)).tolist() == [1, 2, 5, 8, 6, 0, 7, 3, 9, 4]
    assert Permutation(10**9, seed=0, epoch=1)(np.arange(4)).tolist() == [206942670, 185793599, 66589250, 105015260]
    assert Permutation(10**12, seed=0)(np.arange(3)).tolist() == [605315345307, 259034589113, 553545763467]


@pytest.mark.parametrize("length", [1000, 100_000])
def test_no_epoch_is_an_epoch_of_another_seed(length: int) -> None:
    starts = [
        tuple(Permutation(length, seed, epoch)(np.arange(20)).tolist())
        for seed in [*range(20), 2**32, 2**64, 2**64 + 1]
        for epoch in range(20)
    ]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("length", [1000, 100_003])
@pytest.mark.parametrize("other", [(0, 1), (1, 0)], ids=["next epoch", "next seed"])
def test_orders_are_unrelated(length: int, other: tuple[int, int]) -> None:
    """Two random orders agree in one place on average, whatever their length: the total is a Poisson variable."""
    pairs = 100
    rows = np.arange(length)
    agreements = 0
    products: list[float] = []
    for seed in range(pairs):
        first = Permutation(length, seed, 0)(rows)
        second = Permutation(length, seed + other[0], other[1])(rows)
        agreements += int((first == second).sum())
        products.append(float(np.corrcoef(first, second)[0, 1]))
    assert abs(agreements - pairs) < SIGMAS * math.sqrt(pairs)
    # The correlation of two random orders has mean 0 and variance 1 / (length - 1).
    assert abs(sum(products)) < SIGMAS * math.sqrt(pairs / (length - 1))
    assert abs(sum(r * r for r in products) * (length - 1) - pairs) < SIGMAS * math.sqrt(2 * pairs)


def test_every_order_of_four_rows_is_equally_likely() -> None:
    tries = 200 * math.factorial(4)
    weights = 4 ** np.arange(4)
    orders = [int((Permutation(4, seed)(np.arange(4)) * weights).sum()) for seed in range(tries)]
    values, counts = np.unique(orders, return_counts=True)
    assert len(values) == math.factorial(4)
    assert chi_square(counts, 200) < chi_square_limit(23)


@pytest.mark.parametrize("length", [10_007, 65_536, 65_537, 300_007])
def test_every_position_is_equally_likely(length: int) -> None:
    """Where rows go, by where they come from: a 32 x 32 table of counts."""
    bins, seeds = 32, 20
    counts = np.zeros((bins, bins))
    rows = np.arange(length)
    for seed in range(seeds):
        values = Permutation(length, seed)(rows)
        counts += np.histogram2d(rows, values, bins, [[0, length], [0, length]])[0]
    edges = np.histogram(rows, bins, (0, length))[0]
    expected = seeds * np.outer(edges, edges) / length
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert statistic < chi_square_limit((bins - 1) ** 2)


@pytest.mark.parametrize("length", [10_007, 65_536, 300_007])
@pytest.mark.parametrize("distance", [1, 2, 64])
def test_neighbours_are_unrelated(length: int, distance: int) -> None:
    bins = 64
    values = Permutation(length, seed=2)(np.arange(length))
    steps = (values[distance:] - values[:-distance]) % length
    counts = np.histogram(steps, bins, (0, length))[0]
    assert chi_square(counts, len(steps) / bins) < chi_square_limit(bins - 1)


@pytest.mark.parametrize("length", [2**20, 2**20 + 128])
@pytest.mark.parametrize("modulus", [2, 4, 16, 128])
def test_no_batch_prefers_one_parity(length: int, modulus: int) -> None:
    """The residues of 128 rows spread over batches as they would for independent rows, to within 5 %.

    With n batches, the spread that a random order shows has a relative standard deviation of 1 / sqrt(2n), which is
    0.8 % for the 8192 batches here.
    """
    values = Permutation(length, seed=11)(np.arange(length)).reshape(-1, 128)
    hits = (values % modulus == 0).sum(axis=1)
    share = 1 / modulus
    ideal = math.sqrt(128 * share * (1 - share))
    assert abs(hits.std() / ideal - 1) < 0.05
    assert abs(hits.mean() - 128 * share) < 0.01


@pytest.mark.parametrize("bad", [-1, -(2**40)])
def test_negative_seeds_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=f"seed must be at least 0, got {bad}"):
        Permutation(10, bad)
    with pytest.raises(ValueError, match=f"epoch must be at least 0, got {bad}"):
        Permutation(10, 0, bad)


@pytest.mark.parametrize("bad", [True, 1.0, "1", None])
def test_seeds_that_are_not_integers_are_refused(bad: int) -> None:
    with pytest.raises(TypeError, match="seed must be an integer"):
        Permutation(10, bad)


def test_numpy_seeds_are_integers_too() -> None:
    assert Permutation(100, np.int64(7)).at(3)  # pyright: ignore[reportArgumentType] == Permutation(100, 7).at(3)
