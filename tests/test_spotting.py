"""Keywords are found where they are said, whatever the chunks, in a batch as alone, saved and restored."""

import csv
import io
import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from snapshots import sealed, unpacked

import phonestream
from phonestream import (
    AudioError,
    Commands,
    ConfigError,
    DataError,
    Keywords,
    KeywordsSet,
    Recognizer,
    SnapshotError,
    Spotted,
    StreamPool,
)
from phonestream.asr.lexicon.phones import PHONES
from phonestream.cli import main
from phonestream.formats.spotted import SPOT_FORMATS, Spots, tiers
from phonestream.formats.textgrid_reader import read_tiers
from phonestream.streaming.decode import Decoder
from phonestream.streaming.spotting import calibration, context
from phonestream.streaming.spotting.change import change
from phonestream.streaming.spotting.context import BONUS, Context
from phonestream.streaming.spotting.search import DWELL, LOWEST, SURE, Search
from phonestream.streaming.spotting.spotter import Spotter, Spotting

SPEECH = Path(__file__).parent / "data/speech/dev/237-126133-0002.opus"
PHRASES = ("then dear", "kinder", "to her than ever", "away", "among", "friends", "umbrella", "be kind")
DECODER = Decoder(("", *PHONES), blank=0, row_seconds=0.02)
ROWS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.log(np.random.default_rng(seed).dirichlet(np.full(40, 0.05), 160) + 1e-9).astype(
        np.float32
    )
)


@cache
def recognizer() -> Recognizer:
    return Recognizer(shipped_model())


@cache
def keywords() -> Keywords:
    return Keywords(PHRASES, threshold=0)


@cache
def speech() -> np.ndarray:
    return soundfile.read(SPEECH, dtype="float32")[0]


@cache
def expected() -> list[Any]:
    stream = recognizer().stream(keywords=keywords())
    return [*stream.accept(speech()), *stream.finish()]


def said(phones: str, lead: int = 10, trail: int = 40) -> np.ndarray:
    """Rows that say `phones`, each in two rows with a blank behind."""
    labels = [0] * lead + [label for phone in phones.split() for label in [PHONES.index(phone) + 1] * 2 + [0]]
    labels += [0] * trail
    rows = np.full((len(labels), 40), np.log(0.1 / 39), np.float32)
    rows[np.arange(len(labels)), labels] = np.log(0.9)
    return rows


def spot(rows: np.ndarray, words: Keywords, cuts: list[int] | None = None) -> list[Spotted]:
    spotter = Spotter(DECODER, words, None)
    state, found = spotter.initial(), []
    for piece in np.split(rows, sorted(cuts or [])):
        certain, state = spotter.decode(state, piece)
        found += [one.event for one in certain]
    return found + spotter.finish(state)


def test_finds_what_is_said_in_a_recording() -> None:
    best = {event.phrase: event for event in expected() if isinstance(event, Spotted) and event.score >= 0.5}
    assert best.keys() >= {"then dear", "away", "among"}
    assert "umbrella" not in best
    assert best["among"].end <= recognizer_seconds()


def recognizer_seconds() -> float:
    return len(speech()) / 16000


def test_phones_are_those_of_a_stream_without_keywords() -> None:
    plain = recognizer().transcribe(speech())
    assert [event for event in expected() if not isinstance(event, Spotted)] == plain


@settings(deadline=None, max_examples=5)
@given(st.lists(st.integers(1, 30000), min_size=1, max_size=30))
def test_chunks_change_nothing(sizes: list[int]) -> None:
    stream, events, done = recognizer().stream(keywords=keywords()), [], 0
    for size in sizes:
        events += stream.accept(speech()[done : done + size])
        done += size
    events += [*stream.accept(speech()[done:]), *stream.finish()]
    assert events == [
        event._replace(confidence=pytest.approx(event.confidence, abs=1e-4))
        if isinstance(event, phonestream.Phone)
        else event._replace(score=pytest.approx(event.score, abs=1e-3))
        for event in expected()
    ]


