"""Beam search finds the most probable phones, says what is final in time, and depends on no chunk."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonestream import Phone
from phonestream.asr.lexicon.phones import PHONES, encode
from phonestream.asr.phone_lm import estimate
from phonestream.streaming.decode import Decoder, DecoderState
from phonestream.streaming.decoding import search
from phonestream.streaming.decoding.config import BLANK_SCORE, BeamSearch
from phonestream.streaming.decoding.decoder import BeamDecoder, BeamState
from phonestream.streaming.decoding.load import load

SYMBOLS = ("", "AA", "B", "CH")
GREEDY = Decoder(SYMBOLS, blank=0, row_seconds=0.04)
EXACT: dict[str, Any] = {"size": 5000, "threshold": 1000.0, "delay_seconds": 60.0}  # nothing is given up


@pytest.fixture(scope="module")
def small_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of four sentences, with word marks."""
    path: Path = tmp_path_factory.mktemp("lm") / "small.lm"
    sentences = ["AA B|AA CH", "B|AA B", "CH|CH|AA", "AA B CH"]
    words = [[word.split() for word in sentence.split("|")] for sentence in sentences]
    marked = ([[first + len(PHONES), *rest] for first, *rest in map(encode, sentence)] for sentence in words)
    stream = b"".join(b"".join(map(bytes, sentence)) + b"\0" for sentence in marked)
    estimate.save(estimate.learn(np.frombuffer(stream, np.uint8), order=4, prune=0).data, path)
    return path


def exact(decoder: BeamDecoder) -> BeamDecoder:
    """`decoder`, trying every column in every row."""
    decoder.rule = replace(decoder.rule, cut=math.inf, skip=math.inf)
    return decoder


def random_rows(seed: int, count: int, sharpness: float = 2.0, columns: int = len(SYMBOLS)) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).normal(size=(count, columns))
    rows: np.ndarray = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    return rows


def decoded(decoder: BeamDecoder, *parts: np.ndarray) -> tuple[list[Phone], BeamState]:
    state, phones = decoder.initial(), []
    for rows in parts:
        found, state = decoder.decode(state, rows)
        phones += found
    found, state = decoder.finish(state)
    return phones + found, state


def symbols(phones: Sequence[Phone]) -> str:
    return " ".join(phone.symbol for phone in phones)


def every_reading(rows: np.ndarray, blank_score: float) -> dict[str, float]:
    """log P of each sequence of phones by its definition: the sum over all paths that collapse to it."""
    scores: dict[str, float] = {}
    for path in product(range(len(SYMBOLS)), repeat=len(rows)):
        merged = [column for last, column in zip((None, *path), path, strict=False) if column != last]
        text = " ".join(SYMBOLS[column] for column in merged if column)
        score = sum(float(rows[row, column]) for row, column in enumerate(path))
        score += blank_score * path.count(0)
        scores[text] = float(np.logaddexp(scores.get(text, -math.inf), score))
    return scores


def every_marking(phones: str) -> Iterator[list[int]]:
    """The language model's symbols for `phones`, words beginning wherever they may."""
    columns = [PHONES.index(phone) + 1 for phone in phones.split()]
    for starts in product((0, len(PHONES)), repeat=len(columns)):
        yield [column + start for column, start in zip(columns, starts, strict=True)]


