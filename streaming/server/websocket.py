"""One WebSocket from its opening message to its close: audio in one direction, events in the other.

Both directions are bounded. While too much audio waits to be heard, the socket is not read, and TCP holds the
sender back; while too many events wait to be sent, the stream's audio is not heard. Nothing is thrown away.
"""

import asyncio
from collections.abc import Iterable

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from ...errors import ConfigError, DataError, SnapshotError
from ..audio.containers import magic
from ..audio.samples import slices
from ..decode import Phone
from ..endpoint import Endpoint
from ..events import Failure, Final, Refused
from ..pool.stream import PooledStream
from ..spotting.change import CommandsSet, KeywordsSet
from ..visemes import Viseme, check_visemes, next_visemes, rest
from .access import bearer
from .engine import ENDS, Event, HandedOver, HandOver, Work, put
from .outbox import Outbox
from .protocol import (
    RESUMABLE,
    VERSION,
    Close,
    Finish,
    Gap,
    Opening,
    Ready,
    RefusedError,
    SetCommands,
    SetKeywords,
    read_audio,
    read_control,
    read_opening,
    write_event,
)
from .service import Service

MAX_REASON = 123  # bytes of text in a close frame (RFC 6455, section 5.5)
CLOSE_SECONDS = 2.0  # for the last words to a client that may not listen
LATE = 1.1  # times the patience, after which an idle client is given up at the latest


async def serve(websocket: WebSocket, service: Service) -> None:
    """Serve an accepted connection until its end."""
    session = Session(websocket, service)
    client = session.client
    code, message = Close.DONE, ""
    try:
        with service.waiting(client):
            opening = await session.opening()
        with service.connections.holding(client):
            await session.stream(opening)
    except RefusedError as refusal:
        code, message = refusal.code, str(refusal)
    except (WebSocketDisconnect, OSError):
        code = Close.GONE
    service.metrics.closed(code)
    if code == Close.GONE:
        return
    try:
        if code == Close.STALLED:
            raise TimeoutError
        async with asyncio.timeout(CLOSE_SECONDS):
            if code != Close.DONE:
                await websocket.send_text(write_event(Failure(message)))
            reason = message.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")
            await websocket.close(code, reason)
    except TimeoutError:
        service.connections.abort(client)
    except (WebSocketDisconnect, RuntimeError, OSError):  # it has gone away meanwhile
        pass


