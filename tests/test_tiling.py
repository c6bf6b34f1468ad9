"""Intervals fill a recording without gaps, hold every phone once, and do not depend on how it was heard."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from toy_model import toy_metadata

import phonestream
from phonestream.formats.document import Interval
from phonestream.formats.tiling import EDGE, LEAD, PAUSE, TAIL, Tiler, tile
from phonestream.streaming.decode import DecoderState, Phone, clip

ROW = 0.04  # seconds


@st.composite
def decoded(draw: st.DrawFn) -> tuple[list[Phone], float]:
    """Phones that the decoder gives for some best columns and offset, and a length that has so many rows."""
    runs = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=40))
    columns = np.repeat([column for column, _ in runs], [length for _, length in runs]).astype(int)
    rows = np.log(np.full((len(columns), 6), 0.02, np.float32))
    rows[np.arange(len(columns)), columns] = np.log(0.9)
    seconds = max(0.0, (len(columns) - draw(st.floats(0, 0.999))) * ROW)
    decoder = toy_metadata(time_offset_seconds=draw(st.floats(-0.11, 0.3))).decoder
    phones, state = decoder.decode(DecoderState(), rows)
    return clip([*phones, *decoder.finish(state)], seconds), seconds


def symbols(entries: list[Interval] | list[Phone] | tuple[Interval, ...]) -> list[str]:
    return [entry.symbol for entry in entries if entry.symbol]


@settings(deadline=None)
@given(decoded())
def test_intervals_fill_the_recording_and_hold_each_phone_once_in_order(
    heard: tuple[list[Phone], float],
) -> None:
    phones, seconds = heard
    intervals = tile(phones, seconds)
    assert symbols(intervals) == symbols(phones)
    if seconds == 0:
        assert intervals == ()
        return
    assert (intervals[0].start, intervals[-1].end) == (0, seconds)
    assert all(interval.start < interval.end for interval in intervals)
    for before, after in pairwise(intervals):
        assert before.end == after.start
        assert before.symbol or after.symbol, "two silences in a row"
    heard_phones = [interval for interval in intervals if interval.symbol]
    assert [interval.confidence for interval in heard_phones] == [phone.confidence for phone in phones]


@settings(deadline=None)
@given(decoded(), st.data())
def test_how_phones_come_in_does_not_matter(heard: tuple[list[Phone], float], data: st.DataObject) -> None:
    phones, seconds = heard
    tiler, intervals, rest = Tiler(), [], list(phones)
    while rest:
        count = data.draw(st.integers(0, len(rest)))
        intervals += tiler.add(rest[:count])
        del rest[:count]
        if count == 0:
            intervals += tiler.add([rest.pop(0)])
    assert (*intervals, *tiler.finish(seconds)) == tile(phones, seconds)


def test_intervals_come_while_the_recording_goes_on_and_none_are_kept() -> None:
    tiler = Tiler()
    for number in range(10_000):
        given_out = tiler.add([Phone("AH", number * 0.1, number * 0.1 + ROW, 0.9)])
        assert len(given_out) <= 2
        assert len(tiler._pending) <= 2


def test_a_boundary_is_half_way_between_spikes_or_not_long_before_the_later() -> None:
    near = tile([Phone("AH", 0.00, 0.04, 0.9), Phone("B", 0.08, 0.12, 0.9)], 0.14)
    assert near == (Interval("AH", 0.0, 0.06, 0.9), Interval("B", 0.06, 0.14, 0.9))
    far = tile([Phone("AH", 0.00, 0.04, 0.9), Phone("B", 0.24, 0.28, 0.9)], 0.3)
    assert far == (Interval("AH", 0.0, 0.19, 0.9), Interval("B", 0.19, 0.3, 0.9))


def test_silence_is_where_spikes_are_far_apart_and_at_the_edges() -> None:
    early, late = Phone("AH", 0.48, 0.52, 0.9), Phone("B", 0.98, 1.02, 0.8)
    first, spoken, pause, next_one, last = tile([early, late], 2.0)
    assert (first.symbol, pause.symbol, last.symbol) == ("", "", "")
    assert (spoken.start, spoken.end) == pytest.approx((0.5 - LEAD, 0.5 + TAIL))
    assert (next_one.start, next_one.end) == pytest.approx((1 - LEAD, 1 + TAIL))
    shortest = TAIL + PAUSE + LEAD
    assert len(tile([early, Phone("B", 0.481 + shortest, 0.521 + shortest, 0.8)], 2.0)) == 5
    assert len(tile([early, Phone("B", 0.478 + shortest, 0.518 + shortest, 0.8)], 2.0)) == 4
    assert tile([Phone("AH", 0.0, 0.04, 0.9)], 0.02 + TAIL + EDGE / 2) == (Interval("AH", 0, 0.155, 0.9),)


def test_a_long_spike_is_within_its_interval_beside_silence() -> None:
    _, hum, _, after, _ = tile([Phone("M", 0.4, 1.2, 0.9), Phone("B", 1.6, 2.4, 0.9)], 3.0)
    assert (hum.start, hum.end, after.start, after.end) == (0.4, 1.2, 1.6, 2.4)


def test_without_phones_all_is_silence_and_without_time_nothing_is() -> None:
    assert tile([], 12.3456) == (Interval("", 0.0, 12.3456, 1.0),)
    assert tile([], 0.0) == ()


def test_recordings_shorter_than_a_millisecond_have_room_for_their_phones() -> None:
    intervals = tile([Phone("A", 0, 0.0005, 0.9), Phone("B", 0.0005, 0.0005, 0.9)], 0.0005)
    assert [(interval.symbol, interval.start, interval.end) for interval in intervals] == [
        ("A", 0.0, 0.00025),
        ("B", 0.00025, 0.0005),
    ]


def test_phones_at_the_very_end_have_room_however_they_come_in() -> None:
    """Of a phone that is clipped to the recording's end nothing may be given out until the end is known."""
    phones = [Phone("A", 0.88, 0.92, 0.9), Phone("B", 0.98, 1.0, 0.9), *[Phone("C", 1.0, 1.0, 0.9)] * 4]
    at_once = tile(phones, 1.0)
    assert symbols(at_once) == symbols(phones)
    assert at_once[-1].end == 1.0
    assert all(interval.start < interval.end for interval in at_once)
    tiler, intervals = Tiler(), []
    for phone in phones:
        intervals += tiler.add([phone])
    assert (*intervals, *tiler.finish(1.0)) == at_once


