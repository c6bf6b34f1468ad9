"""Gaps of any length are taken in constant time, and leave a stream as zeros of that length would."""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from phonestream import Keywords, Lost, Phone, Recognizer, StreamPool
from phonestream.streaming import lost_audio
from phonestream.streaming.server.limits import Limits

DAY = 24 * 3600  # seconds
PERIOD = 0.64  # seconds, of the bundled model at 16 kHz
OPTIONS: dict[str, dict[str, Any]] = {
    "beam": {},
    "greedy": {"decoder": "greedy"},
    "endpoints": {"endpoints": True},
    "keywords": {"keywords": Keywords(["saturday"], threshold=0.2)},
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.fixture(scope="module")
def speech(speech_dir: Path) -> np.ndarray:
    """Three seconds, in which somebody says "Saturday"."""
    samples, _ = soundfile.read(speech_dir / "dev/260-123286-0000.opus", dtype="float32", frames=3 * 16_000)
    return samples


def rounded(events: list[Any]) -> list[Any]:
    """Events without what a call of another size rounds otherwise."""
    return [
        type(event)(*(round(value, 3) if isinstance(value, float) else value for value in event))
        for event in events
        if not isinstance(event, Lost)
    ]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_gap_leaves_what_zeros_would(
    options: dict[str, Any], recognizer: Recognizer, speech: np.ndarray
) -> None:
    rate, samples = 16_000, 10 * 16_000 + 77
    lost, zeros = recognizer.stream(**options), recognizer.stream(**options)
    found, expected = list(lost.accept(speech)), list(zeros.accept(speech))
    found += lost.gap(samples)
    for part in np.array_split(np.zeros(samples, np.float32), 7):
        expected += zeros.accept(part)
    assert lost.seconds == zeros.seconds
    found += [*lost.accept(speech), *lost.finish()]
    expected += [*zeros.accept(speech), *zeros.finish()]
    assert rounded(found) == rounded(expected)
    assert lost.lost == [Lost(len(speech) / rate, samples / rate)]


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_day_is_like_ten_seconds_but_for_the_clock(
    rate: int, recognizer: Recognizer, speech: np.ndarray
) -> None:
    seconds = (10 * PERIOD, DAY)  # both whole numbers of periods
    after = []
    for length in seconds:
        stream = recognizer.stream()
        stream.accept(speech, rate)
        stream.gap(round(length * rate))
        phones = [*stream.accept(speech, rate), *stream.finish()]
        after.append([(phone.symbol, round(cast(float, phone.peak) - length, 3)) for phone in phones])
        assert stream.seconds == pytest.approx(2 * len(speech) / rate + length)
    assert after[0] == after[1]


def test_paths_of_keywords_go_on_too(recognizer: Recognizer, speech: np.ndarray) -> None:
    stream = recognizer.stream(keywords=Keywords(["saturday"], threshold=0.2), decoder="greedy")
    before = [*stream.accept(speech)]
    stream.gap(DAY * 16_000)
    after = [*stream.accept(speech), *stream.finish()]
    spotted = [event for event in (*before, *after) if not isinstance(event, Phone)]
    assert [event.phrase for event in spotted] == ["saturday", "saturday"]
    assert spotted[1].start - spotted[0].start == pytest.approx(len(speech) / 16_000 + DAY, abs=0.05)


def test_a_pool_passes_over_gaps_in_a_few_calls(recognizer: Recognizer, speech: np.ndarray) -> None:
    pool = StreamPool(recognizer, chunk_seconds=0.04, max_chunk_seconds=0.64)
    alone = recognizer.stream()
    expected = [*alone.accept(speech)]
    stream = pool.open(sample_rate=16_000, report_gaps=True)
    stream.push(speech)
    part = int(Limits.gap_seconds * 16_000)
    for _ in range(10):
        stream.gap(part)
        expected += alone.gap(part)
    stream.push(speech)
    stream.finish()
    expected += [*alone.accept(speech), *alone.finish()]
    found = []
    while pool.ready:
        for result in pool.tick():
            assert result.error is None
            found += result.events
    lost = [event for event in found if isinstance(event, Lost)]
    assert [gap.seconds for gap in lost] == [Limits.gap_seconds] * 10
    assert all(second.start == first.start + first.seconds for first, second in pairwise(lost))
    assert [phone[:3] for phone in rounded(found)] == [phone[:3] for phone in rounded(expected)]
    assert pool.stats().calls < 2 * len(speech) / 16_000 / 0.04 + 10 * 10
    assert pool.stats().audio_seconds == pytest.approx(stream.seconds, abs=0.5)


@given(rate=st.integers(8_000, 192_000))
def test_parts_of_long_gaps_are_whole_periods(rate: int, recognizer: Recognizer) -> None:
    period = lost_audio.period(recognizer._model, rate)
    assert period is not None
    assert int(Limits.gap_seconds * rate) % period.samples == 0
