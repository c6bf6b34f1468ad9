"""Endpoints are where the formulas put them, whatever the chunks, and events come in time order."""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from model_fixture import shipped_model
from snapshots import sealed, unpacked
from toy_model import FRAME, levels, toy_model

from phonestream import AudioError, ConfigError, Lost, Phone, Recognizer, SnapshotError, Stream
from phonestream.streaming.endpoint import Endpoint, EndpointConfig, EndpointRule, EndpointState, detect

RECORDING = Path(__file__).parent / "data/speech/test/1284-1180-0000.opus"
ROW = 0.04  # seconds


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    return Recognizer(toy_model(tmp_path_factory.mktemp("models") / "toy.onnx"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Recognizer:
    """Two rows to a frame, another blank, times moved on."""
    path = tmp_path_factory.mktemp("models") / "odd.onnx"
    return Recognizer(toy_model(path, rows_per_frame=2, blank=3, time_offset_seconds=0.07))


def rows(*counts: int, name: str = "rule") -> EndpointRule:
    """A rule in rows of 40 ms: trailing silence, speech, utterance."""
    return EndpointRule(name, *(count * ROW for count in counts))


seconds = st.integers(0, 8).map(lambda count: count * ROW) | st.floats(0, 0.3)
triples = st.tuples(seconds, seconds, seconds).filter(any)
configs = st.lists(triples, min_size=1, max_size=4).map(
    lambda rules: EndpointConfig(tuple(EndpointRule(f"r{i}", *rule) for i, rule in enumerate(rules)))
)
columns = st.lists(st.sampled_from([0, 0, 0, 1, 2]), max_size=40)


def by_the_formulas(config: EndpointConfig, heard: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """(time, start, silence, rule) in rows: the module's docstring, a row at a time, blank 0."""
    found = []
    utterance: list[int] = []  # its rows
    start = 0
    for row, column in enumerate(heard):
        follows = column != 0 and utterance[-1:] not in ([], [0], [column])
        if column == 0:
            utterance.append(0)
        if column == 0 or follows:
            spoken = [index for index, value in enumerate(utterance) if value != 0]
            speech = spoken[-1] + 1 - spoken[0] if spoken else 0
            silence = len(utterance) - (spoken[-1] + 1 if spoken else 0)
            for index, rule in enumerate(config.rules):
                wanted = (rule.trailing_silence, rule.speech, rule.utterance)
                measured = (silence, speech, len(utterance))
                if all(
                    value >= math.ceil(least / ROW - 1e-9)
                    for value, least in zip(measured, wanted, strict=True)
                ):
                    found.append((row + (column == 0), start, silence, index))
                    utterance, start = [], row + (column == 0)
                    break
        if column != 0:
            utterance.append(column)
    return found


# Rules


@given(config=configs, heard=columns)
@settings(deadline=None, max_examples=400)
def test_endpoints_are_where_the_formulas_put_them(config: EndpointConfig, heard: list[int]) -> None:
    found, _ = detect(config, EndpointState(), 0, heard, 0, ROW)
    assert [ending[1:] for ending in found] == by_the_formulas(config, heard)


@given(config=configs, heard=columns, cuts=st.lists(st.integers(0, 40), max_size=5))
@settings(deadline=None, max_examples=200)
def test_cutting_the_rows_changes_nothing(config: EndpointConfig, heard: list[int], cuts: list[int]) -> None:
    whole, last = detect(config, EndpointState(), 0, heard, 0, ROW)
    found, state = [], EndpointState()
    for begin, end in itertools.pairwise([0, *sorted(min(cut, len(heard)) for cut in cuts), len(heard)]):
        part, state = detect(config, state, begin, heard[begin:end], 0, ROW)
        found += part
    assert (found, state) == (whole, last)


@pytest.mark.parametrize(
    ("rule", "heard", "expected"),
    [
        (rows(3, 1), [1, 0, 0, 0, 0, 0], [(4, 0, 3)]),
        (rows(3, 1), [0, 0, 0, 0, 0, 0], []),  # nothing was said
        (rows(3), [0, 0, 0, 0, 0, 0, 0], [(3, 0, 3), (6, 3, 3)]),
        (
            rows(2, 3),
            [1, 0, 0, 0, 1, 1, 0, 0],
            [(8, 0, 2)],
        ),  # speech reaches from the first phone to the last
        (rows(0, 0, 4), [1, 1, 1, 1, 1, 1, 0, 0], [(7, 0, 1)]),  # not within a phone
        (rows(0, 0, 4), [1, 1, 1, 1, 1, 2, 2, 2], [(5, 0, 0)]),  # but between two
    ],
)
def test_rules_read_as_they_are_meant(
    rule: EndpointRule, heard: list[int], expected: list[tuple[int, ...]]
) -> None:
    found, _ = detect(EndpointConfig((rule,)), EndpointState(), 0, heard, 0, ROW)
    assert [ending[1:4] for ending in found] == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: EndpointRule("nothing"),
        lambda: EndpointRule("", 1.0),
        lambda: EndpointRule("x" * 41, 1.0),
        lambda: EndpointRule(3, 1.0),
        lambda: EndpointRule("r", -0.1),
        lambda: EndpointRule("r", math.nan),
        lambda: EndpointRule("r", math.inf),
        lambda: EndpointRule("r", "1"),
        lambda: EndpointRule("r", True),
        lambda: EndpointConfig(()),
        lambda: EndpointConfig([EndpointRule("r", 1.0)]),
        lambda: EndpointConfig((EndpointRule("r", 1.0), EndpointRule("r", 2.0))),
        lambda: EndpointConfig(tuple(EndpointRule(f"r{i}", 1.0) for i in range(17))),
        lambda: EndpointConfig(("pause",)),
    ],
)
def test_rules_that_cannot_be_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match="endpoint rule") as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 1, "pause", [EndpointRule("r", 1.0)]])
def test_other_kinds_of_endpoints_are_refused(toy: Recognizer, value: Any) -> None:
    with pytest.raises(ConfigError, match="endpoints="):
        toy.stream(endpoints=value)