@settings(deadline=None, max_examples=30)
@given(ROWS, st.lists(st.integers(0, 160), max_size=12))
def test_pieces_of_rows_change_nothing(rows: np.ndarray, cuts: list[int]) -> None:
    words = Keywords(["/K AE T/", "/T AE/", "/AA AA B/"], threshold=0)
    whole = spot(rows, words)
    assert spot(rows, words, cuts) == whole
    for phrase in {one.phrase for one in whole}:
        of_one = [one for one in whole if one.phrase == phrase]
        # Without a language model a better fit is a better score: what is told again is better than before.
        assert all(
            other.start >= one.end or other.score > one.score for one, other in itertools.pairwise(of_one)
        )


@settings(deadline=None, max_examples=30)
@given(ROWS, st.lists(st.integers(0, 160), max_size=6), st.integers(0, 160))
def test_other_keywords_count_from_their_row_on(rows: np.ndarray, cuts: list[int], row: int) -> None:
    """Those that stay as if nothing had happened, new ones as if the stream began there, others until then."""
    before = Keywords(["/K AE T/", "stays /AA AA B/ /T AE/", "same name /B AE K/"], threshold=0)
    after = Keywords(["/T AE AE/", "same name /B AE T/", "stays /AA AA B/ /T AE/"], threshold=0)
    spotter, other = Spotter(DECODER, before, None), Spotter(DECODER, after, None)
    spotting = Spotting(spotter, spotter.initial())
    found: list[tuple[int | None, Spotted]] = []
    done = 0
    for cut in [*sorted({*cuts, row}), 160]:
        certain, spotting = spotting.decode(rows[done:cut])
        found += certain
        done = cut
        if cut == row:
            seen = len(found)
            changed = change(spotting, other, row)
            assert changed is not None
            spotting = changed
    found += [(None, event) for event in spotting.finish()]
    unchanged = spot(rows, before)
    assert [event for _, event in found if event.phrase == "stays"] == [
        event for event in unchanged if event.phrase == "stays"
    ]
    start = DECODER.seconds(row)
    anew = [
        event._replace(start=pytest.approx(event.start + start), end=pytest.approx(event.end + start))
        for event in spot(rows[row:], after)
        if event.phrase != "stays"
    ]
    assert [event for _, event in found[seen:] if event.phrase != "stays"] == anew
    state, known = spotter.initial(), []
    known, _ = spotter.decode(state, rows[:row])
    assert found[:seen] == known


def test_other_keywords_in_a_stream_whatever_the_chunks_in_a_pool_and_restored() -> None:
    """Each list from a row that only the samples before it tell."""
    other = Keywords(["be kind", "umbrella", "to her than ever"], threshold=0.3)  # one pending, one begun
    cuts = (0, 8000, 55_000, 72_000)
    turns = [
        (words, speech()[begin:end])
        for words, (begin, end) in zip((None, keywords(), other), itertools.pairwise(cuts), strict=True)
    ]

    def run(size: int, saved: bool = False) -> list[Any]:
        stream, events = recognizer().stream(), []
        for words, samples in turns:
            stream.set_keywords(words)
            if saved:
                stream = recognizer().restore(stream.save(), keywords=words)
            for first in range(0, len(samples), size):
                events += stream.accept(samples[first : first + size])
        events += stream.finish()
        with pytest.raises(AudioError, match="finished"):
            stream.set_keywords(other)
        return [event for event in events if isinstance(event, Spotted)]

    whole = run(cuts[-1])
    assert {event.phrase for event in whole if event.score > 0.3} >= {
        "then dear",
        "be kind",
        "to her than ever",
    }
    alike = [event._replace(score=pytest.approx(event.score, abs=1e-3)) for event in whole]
    assert run(5000) == alike
    assert run(cuts[-1], saved=True) == whole

    pool = StreamPool(recognizer())
    stream, companion = pool.open(), pool.open()
    for words, samples in turns:
        stream.set_keywords(words)
        stream.push(samples)
        companion.push(samples[::-1])
    stream.finish()
    companion.finish()
    events = []
    while pool.ready:
        events += [event for result in pool.tick() if result.stream is stream for event in result.events]
    assert [event for event in events if isinstance(event, Spotted)] == alike
    told = [event for event in events if isinstance(event, KeywordsSet)]
    meta = recognizer().metadata
    rows = [
        meta.rows_per_frame * max(0, samples // meta.frame_samples - meta.look_ahead_frames)
        for samples in cuts[:-1]
    ]
    assert [(event.phrases, event.start) for event in told] == [
        ([word.phrase for word in words or ()], meta.decoder.seconds(row))
        for (words, _), row in zip(turns, rows, strict=True)
    ]


@settings(deadline=None, max_examples=30)
@given(ROWS)
def test_the_search_is_the_best_path_over_all_starts(rows: np.ndarray) -> None:
    """Against a plain dynamic programme over (start, state), a start at a time."""
    phones = [5, 7, 7, 1]
    peaks, state = Search([phones], [0], blank=0, row_seconds=0.02).decode(
        Search([phones], [0], blank=0, row_seconds=0.02).initial(), rows[:60]
    )
    relative = rows[:60].astype(float) - rows[:60].max(axis=1, keepdims=True)
    relative = np.maximum(relative, -30)
    blank_is_sure = relative[:, 1:].max(axis=1) <= -SURE
    best = np.full(60, -np.inf)
    for start in range(60):
        phone, blank = np.full(4, -np.inf), np.full(4, -np.inf)
        for row in range(start, 60):
            new = phone.copy()
            new[1:] = np.maximum(new[1:], blank[:-1])
            for place in (1, 3):  # not from 7 to 7
                new[place] = max(new[place], phone[place - 1])
            if row == start:
                new[0] = 0.0
            blank = np.maximum(phone, blank) + relative[row, 0] - DWELL
            phone = new + relative[row, phones] - (np.inf if blank_is_sure[row] else 0)
            best[row] = max(best[row], phone[3])
    for peak in [*peaks, *state.pending]:
        assert peak.score == pytest.approx(best[peak.end] / 2, abs=0.02)
        assert peak.score >= LOWEST


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None, max_examples=20)
def test_a_clear_keyword_has_its_place(lead: int, trail: int) -> None:
    (found,) = spot(said("K W EH S CH AH N", lead, trail), Keywords(["question"]))
    assert found.score > 0.9
    assert found.start == pytest.approx(lead * 0.02)
    assert found.end - found.start <= 7 * 3 * 0.02