def lm_score(path: Path, sequence: list[int]) -> float:
    """log P of a sentence."""
    lm, total = load(path, PHONES), 0.0
    context = lm.start
    for symbol in [*sequence, lm.end]:
        rows, places = lm.rows(np.array([context]))
        total += float(rows.scores[places[0], symbol])
        context = int(rows.nexts[places[0], symbol])
    return total


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 5),
    blank_score=st.sampled_from([0.0, -1.0, 0.7]),
    scale=st.sampled_from([1.0, 0.6, 2.0]),
)
@settings(deadline=None, max_examples=15)
def test_without_a_language_model_hypotheses_are_those_of_the_definition(
    seed: int, count: int, blank_score: float, scale: float
) -> None:
    rows = random_rows(seed, count)
    search = BeamSearch(**EXACT, acoustic_scale=scale, lm=None, blank_score=blank_score)
    decoder = exact(BeamDecoder(GREEDY, search))
    expected = every_reading(scale * rows, blank_score)
    phones, state = decoded(decoder, rows)
    found = decoder.n_best(state)
    best = max(expected.values())
    assert {symbols(way.phones): way.score for way in found} == pytest.approx(
        {text: score - best for text, score in expected.items()}, abs=1e-6
    )
    assert [way.score for way in found] == sorted((way.score for way in found), reverse=True)
    assert expected[symbols(phones)] == best


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 4),
    weight=st.sampled_from([0.3, 1.0, 2.0]),
)
@settings(deadline=None, max_examples=15)
def test_with_a_language_model_too(small_lm: Path, seed: int, count: int, weight: float) -> None:
    rows = random_rows(seed, count)
    settings = BeamSearch(**EXACT, acoustic_scale=0.75, lm=small_lm, lm_weight=weight, blank_score=-0.5)
    decoder = exact(BeamDecoder(GREEDY, settings))
    acoustic = every_reading(0.75 * rows, -0.5)
    expected = {
        text: float(
            np.logaddexp.reduce([score + weight * lm_score(small_lm, way) for way in every_marking(text)])
        )
        for text, score in acoustic.items()
    }
    best = max(expected.values())
    _, state = decoded(decoder, rows)
    assert {symbols(way.phones): way.score for way in decoder.n_best(state)} == pytest.approx(
        {text: score - best for text, score in expected.items()}, abs=1e-6
    )


@given(
    columns=st.lists(st.integers(0, 3), min_size=1, max_size=150),
    delay=st.sampled_from([0.1, 0.4, 1.0]),
    with_lm=st.booleans(),
)
@settings(deadline=None, max_examples=15)
def test_what_is_certain_is_what_greedy_hears(
    small_lm: Path, columns: list[int], delay: float, with_lm: bool
) -> None:
    """Symbols, times and confidences, but for a phone that goes on beyond the delay: what has been said has an end."""
    logits = 30 * np.eye(len(SYMBOLS))[columns]
    rows = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm if with_lm else None, delay_seconds=delay))
    phones, state = GREEDY.decode(DecoderState(), rows)
    phones += GREEDY.finish(state)
    found, _ = decoded(decoder, rows)
    assert symbols(found) == symbols(phones)
    lengths = [len(list(run)) * 0.04 for column, run in groupby(columns) if column]
    for mine, greedy, length in zip(found, phones, lengths, strict=True):
        assert mine.peak == greedy.peak or length >= delay - 1e-6
        assert mine.confidence == pytest.approx(greedy.confidence, abs=1e-4)
        assert (mine.word_start is None) == (not with_lm)


@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    delay=st.sampled_from([0.1, 0.24, 0.6, 3.0]),
    sharpness=st.sampled_from([1.0, 3.0]),
)
@settings(deadline=None, max_examples=15)
def test_splitting_the_rows_changes_nothing(
    small_lm: Path, seed: int, cuts: list[int], delay: float, sharpness: float
) -> None:
    rows = random_rows(seed, 120, sharpness)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm, size=8, delay_seconds=delay))
    expected, reference = decoded(decoder, rows)
    phones, state = decoded(decoder, *np.split(rows, sorted(cuts)))
    assert phones == expected
    assert decoder.n_best(state) == decoder.n_best(reference)


@given(
    seed=st.integers(0, 10**6),
    size=st.sampled_from([1, 4, 20]),
    delay=st.sampled_from([0.1, 0.4, 1.0]),
    sharpness=st.sampled_from([0.5, 2.0, 4.0]),
)
@settings(deadline=None, max_examples=15)
def test_what_is_final_comes_in_time_and_tentative_phones_go_on_from_it(
    small_lm: Path, seed: int, size: int, delay: float, sharpness: float
) -> None:
    rows = random_rows(seed, 60, sharpness)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm, size=size, delay_seconds=delay))
    state, final = decoder.initial(), []
    for number, row in enumerate(rows, start=1):
        found, after = decoder.decode(state, row[None])
        for phone in found:  # the delay counts from the end of its first row
            assert number * 0.04 - 0.06 - phone.peak <= max(delay, 0.08) + 1e-6
        final += found
        state = after
        guess = decoder.tentative(state)
        assert symbols(guess) in [symbols(way.phones) for way in decoder.n_best(state)]
        times = [time for phone in (*final, *guess) for time in (phone.start, phone.end)]
        assert times == sorted(times)
        assert all(phone.start < phone.end <= number * 0.04 + 1e-6 for phone in (*final, *guess))
        assert all(phone.start <= phone.peak <= phone.end for phone in (*final, *guess))
    ways = decoder.n_best(state)
    last, finished = decoder.finish(state)
    assert symbols(last) in [symbols(way.phones) for way in ways]
    assert tuple(last) == decoder.n_best(finished)[0].phones
    assert decoder.tentative(finished) == []


