"""Streams and files over the network are heard as at home, whoever else is connected and whatever they do."""

import io
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from model_fixture import shipped_model
from prometheus_client.parser import text_string_to_metric_families
from server_process import COMMAND, Process, serving, transcribed
from snapshots import poisoned
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from phonestream import (
    CommandResult,
    Commands,
    CommandsSet,
    Keywords,
    KeywordsSet,
    Phone,
    Recognizer,
    Spotted,
    tile,
)
from phonestream.formats.document import Document
from phonestream.formats.registry import FORMATS, Options
from phonestream.formats.visemes import to_visemes
from phonestream.streaming.events import Final, Refused, encode
from phonestream.streaming.server.client import Client, ServerError, refusal_reason
from phonestream.streaming.server.protocol import (
    Close,
    Opening,
    RefusedError,
    read_audio,
    read_control,
    read_opening,
    write_opening,
)
from phonestream.streaming.stream import Lost
from phonestream.streaming.visemes import Viseme

Dial = Callable[..., ClientConnection]
OPENING = '{"version": 1, "rate": 16000}'
SECOND = b"\0" * 32_000


@pytest.fixture(scope="module")
def server() -> Iterator[Process]:
    with serving() as process:
        yield process


@pytest.fixture(scope="module")
def reference(recordings: list[Path]) -> dict[Path, dict[str, Any]]:
    """What the command line says of each recording."""
    return dict(zip(recordings, transcribed(*recordings), strict=True))


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Connect to a server, until the test ends."""
    with ExitStack() as stack:
        yield lambda server, **options: stack.enter_context(connect(server.ws, compression=None, **options))


def audio(path: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(path, dtype="float32")
    return samples, rate


def phones(events: list[Any]) -> list[dict[str, Any]]:
    """As the command line writes them."""
    return [
        {key: value for key, value in encode(event).items() if key != "event"}
        for event in events
        if isinstance(event, Phone)
    ]


def expected(transcript: dict[str, Any]) -> list[dict[str, Any]]:
    """The command line's phones. Streams that share a call have log-probabilities that are rounded otherwise, and
    JSON has three digits of a confidence: it may differ by one in the last."""
    return [
        {**phone, "confidence": pytest.approx(phone["confidence"], abs=0.0011)}
        for phone in transcript["phones"]
    ]


def send_at_once(connection: ClientConnection, messages: list[Any]) -> None:
    """In one write, so that the last is there before the server has answered the first."""
    frames = [
        Frame(Opcode.TEXT, message.encode()) if isinstance(message, str) else Frame(Opcode.BINARY, message)
        for message in messages
    ]
    connection.socket.sendall(b"".join(frame.serialize(mask=True) for frame in frames))


def refusal(connection: ClientConnection) -> tuple[int, str]:
    """The close code, and the message of the error event before it."""
    message = ""
    while True:
        try:
            event = json.loads(connection.recv(timeout=20))
        except ConnectionClosed as closed:
            return (closed.rcvd.code if closed.rcvd else 1006), message
        message = event.get("message", message)


# What is heard


def test_an_alignment_is_the_command_line_s(server: Process, speech_dir: Path) -> None:
    path = speech_dir / "dev/260-123286-0000.opus"
    text = "Saturday, August fifteenth. The sea unbroken all round; no land in sight."
    url, content = f"{server.url}/v1/align", path.read_bytes()

    def post(said: Any = (None, text), shifts: str = "1", **fields: str) -> httpx.Response:
        files = {"file": (str(path), content), "transcript": said}
        return httpx.post(url, files=files, data={"time_shifts": shifts} | fields, timeout=60)

    command = [COMMAND, "align", path, "--text", text, "--time-shifts", "1", "--format", "json"]
    expected = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    answers = [post(), post(("said.txt", f"\ufeff{text}"))]
    assert [answer.json() for answer in answers] == [expected, expected]
    assert post((None, "we want you to help us publish")).status_code == 422
    low = post((None, "we want you to help us publish"), refuse="false").json()
    assert low["score"] < 0.3
    assert low["remarks"]
    swapped, noise = io.BytesIO(), np.random.default_rng(0).uniform(-0.3, 0.3, 8000)
    soundfile.write(swapped, np.stack([noise, -noise], axis=1), 16_000, format="WAV")
    form = {"files": {"file": ("a.wav", swapped.getvalue())}, "data": {"transcript": "yes"}}
    assert "its 2 channels cancel" in httpx.post(url, **form).json()["error"]
    for answer, status, words in (
        (post((None, "")), 422, "transcript: the transcript has no words"),
        (post(("said.txt", b"\xff")), 400, "not text in UTF-8"),
        (post(shifts="9"), 400, "from 1 to 8"),
        (post(refuse="no"), 400, "true or false"),
        (post(speed="2"), 400, "unknown field 'speed'"),
        (httpx.post(url, files={"file": content}), 400, "no transcript"),
        (httpx.post(url, data={"transcript": text}, files={"x": b""}), 400, "unknown field 'x'"),
        (httpx.post(url, content=content), 400, "expected a form"),
        (httpx.post(url, data={"transcript": text}, files={"file": b"no audio"}), 422, "upload"),
    ):
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_phones_are_the_command_lines_for_all_streams_at_once(
    server: Process, reference: dict[Path, dict[str, Any]]
) -> None:
    found: dict[Path, list[Any]] = {}

    def hear(path: Path, size: int) -> None:
        samples, rate = audio(path)
        with Client(server.url) as client:
            blocks = (samples[first : first + size] for first in range(0, len(samples), size))
            found[path] = list(client.stream(blocks, rate))

    threads = [
        threading.Thread(target=hear, args=(path, 701 * (index + 1))) for index, path in enumerate(reference)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for path, transcript in reference.items():
        assert phones(found[path]) == expected(transcript)
        assert found[path][-1] == Final(transcript["seconds"], 0.0)


def test_files_are_heard_as_by_the_command_line(
    server: Process, reference: dict[Path, dict[str, Any]]
) -> None:
    path, transcript = next(iter(reference.items()))
    raw = httpx.post(f"{server.url}/v1/transcribe", params={"file": str(path)}, content=path.read_bytes())
    form = httpx.post(f"{server.url}/v1/transcribe", files={"file": (str(path), path.read_bytes())})
    assert raw.json() == form.json() == transcript


def test_lost_audio_of_a_file_is_in_the_answer(server: Process) -> None:
    content = (Path(__file__).parent / "data/audio/clock-jumps.opus").read_bytes()
    answer = httpx.post(f"{server.url}/v1/transcribe", content=content).json()
    assert answer["lost"] == [{"start": 1.014, "seconds": 0.01}]
    assert answer["remarks"] == ["lacks 0.01 s of audio from 1.01 s on"]


def test_files_are_answered_in_any_format_and_phone_set(server: Process, recordings: list[Path]) -> None:
    url, path = f"{server.url}/v1/transcribe", recordings[0]
    grid = httpx.post(f"{url}?file=a.opus&format=TextGrid&phones=ipa", content=path.read_bytes())
    samples, rate = soundfile.read(path)
    phones = Recognizer().transcribe(samples, rate)
    seconds = len(samples) / rate
    document = Document("a.opus", seconds, phones, tile(phones, seconds))
    assert grid.content == FORMATS["textgrid"].write(document, Options("ipa"))
    assert grid.headers["content-type"] == "text/plain; charset=utf-8"
    shapes = httpx.post(f"{url}?file=a.opus&format=rhubarb&visemes=rhubarb", content=path.read_bytes())
    assert shapes.content == FORMATS["rhubarb"].write(document, Options())
    assert shapes.headers["content-type"] == "application/json"
    two = io.BytesIO()
    soundfile.write(two, np.stack([samples, -samples], axis=1), rate, format="WAV")
    answer = httpx.post(url, files={"file": ("b.wav", two.getvalue())}, data={"format": "srt"})
    assert "cancel" in json.loads(answer.headers["phonestream-remarks"])[0]
    for query in ("fromat=srt", "format=doc", "phones=klingon", "visemes=klingon"):
        refused = httpx.post(f"{url}?{query}", content=b"x")
        assert (refused.status_code, refused.json()["error"][:8]) == (400, "unknown ")


def test_files_are_searched_for_keywords_and_commands(server: Process, recordings: list[Path]) -> None:
    url, path = f"{server.url}/v1/transcribe", recordings[5]
    phrases, listed = ["blue silk", "gold buckles", "umbrella"], ["lamp (on | off)", "blue silk"]
    stream = Recognizer().stream(
        endpoints=True, keywords=Keywords(phrases, threshold=0.1), commands=Commands(listed, threshold=0.1)
    )
    samples, rate = soundfile.read(path)
    events = [encode(event) for event in [*stream.accept(samples, rate), *stream.finish()]]
    query = {"file": "a.opus", "keyword": phrases, "command": listed, "threshold": 0.1}
    answer = httpx.post(url, params=query, content=path.read_bytes()).json()
    for name, kind in (("spotted", "spotted"), ("commands", "command"), ("phones", "phone")):
        expected = [event for event in events if event["event"] == kind]
        assert expected
        assert [{"event": kind, **found} for found in answer[name]] == expected
    form = httpx.post(url, files={"file": ("a.opus", path.read_bytes())}, data={"keyword": phrases}).json()
    assert [one["phrase"] for one in form["spotted"]] == ["blue silk", "gold buckles"]
    assert "commands" not in form
    for wrong, says in (
        ({"keyword": "…"}, "no letters"),
        ({"keyword": ["lamp"] * 101}, "101 keywords"),
        ({"command": "lamp (on"}, "expected"),
        ({"keyword": "lamp", "threshold": "high"}, "from 0"),
        ({"threshold": 0.5}, "neither"),
        ({"keyword": "lamp", "format": "srt"}, "JSON"),
    ):
        refused = httpx.post(url, params=wrong, content=b"x")
        assert refused.status_code == 400
        assert says in refused.json()["error"]


@pytest.mark.parametrize(
    "content", [b"", b"no audio", b"OggS" + b"\0" * 1000], ids=["empty", "text", "damaged"]
)
def test_a_file_that_is_none_is_one_line_with_its_name(server: Process, content: bytes) -> None:
    answer = httpx.post(f"{server.url}/v1/transcribe?file=speech.opus", content=content)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("speech.opus: ")
    assert "/tmp" not in answer.text


def test_a_form_without_a_file_and_a_body_too_large_are_refused(server: Process) -> None:
    assert httpx.post(f"{server.url}/v1/transcribe", files={"text": (None, "hello")}).status_code == 400
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert httpx.post(f"{server.url}/v1/transcribe", content=b"--y", headers=broken).status_code == 400
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:  # refused by what it says, before it comes
        raw.sendall(
            f"POST /v1/transcribe HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 40}\r\n\r\n".encode()
        )
        assert b" 413 " in raw.recv(4096)


def test_lost_audio_is_told_once_and_keeps_the_clock(server: Process) -> None:
    with Client(server.url) as client, client.open(8000) as stream:
        stream.send(np.zeros(4000, np.int16))
        stream.gap(16_000)
        stream.send(np.zeros((4000, 2), np.float32))
        stream.finish()
        assert list(stream) == [Lost(0.5, 2.0), Final(3.0, 2.0)]


def test_posteriors_are_the_recognisers(server: Process, recordings: list[Path]) -> None:
    samples, rate = audio(recordings[0])
    with Client(server.url) as client:
        events = list(client.stream([samples], rate, posteriors=True))
    rows = np.concatenate([event.rows for event in events if type(event).__name__ == "Posteriors"])
    expected = Recognizer().log_probs(samples, rate)
    assert rows.shape == expected.shape
    heard = expected > -15
    assert np.abs(rows - expected)[heard].max() < 1e-4


def test_endpoints_are_the_recognisers(server: Process, recordings: list[Path]) -> None:
    samples, rate = audio(recordings[0])
    spoken = np.concatenate([samples, np.zeros(2 * rate, np.float32)])
    stream = Recognizer().stream(endpoints=True)
    expected = [encode(event) for event in stream.accept(spoken, rate) + stream.finish()]
    with Client(server.url) as client:
        events = list(client.stream(np.array_split(spoken, 9), rate, endpoints=True, visemes="rhubarb"))
    shapes = [event for event in events if isinstance(event, Viseme)]
    assert [encode(event) for event in events[:-1] if event not in shapes] == expected
    assert any(event["event"] == "endpoint" for event in expected)
    # Beside them the shapes of the mouth, which are those of a file, but that no neighbours are merged.
    told = [event for event in events if isinstance(event, Phone)]
    whole = [
        shape
        for interval in tile(told, len(spoken) / rate)
        for shape in to_visemes([interval], "rhubarb")  # one at a time
    ]
    assert [shape.symbol for shape in shapes] == [shape.symbol for shape in whole]
    np.testing.assert_allclose([shape[1:] for shape in shapes], [shape[1:] for shape in whole], atol=0.0011)


def test_a_stream_fails_alone_and_says_so(server: Process, recordings: list[Path]) -> None:
    samples, rate = audio(recordings[0])
    recognizer = Recognizer()
    with Client(server.url) as client, client.open(rate) as good:
        with pytest.raises(ServerError, match="NaN or infinity") as failed:
            list(client.stream([samples], 16_000, snapshot=poisoned(recognizer).save()))
        assert failed.value.code == Close.BROKEN
        good.send(samples)
        good.finish()
        assert phones(list(good)) == phones(recognizer.transcribe(samples, rate))


# A stream moves


def test_endpoints_come_only_where_this_client_asked_for_them(server: Process) -> None:
    with Client(server.url) as client:
        with client.open(endpoints=True) as stream:
            stream.send(np.zeros(16_000, np.float32))
            stream.gap(800)
            saved = stream.snapshot()
        silence = np.zeros(6 * 16_000, np.float32)
        resumed = list(client.stream([silence], 16_000, snapshot=saved))
        assert resumed == [Lost(1.0, 0.05), Final(7.05, 0.05)]
        again = list(client.stream([silence], 16_000, snapshot=saved, endpoints=True))
        assert [type(event).__name__ for event in again] == ["Lost", "Endpoint", "Final"]


def test_another_server_goes_on_in_mid_word(server: Process, reference: dict[Path, dict[str, Any]]) -> None:
    path, transcript = list(reference.items())[1]
    samples, rate = audio(path)
    phone = transcript["phones"][5]
    cut = int((phone["start"] + phone["end"]) / 2 * rate)
    with serving() as second:
        with Client(server.url) as client, client.open(rate) as stream:
            stream.send(samples[:cut])
            saved = stream.snapshot()
            events = list(stream._early)
        with Client(second.url) as client:
            assert client.open(rate, snapshot=saved).ready["seconds"] == cut / rate
            events += client.stream([samples[cut:]], rate, snapshot=saved)
            changed = saved[:-1] + bytes([saved[-1] ^ 1])
            for bad, other in ((changed, rate), (b"", rate), (saved, 8000)):
                with pytest.raises(ServerError) as refused:
                    client.open(other, snapshot=bad)
                assert refused.value.code == Close.BAD_SNAPSHOT
    assert phones(events) == expected(transcript)


def test_a_server_that_stops_gives_finals_and_snapshots(
    server: Process, reference: dict[Path, dict[str, Any]]
) -> None:
    path, transcript = list(reference.items())[2]
    samples, rate = audio(path)
    with serving() as stopping, Client(stopping.url) as client:
        finishing, going_on = client.open(rate), client.open(rate)
        finishing.send(samples)
        finishing.finish()
        going_on.send(samples[:50_000])
        going_on.snapshot()  # so that all of it has arrived
        stopping.process.terminate()
        assert phones(list(finishing)) == expected(transcript)
        events: list[Any] = []
        with pytest.raises(ServerError) as stopped:
            events.extend(iter(going_on))
        assert stopped.value.code == Close.RESTART
        assert stopped.value.snapshot is not None
        assert stopping.process.wait(timeout=20) == 0
    with Client(server.url) as client:
        events += client.stream([samples[50_000:]], rate, snapshot=stopped.value.snapshot)
    assert phones(events) == expected(transcript)


# What strangers send


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([SECOND], Close.BAD_MESSAGE),
        (['{"type": "finish"}'], "version is missing: a stream begins with"),
        ([OPENING, OPENING], "a second opening"),
        ([OPENING, "{}"], "a message without type"),
        ([OPENING, SECOND * 5, '{"type": "finish"}', SECOND], "a message after finish"),
        (
            [OPENING[:-1] + ', "commands": ["' + "(a | b) " * 20_000 + '"]}'],
            "1,000,000,000 or more sentences",
        ),
        (["hello"], Close.BAD_MESSAGE),
        (["[" * 100_000], Close.BAD_MESSAGE),
        (['{"version": 2, "rate": 16000}'], Close.BAD_MESSAGE),
        (['{"version": 1, "rate": "16000"}'], Close.BAD_MESSAGE),
        (['{"version": 1, "rate": 1e999}'], Close.BAD_MESSAGE),
        (['{"version": 1, "rate": 16000, "encodign": "int16"}'], Close.BAD_MESSAGE),
        (['{"version": 1, "rate": 16000, "snapshot": "AAAA"}'], Close.BAD_SNAPSHOT),
        (['{"version": 1, "rate": 16000, "snapshot": "\\u00e9"}'], Close.BAD_SNAPSHOT),
        ([OPENING, SECOND, b"\0\0\0"], Close.BAD_AUDIO),
        ([OPENING[:-1] + ', "encoding": "float32"}', b"\0\0\xc0\x7f"], Close.BAD_AUDIO),
        ([OPENING, b"\0" * (1 << 20), b"\0" * ((1 << 20) + 2)], Close.TOO_BIG),
        ([OPENING, "audio"], Close.BAD_MESSAGE),
        ([OPENING, '{"type": "rewind"}'], Close.BAD_MESSAGE),
        ([OPENING, '{"type": "gap", "samples": -1}'], Close.BAD_MESSAGE),
        ([OPENING, f'{{"type": "gap", "samples": {10**30}}}'], Close.TOO_LONG),
        ([OPENING, '{"type": "finish", "now": true}'], Close.BAD_MESSAGE),
        ([OPENING, '{"type": "keywords"}'], Close.BAD_MESSAGE),
        ([OPENING, '{"type": "keywords", "keywords": [1]}'], Close.BAD_MESSAGE),
    ],
)
def test_what_makes_no_sense_closes_its_own_stream_with_a_code(
    server: Process, messages: list[Any], expected: int | str
) -> None:
    """`expected`: the code, or what the message says that comes with BAD_MESSAGE."""
    with connect(server.ws, compression=None) as connection:
        send_at_once(connection, messages)
        seen, message = refusal(connection)
        assert seen == (Close.BAD_MESSAGE if isinstance(expected, str) else expected)
        assert (expected if isinstance(expected, str) else "") in message
        assert 0 < len(message) < 300
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}


@given(
    st.text()
    | st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists).map(
        json.dumps
    )
)
def test_no_text_is_more_than_refused(text: str) -> None:
    for read in (read_opening, read_control):
        with pytest.raises(RefusedError):
            read(text)


@given(st.binary(max_size=64))
def test_any_bytes_are_samples_or_refused(data: bytes) -> None:
    for encoding, size in (("int16", 2), ("float32", 4)):
        try:
            samples = read_audio(data, encoding)
        except RefusedError as refused:
            code = refused.code
        else:
            assert len(samples) * size == len(data)
            continue
        assert code == Close.BAD_AUDIO


@given(
    st.builds(
        Opening,
        rate=st.integers(8000, 192_000),
        endpoints=st.booleans(),
        encoding=st.sampled_from(["int16", "float32"]),
        posteriors=st.booleans(),
        keywords=st.lists(st.text(), max_size=3).map(tuple),
        commands=st.lists(st.text(), max_size=3).map(tuple),
        visemes=st.none() | st.text(),
        snapshot=st.none() | st.binary(),
        token=st.none() | st.text(),
    )
)
def test_an_opening_survives_the_wire(opening: Opening) -> None:
    assert read_opening(write_opening(opening)) == opening


def test_keywords_and_commands_are_told_as_at_home(server: Process, recordings: list[Path]) -> None:
    samples, rate = audio(recordings[5])
    phrases = ["blue silk", "gold buckles", "umbrella"]
    listed = ["lamp (on | off)", "blue silk"]
    local = Recognizer(shipped_model()).stream(
        endpoints=True, keywords=Keywords(phrases, threshold=0.1), commands=Commands(listed, threshold=0.1)
    )
    kinds = Spotted | CommandResult
    expected = [
        event for event in [*local.accept(samples, rate), *local.finish()] if isinstance(event, kinds)
    ]
    assert {event.phrase for event in expected if isinstance(event, Spotted)} >= {"blue silk", "gold buckles"}
    assert isinstance(expected[-1], CommandResult)
    blocks, options = np.split(samples, [999, 50_000]), {"keywords": phrases, "commands": listed}
    with Client(server.url) as client:
        events = list(client.stream(blocks, rate, threshold=0.1, **options))
    found = [event for event in events if isinstance(event, kinds)]
    assert [encode(event) for event in found] == [encode(event) for event in expected]


def test_keywords_and_commands_change_while_a_stream_goes_on(server: Process, recordings: list[Path]) -> None:
    samples, rate = audio(recordings[5])
    cuts = (0, 16_000, 70_000, 160_000)
    first, second, third = (samples[begin:end] for begin, end in pairwise(cuts))
    local = Recognizer(shipped_model()).stream(
        endpoints=True, keywords=Keywords(["gold buckles", "umbrella"])
    )
    expected = local.accept(first, rate)
    local.set_keywords(Keywords(["blue silk", "gold buckles"], threshold=0.1))
    expected += local.accept(second, rate)
    local.set_keywords(None)
    local.set_commands(Commands(["stop", "lamp (on | off)"]))
    expected += [*local.accept(third, rate), *local.finish()]
    spotted = [encode(event) for event in expected if isinstance(event, Spotted)]
    with (
        Client(server.url) as client,
        client.open(rate, endpoints=True, keywords=["gold buckles", "umbrella"]) as stream,
    ):
        stream.send(first)
        stream.set_keywords(["…"])
        stream.set_keywords(["blue silk", "gold buckles"], 0.1)
        stream.send(second)
        stream.set_keywords([])
        stream.set_commands(["lamp (on"])
        stream.set_commands(["stop", "lamp (on | off)"])
        stream.send(third)
        stream.finish()
        events = list(stream)
    assert [encode(event) for event in events if isinstance(event, Spotted)] == spotted
    commanded = [encode(event) for event in expected if isinstance(event, CommandResult)]
    assert [encode(event) for event in events if isinstance(event, CommandResult)] == commanded != []
    no_keyword, no_command = (event.message for event in events if isinstance(event, Refused))
    assert "no letters" in no_keyword
    assert "lamp (on" in no_command
    told = [event for event in events if isinstance(event, KeywordsSet)]
    assert [event.phrases for event in told] == [["blue silk", "gold buckles"], []]
    (listed,) = (event for event in events if isinstance(event, CommandsSet))
    assert listed.phrases == ["stop", "lamp on", "lamp off"]


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ({"keywords": "lamp"}, "a list of strings"),
        ({"keywords": ["lamp"] * 101}, "101 keywords"),
        ({"keywords": ["…"]}, "no letters"),
        ({"keywords": ["lamp", "lamp"]}, "twice"),
        ({"keywords": ["lamp"], "threshold": 2}, "from 0"),
        ({"commands": ["lamp (on"]}, "expected"),
        ({"commands": ["(a lamp | the light) " * 9]}, "512 commands"),
        ({"visemes": "mouth"}, "choose from preston-blair"),
        ({"visemes": 3}, "expected a string"),
    ],
)
def test_bad_keywords_and_shapes_are_refused(
    dial: Dial, server: Process, field: dict[str, Any], says: str
) -> None:
    connection = dial(server)
    connection.send(json.dumps({"version": 1, "rate": 16_000, **field}))
    code, message = refusal(connection)
    assert code == Close.BAD_MESSAGE
    assert says in message


def test_others_are_undisturbed(dial: Dial, server: Process, reference: dict[Path, dict[str, Any]]) -> None:
    """By one that sends an hour and reads nothing, one that stalls, and ones that vanish in the middle."""
    path, transcript = list(reference.items())[3]
    samples, rate = audio(path)
    flooding = dial(server)
    flooding.send(OPENING)
    flood = threading.Thread(target=_flood, args=(flooding,), daemon=True)
    flood.start()
    dial(server)  # and says nothing
    for _ in range(5):
        vanishing = dial(server)
        vanishing.send(OPENING)
        vanishing.send(SECOND * 10)
        vanishing.socket.shutdown(socket.SHUT_RDWR)
        vanishing.socket.close()
    with Client(server.url) as client:
        events = list(client.stream(np.array_split(samples, 40), rate))
    assert phones(events) == expected(transcript)
    flooding.socket.shutdown(socket.SHUT_RDWR)


def _flood(connection: ClientConnection) -> None:
    try:
        while True:
            connection.send(SECOND)
    except (ConnectionClosed, OSError):
        pass


# Limits


def test_limits_are_refusals_that_say_so(dial: Dial) -> None:
    with serving(streams=1, idle_seconds=4, opening_seconds=0.6, duration_seconds=2) as server:
        silent = dial(server)
        first = dial(server)
        first.send(OPENING)
        first.recv()
        second = dial(server)
        second.send(OPENING)
        assert refusal(second)[0] == Close.BUSY
        assert httpx.get(f"{server.url}/health").status_code == 503
        busy = httpx.post(f"{server.url}/v1/transcribe", content=_wav(1))
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        assert refusal(first)[0] == Close.IDLE
        assert refusal(silent)[0] == Close.IDLE
        long = dial(server)
        long.send(OPENING)
        long.send(SECOND * 2)
        long.send(b"\0\0")
        assert refusal(long)[0] == Close.TOO_LONG
        assert httpx.post(f"{server.url}/v1/transcribe", content=_wav(3)).status_code == 413
        assert httpx.post(f"{server.url}/v1/transcribe", content=_wav(1)).status_code == 200


def _wav(seconds: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16_000 * seconds, np.int16), 16_000, format="WAV")
    return file.getvalue()


def test_who_does_not_read_is_dropped(dial: Dial) -> None:
    with serving(stall_seconds=0.5, outbox_bytes=1 << 14) as server:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = server.url.removeprefix("http://").split(":")
        raw.connect((host, int(port)))
        with pytest.raises((ConnectionClosed, OSError, TimeoutError)):
            _demand(dial(server, sock=raw, max_queue=1))
        deadline = time.monotonic() + 10
        while 'closed_total{code="4006"} 1' not in httpx.get(f"{server.url}/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _demand(connection: ClientConnection) -> None:
    """Ask for snapshots without end and read none of them."""
    connection.send(OPENING)
    while True:
        connection.send('{"type": "snapshot"}')


# Who may ask


def test_the_token_opens_what_it_guards() -> None:
    with serving("--token", "s3cret") as server:
        for path in ("/", "/health", "/page.js"):
            assert httpx.get(server.url + path).status_code == 200
        for token in (None, "x", "s3cre", "s3crett", "\u00e9"):
            headers = {} if token is None else {"Authorization": f"Bearer {token}".encode()}
            assert httpx.get(f"{server.url}/metrics", headers=headers).status_code == 401
            assert httpx.post(f"{server.url}/v1/transcribe", content=b"x", headers=headers).status_code == 401
            with connect(server.ws) as connection:
                connection.send(write_opening(Opening(16_000, token=token)))
                assert refusal(connection)[0] == Close.UNAUTHORISED
        with connect(server.ws) as connection:
            connection.send(write_opening(Opening(16_000, token="s3cret")))
            assert json.loads(connection.recv())["event"] == "ready"
        with Client(server.url, token="s3cret") as client:
            assert list(client.stream([], 16_000)) == [Final(0.0, 0.0)]
        good = {"Authorization": "bearer s3cret"}
        assert httpx.get(f"{server.url}/metrics", headers=good).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example:80"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:2"}, 403),
        ({"Host": "127.0.0.1:9", "Origin": "http://127.0.0.1:9"}, 200),
        ({"Host": "[::1]:9"}, 200),
        ({"Host": "speech.example"}, 200),
        ({"Origin": "https://friend.example"}, 200),
    ],
    ids=str,
)
def test_other_names_and_other_pages_are_refused(
    dial: Dial, named: Process, headers: dict[str, str], status: int
) -> None:
    answer = httpx.get(f"{named.url}/health", headers=headers)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers
    if status == 403 and "Host" not in headers:
        with pytest.raises(InvalidStatus) as refused:
            dial(named, origin=headers["Origin"])
        assert refused.value.response.status_code == 403


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Standard error of the server `named`."""
    return tmp_path_factory.mktemp("log") / "stderr"