class Session:
    """The two directions of a connection."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self.client = websocket.client
        self._socket = websocket
        self._service = service
        self._limits = service.limits
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()  # the engine has taken audio
        self._failure: str | None = None
        self._finishing = False
        self._changing = False  # keywords that do not count yet
        self._handed_over = False
        self._sending: asyncio.Timeout | None = None  # that of the event on its way
        self._samples = 0  # of audio and gaps, since the stream began
        self._gaps = 0
        self._head = b""  # of the audio, until it is long enough to show that it is a file
        self._endpoints = False
        self._visemes: str | None = None
        self._until = 0.0  # where the last phone ended

    async def opening(self) -> Opening:
        """The first message.

        Raises:
            RefusedError: it does not come, is none, or lacks the token.
        """
        patience = self._limits.opening_seconds
        try:
            async with asyncio.timeout(patience):
                message = await self._service.before_stop(self._receive())
        except TimeoutError:
            raise RefusedError(Close.IDLE, f"no opening message within {patience:g} s") from None
        if not isinstance(message, str):
            raise RefusedError(
                Close.BAD_MESSAGE, "audio before the opening message, which is JSON in a text message"
            )
        opening = read_opening(message)
        token = bearer(self._socket.headers) if opening.token is None else opening.token
        if not self._service.access.knows(token):
            raise RefusedError(
                Close.UNAUTHORISED, "this needs the server's token, in the opening or as a Bearer header"
            )
        return opening

    async def stream(self, opening: Opening) -> None:
        """Everything after the opening.

        Raises:
            RefusedError: the server ends the stream before its final.
            WebSocketDisconnect: the client does.
        """
        self._endpoints = opening.endpoints
        self._visemes = self._service.visemes if opening.visemes is None else opening.visemes
        if self._visemes is not None:
            try:
                check_visemes(self._visemes, self._service.engine.recognizer.phones)
            except ConfigError as error:
                raise RefusedError(Close.BAD_MESSAGE, f"opening: visemes: {error}") from None
        try:
            async with self._service.stream(opening, self._listen, self.client) as stream:
                self._outbox = Outbox(self._limits.outbox_bytes, stream.pause)
                self._samples, self._gaps = round(stream.seconds * opening.rate), len(stream.lost)
                self._until = stream.state.until
                self._outbox.post(write_event(self._ready(opening, stream)))
                await self._exchange(opening, stream)
        except SnapshotError as error:
            raise RefusedError(Close.BAD_SNAPSHOT, str(error)) from None
        if self._failure is not None:
            raise RefusedError(Close.BROKEN, self._failure)

    async def _exchange(self, opening: Opening, stream: PooledStream) -> None:
        """Read and write until the last event is sent or something ends it earlier."""
        reader = asyncio.create_task(self._read(opening, stream))
        writer = asyncio.create_task(self._write())
        stopping = asyncio.create_task(self._service.stopping.wait())
        tasks: set[asyncio.Task[object]] = {reader, writer, stopping}
        restart = RefusedError(Close.RESTART, "the server stops; resume the stream elsewhere")
        cut: asyncio.TimerHandle | None = None
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                self._hasten()
                # Whoever has much to be heard still has it where it goes on.
                cut = self._loop.call_later(self._limits.grace_seconds / 2, stream.hand_over)
            if self._finishing and not reader.done():  # its final comes, whether the server stops or not
                await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                writer.result()
                if self._handed_over:
                    raise restart
                return
            reason = reader.exception() if reader.done() else None
            if reason is None:
                reader.cancel()
                reason = restart
                stream.pause(False)  # its snapshot is due, whether its client reads or not
            if isinstance(reason, RefusedError) and reason.code in RESUMABLE:
                put(stream, HandOver())
                await writer
            raise reason
        finally:
            if cut is not None:
                cut.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, opening: Opening, stream: PooledStream) -> None:
        """Take messages until the client goes away; after `finish` it may only do that."""
        patience = self._limits.idle_seconds
        try:
            async with asyncio.timeout(None) as idle:
                while True:
                    await self._wait_for_room(stream, idle)
                    # The timer is set anew when it is due, not for each message: it may go off a little late.
                    if self._finishing:
                        idle.reschedule(None)
                    elif (idle.when() or 0.0) < self._loop.time() + patience:
                        idle.reschedule(self._loop.time() + LATE * patience)
                    await self._take(await self._receive(), opening, stream, idle)
        except TimeoutError:
            raise RefusedError(
                Close.IDLE, f"nothing came for {patience:g} s; resume when there is audio"
            ) from None

    async def _take(
        self, message: bytes | str, opening: Opening, stream: PooledStream, idle: asyncio.Timeout
    ) -> None:
        if self._finishing:
            raise RefusedError(Close.BAD_MESSAGE, "a message after finish: nothing may follow it")
        if isinstance(message, str):
            work: Work = read_control(message)
        else:
            self._check_head(message)
            work = read_audio(message, opening.encoding)
        self._count(work, opening.rate)
        if isinstance(work, SetKeywords | SetCommands):
            idle.reschedule(None)
            await self._change(stream, work)
        elif isinstance(
            work, Gap
        ):  # in parts: the rest waits outside, behind nothing that was asked for before
            for part in slices(work.samples, int(self._limits.gap_seconds * opening.rate)):
                await self._wait_for_room(stream, idle)
                put(stream, Gap(part.stop - part.start))
        else:
            self._finishing = isinstance(work, Finish)
            put(stream, work)

    async def _change(self, stream: PooledStream, wanted: SetKeywords | SetCommands) -> None:
        """Nothing else is read until they count, so that there are those of one message at a time."""
        self._changing = True
        try:
            await self._service.change(stream, wanted)
        except (ConfigError, DataError) as error:
            self._changing = False
            self._outbox.post(write_event(Refused(str(error))))

    async def _wait_for_room(self, stream: PooledStream, idle: asyncio.Timeout) -> None:
        while not self._has_room(stream):
            idle.reschedule(None)
            self._room.clear()
            await self._room.wait()

    def _check_head(self, audio: bytes) -> None:
        if len(self._head) >= magic.LENGTH:
            return
        self._head = (self._head + audio)[: magic.LENGTH]
        kind = magic.container_name(self._head)
        if kind is not None:
            raise RefusedError(
                Close.BAD_AUDIO,
                f"this is a file ({kind}), and a stream takes bare samples: decode it before, "
                "or send it whole to POST /v1/transcribe",
            )

    async def _write(self) -> None:
        while (text := await self._outbox.take()) is not None:
            patience = self._limits.stall_seconds
            if self._service.stopping.is_set():
                patience = min(patience, self._limits.grace_seconds / 2)
            try:
                async with asyncio.timeout(patience) as self._sending:
                    await self._socket.send_text(text)
            except TimeoutError:
                raise RefusedError(Close.STALLED, "events were not read for too long") from None
            finally:
                self._sending = None

    def _hasten(self) -> None:
        """The server stops: who does not read keeps it for half of its grace, and no longer."""
        if self._sending is not None:
            until = self._loop.time() + self._limits.grace_seconds / 2
            self._sending.reschedule(min(until, self._sending.when() or until))

    def _has_room(self, stream: PooledStream) -> bool:
        return (
            not self._changing
            and stream.backlog_seconds < self._limits.backlog_seconds
            and len(stream.inbox) < self._limits.backlog_messages
        )

    def _count(self, work: Work, rate: int) -> None:
        samples = 0
        if isinstance(work, Gap):
            samples = work.samples
            self._gaps += 1
        elif isinstance(work, np.ndarray):
            samples = len(work)
        if self._gaps > self._limits.gaps:
            raise RefusedError(Close.BAD_MESSAGE, f"more than {self._limits.gaps} gaps: start another stream")
        if self._samples + samples > self._limits.duration_seconds * rate:
            raise RefusedError(
                Close.TOO_LONG,
                f"more than {self._limits.duration_seconds:g} s of audio in one stream: start another",
            )
        self._samples += samples

    async def _receive(self) -> bytes | str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text: str | None = message.get("text")
        content: bytes | str = text if text is not None else message["bytes"]
        if len(content) > self._limits.message_bytes:
            raise RefusedError(
                Close.TOO_BIG,
                f"a message may have {self._limits.message_bytes} bytes: send audio in smaller ones",
            )
        return content

    def _ready(self, opening: Opening, stream: PooledStream) -> Ready:
        recognizer = self._service.engine.recognizer
        metadata = recognizer.metadata
        return Ready(
            version=VERSION,
            model=metadata.name,
            sha256=recognizer.sha256,
            phones=list(metadata.phones),
            rate=opening.rate,
            look_ahead_ms=1000 * metadata.look_ahead_frames * metadata.frame_samples / metadata.sample_rate,
            seconds=stream.seconds,
        )

    def _listen(self, events: list[Event]) -> None:
        """Called by the engine."""
        self._room.set()
        for event in events:
            if isinstance(event, Failure):
                self._failure = event.message
            elif isinstance(event, Endpoint) and not self._endpoints:
                continue  # a snapshot has brought rules that this client did not ask for
            elif isinstance(event, HandedOver):
                self._handed_over = True
            else:
                if isinstance(event, KeywordsSet | CommandsSet):
                    self._changing = False
                if isinstance(event, Final) and self._visemes is not None:
                    self._show(rest(self._visemes, self._until, event.seconds))
                self._outbox.post(write_event(event))
                if isinstance(event, Phone) and self._visemes is not None:
                    self._show(next_visemes(self._visemes, self._until, event))
                    self._until = event.end
            if isinstance(event, ENDS):
                self._outbox.end()

    def _show(self, shapes: Iterable[Viseme]) -> None:
        for shape in shapes:
            self._outbox.post(write_event(shape))
