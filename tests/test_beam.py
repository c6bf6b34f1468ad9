"""Beam search finds the most probable phones, says what is final, and depends on no chunk."""

import json
import math
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from toy_model import levels, toy_model

from phonestream import ConfigError, ModelError, Phone, Recognizer, SnapshotError
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.asr.phone_lm import estimate as phone_lm
from phonestream.cli import main
from phonestream.extras import missing_extra
from phonestream.streaming.beam import BeamDecoder, BeamState
from phonestream.streaming.beam_config import BeamSearch
from phonestream.streaming.decode import Decoder, DecoderState

SYMBOLS = ("", "AA", "B", "CH")
GREEDY = Decoder(SYMBOLS, blank=0, row_seconds=0.04)
EXACT = {"size": 4000, "threshold": 1000.0, "delay_seconds": 60.0}  # nothing is given up
PLAIN = BeamSearch(lm=None)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(shipped_model())


@pytest.fixture(scope="module")
def toy(tmp_path_factory: Any) -> Recognizer:
    return Recognizer(toy_model(tmp_path_factory.mktemp("toy") / "toy.onnx"))


@pytest.fixture(scope="module")
def small_lm(tmp_path_factory: Any) -> Path:
    """A language model of four sentences."""
    path: Path = tmp_path_factory.mktemp("lm") / "small.arpa"
    sentences = ["AA B AA CH", "B AA B", "CH CH AA", "AA B CH"]
    phone_lm.save(phone_lm.estimate(map(str.split, sentences), order=3, prune=0), path)
    return path


@pytest.fixture(scope="module")
def speech(speech_dir: Path) -> np.ndarray:
    samples, _ = soundfile.read(speech_dir / "dev/2830-3979-0000.opus", dtype="float32")
    whole: np.ndarray = samples[:80123]
    return whole


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
        score = float(sum(rows[row, column] for row, column in enumerate(path)))
        score += blank_score * path.count(0)
        scores[text] = float(np.logaddexp(scores.get(text, -math.inf), score))
    return scores


# What is found


@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), blank_score=st.sampled_from([0.0, -1.0, 0.7]))
@settings(deadline=None, max_examples=25)
def test_all_hypotheses_are_those_of_the_definition(seed: int, count: int, blank_score: float) -> None:
    rows = random_rows(seed, count)
    decoder = BeamDecoder(GREEDY, BeamSearch(**EXACT, lm=None, blank_score=blank_score))
    expected = every_reading(rows, blank_score)
    _, state = decoded(decoder, rows)
    found = decoder.n_best(state)
    best = max(expected.values())
    assert {symbols(phones): score for phones, score in found} == pytest.approx(
        {text: score - best for text, score in expected.items()}, abs=1e-4
    )
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@given(seed=st.integers(0, 10**6), weight=st.sampled_from([0.3, 1.0, 2.0]))
@settings(deadline=None, max_examples=15)
def test_the_language_model_counts_as_kenlm_counts(small_lm: Path, seed: int, weight: float) -> None:
    import kenlm

    rows = random_rows(seed, 5)
    decoder = BeamDecoder(GREEDY, BeamSearch(**EXACT, lm=small_lm, lm_weight=weight, blank_score=-0.5))
    model = kenlm.Model(str(small_lm))
    expected = {
        text: score + weight * math.log(10) * model.score(text)
        for text, score in every_reading(rows, -0.5).items()
    }
    best = max(expected.values())
    _, state = decoded(decoder, rows)
    assert {symbols(phones): score for phones, score in decoder.n_best(state)} == pytest.approx(
        {text: score - best for text, score in expected.items()}, abs=1e-3
    )


def test_a_beam_of_one_is_greedy(recognizer: Recognizer, recordings: list[Path]) -> None:
    for recording in recordings:
        samples, rate = soundfile.read(recording, dtype="float32")
        search = BeamSearch(size=1, lm=None, threshold=1000)
        found = recognizer.transcribe(samples, rate, decoder=search)
        assert found == recognizer.transcribe(samples, rate)


@given(
    columns=st.lists(st.integers(0, 3), min_size=1, max_size=150),
    delay=st.sampled_from([0.1, 0.4, 1.0]),
    with_lm=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_what_is_certain_is_what_greedy_hears(
    small_lm: Path, columns: list[int], delay: float, with_lm: bool
) -> None:
    """Wherever the search starts again, be it within a phone or between two that are the same."""
    logits = 30 * np.eye(len(SYMBOLS))[columns]
    rows = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=small_lm if with_lm else None, delay_seconds=delay))
    phones, state = GREEDY.decode(DecoderState(), rows)
    assert decoded(decoder, rows)[0] == phones + GREEDY.finish(state)


