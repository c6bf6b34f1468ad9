"""Greedy decoding: runs of equal rows become phones, and nothing depends on how the rows came in."""

from itertools import groupby
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream.streaming.decode import Decoder, DecoderState, Phone, clip

SYMBOLS = ("", "A", "B", "C")


def rows_of(*columns: int, margin: float = 3.0) -> np.ndarray:
    """Log-probabilities in which these columns win."""
    logits = margin * np.eye(len(SYMBOLS))[list(columns)] if columns else np.zeros((0, len(SYMBOLS)))
    rows: np.ndarray = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    return rows


def decoded(decoder: Decoder, *parts: np.ndarray) -> list[Phone]:
    state, phones = DecoderState(), []
    for rows in parts:
        found, state = decoder.decode(state, rows)
        phones += found
    return phones + decoder.finish(state)


def spoken(phones: list[Phone]) -> list[tuple[str, float]]:
    return [(phone.symbol, round(cast(float, phone.peak), 6)) for phone in phones]


DECODER = Decoder(SYMBOLS, blank=0, row_seconds=0.04)


def test_a_run_of_equal_rows_is_one_phone_and_a_blank_parts_two() -> None:
    phones = decoded(DECODER, rows_of(0, 1, 1, 2, 0, 2, 2))
    assert spoken(phones) == [("A", 0.08), ("B", 0.14), ("B", 0.24)]


def test_a_phone_is_emitted_by_the_row_that_ends_the_next() -> None:
    emitted, state = DECODER.decode(DecoderState(), rows_of(1, 1, 0, 2))
    assert emitted == []
    emitted, state = DECODER.decode(state, rows_of(0))
    assert [phone.symbol for phone in emitted] == ["A"]
    assert [phone.symbol for phone in DECODER.finish(state)] == ["B"]


def test_a_phone_before_a_silence_or_a_long_one_is_emitted_in_time() -> None:
    for following in ([0] * 20, [2] * 20, [0, 0, *[2] * 20]):
        emitted, state = DECODER.decode(DecoderState(), rows_of(1, *following[: DECODER.hold]))
        assert [phone.symbol for phone in emitted] == ["A"]
        assert not state.is_open or following[2] == 2


def test_the_end_emits_the_phone_that_goes_on() -> None:
    _, state = DECODER.decode(DecoderState(), rows_of(0, 3))
    assert [phone.symbol for phone in DECODER.finish(state)] == ["C"]


def test_a_tie_goes_to_the_lowest_column() -> None:
    row = np.log(np.array([[0.2, 0.3, 0.3, 0.2]], np.float32))
    assert [phone.symbol for phone in decoded(DECODER, row)] == ["A"]
    assert decoded(DECODER, np.full((5, 4), np.log(0.25), np.float32)) == []  # the blank is the lowest


@pytest.mark.parametrize("blank", [0, 2, 3])
def test_the_blank_may_be_any_column(blank: int) -> None:
    symbols = (*"ABC"[:blank], "", *"ABC"[blank:])
    phones = decoded(Decoder(symbols, blank, 0.04), rows_of(0, 1, 2, 3))
    assert [phone.symbol for phone in phones] == ["A", "B", "C"]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_confidence_is_the_highest_posterior_at_the_temperature(temperature: float) -> None:
    rows = np.concatenate([rows_of(1, margin=1.0), rows_of(1, margin=4.0), rows_of(1, margin=2.0)])
    (phone,) = decoded(Decoder(SYMBOLS, 0, 0.04, temperature=temperature), rows)
    scaled = np.exp(rows.astype(np.float64) / temperature)
    expected = (scaled[:, 1] / scaled.sum(axis=1)).max()
    assert phone.confidence == pytest.approx(expected, abs=1e-6)


def test_the_offset_moves_every_time_and_none_before_the_start() -> None:
    late = Decoder(SYMBOLS, 0, 0.04, time_offset_seconds=0.05)
    assert spoken(decoded(late, rows_of(1, 0, 2))) == [("A", 0.0), ("B", 0.05)]


def test_clipping_ends_phones_with_the_audio() -> None:
    phones = clip([Phone("A", 0.1, 0.2, 0.5), Phone("B", 0.2, 0.4, 0.5), Phone("C", 0.4, 0.5, 0.5)], 0.3)
    assert phones == [Phone("A", 0.1, 0.2, 0.5), Phone("B", 0.2, 0.3, 0.5), Phone("C", 0.3, 0.3, 0.5)]
    (beyond,) = clip([Phone("A", 0.1, 0.4, 0.5, peak=0.35)], 0.3)
    assert beyond.peak == 0.3


@given(columns=st.lists(st.integers(0, 3), max_size=40), seed=st.integers(0, 99))
@settings(deadline=None)
def test_equals_the_definition(columns: list[int], seed: int) -> None:
    rows = rows_of(*columns) + np.random.default_rng(seed).normal(0, 0.3, (len(columns), 4)).astype(
        np.float32
    )
    expected, row = [], 0
    for column, group in groupby(rows.argmax(axis=1)):
        length = len(list(group))
        if column != 0:
            expected.append((SYMBOLS[column], round((row + length / 2) * 0.04, 6)))
        row += length
    assert spoken(decoded(DECODER, rows)) == expected


@given(
    columns=st.lists(st.integers(0, 3), max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=8),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_splitting_the_rows_changes_nothing(columns: list[int], cuts: list[int], seed: int) -> None:
    rows = rows_of(*columns) + np.random.default_rng(seed).normal(0, 1, (len(columns), 4)).astype(np.float32)
    parts = np.split(rows, sorted(min(cut, len(rows)) for cut in cuts))
    assert decoded(DECODER, *parts) == decoded(DECODER, rows)