# Streams


def placed(event: Any) -> float:
    """Where an event counts in time."""
    time: float = event.end if isinstance(event, Phone) else event[0]
    return time


def heard(phone: Phone) -> tuple[str, float, float | None]:
    return phone.symbol, phone.confidence, phone.peak


def play(
    stream: Stream, script: list[Any], size: int, restore: Callable[[bytes], Stream] | None = None
) -> list[Any]:
    """All events of a script of samples and, as numbers, gaps, given `size` samples at a time."""
    events: list[Any] = []
    for part in script:
        if restore is not None:
            stream = restore(stream.save())
        if isinstance(part, int):
            events += stream.gap(part)
            continue
        for begin in range(0, len(part), size):
            events += stream.accept(part[begin : begin + size])
    return events + stream.finish()


scripts = st.lists(
    st.lists(st.integers(0, 5), min_size=1, max_size=6).map(lambda heard: levels(*heard))
    | st.sampled_from([1, 300, FRAME, 2000, 5000]),
    max_size=7,
)


@given(script=scripts, config=configs, size=st.sampled_from([97, 640, 1000]), strange=st.booleans())
@settings(deadline=None, max_examples=80)
def test_chunks_and_snapshots_change_no_event(
    toy: Recognizer, odd: Recognizer, script: list[Any], config: EndpointConfig, size: int, strange: bool
) -> None:
    recognizer = odd if strange else toy
    whole = play(recognizer.stream(endpoints=config), script, 10**9)
    assert play(recognizer.stream(endpoints=config), script, size) == whole
    assert play(recognizer.stream(endpoints=config), script, size, recognizer.restore) == whole
    assert [placed(event) for event in whole] == sorted(placed(event) for event in whole)
    # Beside endpoints and gaps all phones are as without them, but for where they begin and end beside an endpoint.
    plain = recognizer.stream()
    phones = [event for event in whole if isinstance(event, Phone)]
    assert [heard(phone) for phone in phones] == [heard(phone) for phone in play(plain, script, size)]
    assert all(phone.start <= phone.peak <= phone.end for phone in phones if not strange)
    starts = [event.time for event in whole if isinstance(event, Endpoint)]
    assert not any(phone.start < start < phone.end for phone in phones for start in starts)
    lost = [event for event in whole if isinstance(event, Lost)]
    assert len(lost) == sum(isinstance(part, int) for part in script)
    assert sum(event.seconds for event in lost) == pytest.approx(plain.lost_seconds)


def test_utterances_follow_each_other(toy: Recognizer) -> None:
    config = EndpointConfig((rows(2, 1, name="pause"), rows(0, 0, 8, name="length")))
    audio = levels(0, 1, 1, 0, 0, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4)
    ends = [
        event for event in play(toy.stream(endpoints=config), [audio], 640) if isinstance(event, Endpoint)
    ]
    assert [end.start for end in ends] == [0.0, *(end.time for end in ends[:-1])]
    assert [(round(end.time, 6), round(end.silence, 6), end.rule) for end in ends] == [
        (0.2, 0.08, "pause"),
        (0.36, 0.08, "pause"),
        (0.68, 0.32, "length"),
    ]


def test_an_endpoint_comes_as_soon_as_it_is_certain(toy: Recognizer) -> None:
    stream = toy.stream(endpoints=EndpointConfig((rows(2, 1, name="pause"),)))
    assert stream.accept(levels(1, 0, 0, 0)) == []
    assert stream.accept(np.zeros(639)) == []  # two frames of look-ahead
    phone, endpoint = stream.accept([0.0])
    assert (phone.symbol, phone.end) == ("A", 0.12)  # an utterance's phones come before its end
    assert endpoint == Endpoint(0.12, 0.0, 0.08, "pause")


def test_lost_audio_comes_between_the_phones_around_it(toy: Recognizer) -> None:
    events = play(toy.stream(endpoints=True), [levels(1, 0, 0, 0), 3 * FRAME, levels(2, 0)], 640)
    assert [event[:2] for event in events] == [
        ("A", 0.0),
        (0.16, pytest.approx(0.12)),
        ("B", pytest.approx(0.25)),
    ]