def test_a_keyword_said_twice_is_found_twice_and_its_last_phone_again_is_not() -> None:
    words = Keywords(["question"], threshold=0)
    assert len(spot(np.concatenate([said("K W EH S CH AH N"), said("K W EH S CH AH N")]), words)) == 2
    rows = np.concatenate([said("K W EH S CH AH N"), said("N")])
    assert spot(rows, words) == spot(said("K W EH S CH AH N", trail=60), words)


def test_thresholds_only_choose() -> None:
    everything = spot(said("K W EH S T AH N"), Keywords(["question", "questioned"], threshold=0))
    middle = sorted(one.score for one in everything)[len(everything) // 2]
    some = spot(said("K W EH S T AH N"), Keywords(["question", "questioned"], threshold=middle))
    assert some == [one for one in everything if one.score >= middle]
    none = Keywords(["question", "questioned"], threshold=0, thresholds={"question": 1.0})
    assert {one.phrase for one in spot(said("K W EH S T AH N"), none)} <= {"questioned"}


@given(st.floats(-3, 0), st.floats(-3, 0), st.integers(2, 100), st.sampled_from([None, -5.0, -0.1]))
def test_a_better_fit_never_scores_less(
    fit: float, other: float, phones: int, boundary: float | None
) -> None:
    low, high = sorted([fit, other])
    assert 0 <= calibration.score(low, phones, boundary) <= calibration.score(high, phones, boundary) <= 1


def test_a_batch_spots_as_a_stream_alone() -> None:
    streams = [recognizer().stream(keywords=keywords()), recognizer().stream()]
    found: list[Any] = []
    for begin in range(0, len(speech()), 8000):
        piece = speech()[begin : begin + 8000]
        (events, error), _ = recognizer().accept_many([(streams[0], piece), (streams[1], piece[::-1])])
        assert error is None
        found += events
    found += streams[0].finish()
    alone = [event for event in expected() if isinstance(event, Spotted) and event.score > 0.05]
    batch = [event for event in found if isinstance(event, Spotted) and event.score > 0.05]
    assert [(event.phrase, event.start, event.end) for event in batch] == [
        (event.phrase, event.start, event.end) for event in alone
    ]


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.53, 4.0])
def test_saved_and_restored_is_never_stopped(seconds: float) -> None:
    stream = recognizer().stream(keywords=keywords())
    cut = int(seconds * 16000)
    events = stream.accept(speech()[:cut])
    stream = recognizer().restore(stream.save(), keywords=keywords())
    events += [*stream.accept(speech()[cut:]), *stream.finish()]
    whole = recognizer().stream(keywords=keywords())
    assert events == [*whole.accept(speech()[:cut]), *whole.accept(speech()[cut:]), *whole.finish()]