def test_phones_beyond_the_recording_are_refused() -> None:
    tiler = Tiler()
    tiler.add([Phone("A", 1.0, 1.04, 0.9), Phone("B", 1.2, 1.24, 0.9)])
    with pytest.raises(ValueError, match=r"lie beyond the recording's 0.5 s"):
        tiler.finish(0.5)


def test_real_speech_block_by_block_is_the_same_as_at_once(recordings: list[Path]) -> None:
    recognizer = phonestream.Recognizer(shipped_model())
    samples, rate = soundfile.read(recordings[0], dtype="float32")
    stream, tiler, intervals = recognizer.stream(), Tiler(), []
    for first in range(0, len(samples), 1601):
        intervals += tiler.add(stream.accept(samples[first : first + 1601], rate))
    intervals += tiler.add(stream.finish())
    intervals += tiler.finish(stream.seconds)
    phones = recognizer.transcribe(samples, rate)
    at_once = tile(phones, len(samples) / rate)
    assert [entry[:3] for entry in intervals] == [entry[:3] for entry in at_once]  # confidences to rounding
    inside = [
        interval.start <= (phone.start + phone.end) / 2 <= interval.end
        for phone, interval in zip(phones, [entry for entry in intervals if entry.symbol], strict=True)
    ]
    assert all(inside)
