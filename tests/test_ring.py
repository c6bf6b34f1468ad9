"""The ring between the capture callback and whoever listens: nothing is moved in time, whatever is lost."""

import sys
from threading import Thread

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phonestream.streaming.audio.ring import Block, Ring

SLOTS, BLOCK = 3, 5


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, BLOCK), st.booleans())), max_size=60))
def test_blocks_come_out_in_order_at_their_places_and_the_rest_is_missing(
    steps: list[tuple[int, bool] | None],
) -> None:
    """None reads; a tuple writes a block of so many samples, with or without an overflow."""
    ring, waiting, offered, pending = Ring(SLOTS, BLOCK), [], 0, False
    for step in steps:
        if step is None:
            block = ring.read()
            assert (block is None) == (not waiting)
            if block is not None:
                start, count, overflow = waiting.pop(0)
                assert (block.start, block.overflow, block.arrived) == (start, overflow, start / 10)
                np.testing.assert_array_equal(block.samples, np.arange(start, start + count))
        else:
            count, overflow = step
            pending |= overflow
            ring.write(np.arange(offered, offered + count, dtype=np.int16), offered / 10, overflow)
            if len(waiting) < SLOTS:
                waiting.append((offered, count, pending))
                pending = False
            offered += count
        assert (ring.offered, ring.waiting) == (offered, len(waiting))


def test_what_was_read_is_not_overwritten() -> None:
    ring = Ring(1, BLOCK)
    ring.write(np.full(BLOCK, 1, np.int16), 0.0)
    block = ring.read()
    ring.write(np.full(BLOCK, 2, np.int16), 0.0)
    assert block is not None
    np.testing.assert_array_equal(block.samples, 1)


def test_two_threads_at_full_speed_lose_nothing_but_what_the_gaps_say() -> None:
    blocks = 20_000
    ring = Ring(4, BLOCK)

    def write() -> None:
        for number in range(blocks):
            ring.write(np.full(BLOCK, number % 1000, np.int16), float(number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        writer = Thread(target=write)
        writer.start()
        heard: list[Block] = []
        while writer.is_alive() or ring.waiting:
            if (block := ring.read()) is not None:
                heard.append(block)
        writer.join()
    finally:
        sys.setswitchinterval(interval)
    assert ring.offered == blocks * BLOCK
    starts = [block.start for block in heard]
    assert starts == sorted(set(starts))
    for block in heard:
        number = block.start // BLOCK
        assert block.arrived == number
        np.testing.assert_array_equal(block.samples, np.full(BLOCK, number % 1000))
