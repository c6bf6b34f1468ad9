"""Bytes of a connection, before any of it is a request or a message: what a client may send, and how fast.

Uvicorn's protocols, with what they lack: a deadline for a request's headers, a bound on frames a second, on frames
that are parsed ahead of the application, and on answers to pings that nobody reads.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from .connections import Address, Connections
from .limits import Limits
from .token_bucket import TokenBucket

PIECE = 4096  # bytes that are parsed at a time: at most some 700 frames
LINGER_SECONDS = 1.0
"""After a close for what was sent: closed at once, with more on its way, TCP would drop the reason."""
UNREAD_BYTES = 1 << 16  # unsent: pings are no longer answered
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: 21\r\n\r\ntoo many connections\n"
)


class HTTPProtocol(H11Protocol):
    """HTTP, one connection."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        app_state: dict[str, Any],
        connections: Connections,
        limits: Limits,
    ) -> None:
        super().__init__(config, state, app_state)
        self._admitted = connections
        self._patience = limits.header_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._address: Address | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client is None:  # it has gone already
            transport.abort()
            return
        if not self._admitted.admit(self.client, transport):
            transport.write(FULL)
            transport.close()
            return
        self._address = self.client
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._address is not None:
            self._admitted.remove(self._address)

    def data_received(self, data: bytes) -> None:
        if self._address is not None:
            super().data_received(data)

    def on_response_complete(self) -> None:
        if not self.transport.is_closing():
            self._expect_headers()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Any) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def _expect_headers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self._patience, self._late)

    def _late(self) -> None:
        if getattr(self.cycle, "response_complete", True):  # there may be no cycle yet
            self.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A WebSocket, one connection.

    Frames are parsed as the application takes them and as fast as `Limits.frames_per_second` allow; beyond that the
    connection is not read, and TCP holds the sender back.
    """

    def __init__(
        self,
        connections: Connections,
        limits: Limits,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._admitted = connections
        self._received = bytearray()  # not parsed yet
        self._allowance = TokenBucket(limits.frames_per_second, limits.frames_per_second)
        self._resting: asyncio.TimerHandle | None = None
        self._refused = False  # what comes is passed over unparsed

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._resting is not None:
            self._resting.cancel()
        self._received.clear()
        if self.client is not None:
            self._admitted.remove(self.client)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received += data
        self._parse()

    def handle_text(self, event: Frame) -> None:
        self._allowance.spend()
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._allowance.spend()
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._allowance.spend()
        super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        self._allowance.spend()
        super().handle_pong(event)

    def handle_ping(self) -> None:
        self._allowance.spend()
        pong = b"".join(self.conn.data_to_send())
        if self.transport.get_write_buffer_size() < UNREAD_BYTES:
            self.transport.write(pong)

    def handle_parser_exception(self) -> None:
        """The connection is closed for what came, a frame over the limit say; the client reads why before it is cut."""
        if self._refused:
            return
        self._refused = True
        self._received.clear()
        close = self.conn.close_sent
        assert close is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def send_receive_event_to_app(self) -> None:
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:  # the application is past its close
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
            return
        try:
            self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
        except UnicodeDecodeError:
            self.conn.send_close(1007, "a text message that is not UTF-8")
            self.handle_parser_exception()

    async def send(self, message: Any) -> None:
        if self.close_sent and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected  # closed for what it sent, which the application has not taken yet
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # refused, which is no failure of the application
        if message["type"] == "websocket.close":
            self._parse()

    async def receive(self) -> Any:
        message = await self.queue.get()
        self._parse()
        return message

    def _parse(self) -> None:
        """Parse what may be parsed now, and read on when nothing is left.

        A message that the application has not taken stops parsing, not reading: mostly it is taken before more comes.
        """
        while self._received and self._resting is None and self._wanted():
            piece = bytes(self._received[:PIECE])
            del self._received[:PIECE]
            super().data_received(piece)
            self._pace()
        reading = not self._received and self._resting is None
        if self.transport.is_closing() or reading != self.read_paused:
            return
        self.read_paused = not reading
        if reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _wanted(self) -> bool:
        """Whether the application has taken all messages; behind its close they are only passed over."""
        return self.close_sent or self.queue.empty()

    def _pace(self) -> None:
        if rest := self._allowance.wait:
            self._resting = self.loop.call_later(rest, self._rested)

    def _rested(self) -> None:
        self._resting = None
        if not self.disconnected:
            self._parse()