def test_the_language_model_remembers_across_a_start(small_lm: Path) -> None:
    """After a long and certain beginning, the search has started again and phones still count as what goes on."""
    import kenlm

    certain = 30 * np.eye(len(SYMBOLS))[[1, 0, 2, 0, 1, 0, 0, 2, 2, 0] * 10]
    begin = (certain - np.log(np.exp(certain).sum(axis=1, keepdims=True))).astype(np.float32)
    end = random_rows(7, 4)
    decoder = BeamDecoder(
        GREEDY, BeamSearch(size=4000, threshold=25.0, lm=small_lm, lm_weight=1, blank_score=0)
    )
    final, state = decoder.decode(decoder.initial(), begin)
    assert state.start >= 75
    _, state = decoder.decode(state, end)
    _, state = decoder.finish(state)
    model = kenlm.Model(str(small_lm))
    expected = {
        text: score + math.log(10) * model.score(f"{symbols(final)} {text}")
        for text, score in every_reading(end, 0).items()
    }
    best = max(expected.values())
    for phones, score in decoder.n_best(state)[:20]:
        assert score == pytest.approx(expected[symbols(phones)] - best, abs=1e-3)


def test_the_language_model_makes_fewer_errors(recognizer: Recognizer, speech_dir: Path) -> None:
    errors = {"greedy": PhoneErrors(), "beam": PhoneErrors()}
    lines = (speech_dir / "manifest.tsv").read_text().splitlines()
    header = lines[0].split("\t")
    for line in lines[1:]:
        row = dict(zip(header, line.split("\t"), strict=True))
        samples, rate = soundfile.read(speech_dir / row["path"], dtype="float32")
        reference = row["phones"].split()
        for name, search in (("greedy", None), ("beam", BeamSearch())):
            heard = recognizer.transcribe(samples, rate, decoder=search)
            errors[name] += phone_errors(reference, [phone.symbol for phone in heard])
    assert errors["beam"].per < errors["greedy"].per


# Streaming


@pytest.mark.parametrize("size", [333, 640, 10**6])
def test_any_chunk_size_gives_the_same_phones(recognizer: Recognizer, speech: np.ndarray, size: int) -> None:
    stream = recognizer.stream(decoder=BeamSearch())
    phones = []
    for begin in range(0, len(speech), size):
        phones += stream.accept(speech[begin : begin + size])
        stream.n_best()  # looking changes nothing
    phones += stream.finish()
    expected = recognizer.transcribe(speech, decoder=BeamSearch())
    assert [phone[:3] for phone in phones] == [phone[:3] for phone in expected]
    np.testing.assert_allclose(
        [phone.confidence for phone in phones], [phone.confidence for phone in expected], atol=1e-4
    )


@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 120), max_size=12))
@settings(deadline=None, max_examples=25)
def test_splitting_the_rows_changes_nothing(seed: int, cuts: list[int]) -> None:
    rows = random_rows(seed, 120)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=None, size=8, delay_seconds=0.6))
    expected, reference = decoded(decoder, rows)
    phones, state = decoded(decoder, *np.split(rows, sorted(cuts)))
    assert phones == expected
    assert decoder.n_best(state) == decoder.n_best(reference)


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=15)
def test_what_is_not_final_is_told_and_goes_on_from_what_is(seed: int) -> None:
    rows = random_rows(seed, 60)
    decoder = BeamDecoder(GREEDY, BeamSearch(lm=None, size=20))
    state, final = decoder.initial(), []
    for row in rows:
        found, state = decoder.decode(state, row[None])
        final += found
        for phones, _ in decoder.n_best(state):
            times = [phone.start for phone in (*final, *phones)]
            assert times == sorted(times)
    ways = decoder.n_best(state)
    last, _ = decoder.finish(state)
    assert tuple(last) == ways[0].phones


def test_a_phone_is_final_within_the_delay(recognizer: Recognizer, speech: np.ndarray) -> None:
    for delay in (0.5, 2.0):
        stream = recognizer.stream(decoder=BeamSearch(delay_seconds=delay))
        bound = delay + recognizer.metadata.look_ahead_frames * 0.04 + 5 * 0.04 + 0.1
        for begin in range(0, len(speech), 640):
            for phone in stream.accept(speech[begin : begin + 640]):
                assert stream.seconds - phone.end <= bound


