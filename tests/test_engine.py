"""When the server's ticks begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonestream.streaming.server.engine import MAX_REST_SECONDS, REST, rest_seconds

FRAME = 0.04


@given(
    began=st.floats(0, 1e7),
    spent=st.floats(0, 2),
)
def test_ticks_a_frame_apart_or_more_begin_at_multiples_of_a_frame(began: float, spent: float) -> None:
    rest = rest_seconds(began, spent, FRAME)
    plain = min(REST * spent, MAX_REST_SECONDS)
    assert 0 <= rest <= MAX_REST_SECONDS + FRAME / 2 + 1e-6
    if spent + plain < FRAME:
        assert rest == plain
    else:
        assert rest == pytest.approx(plain, abs=FRAME / 2 + 1e-6)
        if rest:
            frames = (began + spent + rest) / FRAME
            assert frames == pytest.approx(round(frames), abs=1e-4)
