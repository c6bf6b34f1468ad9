"""Intervals fill a recording without gaps and hold every phone once; phones are where the rule puts them."""

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
from phonestream.formats.tiling import tile
from phonestream.streaming.decode import Decoder, DecoderState, Phone, clip
from phonestream.streaming.tiling import EDGE, LEAD, ONSET, PAUSE, TAIL

ROW = 0.04  # seconds
DECODER = Decoder(("", "A", "B", "C", "D", "E"), blank=0, row_seconds=ROW)


def said(decoder: Decoder, columns: np.ndarray, seconds: float) -> list[Phone]:
    """What the decoder gives for these best columns in a recording so long."""
    rows = np.log(np.full((len(columns), 6), 0.02, np.float32))
    rows[np.arange(len(columns)), columns] = np.log(0.9)
    phones, state = decoder.decode(DecoderState(), rows)
    return clip([*phones, *decoder.finish(state, seconds)], seconds)


@st.composite
def decoded(draw: st.DrawFn) -> tuple[list[Phone], float]:
    """Phones that the decoder gives for some best columns and offset, and a length that has so many rows."""
    runs = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=40))
    columns = np.repeat([column for column, _ in runs], [length for _, length in runs]).astype(int)
    seconds = max(0.0, (len(columns) - draw(st.floats(0, 0.999))) * ROW)
    decoder = toy_metadata(time_offset_seconds=draw(st.floats(-0.11, 0.3))).decoder
    return said(decoder, columns, seconds), seconds


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
    assert all(before.end <= after.start for before, after in pairwise(phones))
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


def spans(*runs: tuple[int, int], seconds: float = 2.0) -> list[tuple[float, ...]]:
    """Where phones begin and end, of runs of columns."""
    columns = np.repeat([column for column, _ in runs], [length for _, length in runs])
    return [
        (round(phone.start, 6), round(phone.end, 6)) for phone in said(DECODER, columns.astype(int), seconds)
    ]


def test_a_boundary_is_half_way_between_spikes_or_not_long_before_the_later() -> None:
    assert spans((1, 1), (0, 1), (2, 1), seconds=0.14) == [(0, 0.06), (0.06, 0.14)]
    assert spans((1, 1), (0, 5), (2, 1), seconds=0.3) == [(0, 0.19), (0.19, 0.3)]


def test_silence_is_where_spikes_are_far_apart_and_at_the_edges() -> None:
    first, second = 0.5, 0.98  # middles of the spikes
    assert spans((0, 12), (1, 1), (0, 11), (2, 1), seconds=2.0) == [
        (first - LEAD, first + TAIL),
        (round(second - LEAD, 6), round(second + TAIL, 6)),
    ]
    shortest = round((TAIL + PAUSE + LEAD) / ROW)  # rows between two middles
    (_, end), (begin, _) = spans((0, 12), (1, 1), (0, shortest - 1), (2, 1))
    assert round(begin - end, 6) == PAUSE
    (_, end), (begin, _) = spans((0, 12), (1, 1), (0, shortest - 2), (2, 1))
    assert begin == end == round(0.5 + (shortest - 1) * ROW - ONSET, 6)
    assert spans((1, 1), seconds=0.02 + TAIL + EDGE / 2) == [(0, 0.155)]


def test_a_long_spike_is_within_its_interval_beside_silence() -> None:
    assert spans((0, 10), (1, 20), (0, 10), (2, 20), seconds=3.0) == [(0.4, 1.2), (1.6, 2.4)]


def test_without_phones_all_is_silence_and_without_time_nothing_is() -> None:
    assert tile([], 12.3456) == (Interval("", 0.0, 12.3456, 1.0),)
    assert tile([], 0.0) == ()


def test_recordings_shorter_than_a_millisecond_have_room_for_their_phones() -> None:
    intervals = tile([Phone("A", 0, 0.0005, 0.9), Phone("B", 0.0005, 0.0005, 0.9)], 0.0005)
    assert [(interval.symbol, interval.start, interval.end) for interval in intervals] == [
        ("A", 0.0, 0.00025),
        ("B", 0.00025, 0.0005),
    ]


def test_phones_at_the_very_end_have_room() -> None:
    phones = [Phone("A", 0.88, 0.92, 0.9), Phone("B", 0.98, 1.0, 0.9), *[Phone("C", 1.0, 1.0, 0.9)] * 4]
    intervals = tile(phones, 1.0)
    assert symbols(intervals) == symbols(phones)
    assert intervals[-1].end == 1.0
    assert all(interval.start < interval.end for interval in intervals)


def test_phones_beyond_the_recording_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lies beyond the recording's 0.5 s"):
        tile([Phone("A", 1.0, 1.04, 0.9), Phone("B", 1.2, 1.24, 0.9)], 0.5)


def test_phones_of_real_speech_are_the_intervals(recordings: list[Path]) -> None:
    recognizer = phonestream.Recognizer(shipped_model())
    samples, rate = soundfile.read(recordings[0], dtype="float32")
    for decoder in ("beam", "greedy"):
        phones = recognizer.transcribe(samples, rate, decoder=decoder)
        intervals = [entry for entry in tile(phones, len(samples) / rate) if entry.symbol]
        assert all(phone.start <= phone.peak <= phone.end for phone in phones)
        np.testing.assert_allclose(
            [entry[1:3] for entry in intervals], [phone[1:3] for phone in phones], atol=0.00051
        )
