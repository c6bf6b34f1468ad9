"""Listening to a microphone: the installed command hears what PulseAudio plays into a virtual one."""

import fcntl
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from model_fixture import shipped_model
from virtual_microphone import RATE, VirtualMicrophone, virtual_microphone

import phonestream
from phonestream.asr.lexicon.phones import IPA
from phonestream.commands import listen_lines, recording
from phonestream.commands.info import describe
from phonestream.commands.listen_display import Display, Status, meter, numbers
from phonestream.commands.listen_lines import Lines
from phonestream.commands.listen_status import Level
from phonestream.commands.recording import HEADER, Recording
from phonestream.errors import AudioError
from phonestream.formats import text
from phonestream.formats.document import Document
from phonestream.formats.phone_sets import PHONE_SETS
from phonestream.streaming import events
from phonestream.streaming.audio.files import AudioFile
from phonestream.streaming.decode import Phone
from phonestream.streaming.endpoint import Endpoint
from phonestream.streaming.events import Event, Failure, Final, Listening
from phonestream.streaming.spotting.commands import CommandResult
from phonestream.streaming.spotting.spotter import Spotted
from phonestream.streaming.stream import Lost
from phonestream.streaming.visemes import Viseme

SETTLING = RATE // 20  # samples at the beginning that PulseAudio may change, played as silence
COMMAND = [sys.executable, "-c", "from phonestream.cli import main; main()", "listen"]


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMicrophone]:
    with virtual_microphone(tmp_path_factory.mktemp("pulse")) as plugged:
        yield plugged


@pytest.fixture(scope="module")
def speech(recordings: list[Path]) -> np.ndarray:
    """Three seconds of a recording at the microphone's rate, with a little silence in front: int16 [n]."""
    samples, rate = soundfile.read(recordings[0], dtype="float32", frames=3 * 16_000)
    at_rate = soxr.resample(samples, rate, RATE)
    return np.concatenate([np.zeros(SETTLING, np.int16), np.round(at_rate * 32767).astype(np.int16)])


def listener(microphone: VirtualMicrophone, *arguments: str | Path, **streams: object) -> subprocess.Popen:
    """`phonestream listen`, started."""
    call = [*COMMAND, "--model", str(shipped_model()), *map(str, arguments)]
    return subprocess.Popen(call, env=microphone.environment, **streams)


def listening(process: subprocess.Popen, descriptor: int) -> bytes:
    """What `process` writes up to the line that says that it hears."""
    seen = b""
    while b"listening" not in seen or not seen.endswith(b"\n"):
        assert select.select([descriptor], [], [], 30)[0], "it never listened"
        part = os.read(descriptor, 1)
        assert part, f"it ended: {seen!r}"
        seen += part
    return seen


def told(text: bytes | str) -> list[Event]:
    return [events.decode(json.loads(line)) for line in text.splitlines()]


def symbols(told: list[Event]) -> list[str]:
    return [event.symbol for event in told if isinstance(event, Phone)]


def hear(file: Path) -> list[str]:
    """The phones of a file, as a stream with endpoints gives them: there a search ends and begins anew."""
    recognizer = phonestream.Recognizer(shipped_model())
    stream = recognizer.stream(endpoints=True)
    events: list[Any] = []
    with AudioFile(file) as audio:
        for block in audio.blocks():
            events += stream.accept(block, audio.sample_rate)
    return [event.symbol for event in events + stream.finish() if isinstance(event, phonestream.Phone)]


def place(played: np.ndarray, saved: np.ndarray) -> int:
    """Where in `saved` the first second of `played` is, sample for sample."""
    part = played[SETTLING : SETTLING + RATE].tobytes()
    at = saved.tobytes().find(part)
    assert at >= 0, "what was saved is not what was played"
    return at // 2 - SETTLING


# The real path