def test_a_snapshot_wants_the_same_keywords() -> None:
    """By name, too: knight and night sound the same, and what was saved under one is not told as the other."""
    saved = recognizer().stream(keywords=keywords()).save()
    with pytest.raises(SnapshotError, match="give the same keywords"):
        recognizer().restore(saved)
    with pytest.raises(SnapshotError, match="other keywords"):
        recognizer().restore(saved, keywords=Keywords(["umbrella"]))
    knight = recognizer().stream(keywords=Keywords(["knight", "umbrella"])).save()
    for others in (["night", "umbrella"], ["umbrella", "knight"], ["knight"]):
        with pytest.raises(SnapshotError, match="other keywords"):
            recognizer().restore(knight, keywords=Keywords(others))
    same = Keywords(["knight", "umbrella"], threshold=0.9)
    recognizer().restore(knight, keywords=same)
    fields, tensors = unpacked(knight)
    spotter = recognizer().open_spotter(same)
    assert spotter is not None
    fields["spotting"]["keywords"] = spotter.digest_of_sounds  # as earlier snapshots have it
    recognizer().restore(sealed(fields, tensors), keywords=same)
    with pytest.raises(SnapshotError, match="without keywords"):
        recognizer().restore(recognizer().stream().save(), keywords=keywords())


@pytest.mark.parametrize(
    "change",
    [
        {"pending": [[0, 0, 0, 10**9, 0.0]]},
        {"pending": [[99, 0, 0, 1, 0.0]]},
        {"pending": "none"},
        {"last": [[0, 0, 0, 100, 0.0]]},
        {"last": [[0, 0, 0, 1, 0.0]] * 2},
        {"last": [[0, 0, -5, 1, 0.0]]},
        {"more": 1},
    ],
)
def test_a_damaged_snapshot_is_refused(change: dict[str, Any]) -> None:
    stream = recognizer().stream(keywords=keywords())
    stream.accept(speech()[:32000])
    fields, tensors = unpacked(stream.save())
    fields["spotting"] |= change
    with pytest.raises(SnapshotError, match="damaged"):
        recognizer().restore(sealed(fields, tensors), keywords=keywords())


def test_snapshots_of_before_last_peaks_and_rows_were_kept_go_on() -> None:
    stream = recognizer().stream(keywords=keywords())
    stream.accept(speech()[:8000])  # before any keyword
    fields, tensors = unpacked(stream.save())
    assert fields["spotting"].pop("last") == []
    fields["spotting"]["label"] = 0
    del tensors["keywords.rows"]
    tensors["spotting.heard"] = np.empty((0, 2), np.int64)
    restored = recognizer().restore(sealed(fields, tensors), keywords=keywords())
    assert restored.finish() == stream.finish()


@pytest.mark.parametrize("name", ["spotting.phone", "spotting.blank", "keywords.rows"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a[:, 1:] if a.ndim == 2 else a[1:],
        lambda a: np.full_like(a, 2**62),
        lambda a: np.full_like(a, 2**32 - 1 - 1000 if a.dtype == np.int64 else np.nan),  # begins in row 1000
        lambda a: a.astype(np.float64),
    ],
)
def test_damaged_arrays_are_refused(name: str, damage: Any) -> None:
    stream = recognizer().stream(keywords=keywords())
    stream.accept(speech()[:32000])
    fields, tensors = unpacked(stream.save())
    with pytest.raises(SnapshotError, match="damaged"):
        recognizer().restore(sealed(fields, tensors | {name: damage(tensors[name])}), keywords=keywords())


def test_state_stays_bounded() -> None:
    spotter = Spotter(DECODER, Keywords(["question"], threshold=0), TwoWords())
    state = spotter.initial()
    for _ in range(10):
        _, state = spotter.decode(state, said("K W EH S AH N D IH NG", trail=0))
    assert len(state.rows) == spotter.kept
    assert state.search.phone.shape == spotter.initial().search.phone.shape


