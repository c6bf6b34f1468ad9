"""Clients that mean harm take nothing from the others: connections, frames, gaps, rates, uploads, logs, the end."""

import base64
import io
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import soundfile
from server_process import Process, serving
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from phonestream import Lost, Recognizer
from phonestream.streaming.events import Final
from phonestream.streaming.server.client import Client, ServerError
from phonestream.streaming.server.protocol import Close

SPEECH = Path(__file__).parent / "data/speech/dev/260-123286-0000.opus"
OPENING = '{"version": 1, "rate": 16000}'
LIMITS = {
    "streams": 6, "address_streams": 5, "waiting": 4, "connections": 20, "header_seconds": 1.0,
    "frames_per_second": 200.0, "opening_seconds": 30.0, "uploads": 2, "upload_seconds": 4.0, "duration_seconds": 20.0,
    "gap_seconds": 2.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "log"


@pytest.fixture(scope="module")
def server(log: Path) -> Iterator[Process]:
    with serving(log=log, **LIMITS) as process:
        yield process


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def raw(server: Process, stack: ExitStack, source: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of this machine's."""
    _, port = server.url.removeprefix("http://").split(":")
    return stack.enter_context(
        socket.create_connection(("127.0.0.1", int(port)), timeout=20, source_address=(source, 0))
    )


def websocket(server: Process, stack: ExitStack, source: str = "127.0.0.1") -> ClientConnection:
    connection = raw(server, stack, source)
    return stack.enter_context(connect(server.ws, compression=None, sock=connection, max_queue=None))


def rest(connection: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """All events that are still to come, and the close code."""
    events = []
    while True:
        try:
            events.append(json.loads(connection.recv(timeout=20)))
        except ConnectionClosed as closed:
            return events, closed.rcvd.code if closed.rcvd else 1006


def closing(connection: ClientConnection) -> tuple[int, str]:
    """The close code, and the message of the error event before it."""
    events, code = rest(connection)
    return code, next((event["message"] for event in events if event["event"] == "error"), "")


def heard(server: Process) -> bool:
    """Whether an honest stream comes to its end."""
    with Client(server.url) as client:
        return list(client.stream([np.zeros(1600, np.float32)])) == [Final(0.1, 0.0)]


# Connections


def test_silent_websockets_keep_nobody_out(server: Process, stack: ExitStack) -> None:
    silent = [stack.enter_context(connect(server.ws, compression=None)) for _ in range(3 * LIMITS["waiting"])]
    assert heard(server)
    assert closing(silent[0])[0] == 1006
    silent[-1].send(OPENING)
    assert json.loads(silent[-1].recv())["event"] == "ready"


def test_who_is_silent_takes_the_place_of_nobody_elsewhere(server: Process, stack: ExitStack) -> None:
    slow = websocket(server, stack)
    for _ in range(3 * LIMITS["waiting"]):
        websocket(server, stack, "127.0.0.2")
    slow.send(OPENING)
    assert json.loads(slow.recv())["event"] == "ready"


def test_one_address_does_not_have_all_streams(server: Process, stack: ExitStack) -> None:
    for _ in range(LIMITS["address_streams"]):
        stream = websocket(server, stack)
        stream.send(OPENING)
        assert json.loads(stream.recv())["event"] == "ready"
    one_more, other = websocket(server, stack), websocket(server, stack, "127.0.0.2")
    one_more.send(OPENING)
    code, message = closing(one_more)
    assert (code, "come from this address" in message) == (Close.BUSY, True)
    other.send(OPENING)
    assert json.loads(other.recv())["event"] == "ready"


def test_idle_connections_keep_nobody_out_and_take_no_stream(server: Process, stack: ExitStack) -> None:
    with Client(server.url) as client, client.open() as stream:
        stream.send(np.zeros(1600, np.float32))
        idle = [raw(server, stack) for _ in range(3 * LIMITS["connections"])]
        assert heard(server)
        assert idle[0].recv(1) == b""
        stream.finish()
        assert list(stream) == [Final(0.1, 0.0)]


def test_headers_have_a_deadline_even_for_who_keeps_sending(server: Process, stack: ExitStack) -> None:
    connection = raw(server, stack)
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 " in connection.recv(4096)
    connection.settimeout(0.05)
    connection.sendall(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        _send_headers(connection)


def _send_headers(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"X: y\r\n")
        with suppress(TimeoutError):
            if not connection.recv(4096):
                raise ConnectionError


# Frames


def test_who_sends_pings_without_end_is_held_back(server: Process, stack: ExitStack) -> None:
    connection = stack.enter_context(connect(server.ws, compression=None))
    connection.send(OPENING)
    pings = Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 1000
    connection.socket.settimeout(1.0)
    with pytest.raises(TimeoutError):  # neither taken in nor answered without end
        connection.socket.sendall(pings * 1000)
    assert heard(server)
    connection.socket.shutdown(socket.SHUT_RDWR)


def test_text_that_is_no_text_closes_the_stream(server: Process, stack: ExitStack) -> None:
    connection = stack.enter_context(connect(server.ws, compression=None))
    connection.socket.sendall(Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True))
    assert closing(connection)[0] == 1007


def test_who_sends_a_frame_far_over_the_limit_learns_why(server: Process, stack: ExitStack) -> None:
    """It is read to its end: cut off while it is sending, a client may never read the close frame."""
    connection = websocket(server, stack)
    connection.socket.sendall(Frame(Opcode.BINARY, bytes(40 << 20)).serialize(mask=True))
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert "exceeds limit" in closed.value.rcvd.reason
    assert heard(server)


def test_the_log_has_nothing_of_all_this_but_who_was_refused(server: Process, log: Path) -> None:
    answer = httpx.get(
        f"{server.url}/v1/stream",
        headers={
            "Origin": "http://elsewhere.example", "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    )  # fmt: skip
    assert answer.status_code == 403
    assert heard(server)
    (line,) = log.read_text().splitlines()
    assert "refused a request of 127.0.0.1: pages of 'http://elsewhere.example'" in line


# Gaps, rates, snapshots


def test_long_gaps_are_taken_in_parts(server: Process) -> None:
    """So that a snapshot, as when the server stops, never waits for hours of them."""
    with Client(server.url) as client, client.open() as stream:
        stream.gap(5 * 16_000)
        stream.finish()
        assert list(stream) == [Lost(0.0, 2.0), Lost(2.0, 2.0), Lost(4.0, 1.0), Final(5.0, 5.0)]


def test_a_stream_that_is_resumed_at_its_limit_is_told_so(server: Process) -> None:
    with Client(server.url) as client:
        with client.open() as stream:
            stream.gap(20 * 16_000)
            saved = stream.snapshot()
        with client.open(snapshot=saved) as stream:
            stream.send(np.zeros(1, np.float32))
            with pytest.raises(ServerError) as refused:
                list(stream)
    assert refused.value.code == Close.TOO_LONG


def test_odd_rates_take_a_bounded_number_of_filters(stack: ExitStack) -> None:
    with serving(odd_rates=90_000) as server:
        first, second = (stack.enter_context(connect(server.ws, compression=None)) for _ in range(2))
        first.send('{"version": 1, "rate": 44099}')
        assert json.loads(first.recv())["event"] == "ready"
        second.send('{"version": 1, "rate": 47999}')
        assert closing(second)[0] == Close.BUSY
        assert heard(server)
        # Who does not read keeps a server that stops for half of its grace; the others have their snapshots.
        server.process.terminate()
        assert closing(first)[0] == Close.RESTART
        assert server.process.wait(timeout=20) == 0


# Files


def wav(rate: int, samples: int = 1600, channels: int = 1) -> bytes:
    """A WAV file that says whatever rate."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((samples, channels), np.int16), 16_000, format="WAV")
    return file.getvalue().replace((16_000).to_bytes(4, "little"), rate.to_bytes(4, "little"), 1)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 4_000_000])
def test_rates_of_files_are_checked_before_anything_is_computed(server: Process, rate: int) -> None:
    answer = httpx.post(f"{server.url}/v1/transcribe?file=a.wav", content=wav(rate))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"a.wav: sample rate {rate}: ")


def test_files_count_from_their_first_byte_and_have_a_deadline(server: Process, stack: ExitStack) -> None:
    slow = [raw(server, stack) for _ in range(LIMITS["uploads"])]
    for connection in slow:
        connection.sendall(
            b"POST /v1/transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx"
        )
    while f"streams {len(slow)}" not in httpx.get(f"{server.url}/metrics").text:
        pass
    assert httpx.post(f"{server.url}/v1/transcribe", content=wav(16_000)).status_code == 503
    assert heard(server)
    for connection in slow:
        assert b" 408 " in connection.recv(4096)
    assert httpx.post(f"{server.url}/v1/transcribe", content=wav(16_000)).status_code == 200


def test_a_full_disk_is_said(server: Process, log: Path) -> None:
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    answer = httpx.post(f"{server.url}/v1/transcribe", content=wav(16_000, 100_000))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert (answer.status_code, "make room" in answer.json()["error"]) == (507, True)
    assert log.read_text().count("cannot be kept") == 1


def test_remarks_on_a_file_are_in_the_answer(server: Process) -> None:
    file = io.BytesIO()
    left = np.random.default_rng(1).uniform(-0.3, 0.3, 16_000)
    soundfile.write(file, np.stack([left, -left], axis=1), 16_000, format="WAV", subtype="FLOAT")
    answer = httpx.post(f"{server.url}/v1/transcribe", content=file.getvalue())
    assert "cancel" in answer.json()["remarks"][0]


def test_files_of_all_kinds_are_read_that_the_command_line_reads(server: Process) -> None:
    """Browsers record WebM or MP4, which libsndfile does not read."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    answer = httpx.post(f"{server.url}/v1/transcribe?file=a.mp4", content=file.getvalue())
    assert (answer.status_code, answer.json()["phones"]) == (200, [])


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "WAV", "AIFF", "CAF"])
def test_files_sent_as_samples_are_refused(server: Process, stack: ExitStack, kind: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600, np.int16), 16_000, format=kind)
    data = file.getvalue()
    connection = stack.enter_context(connect(server.ws, compression=None))
    connection.send(OPENING)
    for part in (data[:2], data[2:]):  # the mark comes in two
        connection.send(part)
    code, message = closing(connection)
    assert (code, "/v1/transcribe" in message) == (Close.BAD_AUDIO, True)


# The end


def test_a_server_that_stops_under_load_gives_every_stream_its_snapshot(stack: ExitStack) -> None:
    """What it has no time to hear is not covered, and goes on elsewhere."""
    recognizer = Recognizer()
    speech = soundfile.read(SPEECH, dtype="int16")[0][:32_000]
    audio = np.tile(speech, 20)
    expected = recognizer.transcribe(audio)
    with serving(backlog_seconds=60.0, grace_seconds=8.0) as server:
        streams = [websocket(server, stack) for _ in range(3)]
        for stream in streams:
            stream.send(OPENING)
            assert json.loads(stream.recv())["event"] == "ready"
        for stream in streams:
            for part in np.array_split(audio, 4):
                stream.send(part.tobytes())
        streams[-1].send('{"type": "finish"}')
        while "backlog_seconds 0" in httpx.get(f"{server.url}/metrics").text:
            pass
        server.process.terminate()
        for events, code in [rest(stream) for stream in streams]:
            found = [(event["symbol"], event["start"]) for event in events if event["event"] == "phone"]
            if code == Close.RESTART:
                saved = next(event for event in events if event["event"] == "snapshot")
                there = recognizer.restore(base64.b64decode(saved["data"]))
                phones = [*there.accept(audio[saved["samples"] :]), *there.finish()]
                found += [(phone.symbol, phone.start) for phone in phones]
            else:
                assert code == Close.DONE
            assert [symbol for symbol, _ in found] == [phone.symbol for phone in expected]
            assert [start for _, start in found] == pytest.approx(
                [phone.start for phone in expected], abs=1e-3
            )
        assert server.process.wait(timeout=20) == 0


def test_a_second_signal_says_what_it_cut(stack: ExitStack, tmp_path: Path) -> None:
    with serving(log=tmp_path / "log") as server:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = server.url.removeprefix("http://").split(":")
        small.connect((host, int(port)))
        unread = stack.enter_context(connect(server.ws, sock=small, compression=None, max_queue=1))
        unread.send(OPENING)
        for _ in range(40):
            unread.send('{"type": "snapshot"}')
        unread.send(b"\0" * 32_000)
        for _ in range(10):  # until its second of audio stays unheard, as nobody reads the snapshots
            time.sleep(0.1)
            while "backlog_seconds 1" not in httpx.get(f"{server.url}/metrics").text:
                pass
        server.process.terminate()
        while httpx.get(f"{server.url}/health").json()["status"] != "stopping":
            pass
        server.process.terminate()
        assert server.process.wait(timeout=10) == 3
        small.shutdown(socket.SHUT_RDWR)
    assert (tmp_path / "log").read_text().startswith("phonestream: 1 streams and files were cut off")