def test_it_hears_what_is_played(microphone: VirtualMicrophone, speech: np.ndarray, tmp_path: Path) -> None:
    """Two listen at once: one writes JSON and keeps the audio, the other draws on a terminal until Ctrl-C."""
    saved, watched_saved = tmp_path / "saved.wav", tmp_path / "watched.wav"
    ours, theirs = pty.openpty()
    watched = listener(
        microphone, *("--phones", "ipa", "--save", watched_saved), stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    process = listener(
        microphone, *("--format", "json", "--seconds", "6.0", "--save", saved), stdout=subprocess.PIPE
    )
    drawn = listening(watched, ours)
    heard = listening(process, process.stdout.fileno())
    player = microphone.play(speech)
    while select.select([ours], [], [], 0 if process.poll() is not None else 0.1)[0]:
        drawn += os.read(ours, 65_536)
    heard += process.stdout.read()
    watched.send_signal(signal.SIGINT)
    while part := _read_terminal(ours):
        drawn += part
    os.close(ours)
    assert (process.wait(), watched.wait(), player.wait()) == (0, 0, 0)

    found = told(heard)
    look_ahead = describe("default")["look_ahead_ms"] / 1000
    assert found[0] == Listening("default (ALSA)", RATE, str(shipped_model()), look_ahead)
    assert found[-1] == Final(6.0, 0.0)
    (endpoint,) = (event for event in found if isinstance(event, Endpoint))  # the silence after it
    assert (endpoint.rule, endpoint.start) == ("pause", 0.0)
    assert {type(event) for event in found} == {Listening, Phone, Endpoint, Final}
    samples, rate = soundfile.read(saved, dtype="int16")
    assert (len(samples), rate) == (6.0 * RATE, RATE)
    begin = place(speech, samples)
    expected = np.zeros(len(samples), np.int16)  # what was played, and silence around it
    expected[begin + SETTLING : begin + len(speech)] = speech[SETTLING:]
    np.testing.assert_array_equal(samples, expected)
    assert symbols(found) == hear(saved)  # not one sample is heard differently

    text = drawn.decode()
    assert "look-ahead" in text  # the status
    summary = re.search(r"[\d.]+ s heard, 0\.00 s of them lost", text)
    assert summary is not None
    above = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text[: summary.start()])
    final_line = above.rsplit("\n", 1)[0]
    names = [symbol for symbol in final_line.split() if symbol in IPA.values()]
    assert names[-5:] == [IPA[symbol] for symbol in hear(watched_saved)][-5:]


def test_a_command_is_shown_above_the_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display({"G": "G", "OW": "OW"})
    status = Status(1.0, 0.0, Level(-32.0, -20.0), 0.12, 0.12, 0.124, 0.0041, 0.0123)
    for chunk in (
        [Phone("G", 1.0, 1.1, 0.99), Phone("OW", 1.1, 1.3, 0.99)],
        [Endpoint(2.1, 0.0, 0.8, "pause"), CommandResult("go", 1.0, "go", "stop", 1.0, 1.3)],
        [Endpoint(7.1, 2.1, 5.0, "silence")],
        [Phone("OW", 8.0, 8.3, 0.99)],
        [Endpoint(9.1, 7.1, 0.8, "pause"), CommandResult(None, 0.2, "go", "stop", 8.0, 8.3)],
    ):
        for event in chunk:
            display.show(event)
        display.status(status)
    assert capsys.readouterr().out.splitlines() == [
        "    1.00  G OW",
        "    1.00  [command 'go': 1.000]",
        "",
        "    8.00  OW",
        "    8.00  [no command, nearest 'go': 0.200]",
        "",
    ]