def test_a_copy_goes_on_alone(recognizer: Recognizer, speech: np.ndarray) -> None:
    stream = recognizer.stream(decoder=BeamSearch())
    past = stream.accept(speech[:40000])
    fork = stream.copy()
    silence = fork.accept(np.zeros(16000)) + fork.finish()
    rest = stream.accept(speech[40000:]) + stream.finish()
    assert symbols(past + rest) == symbols(recognizer.transcribe(speech, decoder=BeamSearch()))
    whole = np.concatenate([speech[:40000], np.zeros(16000)])
    assert symbols(past + silence) == symbols(recognizer.transcribe(whole, decoder=BeamSearch()))


def test_what_is_carried_stays_small() -> None:
    decoder = BeamDecoder(GREEDY, PLAIN)
    for sharpness in (0.0, 0.5, 3.0):
        state = decoder.initial()
        for block in np.split(random_rows(1, 2000, sharpness), 40):
            _, state = decoder.decode(state, block)
            assert len(state.rows) <= 25 + 25 + 5
            assert len(state.context) <= 6


def test_streams_in_a_batch_are_what_they_are_alone(recognizer: Recognizer, speech: np.ndarray) -> None:
    beam, greedy = recognizer.stream(decoder=BeamSearch()), recognizer.stream()
    (found, _), (plain, _) = recognizer.accept_many([(beam, speech), (greedy, speech)])
    assert symbols([*found, *beam.finish()]) == symbols(recognizer.transcribe(speech, decoder=BeamSearch()))
    assert symbols([*plain, *greedy.finish()]) == symbols(recognizer.transcribe(speech))


def test_alternatives_to_a_recording(recognizer: Recognizer, speech: np.ndarray) -> None:
    ways = recognizer.n_best(speech, limit=10)
    assert len(ways) == 10 == len({symbols(way.phones) for way in ways})
    assert ways[0].score == 0
    assert [way.score for way in ways] == sorted((way.score for way in ways), reverse=True)
    assert all(phone.end <= len(speech) / 16000 for way in ways for phone in way.phones)


def test_the_times_are_greedy_s(toy: Recognizer) -> None:
    audio = levels(0, 1, 1, 0, 2, 2, 2, 5, 0, 0)
    assert [phone[:3] for phone in toy.transcribe(audio, decoder=PLAIN)] == [
        phone[:3] for phone in toy.transcribe(audio)
    ]


def test_a_recognizer_may_decode_so_by_itself(recognizer: Recognizer, speech: np.ndarray) -> None:
    by_beam = Recognizer(shipped_model(), decoder=BeamSearch())
    assert by_beam.transcribe(speech) == recognizer.transcribe(speech, decoder=BeamSearch())
    with pytest.raises(ModelError, match="no language model"):
        Recognizer(shipped_model(), decoder=BeamSearch(lm="none.arpa"))


def test_nothing_at_all_and_a_gap(toy: Recognizer) -> None:
    stream = toy.stream(decoder=PLAIN, posteriors=True)
    assert stream.finish() == []
    assert stream.n_best(3)[0].phones == ()
    stream = toy.stream(decoder=PLAIN, posteriors=True)
    phones = stream.accept(levels(1, 1)) + stream.gap(16000) + stream.accept(levels(3, 3)) + stream.finish()
    assert symbols(phones) == "A C"
    assert len(stream.take_posteriors()) == 29


# What cannot be


def test_a_stream_is_not_saved(recognizer: Recognizer) -> None:
    with pytest.raises(SnapshotError, match=r"beam search cannot be saved: copy\(\)"):
        recognizer.stream(decoder=BeamSearch()).save()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 0),
        ("size", 2.5),
        ("size", True),
        ("size", 10**9),
        ("lm_weight", -1),
        ("lm_weight", math.nan),
        ("lm_weight", "1"),
        ("blank_score", math.inf),
        ("threshold", 0),
        ("delay_seconds", 0),
        ("delay_seconds", 3600),
        ("lm", 3),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name}="):
        BeamSearch(**{name: value})