@pytest.fixture(scope="module")
def named(log: Path) -> Iterator[Process]:
    allowed = ("--allow-host", "speech.example", "--allow-origin", "https://friend.example")
    with serving(
        *allowed, "--root-path", "/speech/", "--log-requests", "--visemes", "rhubarb", log=log
    ) as process:
        yield process


def test_a_proxy_may_show_the_server_below_a_path_and_requests_are_logged(named: Process, log: Path) -> None:
    root = named.url.removesuffix("/speech")
    assert named.url != root
    assert httpx.get(f"{root}/speech").headers["location"] == "/speech/"
    for base in (named.url, root):  # the proxy takes the path off, or does not
        assert "Phonestream" in httpx.get(f"{base}/").text
        assert httpx.post(f"{base}/v1/transcribe?file=secret.wav", content=b"none").status_code == 422
        with Client(base) as client:
            assert list(client.stream([], 16_000)) == [Final(0.0, 0.0)]
    with pytest.raises(ServerError, match="nowhere: refused: HTTP 403"):
        Client(f"{root}/nowhere").open()
    with pytest.raises(InvalidStatus) as refused:
        connect(named.ws, origin="https://evil.example")  # type: ignore[arg-type]
    assert refusal_reason(refused.value.response).startswith("pages of 'https://evil.example' may not")
    lines = log.read_text()
    assert re.search(r"^\S+ 127\.0\.0\.1 POST /speech/v1/transcribe 422 [\d.]+ s$", lines, re.MULTILINE), (
        lines
    )
    assert re.search(r"127\.0\.0\.1 WebSocket /v1/stream 1000 ", lines), lines
    assert "secret" not in lines
    assert "refused a request of 127.0.0.1: pages of 'https://evil.example' may not" in lines


