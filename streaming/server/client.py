"""A client for `/v1/stream`: audio from anywhere in, phones from a server out."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from threading import Thread
from typing import Any

from numpy.typing import ArrayLike
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.http11 import Response
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from ...errors import PhonestreamError
from ..audio.channels import InputChannels
from ..audio.closing import Closing
from ..audio.samples import check_samples, mono, slices
from ..events import Failure, Final, decode
from ..pool.results import Snapshot
from ..spotting.keywords import THRESHOLD
from ..stream import DEFAULT_RATE
from .protocol import (
    STREAM_PATH,
    Event,
    Finish,
    Gap,
    Opening,
    Save,
    SetCommands,
    SetKeywords,
    read_posteriors,
    read_snapshot,
    write_control,
    write_opening,
)

MAX_EVENT_BYTES = 1 << 24
MESSAGE_SAMPLES = 1 << 14  # in one message at most


class ServerError(PhonestreamError):
    """A server that cannot be reached, or that ended a stream before its final."""

    def __init__(self, message: str, code: int | None = None, snapshot: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        """The WebSocket's close code; docs/protocol.md lists them. None without a connection."""
        self.snapshot = snapshot
        """The last snapshot that the server sent, to go on elsewhere; None if there was none."""


class Client(Closing):
    """A server of `phonestream serve`, for any number of streams, each with a connection of its own.

    Examples:
        >>> with Client("ws://localhost:8765") as client:
        ...     for event in client.stream(blocks, 16_000):      # Phone, Lost, ... and Final at the end
        ...         print(event)
    """

    def __init__(self, url: str = "ws://localhost:8765", *, token: str | None = None) -> None:
        """Nothing is connected yet.

        Args:
            url: of the server: ws:// or http://, with TLS wss:// or https://.
            token: what the server was given as `--token`.
        """
        scheme, separator, rest = url.rstrip("/").partition("://")
        scheme = {"http": "ws", "https": "wss"}.get(scheme, scheme)
        self.url = scheme + separator + rest
        self._token = token
        self._open: list[RemoteStream] = []

    def open(
        self,
        sample_rate: int = DEFAULT_RATE,
        *,
        endpoints: bool = False,
        posteriors: bool = False,
        tentative: bool = False,
        keywords: Sequence[str] = (),
        commands: Sequence[str] = (),
        threshold: float = THRESHOLD,
        visemes: str | None = None,
        snapshot: bytes | None = None,
    ) -> "RemoteStream":
        """A stream on the server, new or going on from `snapshot`.

        `keywords` with a score of `threshold` at least come as `Spotted` among the events, and which of `commands` an
        utterance was as `CommandResult`, with `Endpoint`; a snapshot wants those that its stream had.
        `visemes` names a set of mouth shapes that come as `Viseme` behind each phone.

        Raises:
            ServerError: no server is there, or it refuses the stream.
        """
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        closing = ExitStack()
        try:
            connecting = connect(
                self.url + STREAM_PATH,
                additional_headers=headers,
                compression=None,
                max_size=MAX_EVENT_BYTES,
                ping_timeout=None,  # a server that holds us back does not read our pings either
            )
            connection = closing.enter_context(connecting)
        except InvalidStatus as error:
            raise ServerError(f"{self.url}: refused: {refusal_reason(error.response)}") from None
        except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
            raise ServerError(
                f"{self.url}: no connection: {error}; is `phonestream serve` running there?"
            ) from None
        opening = Opening(
            sample_rate,
            "float32",
            endpoints=endpoints,
            posteriors=posteriors,
            tentative=tentative,
            keywords=tuple(keywords),
            commands=tuple(commands),
            threshold=threshold,
            visemes=visemes,
            snapshot=snapshot,
        )
        stream = RemoteStream(connection, opening, self.url, closing)
        self._open = [*(other for other in self._open if not other.closed), stream]
        return stream

    def stream(
        self, blocks: Iterable[ArrayLike], sample_rate: int = DEFAULT_RATE, **options: Any
    ) -> Iterator[Event]:
        """Send `blocks`, each as for `Stream.accept`, and yield events as they come, `Final` at the end.

        Blocks are taken in another thread, as fast as the server reads: one that waits for a microphone holds up
        nothing. An exception from `blocks` is raised here. Options are those of `open`.

        Raises:
            ServerError: as for `open`, or the server ends the stream.
            AudioError: a block is no audio.
        """
        failures: list[BaseException] = []
        with self.open(sample_rate, **options) as stream:

            def send() -> None:
                try:
                    for block in blocks:
                        stream.send(block)
                    stream.finish()
                except ServerError:
                    pass  # the reader meets it too
                except BaseException as error:
                    failures.append(error)
                    stream.close()

            sender = Thread(target=send, name="sender", daemon=True)
            sender.start()
            try:
                yield from stream
            except ServerError:
                if failures:
                    raise failures[0] from None
                raise

    def close(self) -> None:
        """Close the streams that are still open."""
        while self._open:
            self._open.pop().close()


