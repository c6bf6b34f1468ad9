"""Clients that mean harm take nothing from the others: connections, frames, gaps, rates, uploads, logs, the end."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from server_process import Process, serving
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from phonestream.streaming.events import Final
from phonestream.streaming.server.client import Client

OPENING = '{"version": 1, "rate": 16000}'
LIMITS = {
    "streams": 6, "waiting": 4, "connections": 20, "header_seconds": 1.0, "frames_per_second": 200.0,
    "opening_seconds": 30.0, "uploads": 2, "upload_seconds": 2.0, "duration_seconds": 600.0, "gap_seconds": 60.0,
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


def raw(server: Process, stack: ExitStack) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return stack.enter_context(socket.create_connection((host, int(port)), timeout=20))


def closing(connection: object) -> tuple[int, str]:
    """The close code, and the message of the error event before it."""
    message = ""
    while True:
        try:
            message = json.loads(connection.recv(timeout=20)).get("message", message)  # type: ignore[attr-defined]
        except ConnectionClosed as closed:
            return (closed.rcvd.code if closed.rcvd else 1006), message


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


def test_the_log_has_nothing_of_all_this(server: Process, log: Path) -> None:
    answer = httpx.get(
        f"{server.url}/v1/stream",
        headers={
            "Origin": "http://elsewhere.example", "Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    )  # fmt: skip
    assert answer.status_code == 403
    assert heard(server)
    assert log.read_text() == ""