def test_streams_that_ask_for_no_shapes_have_those_of_the_server(named: Process) -> None:
    for asked, rest in (({}, "X"), ({"visemes": "oculus"}, "sil")):
        with Client(named.url) as client:
            shape, last = client.stream([np.zeros(16_000, np.float32)], 16_000, **asked)
        assert (shape.symbol, shape.start, shape.end, last) == (rest, 0, 1, Final(1.0, 0.0))


def test_allowed_pages_may_read_answers(named: Process) -> None:
    url, origin = f"{named.url}/v1/transcribe", "https://friend.example"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = httpx.options(url, headers={"Origin": origin, **asked})
    assert preflight.is_success
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    for answer in (preflight, httpx.post(url, content=b"none", headers={"Origin": origin})):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "Origin" in answer.headers["vary"]
    assert "Phonestream-Remarks" in answer.headers["access-control-expose-headers"]
    for stranger in (httpx.options, httpx.post):
        answer = stranger(url, headers={"Origin": "https://stranger.example", **asked})
        assert not answer.is_success
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/%2e%2e/app.py", "/page/../app.py", "/app.py", "//etc/passwd", "/index.html%00"],
)
def test_nothing_is_served_but_the_page(server: Process, path: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert raw.recv(100).startswith((b"HTTP/1.1 404", b"HTTP/1.1 400"))


def test_metrics_are_prometheus_text(server: Process) -> None:
    with Client(server.url) as client, client.open() as stream:
        stream.send(np.zeros(16_000, np.float32))
        stream.gap(1600)
        stream.finish()
        list(stream)
    families = {f.name: f for f in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)}
    values = {sample.name: sample.value for family in families.values() for sample in family.samples}
    assert values["phonestream_streams_opened_total"] >= 1
    assert values["phonestream_lost_seconds_total"] >= 0.1
    assert values["phonestream_audio_seconds_total"] >= 1.1
    for name in ("phonestream_compute_seconds", "phonestream_queue_seconds"):
        assert families[name].type == "histogram"
        assert values[f"{name}_sum"] > 0
        assert values[f"{name}_bucket"] == values[f"{name}_count"] > 0  # the last, of all up to infinity


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "--token"),
        (["--token", ""], "empty"),
        (["--key", "key.pem"], "--certificate"),
        (["--certificate", "none.pem"], "no such file"),
        (["--certificate", str(COMMAND)], "certificate"),
        (["--allow-host", "http://x"], "--allow-host"),
        (["--allow-origin", "example.org"], "--allow-origin"),
        (["--host", "203.0.113.1", "--without-token"], "cannot be listened on"),
    ],
)
def test_what_cannot_be_served_is_one_line(options: list[str], words: str) -> None:
    command = [COMMAND, "serve", "--port", "0", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    with serving("--certificate", str(certificate), "--key", str(key)) as server:
        assert server.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"{server.url}/health", verify=trusting).status_code == 200
        with pytest.raises(ServerError):
            Client(server.url).open()  # nobody vouches for this certificate


def test_nobody_there_is_an_error_that_says_so() -> None:
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ServerError, match="phonestream serve"):
        Client(f"http://localhost:{port}").open()