@given(
    seed=st.integers(0, 10**6),
    streams=st.integers(3, 9),
    size=st.sampled_from([1, 4, 32]),
    counts=st.lists(st.integers(0, 13), min_size=1, max_size=6),
)
@settings(deadline=None, max_examples=25)
def test_many_at_once_are_each_what_they_are_alone(
    small_lm: Path, seed: int, streams: int, size: int, counts: list[int]
) -> None:
    """To the last bit: streams that are rows apart, some of which say something and some of which are silent."""
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm, size=size))
    sharpness = np.random.default_rng(seed).choice([0.5, 2.0, 8.0], (streams, 1, 1))
    rows = sharpness * np.stack([random_rows(seed + each, 7 + sum(counts)) for each in range(streams)])
    rows = (rows - np.log(np.exp(rows).sum(axis=2, keepdims=True))).astype(np.float32)
    ahead = [decoder.decode(decoder.initial(), own[: each % 7])[1] for each, own in enumerate(rows)]
    together, alone = ahead, ahead
    begin = 7
    for count in counts:
        part = rows[:, begin : begin + count]
        begin += count
        found = decoder.decode_many(together, part)
        expected = [decoder.decode(state, own) for state, own in zip(alone, part, strict=True)]
        together, alone = [state for _, state in found], [state for _, state in expected]
        for (phones, state), (own_phones, own) in zip(found, expected, strict=True):
            assert (phones, state.row, state.tiling) == (own_phones, own.row, own.tiling)
            assert all(map(np.array_equal, state.beam, own.beam))
            assert [array.dtype for array in state.beam] == [array.dtype for array in own.beam]
            assert all(array.base is None or array.base.nbytes == array.nbytes for array in state.beam)


def test_a_state_is_a_value(small_lm: Path) -> None:
    """Going on from one leaves it as it was."""
    rows = random_rows(3, 60)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm))
    _, middle = decoder.decode(decoder.initial(), rows[:30])
    before = [array.copy() for array in middle.beam]
    first = decoder.decode(middle, rows[30:])
    decoder.finish(middle)
    assert all(np.array_equal(array, copy) for array, copy in zip(middle.beam, before, strict=True))
    assert decoder.decode(middle, rows[30:])[0] == first[0]


def test_what_is_carried_stays_small(small_lm: Path) -> None:
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm))
    for sharpness in (0.0, 0.5, 3.0):
        state = decoder.initial()
        for block in np.split(random_rows(1, 2000, sharpness), 40):
            _, state = decoder.decode(state, block)
            assert len(state.beam.last) <= 32
            assert sum(array.nbytes for array in state.beam) < 10_000


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_prefixes_are_known_by_what_is_not_final(small_lm: Path, seed: int) -> None:
    """Hashes made anew of the histories lead to the same phones: a search can be written down without them."""
    rows = random_rows(seed, 80)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm))
    _, state = decoder.decode(decoder.initial(), rows[:40])
    beam = state.beam
    identity, parent = search.identify(beam.history["symbol"], beam.length)
    again = replace(state, beam=beam._replace(identity=identity, parent=parent))
    for one, other in ((state, again),):
        (first, left), (second, right) = (decoder.decode(at, rows[40:]) for at in (one, other))
        assert first == second
        assert decoder.finish(left)[0] == decoder.finish(right)[0]


def test_the_documented_defaults_are_those_that_are_used() -> None:
    page = (Path(__file__).parents[1] / "docs" / "decoding.md").read_text("utf-8").replace("−", "-")
    defaults = {**vars(BeamSearch()), "lm": '`"default"`', "blank_score": f"{BLANK_SCORE:g}, without"}
    for name, value in defaults.items():
        shown = f"{value:g} |" if isinstance(value, int | float) else value
        assert f"| `{name}` | {shown}" in page