class RemoteStream(Closing):
    """One stream on a server; `Client.open` makes it. One thread may send while another iterates.

    Attributes:
        ready: what the server said of itself and its model.
        closed: whether the connection is.
    """

    def __init__(self, connection: Connection, opening: Opening, url: str, closing: ExitStack) -> None:
        self._connection = connection
        self._closing = closing
        self.closed = False
        self._url = url
        self._early: deque[Event] = deque()  # came while a snapshot was awaited
        self._saved: bytes | None = None
        self._error: str | None = None
        self._channels = InputChannels()
        self._rate = opening.rate
        try:
            self._send(write_opening(opening))
            self.ready = self._receive()
        except BaseException:
            self.close()
            raise

    def send(self, samples: ArrayLike) -> None:
        """The next samples, as for `Stream.accept`. Waits while the server has too much of them already.

        Raises:
            AudioError: they are no audio.
            ServerError: the stream has ended.
        """
        checked = check_samples(samples, self._channels.width)
        self._channels = self._channels.accept(checked, self._rate)
        audio = mono(checked).astype("<f4", copy=False)
        for piece in slices(len(audio), MESSAGE_SAMPLES):
            self._send(audio[piece].tobytes())

    def gap(self, samples: int) -> None:
        """So many samples never arrived."""
        self._send(write_control(Gap(samples)))

    def set_keywords(self, keywords: Sequence[str], threshold: float = THRESHOLD) -> None:
        """Look for other keywords after all that was sent, for none with an empty list; see `Stream.set_keywords`.

        Among the events comes `KeywordsSet` where they begin to count, or `Refused` if they cannot be looked for: the
        stream then goes on with those that it had.
        """
        self._send(write_control(SetKeywords(tuple(keywords), threshold)))

    def set_commands(self, commands: Sequence[str], threshold: float = THRESHOLD) -> None:
        """Compare utterances with other commands after all that was sent, with none with an empty list.

        See `Stream.set_commands`; a stream that was opened without endpoints or commands refuses them. Among the events
        comes `CommandsSet`, or `Refused` as for `set_keywords`.
        """
        self._send(write_control(SetCommands(tuple(commands), threshold)))

    def finish(self) -> None:
        """No more audio; what is still to come ends with `Final`."""
        self._channels = self._channels.end()
        self._send(write_control(Finish()))

    def snapshot(self) -> bytes:
        """The stream after all that was sent, to go on from in another connection or another server.

        Events that come meanwhile are not lost: iteration gives them first. Not while another thread iterates.
        """
        self._send(write_control(Save()))
        while not isinstance(event := self._next(), Snapshot):
            self._early.append(event)
        return event.data

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, up to `Final`."""
        while True:
            event = self._early.popleft() if self._early else self._next()
            if not isinstance(event, Snapshot):
                yield event
            if isinstance(event, Final):
                return

    def close(self) -> None:
        """Leave, whatever is still to come. Closing twice is no error."""
        self.closed = True
        self._closing.close()

    def _send(self, message: str | bytes) -> None:
        try:
            self._connection.send(message)
        except ConnectionClosed as error:
            raise self._ended(error) from None

    def _next(self) -> Event:
        message = self._receive()
        kind = message["event"]
        if kind == "posteriors":
            return read_posteriors(message)
        if kind == "snapshot":
            saved = read_snapshot(message)
            self._saved = saved.data
            return saved
        return decode(message)

    def _receive(self) -> dict[str, Any]:
        while True:
            try:
                message: dict[str, Any] = json.loads(self._connection.recv())
            except ConnectionClosed as error:
                raise self._ended(error) from None
            if message.get("event") != "error":
                return message
            self._error = Failure(message["message"]).message  # the close that follows has its code

    def _ended(self, error: ConnectionClosed) -> ServerError:
        code = error.rcvd.code if error.rcvd else None
        reason = self._error or (error.rcvd.reason if error.rcvd else "") or "the connection broke off"
        return ServerError(f"{self._url}: {reason}", code, self._saved)


def refusal_reason(response: Response) -> str:
    """Why a server would not open a WebSocket: in its own words, where it is one of ours."""
    try:
        return str(json.loads(response.body or b"")["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} {response.reason_phrase}; is `phonestream serve` running there?"
