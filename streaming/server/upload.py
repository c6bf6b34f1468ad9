"""`POST /v1/transcribe`: a recording in one request, heard like any stream, in turns with the live ones."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from ...errors import AudioError
from ..audio.files import AudioFile
from ..decode import Phone
from ..events import Failure, Final, encode
from .engine import Event, put
from .protocol import Close, Finish, Opening, RefusedError
from .service import Service

PIECE_SECONDS = 2.0  # of a file handed to the engine at a time
CHUNK_SECONDS = 30.0  # a client may take so long for each piece of its file


async def transcribe(request: Request, service: Service) -> Response:
    """The body as a file, or the one file of a multipart form, to what `phonestream transcribe --format json` prints.

    Raises:
        HTTPException: 400 no file, or a form that is none; 408 it comes too slowly; 413 it is too large or too
            long; 422 it cannot be used; 503 the server has as much to do as it can.
    """
    with tempfile.NamedTemporaryFile(prefix="phonestream-") as file:
        name = await _receive(request, file, service.limits.upload_bytes)
        file.flush()
        try:
            phones, seconds = await _recognize(request, service, file.name)
        except AudioError as error:  # begins with the path, which is nobody's business
            raise HTTPException(422, str(error).replace(file.name, name)) from None
        except RefusedError as refusal:
            busy = refusal.code in (Close.BUSY, Close.RESTART)
            raise HTTPException(
                503 if busy else 413, str(refusal), {"Retry-After": "5"} if busy else None
            ) from None
    listed = [{key: value for key, value in encode(phone).items() if key != "event"} for phone in phones]
    return JSONResponse({"file": name, "seconds": round(seconds, 3), "phones": listed})


async def _receive(request: Request, file: Any, limit: int) -> str:
    """Write the recording into `file`; returns its name, as the client calls it."""
    body = _Bounded(request, limit)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        async for chunk in body.stream():
            await asyncio.to_thread(file.write, chunk)
        return request.query_params.get("file", "recording")
    try:
        form = await Request(request.scope, body.receive).form(max_files=1, max_fields=8)
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read: {error.message}") from None
    try:
        upload = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
        if upload is None:
            raise HTTPException(400, "the form has no file: send one, as curl -F file=@speech.wav does")
        while chunk := await upload.read(1 << 20):
            await asyncio.to_thread(file.write, chunk)
        return upload.filename or "recording"
    finally:
        await form.close()


class _Bounded:
    """A request's body that is refused once it is too large or too slow."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._left = limit
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            self._refuse()

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                message = await self._request.receive()
        except TimeoutError:
            raise HTTPException(408, f"the file stopped coming for {CHUNK_SECONDS:g} s") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self._refuse()
        return message

    async def stream(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            yield message.get("body", b"")
            more = message.get("more_body", False)

    def _refuse(self) -> None:
        raise HTTPException(
            413, f"files may have {self._limit >> 20} MiB here; send a shorter or compressed one"
        )


async def _recognize(request: Request, service: Service, path: str) -> tuple[list[Phone], float]:
    """The phones of an audio file, and its seconds.

    Raises:
        AudioError: it cannot be used; the message begins with the path.
        RefusedError: the server has as much to do as it can, or the recording is too long.
    """
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

    def listen(found: list[Event]) -> None:
        for event in [*found, None]:  # None: a tick has ended, and there may be room
            loop.call_soon_threadsafe(events.put_nowait, event)

    phones: list[Phone] = []
    with await asyncio.to_thread(AudioFile, path) as audio:
        rate, longest = audio.sample_rate, service.limits.duration_seconds
        blocks = audio.blocks()
        async with service.stream(Opening(rate), listen) as stream:
            done = 0
            while (block := await asyncio.to_thread(next, blocks, None)) is not None:
                done += len(block)
                if done > longest * rate:
                    raise RefusedError(
                        Close.TOO_LONG, f"recordings may last {longest:g} s here; send it in parts"
                    )
                size = int(PIECE_SECONDS * rate)
                for first in range(0, len(block), size):
                    put(stream, block[first : first + size])
                    while stream.backlog_seconds > PIECE_SECONDS:
                        _keep(await events.get(), phones, path, done / rate)
                if await request.is_disconnected():
                    raise ClientDisconnect
            put(stream, Finish())
            while not isinstance(event := await events.get(), Final):
                _keep(event, phones, path, done / rate)
            return phones, event.seconds


def _keep(event: Event | None, phones: list[Phone], path: str, seconds: float) -> None:
    if isinstance(event, Failure):
        raise AudioError(f"{path}: within the first {seconds:.2f} s: {event.message}")
    if isinstance(event, Phone):
        phones.append(event)
