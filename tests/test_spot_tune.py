"""Thresholds from a user's own recordings: more false alarms never lower one, and the list that is written is read."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model

from phonestream import Keywords
from phonestream.asr.align.alignment import AlignedWord
from phonestream.asr.evaluation.spotting import Judged, Said, judge, occurrences, thresholds
from phonestream.cli import main

SPEECH = Path(__file__).parent / "data/speech/dev/237-126133-0002.opus"
WORDS = (
    "then dear said missus whitney you must be kinder to her than ever think what it would be for one of you to be "
    "away from home even among friends"
)
ALARMS = st.lists(
    st.builds(Judged, st.sampled_from(["lamp", "door"]), st.floats(0.01, 1), st.just(False)), max_size=8
)


def test_without_recordings_the_scale_decides() -> None:
    """A score of 1 / (1 + f) promises f false alarms an hour."""
    assert thresholds([], ["lamp"], 0.0, 1.0) == {"lamp": pytest.approx(0.5, abs=1e-3)}
    assert thresholds([], ["lamp"], 0.0, 1 / 9) == {"lamp": pytest.approx(0.9, abs=1e-3)}


@settings(deadline=None, max_examples=50)
@given(ALARMS, st.floats(0, 20), st.floats(0.1, 5), st.floats(0.01, 1), st.sampled_from(["lamp", "door"]))
def test_a_false_alarm_more_never_lowers_a_threshold(
    judged: list[Judged], hours: float, alarms: float, score: float, phrase: str
) -> None:
    phrases = ["lamp", "door"]
    before = thresholds(judged, phrases, hours, alarms)
    after = thresholds([*judged, Judged(phrase, score, False)], phrases, hours, alarms)
    assert all(0 < before[one] <= after[one] <= 1 for one in phrases)
    assert thresholds([*judged, Judged(phrase, score, True)], phrases, hours, alarms) == before
    many = thresholds(judged, phrases, 10_000.0, alarms)  # hours in which nothing else was a false alarm
    assert all(many[one] <= before[one] for one in phrases)


def test_a_word_is_said_where_it_stands_alone_and_is_hit_once() -> None:
    words = [
        AlignedWord(text, at, at + 1, 0.5, True, found, ())
        for at, (text, found) in enumerate(
            [("“The", True), ("Question”,", True), ("questions", True), ("the", True), ("question", False)]
        )
    ]
    said = list(occurrences(7, words, ["the question", "question"]))
    assert said == [Said(7, "the question", 0, 2), Said(7, "question", 1, 2)]
    found = [
        Said(7, "question", 1.1, 1.9, 0.6),
        Said(7, "question", 1.2, 1.8, 0.7),
        Said(7, "question", 2, 3, 0.9),
    ]
    assert [(one.score, one.hit) for one in judge(found, said)] == [(0.9, False), (0.7, True), (0.6, False)]


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(["spot", "--model", str(shipped_model()), *map(str, arguments)])
    output, errors = capfd.readouterr()
    return int(left.value.code or 0), output, errors


def test_the_list_that_is_written_is_read(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder, tuned = tmp_path / "own", tmp_path / "tuned.txt"
    folder.mkdir()
    shutil.copy(SPEECH, folder)
    (folder / SPEECH.with_suffix(".txt").name).write_text(WORDS)
    (folder / "other.wav").write_text("no audio, no transcript")
    status, output, errors = run(
        capfd,
        "--tune",
        folder,
        "--keyword",
        "then dear",
        "--keyword",
        "umbrella /AH M B R EH L AH/",
        "--output",
        tuned,
    )
    assert (status, output) == (1, "")
    assert "other.txt" in errors
    listed = Keywords.read(tuned)
    assert [word.phrase for word in listed] == ["then dear", "umbrella"]
    assert listed[1].variants[0].phones == ("AH", "M", "B", "R", "EH", "L", "AH")
    assert all(0.4 < (word.threshold or 0) < 0.6 for word in listed)
    assert "said: 1, found: 1, false alarms: 0" in tuned.read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tune", ".", "--keyword", "/K AE T/"], "phones alone"),
        (["--tune", ".", "--keyword", "lamp", "x.wav"], "FILE"),
        (["--tune", ".", "--keyword", "lamp", "--threshold", "0.5"], "--threshold"),
        (["x.wav", "--keyword", "lamp", "--false-alarms", "2"], "--tune"),
        (["x.wav", "--keyword", "lamp", "--output", "found.csv", "--resume"], "--resume"),
        (["x.wav", "--keyword", "lamp", "--format", "lab"], "text, json, csv"),
    ],
)
def test_a_wrong_call_is_one_line(options: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, output, errors = run(capfd, *options)
    assert status in (1, 2)
    assert output == ""
    assert says in errors