@pytest.mark.parametrize(
    ("phrases", "says"),
    [
        ([], "no keywords"),
        (["…"], "no letters"),
        (["привет"], "lexicon is of English"),
        (["a"], "at least 2 phones"),
        (["lamp", "lamp"], "twice"),
        ([f"word {number}" for number in range(10_000)], "10,000 keywords"),
        (["/K AE"], "without its fellow"),
        (["/K XX T/"], "unknown phone 'XX'"),
        (["word " * 50], "characters"),
    ],
)
def test_bad_keywords_have_one_line(phrases: list[str], says: str) -> None:
    with pytest.raises((ConfigError, DataError), match=says) as caught:
        Keywords(phrases)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "high", True])
def test_thresholds_lie_between_0_and_1(threshold: Any) -> None:
    with pytest.raises(ConfigError, match="from 0"):
        Keywords(["lamp"], threshold=threshold)


def test_a_threshold_for_no_keyword_is_refused() -> None:
    with pytest.raises(ConfigError, match="no keyword"):
        Keywords(["lamp"], thresholds={"light": 0.5})


def test_lists_have_comments_and_thresholds(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("lamp\t0.8  # the kitchen's\n\n# none\nquinoa /K IY N W AA/\n")
    words = Keywords.read(path, threshold=0.3)
    assert [word.phrase for word in words] == ["lamp", "quinoa"]
    assert [words.threshold_of(0), words.threshold_of(1)] == [0.8, 0.3]
    assert words[1].variants[0].phones == ("K", "IY", "N", "W", "AA")
    path.write_text("lamp\tmuch\n")
    with pytest.raises(DataError, match="line 1: 'much'"):
        Keywords.read(path)
    path.write_text("# nothing\n")
    with pytest.raises(DataError, match="empty"):
        Keywords.read(path)
    for content, says in (
        (b"lamp\n\t0.5\n", "no keyword before the tab"),
        (b"lamp\n /K/\n", "sounds as K"),
        (b"lamp\nli\0ght\n", "U[+]0000"),
        ("lamp\nli\u202eght\n".encode(), "U[+]202E"),
        ("lamp\nli\u200bght\n".encode(), "U[+]200B"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"line 2: .*{says}"):
            Keywords.read(path)
    path.write_bytes(b"lamp\nli\xffght\n")
    with pytest.raises(DataError, match=r"words.txt:2: not UTF-8 text; save the list of keywords"):
        Keywords.read(path)


def test_keywords_have_no_characters_that_are_not_seen() -> None:
    for hidden in ("\0", "\x1b", "\u200b", "\u200e", "\u202e", "\ufeff", "\udcff"):
        for made in (Keywords, Commands):
            with pytest.raises(DataError, match=f"U[+]{ord(hidden):04X}"):
                made([f"li{hidden}ght"])


def test_all_pronunciations_count() -> None:
    words = Keywords(["either"], threshold=0.3)
    assert len(words[0].variants) == 2
    for variant in words[0].variants:
        assert spot(said(" ".join(variant.phones)), words)


class TwoWords:
    """A language model of phones that knows the word "K AE" alone, and others that begin with T."""

    phones = tuple(PHONES)
    word_marks = True

    def rows(self, contexts: np.ndarray) -> Any:
        scores = np.full((1, 80), -5.0)
        scores[0, 1 + PHONES.index("T") + 39] = -0.1

        class Expanded:
            nexts = np.zeros((1, 80), int)

        Expanded.scores = scores
        return Expanded, np.zeros(len(contexts), int)


def around(
    words: Keywords, rows: np.ndarray, begin: int, end: int, least: float = -np.inf
) -> tuple[float, float]:
    (variant,) = words[0].variants
    column = {phone: place for place, phone in enumerate(PHONES, start=1)}
    context = Context(TwoWords(), column, blank=0, row_seconds=0.02)
    relative = rows - rows.max(axis=1, keepdims=True)
    phones = [column[phone] for phone in variant.phones]
    return context.judge(relative, begin, end, 0.0, phones, variant.starts, least)


def test_words_end_where_the_language_model_says() -> None:
    word = Keywords(["/K AE/"])
    probable = {
        behind: around(word, said(f"K AE {behind}", lead=5, trail=5), 5, 10).boundary
        for behind in ("T", "S", "")
    }
    assert probable["S"] < probable["T"] <= 1e-9
    assert probable["S"] < probable[""] <= 1e-9


def test_what_is_said_is_probable_and_what_is_said_otherwise_is_not() -> None:
    rows = said("T EH N K AE", lead=5, trail=5)
    assert -2 < around(Keywords(["/K AE/"]), rows, 14, 19).words <= 0.1
    assert around(Keywords(["/N K/"]), rows, 11, 16).words < -2


def test_rows_behind_a_keyword_count_where_they_may_decide() -> None:
    rows = said("T EH N K AE S", lead=5, trail=5)
    word = Keywords(["/K AE/"])
    whole = around(word, rows, 14, 19)
    so_far = around(word, rows[:19], 14, 19)
    assert around(word, rows, 14, 19, so_far[0] + context.BEHIND - 0.01) == whole
    assert around(word, rows, 14, 19, so_far[0] + context.BEHIND + 0.01) == so_far != whole


@given(st.floats(0.0, 1.0), st.floats(-3.0, 0.0), st.integers(2, 20))
def test_the_least_probability_for_a_threshold_is_where_the_score_reaches_it(
    threshold: float, fit: float, phones: int
) -> None:
    least = calibration.least_words(threshold, fit, phones)
    if least == -np.inf:
        assert calibration.score(fit, phones, -np.inf) >= threshold - 1e-9
        return
    assert calibration.score(fit, phones, least - 1e-6) < threshold
    if least < 0:
        assert calibration.score(fit, phones, least + 1e-6) >= threshold


def ways(rows: np.ndarray, last: int) -> Iterator[tuple[float, list[int], int]]:
    """All paths through `rows` behind column `last`: log-probability, the phones that begin, the last column."""
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        begun = [now for before, now in itertools.pairwise((last, *path)) if now not in (0, before)]
        yield sum(rows[np.arange(len(rows)), path]), begun, (last, *path)[-1]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_all_ways_are_summed(seed: int) -> None:
    """Against each path through a few rows, of three phones, in a language model without memory."""
    random = np.random.default_rng(seed)
    rows = np.log(random.dirichlet(np.full(4, 2.0), 6)).astype(np.float32)
    rows -= rows.max(axis=1, keepdims=True)
    scores = np.log(random.dirichlet(np.full(6, 2.0)))

    class Unigrams:
        phones, word_marks = ("K", "AE", "T"), True

        def rows(self, contexts: np.ndarray) -> Any:
            return SimpleNamespace(
                scores=np.append(0, scores)[None], nexts=np.zeros((1, 7), int)
            ), contexts * 0

    def said(begun: list[int]) -> float:
        return sum(np.logaddexp(scores[phone - 1], scores[phone + 2]) + BONUS for phone in begun)

    context = Context(Unigrams(), {"K": 1, "AE": 2, "T": 3}, blank=0, row_seconds=0.02)
    found = context.judge(rows, 2, 4, -0.5, [1, 2], [True, False])
    left = [score + said(begun) for score, begun, last in ways(rows[:2], 0) if last != 1]
    keyword = scores[3] + scores[1] + 2 * BONUS - 0.5
    right, words = [], []
    for score, begun, _ in ways(rows[4:], 2):
        right.append(score + said(begun))
        if begun:
            words.append(score + scores[begun[0] + 2] + BONUS + said(begun[1:]))
        else:
            words.append(score)
    total = np.logaddexp.reduce
    anything = total([score + said(begun) for score, begun, _ in ways(rows, 0)])
    assert found.words == pytest.approx(total(left) + keyword + total(words) - anything, abs=0.01)
    marks = total([scores[0], scores[3]]) + total([scores[1], scores[4]]) - scores[3] - scores[1]
    assert found.boundary == pytest.approx(total(words) - total(right) - marks, abs=0.01)


def test_a_recording_gives_what_its_stream_gives() -> None:
    found = phonestream.spot(SPEECH, keywords(), recognizer())
    assert [(one.phrase, one.start) for one in found if one.score > 0.05] == [
        (event.phrase, event.start)
        for event in expected()
        if isinstance(event, Spotted) and event.score > 0.05
    ]


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["spot", "--model", str(shipped_model()), *map(str, arguments)])
    output, errors = capfd.readouterr()
    return int(left.value.code or 0), output, errors


def test_the_command_tells_what_python_tells(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("among\naway\t0.99999\n")
    status, output, _ = run(capfd, SPEECH, "--list", words, "--keyword", "then dear", "--format", "json")
    (line,) = output.splitlines()
    told = json.loads(line)
    assert status == 0
    assert told["file"] == str(SPEECH)
    assert told["seconds"] == pytest.approx(len(speech()) / 16000, abs=1e-3)
    assert {one["phrase"] for one in told["spotted"]} == {"among", "then dear"}
    assert all(0.5 <= one["score"] <= 1 for one in told["spotted"])


def test_the_command_writes_files_and_goes_on(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    found, folder = tmp_path / "found.csv", tmp_path / "results"
    sought = SPEECH, bad, "--keyword", "then dear", "--keyword", "on"
    status, output, errors = run(capfd, *sought, "--output", found)
    assert (status, output) == (1, "")
    assert "'on' is too short" in errors
    assert "bad.wav" in errors
    header, *rows = csv.reader(found.read_text().splitlines())
    assert header == ["file", "phrase", "start", "end", "score", "word_boundary", "channel"]
    assert [row[:2] for row in rows] == [[str(SPEECH), "then dear"]]
    status, _, errors = run(capfd, *sought, "--output", found)
    assert status == 1
    assert "--overwrite" in errors
    status, _, _ = run(capfd, *sought, "--output", folder, "--format", "json,textgrid", "--channel", "each")
    assert status == 1
    assert {path.name for path in folder.iterdir()} == {f"{SPEECH.stem}.1.json", f"{SPEECH.stem}.1.TextGrid"}
    (spotted,) = json.loads((folder / f"{SPEECH.stem}.1.json").read_text())["spotted"]
    assert [f"{spotted['start']:.3f}", f"{spotted['end']:.3f}"] == rows[0][2:4]
    status, _, errors = run(
        capfd, *sought, "--output", folder, "--format", "json,textgrid", "--channel", "each", "--resume"
    )
    assert "1 done before" in errors


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 300).map(lambda row: row / 50),
            st.integers(1, 50).map(lambda rows: rows / 50),
            st.sampled_from(["ever", "then dear", 'say "so"', "quinoa <&>"]),
        ),
        max_size=6,
    )
)
def test_keywords_that_overlap_are_all_in_every_format(drawn: list[tuple[float, float, str]]) -> None:
    spotted = [Spotted(phrase, start, start + length, 0.5, None) for start, length, phrase in drawn]
    laid = tiers(spotted)
    assert sorted(label for tier in laid.values() for label in tier) == sorted(
        (one.phrase, one.start, one.end) for one in spotted
    )
    for tier in laid.values():
        assert all(one[2] <= other[1] for one, other in itertools.pairwise(tier))
    found = Spots("a b.wav", 9.0, spotted, folder="deep/er")
    written = {name: form.write(found) for name, form in SPOT_FORMATS.items()}
    assert b'RELATIVE_MEDIA_URL="../../a%20b.wav"' in written["eaf"]
    grid = read_tiers("found.TextGrid", written["textgrid"])
    assert sum(len(tier.intervals) for tier in grid) == len(spotted)
    assert len(json.loads(written["json"])["spotted"]) == len(spotted)
    assert len(list(csv.reader(written["csv"].decode().splitlines()))) == len(spotted) + 1
    assert len(webvtt.from_buffer(io.StringIO(written["vtt"].decode())).captions) == len(spotted)
    assert written["srt"].count(b" --> ") == len(spotted)
    assert len(ElementTree.fromstring(written["eaf"]).findall(".//ANNOTATION_VALUE")) == len(spotted)
    assert [line.split("\t")[2] for line in written["audacity"].decode().splitlines()] == [
        one.phrase for one in spotted
    ]


def test_the_command_goes_on_after_a_bad_file(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    status, output, errors = run(capfd, bad, SPEECH, "--keyword", "then dear", "--threshold", "0")
    assert status == 1
    assert "then dear" in output
    assert "bad.wav" in errors
    assert "every peak" in errors


@pytest.mark.parametrize(("options", "says"), [([], "--keyword"), (["--keyword", "…"], "no letters")])
def test_a_wrong_call_is_one_line(options: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, output, errors = run(capfd, SPEECH, *options)
    assert status in (1, 2)
    assert output == ""
    assert says in errors
