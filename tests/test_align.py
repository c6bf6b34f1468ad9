"""Alignments: words and phones in order and within the recording, scores that tell right from wrong, texts refused."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from toy_model import FRAME, levels, toy_model

from phonestream import AudioError, ConfigError, DataError, Recognizer
from phonestream.asr.align.aligner import align, fit, spoken
from phonestream.asr.align.alignment import Alignment
from phonestream.asr.align.posteriors import TIME_SHIFTS, compute_posteriors
from phonestream.asr.align.score import said
from phonestream.asr.align.times import EDGE, LEAD, PAUSE, TAIL, spans
from phonestream.asr.align.transcript import phones_of, words_of
from phonestream.asr.lexicon.lexicon import Lexicon
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.commands import align as command
from phonestream.commands.align_output import document
from phonestream.formats.registry import FORMATS, Options
from phonestream.formats.visemes import to_visemes

Run = Callable[..., tuple[int, bytes, str]]


class Recording:
    """A shipped recording and what is said in it."""

    def __init__(self, file: Path, text: str, phones: str) -> None:
        self.file, self.text, self.phones = file, text, phones.split()
        self.samples, self.rate = soundfile.read(file, dtype="float32")


@pytest.fixture(scope="session")
def corpus(speech_dir: Path) -> list[Recording]:
    lines = (speech_dir / "manifest.tsv").read_text("utf-8").splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    return [Recording(speech_dir / row["path"], row["text"], row["phones"]) for row in rows]


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    return Recognizer(shipped_model())


def aligned(
    recognizer: Recognizer, recording: Recording, text: str | None = None, **options: object
) -> Alignment:
    said = recording.text if text is None else text
    return align(recognizer, recording.samples, recording.rate, said, time_shifts=1, **options)  # type: ignore[arg-type]


# What an alignment is


@pytest.mark.parametrize("time_shifts", [1, 4])
def test_words_and_phones_are_in_order_within_the_recording(
    recognizer: Recognizer, corpus: list[Recording], time_shifts: int
) -> None:
    lexicon = Lexicon()
    for recording in corpus:
        found = align(recognizer, recording.samples, recording.rate, recording.text, time_shifts=time_shifts)
        assert [word.text for word in found.words] == recording.text.split()
        assert found.seconds == pytest.approx(len(recording.samples) / recording.rate)
        assert 0.4 < found.score <= 1
        assert found.missing == ()
        assert found.extra == ()
        assert found.phones == tuple(phone for word in found.words for phone in word.phones)
        assert found.phones[0].start >= 0
        assert found.phones[-1].end <= found.seconds
        for phone, following in pairwise(found.phones):
            assert phone.start < phone.end <= following.start
            if phone.word == following.word:
                assert phone.end == following.start
        for index, word in enumerate(found.words):
            said = tuple(phone.symbol for phone in word.phones)
            assert said in {way.phones for way in lexicon.pronunciations(word.text)}
            assert (word.start, word.end) == (word.phones[0].start, word.phones[-1].end)
            assert word.score == pytest.approx(np.mean([phone.score for phone in word.phones]))
            assert all(0 <= phone.score <= 1 and phone.word == index for phone in word.phones)


def test_a_phonemic_transcript_is_words_of_one_phone(recognizer: Recognizer, corpus: list[Recording]) -> None:
    recording = corpus[0]
    found = aligned(recognizer, recording, " ".join(recording.phones), phonemes=True)
    assert [phone.symbol for phone in found.phones] == [word.text for word in found.words] == recording.phones
    by_words = aligned(recognizer, recording)
    if [phone.symbol for phone in by_words.phones] == recording.phones:
        off = [abs(a.start - b.start) for a, b in zip(found.phones, by_words.phones, strict=True)]
        assert np.median(off) == 0


def test_the_audio_s_form_makes_no_difference(recognizer: Recognizer, corpus: list[Recording]) -> None:
    """In parts or whole, mono or stereo: the same posteriors, so the same alignment."""
    recording = corpus[1]
    whole = compute_posteriors(recognizer, [recording.samples], recording.rate, 2)
    parts = compute_posteriors(
        recognizer, np.array_split(np.stack([recording.samples] * 2, axis=1), 17), recording.rate, 2
    )
    assert [phone[:3] for phone in whole.phones] == [phone[:3] for phone in parts.phones]
    assert whole.seconds == parts.seconds
    np.testing.assert_allclose(parts.fine, whole.fine, atol=1e-3)
    np.testing.assert_array_equal(whole.fine[1::2], whole.rows)
    assert np.diff(whole.fine_times) == pytest.approx(recognizer.metadata.row_seconds / 2)


def test_times_follow_the_audio_by_less_than_a_row(recognizer: Recognizer, corpus: list[Recording]) -> None:
    """Silence of 15 ms in front makes every time later by 15 ms, though rows are 40 ms apart."""
    recording = corpus[1]
    later = np.concatenate([np.zeros(round(0.015 * recording.rate), np.float32), recording.samples])
    before = align(recognizer, recording.samples, recording.rate, recording.text)
    after = align(recognizer, later, recording.rate, recording.text)
    moved = [b.start - a.start for a, b in zip(before.phones[1:], after.phones[1:], strict=True)]
    assert np.median(moved) == pytest.approx(0.015, abs=0.004)


def test_the_toy_s_phones_are_where_they_sound(tmp_path: Path) -> None:
    """Rows that leave no doubt: each word is the toy's phone at its level, between the middles of its rows."""
    toy = Recognizer(toy_model(tmp_path / "toy.onnx"))
    dictionary = tmp_path / "toy.dict"
    dictionary.write_text("unused AA\n")
    audio = levels(0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0)
    found = align(toy, audio, 16_000, "A B C", phonemes=True)
    row = FRAME / 16_000
    starts = [phone.start for phone in found.phones]
    assert starts == pytest.approx([3.5 * row - LEAD, 4 * row, 15.5 * row - LEAD], abs=0.006)
    assert [phone.end for phone in found.phones] == pytest.approx(
        [4 * row, 4.5 * row + TAIL, 15.5 * row + TAIL], abs=0.006
    )
    assert found.score > 0.9
    with pytest.raises(DataError, match="the model has no phone"):
        align(toy, audio, 16_000, "see")