def test_no_endpoint_without_being_asked(toy: Recognizer) -> None:
    events = play(toy.stream(), [levels(1, *[0] * 30), 5000, levels(*[0] * 30)], 640)
    assert [type(event) for event in events] == [Phone]


def test_a_stream_with_endpoints_refuses_what_others_refuse(toy: Recognizer) -> None:
    stream = toy.stream(endpoints=True)
    before = stream.save()
    with pytest.raises(AudioError):
        stream.accept([math.nan])
    with pytest.raises(AudioError):
        stream.gap(-1)
    assert stream.save() == before


def test_the_pauses_of_a_recording_end_utterances() -> None:
    """Two sentences with 1.5 s of silence between and after them, by the bundled model and the rules as they are."""
    recognizer = Recognizer(shipped_model())
    speech, _ = soundfile.read(RECORDING, dtype="float32")
    silence = np.zeros(24000, np.float32)
    audio = np.concatenate([speech[:32000], silence, speech[64000:96000], silence])
    events = play(recognizer.stream(endpoints=True), [audio], 1600)
    pauses = [event for event in events if isinstance(event, Endpoint)]
    assert [pause.rule for pause in pauses] == ["pause", "pause"]
    assert pauses[0].time == pytest.approx(2.8, abs=0.4)
    assert pauses[1].time == pytest.approx(6.3, abs=0.4)
    assert pauses[1].start == pauses[0].time


# Snapshots


def saved(toy: Recognizer) -> bytes:
    """Of a stream in the middle of a phone, with a gap that no row has reached."""
    stream = toy.stream(endpoints=EndpointConfig((rows(9, 1), rows(0, 0, 99, name="length"))))
    stream.accept(levels(1, 2, 0, 3, 3, 3))
    stream.gap(100)
    return stream.save()


def test_the_snapshot_is_what_the_documentation_says(toy: Recognizer) -> None:
    fields, tensors = unpacked(saved(toy))
    assert fields["endpoints"] == {
        "rules": [["rule", 0.36, 0.04, 0.0], ["length", 0.0, 0.0, 3.96]],
        "start": 0,
        "speech": [0, 4],
        "column": 3,
        "untold": [[6 * FRAME, 100]],
    }
    assert sealed(fields, tensors) == saved(toy) == toy.restore(saved(toy)).save()
    page = (Path(__file__).parent.parent / "docs/snapshot.md").read_text(encoding="utf-8")
    for name in ["endpoints", *fields["endpoints"]]:
        assert f"`{name}`" in page


NONSENSE: dict[str, dict[str, Any]] = {
    "no rules": {"rules": []},
    "too many rules": {"rules": [[f"r{i}", 1, 0, 0] for i in range(17)]},
    "rules are a number": {"rules": 3},
    "a rule is short": {"rules": [["r", 1.0, 0.0]]},
    "a rule asks for nothing": {"rules": [["r", 0.0, 0.0, 0.0]]},
    "a rule's seconds are text": {"rules": [["r", "1", 0.0, 0.0]]},
    "a rule's seconds are a list": {"rules": [["r", [1], 0.0, 0.0]]},
    "a rule's seconds are nan": {"rules": [["r", math.nan, 0.0, 0.0]]},
    "a rule's name is a list": {"rules": [[["r"], 1.0, 0.0, 0.0]]},
    "start is negative": {"start": -1},
    "start is in the future": {"start": 5},
    "start is after the speech": {"start": 1},
    "speech is in the future": {"speech": [0, 5]},
    "speech is empty": {"speech": [4, 4]},
    "speech ended though a phone goes on": {"speech": [0, 3]},
    "speech goes on after a blank": {"column": None},
    "speech is short": {"speech": [0]},
    "a phone goes on without speech": {"speech": None},
    "column of the blank": {"column": 0},
    "column of no phone": {"column": 6},
    "gap beyond the end": {"untold": [[6 * FRAME, 101]]},
    "gap that was none": {"untold": [[6 * FRAME - 1, 100]]},
    "gaps overlap": {"untold": [[6 * FRAME, 60], [6 * FRAME + 50, 50]]},
    "gap is a number": {"untold": [3]},
    "gaps are missing": {"untold": None},
    "surplus": {"more": 1},
}


@pytest.mark.parametrize("changes", NONSENSE.values(), ids=NONSENSE.keys())
def test_fields_that_cannot_be_are_refused_even_when_sealed(toy: Recognizer, changes: dict[str, Any]) -> None:
    fields, tensors = unpacked(saved(toy))
    fields["endpoints"] |= changes
    with pytest.raises(SnapshotError, match="'endpoints' cannot be"):
        toy.restore(sealed(fields, tensors))


def test_a_finished_stream_has_told_of_all_gaps(toy: Recognizer) -> None:
    stream = toy.stream(endpoints=True)
    stream.accept(levels(1))
    stream.gap(100)
    stream.finish()
    fields, tensors = unpacked(stream.save())
    assert toy.restore(stream.save()).save() == stream.save()
    fields["endpoints"]["untold"] = fields["lost"]
    with pytest.raises(SnapshotError, match="'endpoints' cannot be"):
        toy.restore(sealed(fields, tensors))