def test_language_models_that_cannot_be_used(recognizer: Recognizer, tmp_path: Path, capfd: Any) -> None:
    garbage, other, empty = tmp_path / "garbage", tmp_path / "other.arpa", tmp_path / "empty"
    garbage.write_bytes(bytes(range(256)) * 20)
    empty.write_bytes(b"")
    sections = [
        "ngram 1=4\nngram 2=1\n",
        "\\1-grams:\n-1\t<unk>\n-1\t<s>\t-1\n-1\t</s>\n-1\tAA\n",
        "\\2-grams:\n-1\t<s> AA\n",
    ]
    other.write_text("\n".join(["\\data\\", *sections, "\\end\\", ""]))
    for source, message in [
        (garbage, "not a language model that KenLM can read"),
        (empty, "not a language model that KenLM can read"),
        (tmp_path, "not a file"),
        (tmp_path / "none", r"No such file.*there are: .*default"),
        ("a\0b", "null"),
        (other, r"of other phones: it lacks 38 of the model's 39 \(AE AH AO AW AY …\)"),
    ]:
        with pytest.raises(ModelError, match=message):
            recognizer.stream(decoder=BeamSearch(lm=source))
    assert capfd.readouterr().err == ""


def test_a_file_that_has_changed_is_read_again(recognizer: Recognizer, tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    phone_lm.save(phone_lm.estimate([["AA", "B"]], order=2), path)
    recognizer.stream(decoder=BeamSearch(lm=path))
    path.write_text("nothing of the kind")
    with pytest.raises(ModelError, match="KenLM"):
        recognizer.stream(decoder=BeamSearch(lm=path))


def test_a_model_of_other_phones(toy: Recognizer) -> None:
    with pytest.raises(
        ModelError, match=r"default: a language model of other phones: it lacks 3 .*\(A C E\)"
    ):
        toy.stream(decoder=BeamSearch())


def test_wrong_calls(recognizer: Recognizer) -> None:
    with pytest.raises(ConfigError, match="expected None"):
        recognizer.stream(decoder="beam")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="greedy decoding only"):
        recognizer.stream(decoder=PLAIN, endpoints=True)
    with pytest.raises(ConfigError, match="decodes greedily"):
        recognizer.stream().n_best()
    with pytest.raises(ConfigError, match=r"n_best\(0\)"):
        recognizer.stream(decoder=PLAIN).n_best(0)


def test_the_extra_is_named_where_it_is_missing(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(ModuleNotFoundError, match=r"phonestream\[beam\]") as raised:
        recognizer.stream(decoder=PLAIN)
    assert missing_extra(raised.value) == "beam"


# The command line


def test_transcribe_searches_and_tells_the_best_transcripts(capsys: pytest.CaptureFixture[str]) -> None:
    recording = Path(__file__).parent / "data" / "speech" / "dev" / "260-123286-0000.opus"
    call = ["transcribe", "--model", str(shipped_model()), "--format", "json", "--decoder", "beam"]
    lines = []
    for options in ([], ["--jobs", "2", str(recording)], ["--n-best", "3"]):
        with pytest.raises(SystemExit) as ended:
            main([*call, *options, str(recording)])
        assert ended.value.code == 0
        lines += map(json.loads, capsys.readouterr().out.splitlines())
    alone, first, second, best = lines
    samples, rate = soundfile.read(recording, dtype="float32")
    recognizer = Recognizer(shipped_model())
    phones = recognizer.transcribe(samples, rate, decoder=BeamSearch())
    assert [phone["symbol"] for phone in alone["phones"]] == [phone.symbol for phone in phones]
    assert alone == first == second
    expected = recognizer.n_best(samples, rate, limit=3)
    assert [way["score"] for way in best["alternatives"]] == [round(way.score, 3) for way in expected]
    assert [[phone["symbol"] for phone in way["phones"]] for way in best["alternatives"]] == [
        [phone.symbol for phone in way.phones] for way in expected
    ]
    assert best["alternatives"][0]["phones"] == best["phones"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam", "9"], "is about beam search; give --decoder beam"),
        (["--lm", "none"], "is about beam search; give --decoder beam"),
        (["--n-best", "2"], "is about beam search; give --decoder beam"),
        (["--decoder", "beam", "--n-best", "2"], "give --format json"),
        (["--decoder", "beam", "--lm", "no-such.arpa"], "no-such.arpa: no language model can be read there"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Path(__file__).parent / "data" / "speech" / "dev" / "260-123286-0000.opus"
    with pytest.raises(SystemExit) as ended:
        main(["transcribe", *options, str(recording)])
    assert ended.value.code in (1, 2)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