# Scores


def test_a_phone_that_was_not_said_scores_lower(recognizer: Recognizer, corpus: list[Recording]) -> None:
    random = np.random.default_rng(0)
    right, wrong = [], []
    for recording in corpus:
        changed = list(recording.phones)
        places = set(range(2, len(changed), 7))
        for place in places:
            changed[place] = str(random.choice([phone for phone in PHONES if phone != changed[place]]))
        found = aligned(recognizer, recording, " ".join(changed), phonemes=True)
        for place, word in enumerate(found.words):
            (wrong if place in places else right).append(word.score)
    above = np.mean(np.asarray(right)[:, None] > np.asarray(wrong))
    assert above > 0.9
    assert np.median(wrong) < 0.05 < 0.5 < np.median(right)


def test_a_wrong_phone_is_told_with_what_was_said_and_the_word_is_wrong_with_it(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    """Where "sight" was said and the transcript has "sighs", the phone that differs has the least probability."""
    recording = corpus[1]
    posteriors = compute_posteriors(recognizer, [recording.samples], recording.rate, 1)
    words = recording.text.split()
    at = words.index("sight")

    def with_word(word: str, place: int = at) -> Alignment:
        text = " ".join([*words[:place], word, *words[place + 1 :]])
        return fit(recognizer, posteriors, spoken(text, recognizer.phones))

    right, wrong, longer = map(with_word, ("sight", "sighs", "sights"))
    least = min(wrong.words[at].phones, key=lambda phone: phone.pronunciation)
    assert (least.symbol, least.instead.symbol) == ("Z", "T")
    assert least.instead.probability > 0.5 > least.pronunciation == wrong.words[at].pronunciation
    last = longer.words[at].phones[-1]
    assert (last.symbol, last.pronunciation < 0.5) == ("S", True)
    assert last.instead.symbol in ("", "T")  # nothing, or that the phone before it goes on
    land = words.index("land")
    shorter = with_word("lad", land)
    (told,) = [phone.inserted for phone in shorter.words[land].phones if phone.inserted]
    assert (told.symbol, told.probability > 0.8) == ("N", True)
    assert sum(phone.inserted is not None for place in (at, land) for phone in right.words[place].phones) == 0
    assert right.words[at].pronunciation > 0.5
    for phone in right.phones:
        assert phone.instead.symbol != phone.symbol
        assert 0 <= phone.pronunciation <= phone.pronunciation + phone.instead.probability <= 1 + 1e-9
    ordered = sorted(right.phones, key=lambda phone: phone.score)
    assert [phone.pronunciation for phone in ordered] == sorted(phone.pronunciation for phone in right.phones)


def test_what_does_not_fit_has_a_low_score_where_nothing_is_refused(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    recording, other = corpus[0], corpus[1]
    for text in (other.text, "yes " * 500):
        found = aligned(recognizer, recording, text, refuse=False)
        assert [word.text for word in found.words] == text.split()
        assert found.score < 0.3
        for name in FORMATS:
            assert FORMATS[name].write(document(found, "a.wav"), Options())
    silence = align(recognizer, np.zeros(16_000), 16_000, "yes", time_shifts=1, refuse=False)
    assert (silence.score, silence.phones, len(silence.missing)) == (0.0, (), 1)
    for name in FORMATS:
        FORMATS[name].write(document(silence, "a.wav"), Options())


def test_goodness_is_the_sum_over_all_paths() -> None:
    """Against every labelling of four rows: blanks, a run of one phone, blanks."""
    random = np.random.default_rng(0)
    rows = np.log(random.dirichlet(np.ones(4), size=4)).astype(np.float32)
    likelihoods = np.zeros(4)
    for label in range(1, 4):
        for begin in range(4):
            for end in range(begin + 1, 5):
                labels = [label if begin <= row < end else 0 for row in range(4)]
                likelihoods[label] += np.exp(rows[np.arange(4), labels].astype(np.float64).sum())
    likelihoods[0] = np.exp(rows[:, 0].astype(np.float64).sum())
    (shares,) = said(rows, [(1, 2)], blank=0, reach=9)
    assert shares == pytest.approx(likelihoods / likelihoods.sum(), rel=1e-6)


# Times


@given(
    gaps=st.lists(st.floats(-0.01, 1.0), min_size=1, max_size=30),
    joined=st.lists(st.booleans(), min_size=29, max_size=29),
    spare=st.floats(0, 1),
)
@settings(deadline=None)
def test_spans_are_in_order_have_a_length_and_stay_inside(
    gaps: list[float], joined: list[bool], spare: float
) -> None:
    centres = np.cumsum(gaps) - 0.05
    seconds = max(0.04 * len(gaps), float(centres.max()) + spare - 0.1)
    found = spans(centres.tolist(), joined[: len(gaps) - 1], seconds)
    assert found[0].start >= 0
    assert found[-1].end <= seconds
    assert all(span.end > span.start for span in found)
    for (one, two), together in zip(pairwise(found), joined, strict=False):
        assert one.end <= two.start
        assert one.end == two.start or (not together and two.start - one.end >= PAUSE - 1e-9)
    for silence in (found[0].start, seconds - found[-1].end):
        assert silence == 0 or silence >= EDGE


def test_nothing_has_no_spans() -> None:
    assert spans([], [], 1.0) == []


# Transcripts that do not fit


def test_another_s_text_is_refused_and_the_refusal_says_why(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    for recording, other in pairwise(corpus):
        with pytest.raises(DataError) as refusal:
            aligned(recognizer, recording, other.text)
        message = str(refusal.value)
        assert "do not match: score 0." in message
        assert "heard " in message
        assert f"of {len(other.text.split())} words do not fit" in message
        assert "\n" not in message


def test_a_sentence_that_was_not_said_is_marked_and_the_rest_is_as_without_it(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    recording, other = corpus[0], corpus[1]
    words, extra = recording.text.split(), other.text.split()[:5]
    mixed = [*words[:10], *extra, *words[10:]]
    plain = aligned(recognizer, recording)
    found = aligned(recognizer, recording, " ".join(mixed))
    assert [word.text for word in found.missing] == extra
    kept = [word for word in found.words if word.found]
    for one, two in zip(kept, plain.words, strict=True):
        assert one.text == two.text
        assert (one.start, one.end) == pytest.approx((two.start, two.end), abs=0.1)
    for word in found.missing:
        assert (word.score, word.phones) == (0.0, ())
        assert found.words[9].end == word.start <= word.end == found.words[15].start
    assert found.score < plain.score


def test_other_words_in_the_place_of_what_was_said_are_not_found_and_the_rest_is_as_with_the_right_ones(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    """Recordings one behind the other, of which the transcript has others' words in the middle."""
    first, second, other, third, last = corpus[:5]
    samples = np.concatenate([first.samples, second.samples, third.samples, last.samples])
    posteriors = compute_posteriors(recognizer, [samples], 16_000, 1)
    right, wrong = (
        fit(recognizer, posteriors, spoken(" ".join((first.text, middle, last.text)), recognizer.phones))
        for middle in (f"{second.text} {third.text}", f"{other.text} {other.text}")
    )
    before, behind = len(first.text.split()), len(last.text.split())
    for one, two in (
        (right.words[:before], wrong.words[:before]),
        (right.words[-behind:], wrong.words[-behind:]),
    ):
        off = [abs(a.start - b.start) for a, b in zip(one, two, strict=True) if b.found]
        assert len(off) >= len(one) - 1
        assert np.median(off) == 0
    assert sum(word.found for word in wrong.words[before:-behind]) < 0.6 * 2 * len(other.text.split())
    assert any(extra.start < len(samples) / 16_000 - 5 for extra in wrong.extra)


def test_speech_that_is_not_in_the_transcript_is_told(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    first, second = corpus[0], corpus[1]
    samples = np.concatenate([first.samples, second.samples])
    found = align(recognizer, samples, 16_000, first.text, time_shifts=1)
    (extra,) = found.extra
    boundary = len(first.samples) / 16_000
    assert abs(extra.start - boundary) < 1
    assert extra.end == found.seconds
    assert len(extra.phones) > 0.5 * len(second.phones)
    assert all(extra.start <= phone.peak <= extra.end for phone in extra.phones)


@pytest.mark.parametrize("audio", ["silence", "noise", "tone"])
def test_audio_without_speech_is_refused(recognizer: Recognizer, audio: str) -> None:
    time = np.arange(5 * 16_000) / 16_000
    samples = {
        "silence": np.zeros(len(time)),
        "noise": np.random.default_rng(0).normal(0, 0.1, len(time)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
    }[audio].astype(np.float32)
    with pytest.raises(DataError, match="do not match"):
        align(recognizer, samples, 16_000, "the sea unbroken all round", time_shifts=1)


@pytest.mark.parametrize(
    ("text", "phonemes", "words"),
    [
        ("", False, "no words"),
        (" \n", True, "no phones"),
        ("... !? --", False, "no words"),
        ("мир 3.5th", False, "no word of the transcript can be read: .*'м'.*English"),
        ("HH QQ", True, "unknown phone 'QQ', number 2"),
        ("yes " * 500, False, "too long for the audio: 1500 phones in "),
    ],
)
def test_transcripts_that_cannot_be_used(
    recognizer: Recognizer, corpus: list[Recording], text: str, phonemes: bool, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        aligned(recognizer, corpus[0], text, phonemes=phonemes)


def test_other_arguments_are_checked(recognizer: Recognizer, corpus: list[Recording]) -> None:
    samples = corpus[0].samples
    for time_shifts in (0, 9):
        with pytest.raises(ConfigError, match="time_shifts"):
            align(recognizer, samples, 16_000, "yes", time_shifts=time_shifts)
    with pytest.raises(DataError, match="too long"):
        align(recognizer, samples[:0], 16_000, "yes")
    with pytest.raises(AudioError, match="nan"):
        align(recognizer, np.full(1000, np.nan, np.float32), 16_000, "yes")


def test_phones_are_taken_with_stress_and_in_any_case() -> None:
    assert [word.text for word in phones_of("hh AH0 L OW1\n", PHONES)] == ["HH", "AH", "L", "OW"]


def test_a_word_that_no_dictionary_has_is_marked() -> None:
    lexicon = Lexicon()
    known = {word.text: word.known for word in words_of("The Zorblexian's cat, 1984!", lexicon)}
    assert known == {"The": True, "Zorblexian's": False, "cat,": True, "1984!": True}
    variants = words_of("the", lexicon)[0].variants
    assert set(variants) == {("DH", "AH"), ("DH", "IY")}


# The transcript as it is written


def test_words_are_as_written_and_times_as_without_their_marks(
    recognizer: Recognizer, corpus: list[Recording]
) -> None:
    recording = corpus[1]
    words = recording.text.split()
    marked = [f"“{word.upper()}”" if index % 3 else f"({word})," for index, word in enumerate(words)]
    text = " ".join(marked[:-4]) + "\n " + "—".join(words[-4:]) + " …"
    plain, found = aligned(recognizer, recording), aligned(recognizer, recording, text)
    for word in found.words:
        assert word.text == " ".join(text[slice(*word.place)].split())
    assert "".join(word.text for word in found.words).replace(" ", "") == "".join(text.split())
    assert [(word.start, word.end) for word in found.words] == [
        (word.start, word.end) for word in plain.words
    ]


@pytest.mark.parametrize("unread", ["мир", "3.5th", "«μ» μm"])
def test_a_word_that_cannot_be_read_is_where_it_is_said_and_the_others_as_without_it(
    recognizer: Recognizer, corpus: list[Recording], unread: str
) -> None:
    recording = corpus[1]
    words = recording.text.split()
    plain = aligned(recognizer, recording)
    at = len(words) // 2
    found = aligned(recognizer, recording, " ".join([*words[:at], unread, *words[at + 1 :]]))
    count = len(unread.split())
    others = [*plain.words[:at], *plain.words[at + 1 :]]
    for one, two in zip([*found.words[:at], *found.words[at + count :]], others, strict=True):
        assert (one.text, one.found, one.problem) == (two.text, True, "")
        assert (one.start, one.end) == pytest.approx((two.start, two.end), abs=0.15)
    inside = found.words[at : at + count]
    assert [(word.text, word.found, word.phones) for word in inside] == [
        (text, True, ()) for text in unread.split()
    ]
    assert inside[0].start == pytest.approx(plain.words[at].start, abs=0.15)
    assert inside[-1].end == pytest.approx(plain.words[at].end, abs=0.15)
    assert found.extra == ()


def test_subtitles_from_a_script_are_the_script(run: Run, corpus: list[Recording], tmp_path: Path) -> None:
    recording = corpus[1]
    words = recording.text.split()
    script = f"“{words[0].capitalize()} {words[1]}”—{' '.join(words[2:-1])} … <b>{words[-1].upper()}!</b>"
    status, out, err = run(recording.file, "--text", script, "--format", "srt")
    shown = [line for line in out.decode().splitlines() if line and "-->" not in line and not line.isdigit()]
    assert (status, err) == (0, "")
    assert " ".join(shown).split() == script.split()


# The command


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., tuple[int, bytes, str]]:
    """`phonestream align` with the shipped model, in this process; one time shift unless given otherwise."""

    def call(*arguments: str | Path) -> tuple[int, bytes, str]:
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main(["align", "--hearings", "1", "--model", str(shipped_model()), *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        assert isinstance(leaving.value.code, int)
        return leaving.value.code, out, os.fsdecode(err)

    return call


def test_json_has_the_python_api_s_alignment(
    run: Run, recognizer: Recognizer, corpus: list[Recording]
) -> None:
    recording = corpus[1]
    expected = aligned(recognizer, recording)
    status, out, err = run(recording.file, "--text", recording.text, "--format", "json")
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    result = json.loads(line)
    assert list(result) == ["file", "seconds", "score", "words", "extra"]
    assert (result["file"], result["extra"]) == (str(recording.file), [])
    for entry, word in zip(result["words"], expected.words, strict=True):
        assert list(entry) == [
            *(
                "text",
                "start",
                "end",
                "score",
                "known",
                "found",
                "phones",
                "place",
                "readable",
                "pronunciation",
            )
        ]
        assert (entry["text"], entry["known"], entry["found"]) == (word.text, word.known, True)
        assert recording.text[slice(*entry["place"])] == word.text
        assert entry["start"] == pytest.approx(word.start, abs=2e-3)
        assert [phone["symbol"] for phone in entry["phones"]] == [phone.symbol for phone in word.phones]
        assert entry["pronunciation"] == pytest.approx(word.pronunciation, abs=0.02)
        assert list(entry["phones"][0]) == [
            "symbol",
            "start",
            "end",
            "score",
            "pronunciation",
            "instead",
            "inserted",
        ]


def test_text_is_a_line_for_each_word(run: Run, corpus: list[Recording]) -> None:
    recording = corpus[1]
    text = recording.text.replace("sea", "zorblex sea").replace("sight", "sighs")
    status, out, err = run(recording.file, "--text", text, "--phones", "ipa")
    lines = out.decode().splitlines()
    assert [line.split()[3] for line in lines] == ["word", *text.split(), "(all)"]
    assert lines[-2].endswith("sighs      s aɪ z  (z said as t)")
    assert "(not found)" in lines[text.split().index("zorblex") + 1]
    assert "θ" in lines[3]
    assert status == 1
    assert err.startswith(f"phonestream: {recording.file}: not found at ")
    assert err.endswith(": zorblex; correct the transcript\n")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_written_to_a_file_as_to_standard_output(
    run: Run, corpus: list[Recording], tmp_path: Path, name: str
) -> None:
    recording = corpus[1]
    transcript = tmp_path / "said.txt"
    transcript.write_text(f"\ufeff{recording.text.capitalize()}.\n", "utf-8")
    target = tmp_path / f"result.{FORMATS[name].extension}"
    status, printed, err = run(recording.file, transcript, "--format", name)
    assert (status, err) == (0, "")
    assert (b"unbroken" in printed) == (
        name not in ("audacity", "ctm", "moho", "rhubarb")
    )  # which have phones alone
    assert run(recording.file, transcript, "--output", target) == (0, b"", "")  # the ending says the format
    way = re.compile(rb' RELATIVE_MEDIA_URL="[^"]*"')  # ELAN's, from where the document lies
    assert way.sub(b"", target.read_bytes()) == way.sub(b"", printed)
    assert sorted(tmp_path.iterdir()) == sorted([transcript, target])


def test_mouth_shapes_are_those_of_the_aligned_phones(
    run: Run, recognizer: Recognizer, corpus: list[Recording]
) -> None:
    recording = corpus[1]
    expected = document(aligned(recognizer, recording), "a.wav")
    options = (recording.file, "--text", recording.text, "--visemes", "rhubarb")
    status, out, _ = run(*options, "--format", "json")
    shapes = json.loads(out)["visemes"]
    assert status == 0
    assert [shape["symbol"] for shape in shapes] == [
        shape.symbol for shape in to_visemes(expected.intervals, "rhubarb")
    ]
    assert (shapes[0]["start"], shapes[-1]["end"]) == (0, pytest.approx(expected.seconds, abs=1e-3))
    _, out, _ = run(*options)
    assert out.split(b"\n")[0].split()[-1] == b"visemes"
    assert set(b" ".join(line.split(None, 4)[4] for line in out.splitlines()[1:-1])) <= set(b"ABCDEFGHX ")


def test_intervals_fill_the_recording(recognizer: Recognizer, corpus: list[Recording]) -> None:
    for recording in corpus[:3]:
        made = document(aligned(recognizer, recording), "speech.wav")
        assert made.intervals[0].start == 0
        assert made.intervals[-1].end == made.seconds
        for one, two in pairwise(made.intervals):
            assert one.end == two.start
            assert one.symbol or two.symbol
            assert one.end == round(one.end, 3)  # whole milliseconds
        assert [i.symbol for i in made.intervals if i.symbol] == [phone.symbol for phone in made.phones]


def test_standard_input_gives_the_transcript_or_the_audio(corpus: list[Recording]) -> None:
    recording = corpus[1]
    code = "from phonestream.cli import main; main()"
    base = [sys.executable, "-c", code, "align", "--hearings", "1", "--model", str(shipped_model())]
    by_text = subprocess.run(
        [*base, recording.file, "-"], input=recording.text.encode(), capture_output=True, check=True
    )
    by_audio = subprocess.run(
        [*base, "-", "--text", recording.text],
        input=recording.file.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert by_text.stdout == by_audio.stdout != b""


def test_align_needs_no_torch(corpus: list[Recording]) -> None:
    code = (
        "import sys; from phonestream.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'scipy', 'lhotse', 'onnx'} & set(sys.modules), 'heavy'"
    )
    arguments = ["align", "--hearings", "1", "--model", str(shipped_model()), str(corpus[1].file), "--text"]
    subprocess.run([sys.executable, "-c", code, *arguments, corpus[1].text], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ((), 2, "give one of TRANSCRIPT and --text"),
        (("said.txt", "--text", "yes"), 2, "give one of TRANSCRIPT and --text"),
        (("--text", "yes", "--jobs", "2"), 2, "needs a folder of recordings"),
        (("--text", "yes", "--overwrite"), 2, "needs --output"),
        (("--text", "yes", "--format", "mp3"), 2, "unknown format 'mp3'"),
        (("--text", "yes", "--phones", "greek"), 2, "unknown phone set 'greek'"),
        (("--text", "yes", "--visemes", "disney"), 2, "unknown visemes 'disney'"),
        (("--text", "yes", "--visemes", "oculus", "--phones", "ipa"), 2, "with --visemes there are none"),
        (("no-such.txt",), 1, "no-such.txt: no such transcript"),
        (("{audio}",), 1, "{audio}: is a recording"),
        (("--text", "yes", "--output", "x.xyz"), 2, "x.xyz: no format has this ending"),
        (("--text", "yes", "--channel", "0"), 2, "'0' is none of mix, tiers, 1, 2, 3"),
        (("--text", "yes", "--channel", "2"), 1, "{audio}: channel 2 was asked for, and there are 1"),
        (("--text", ""), 1, "--text: the transcript has no words"),
        (("--text", "HH QQ", "--phonemes"), 1, "--text: unknown phone 'QQ'"),
        (("--text", "yes", "--lexicon", "no-such.dict"), 1, "no-such.dict"),
        (("--text", "we want you to help us publish"), 1, "{audio}: audio and transcript do not match"),
        (("--text", "{text}", "--output", "/dev/full"), 1, "/dev/full: cannot be written: No space left"),
        (("--text", "{text}", "--output", "no-such/x.csv"), 1, "no-such/x.csv: cannot be written: No such"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run, corpus: list[Recording], arguments: tuple[str, ...], status: int, words: str
) -> None:
    audio, text = str(corpus[1].file), corpus[1].text
    given_arguments = [argument.format(audio=audio, text=text) for argument in arguments]
    left, out, err = run(audio, *given_arguments)
    assert (left, out) == (status, b"")
    assert err.count("\n") == 1
    assert words.format(audio=audio) in err


def test_channels_that_cancel_are_told_and_one_alone_is_aligned(
    run: Run, corpus: list[Recording], tmp_path: Path
) -> None:
    samples = corpus[1].samples
    soundfile.write(tmp_path / "a.wav", np.stack([samples, -samples], axis=1), 16_000, "FLOAT")
    status, _, err = run(tmp_path / "a.wav", "--text", corpus[1].text)
    told, refused = err.splitlines()
    assert (status, "its 2 channels cancel each other" in told, "do not match" in refused) == (1, True, True)
    assert run(tmp_path / "a.wav", "--text", corpus[1].text, "--channel", "1")[0] == 0


def test_a_damaged_recording_is_named_once(run: Run, corpus: list[Recording], tmp_path: Path) -> None:
    broken = tmp_path / "broken.opus"
    broken.write_bytes(corpus[1].file.read_bytes()[:9000])
    status, out, err = run(broken, "--text", corpus[1].text)
    assert (status, out) == (1, b"")
    assert err.count(str(broken)) == 1
    status, _, err = run(tmp_path / "none.wav", "--text", "yes")
    assert (status, err) == (1, f"phonestream: {tmp_path / 'none.wav'}: no such file; check the name\n")


def test_a_result_that_exists_is_replaced_whole_or_not_at_all(
    run: Run, corpus: list[Recording], tmp_path: Path
) -> None:
    target = tmp_path / "result.csv"
    target.write_text("before")
    status, _, err = run(corpus[1].file, "--text", corpus[1].text, "--output", target)
    assert (status, err) == (1, f"phonestream: {target}: exists already; --overwrite replaces it\n")
    status, _, err = run(
        corpus[1].file, "--text", "we want you to help us", "--output", target, "--overwrite"
    )
    assert (status, "do not match" in err) == (1, True)
    assert target.read_text() == "before"
    assert run(corpus[1].file, "--text", corpus[1].text, "--output", target, "--overwrite")[0] == 0
    assert "before" not in target.read_text()


def test_the_command_s_default_is_the_api_s() -> None:
    assert command.TIME_SHIFTS == TIME_SHIFTS