def test_it_tells_keywords_commands_and_shapes_of_the_mouth(
    microphone: VirtualMicrophone, speech: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("then dear said Rachel\nlamp (on | off)\n")
    process = listener(
        microphone,
        *("--format", "json", "--seconds", "7.0", "--spot", "then dear", "--spot", "umbrella"),
        *("--commands", str(tmp_path / "list")),
        *("--visemes", "oculus"),
        stdout=subprocess.PIPE,
    )
    heard = listening(process, process.stdout.fileno())
    player = microphone.play(speech)
    heard += process.stdout.read()
    assert (process.wait(), player.wait()) == (0, 0)
    events = told(heard)
    (found,) = (event for event in events if isinstance(event, Spotted))
    assert found.phrase == "then dear"
    assert 0 < found.start < found.end < 7
    (command,) = (event for event in told(heard) if isinstance(event, CommandResult))
    assert command.rejected  # it is a longer sentence
    assert found.start < command.end < 7
    shapes = [event for event in events if isinstance(event, Viseme)]
    assert (shapes[0].symbol, shapes[0].start, shapes[-1].end) == ("sil", 0, 7)
    assert all(before.end == after.start for before, after in pairwise(shapes))
    assert len(shapes) > len(symbols(events))


def _read_terminal(descriptor: int) -> bytes:
    """More of what a terminal is sent; nothing when whoever wrote to it has ended, which Linux makes an error."""
    try:
        return os.read(descriptor, 65_536)
    except OSError:
        return b""


def test_a_stalled_reader_costs_exactly_what_is_said(
    microphone: VirtualMicrophone, speech: np.ndarray, tmp_path: Path
) -> None:
    """The pipe is full, so that the first phones stop the process until its buffer of half a second overflows."""
    saved = tmp_path / "saved.wav"
    reading, writing = os.pipe()
    room = fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = listener(
        microphone,
        *("--format", "json", "--seconds", "7.5", "--buffer", "0.5", "--save", saved),
        stdout=writing,
    )
    assert told(listening(process, reading))
    os.write(writing, b"\n" * (room - 100))
    os.close(writing)
    played = np.concatenate([speech, np.zeros(RATE // 2, np.int16), speech[SETTLING:]])
    player = microphone.play(played)
    time.sleep(3)  # half of it, in which the process comes to a stop
    rest = b""
    while part := os.read(reading, 65_536):
        rest += part
    os.close(reading)
    assert (process.wait(), player.wait()) == (0, 0)

    found = told(rest.lstrip(b"\n"))
    samples, _ = soundfile.read(saved, dtype="int16")
    losses = [event for event in found if isinstance(event, Lost)]
    assert losses
    assert found[-1] == Final(7.5, pytest.approx(sum(lost.seconds for lost in losses), abs=0.002))
    assert len(samples) == 7.5 * RATE
    assert symbols(found) == hear(saved)
    # Where nothing is said to be lost, each sample is at its place: what was captured and what was lost add up.
    begin = place(played, samples)
    expected = np.zeros(len(samples) + len(played), np.int16)
    expected[begin : begin + len(played)] = played
    expected = expected[: len(samples)]
    for lost in losses:
        first, last = (round(at * RATE / 1764) * 1764 for at in (lost.start, lost.start + lost.seconds))
        expected[first:last] = 0
    start = begin + SETTLING
    np.testing.assert_array_equal(samples[start:], expected[start:])


def test_a_device_that_goes_away_is_an_error_or_waited_for(microphone: VirtualMicrophone) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    leaving = listener(microphone, "--format", "json", **pipes)
    waiting = listener(microphone, "--format", "json", "--reconnect", **pipes)
    for process in (leaving, waiting):
        listening(process, process.stdout.fileno())
    microphone.unplug()
    out, err = leaving.communicate()
    assert leaving.returncode == 1
    assert re.fullmatch(
        r"phonestream: default \(ALSA\): has stopped giving audio, .*--reconnect .*\n", err.decode()
    )
    *_, failure, final = told(out)
    assert failure == Failure(err.decode().removeprefix("phonestream: ").rstrip("\n"))
    assert isinstance(final, Final)

    microphone.plug()
    remarks = b""
    while b"is back" not in remarks:
        part = os.read(waiting.stderr.fileno(), 4096)
        assert part, remarks
        remarks += part
    waiting.terminate()
    out, _ = waiting.communicate()
    assert waiting.returncode == 0
    *_, lost, final = [event for event in told(out) if isinstance(event, Lost | Final)]
    assert isinstance(lost, Lost)
    assert final == Final(final.seconds, lost.seconds)
    assert lost.start + lost.seconds <= final.seconds


def test_devices_are_listed_and_wrong_ones_refused(microphone: VirtualMicrophone) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess:
        call = [*COMMAND[:-1], *arguments]
        return subprocess.run(call, env=microphone.environment, capture_output=True, text=True)

    found = [json.loads(line) for line in run("devices", "--format", "json").stdout.splitlines()]
    (default,) = [device for device in found if device["default"]]
    assert (default["name"], default["host_api"], default["sample_rate"]) == ("default", "ALSA", RATE)
    text = run("devices").stdout
    assert re.search(rf"^\* +{default['index']}  default +ALSA  .* {RATE} Hz$", text, re.MULTILINE)
    refused = run("listen", "--device", "no such microphone")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("phonestream: device 'no such microphone' is not there; there are ")
    assert refused.stderr.count("\n") == 1


# What is kept


@pytest.mark.parametrize("limit", [recording.RIFF_LIMIT, 10_000], ids=["RIFF", "RF64"])
def test_a_recording_can_be_read_at_any_moment(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "RIFF_LIMIT", limit)
    monkeypatch.setattr(recording, "ZEROS", 1000)
    expected = np.empty(0, np.int16)
    with Recording(str(tmp_path / "a.wav"), 48_000) as kept:
        for number in range(1, 30):
            samples = np.arange(number * 100, dtype=np.int16)
            kept.write(samples)
            kept.silence(number * 77)
            expected = np.concatenate([expected, samples, np.zeros(number * 77, np.int16)])
            copy = shutil.copy(tmp_path / "a.wav", tmp_path / "copy.wav")
            with AudioFile(copy) as audio:  # refuses what is not whole
                assert audio.format == ("RF64" if HEADER - 8 + 2 * len(expected) > limit else "WAV")
            read, rate = soundfile.read(copy, dtype="int16")
            assert rate == 48_000
            np.testing.assert_array_equal(read, expected)


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    with Recording(str(tmp_path / "a.wav"), RATE) as kept:
        kept.write(np.ones(10, np.int16))
    with pytest.raises(AudioError, match=r"a\.wav: is there already; "):
        Recording(str(tmp_path / "a.wav"), RATE)
    with pytest.raises(AudioError, match="cannot be made: No such file or directory"):
        Recording(str(tmp_path / "no folder" / "a.wav"), RATE)
    with pytest.raises(AudioError, match="cannot be made: embedded null"):
        Recording("a\0.wav", RATE)


def test_a_full_disk_ends_a_recording_and_spares_what_it_had(tmp_path: Path) -> None:
    code = f"""
import numpy as np, resource
from phonestream.commands.recording import Recording
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, {resource.getrlimit(resource.RLIMIT_FSIZE)[1]}))
kept = Recording({str(tmp_path / "a.wav")!r}, 1000)
try:
    for _ in range(10):
        kept.write(np.ones(1000, np.int16))
except Exception as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr == ""
    assert "a.wav: cannot be written after 4.00 s: File too large; make room" in result.stdout
    assert soundfile.info(tmp_path / "a.wav").frames >= 4000


# What is shown


@pytest.mark.parametrize(
    "event",
    [
        Phone("HH", 0.12, 0.16, 0.98),
        Lost(1.5, 0.25),
        Listening("USB (ALSA)", 48_000, "default", 0.12),
        Failure("went away"),
        Final(12.0, 0.25),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_are_json_and_back(event: Event) -> None:
    encoded = json.loads(json.dumps(events.encode(event)))
    assert events.decode(encoded) == event
    assert events.decode({**encoded, "of a later version": 1}) == event
    assert next(iter(encoded)) == "event"


def test_what_is_no_event_is_refused() -> None:
    for encoded in ({"event": "applause"}, {"event": "lost", "start": 1.0}, {}):
        with pytest.raises(KeyError):
            events.decode(encoded)


@st.composite
def phones(draw: st.DrawFn) -> list[Phone]:
    time, found = 0.0, []
    for _ in range(draw(st.integers(0, 60))):
        start = time + draw(st.floats(0, 2))
        time = start + draw(st.floats(0.01, 0.5))
        found.append(Phone(draw(st.sampled_from(["B", "HH", "ZH"])), start, time, draw(st.floats(0, 1))))
    return found


@given(phones())
def test_lines_are_those_of_transcribe_and_come_when_they_are_done(spoken: list[Phone]) -> None:
    lines, state = [], Lines()
    for phone, following in pairwise([*spoken, None]):
        done, state = listen_lines.add_phone(state, phone, PHONE_SETS["arpabet"])
        lines += done
        if following is not None:  # the clock goes on up to the next phone
            done, state = listen_lines.settle(state, following.start)
            lines += done
    done, state = listen_lines.end(state)
    assert state == Lines()
    if spoken:
        assert lines + done == list(text.lines(Document("", 0.0, tuple(spoken))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "  -20 dB"),
        ({"level": Level(-3.0, 0.0)}, "too loud"),
        ({"lost_seconds": 1.25}, "1.25 s lost"),
        ({"seconds": 3671.0}, " 61:11"),
    ],
    ids=["speech", "clipping", "loss", "an hour"],
)
def test_the_status_fits_in_80_columns(change: dict[str, object], words: str) -> None:
    status = Status(61.0, 0.0, Level(-32.0, -20.0), 0.12, 0.12, 0.124, 0.0041, 0.0123)._replace(**change)
    for as_ascii in (False, True):
        shown = meter(status, muted=False, plain=as_ascii).plain
        assert words in shown
        assert len(shown) <= 80
        assert shown.isascii() or not as_ascii
    assert "is it muted?" in meter(status, muted=True, plain=True).plain
    figures = numbers(status).plain
    assert figures.strip() == "120 look-ahead + 124 buffers + 4.1 compute (95 %: 12.3) ms   load 12 %"
