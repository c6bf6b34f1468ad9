"""`POST /v1/transcribe`: a recording in one request, heard like any stream, in turns with the live ones."""

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Message

from ...errors import AudioError, ConfigError, DataError
from ..arrays import FloatArray
from ..audio.channels import Mixed
from ..audio.files import open_audio
from ..audio.samples import mix_block, slices
from ..decode import Phone
from ..events import Failure, Final
from ..pool.stream import PooledStream
from .engine import Event, put
from .limits import Limits
from .protocol import MAX_COMMANDS, MAX_KEYWORDS, Close, Finish, RefusedError
from .service import STOPS, Service
from .wanted import JSON, Wanted, read_wanted

T = TypeVar("T")

PIECE_SECONDS = 2.0  # of a file handed to the engine at a time
REMARKS = "Phonestream-Remarks"  # a header: a list in JSON, where the format has no place for it
MAX_FIELDS = 8 + MAX_KEYWORDS + MAX_COMMANDS  # of a form
CHUNK_SECONDS = 30.0  # a client may take so long for each piece of its file


async def transcribe(request: Request, service: Service) -> Response:
    """The body as a file, or the one file of a multipart form, to what `phonestream transcribe` prints.

    It counts as a stream from its first byte on. Remarks on a file that is heard are in a header, and in JSON under
    `remarks`.

    Raises:
        HTTPException: 400 no file, a form that is none, or an unknown parameter; 408 it comes too slowly; 413 it is
            too large or too long; 422 it cannot be used; 503 the server has as much to do as it can, or stops;
            507 its disk is full.
    """
    return await respond(request, service, _transcript)


async def respond(
    request: Request, service: Service, answer: Callable[[Request, Service], Awaitable[Response]]
) -> Response:
    """What `answer` gives to a request with a file, which counts as a stream meanwhile.

    Raises:
        HTTPException: 413, 503: the server refuses it.
    """
    try:
        with service.upload(request.client), service.connections.holding(request.client):
            return await answer(request, service)
    except RefusedError as refusal:
        busy = refusal.code in (Close.BUSY, Close.RESTART)
        headers = {"Retry-After": "5"} if busy else None
        raise HTTPException(503 if busy else 413, str(refusal), headers) from None


async def _transcript(request: Request, service: Service) -> Response:
    query = request.query_params
    parameters = [(name, value) for name, value in query.multi_items() if name != "file"]
    wanted = await _wanted(service, parameters)
    with kept_file() as file:
        form_name, fields = await service.before_stop(_receive(request, file, service))
        name = printable(form_name or query.get("file", "recording"))
        if fields:
            wanted = await _wanted(service, [*parameters, *fields])
        await in_thread(service, file.flush)
        try:
            events, seconds, audio = await _recognize(request, service, file.name, wanted)
        except AudioError as error:  # begins with the path, which is nobody's business
            raise HTTPException(422, str(error).replace(file.name, name)) from None
    phones = [event for event in events if isinstance(event, Phone)]
    content = await in_thread(service, wanted.writer.write, name, seconds, phones, audio.lost)
    remarks = [*audio.remarks]
    more = wanted.told(events)
    kind = wanted.writer.media_type
    if kind == JSON and (more or remarks):
        return JSONResponse(json.loads(content) | more | ({"remarks": remarks} if remarks else {}))
    return Response(content, headers={REMARKS: json.dumps(remarks)} if remarks else None, media_type=kind)


@contextmanager
def kept_file() -> Iterator[Any]:
    """A temporary file for a recording.

    Raises:
        HTTPException: 507, the disk is full.
    """
    try:
        with tempfile.NamedTemporaryFile(prefix="phonestream-") as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        logging.getLogger("uvicorn.error").error(
            "an upload cannot be kept in %s: %s", tempfile.gettempdir(), reason
        )
        raise HTTPException(
            507, f"the server cannot keep the file: {reason}; its operator has to make room"
        ) from None


async def _wanted(service: Service, parameters: Iterable[tuple[str, str]]) -> Wanted:
    try:
        return await in_thread(service, read_wanted, service.answers, parameters)
    except (ConfigError, DataError) as error:
        raise HTTPException(400, str(error)) from None


async def in_thread(service: Service, function: Callable[..., T], *arguments: Any) -> T:
    """What `function` gives, in a thread that only files wait for."""
    return await asyncio.get_running_loop().run_in_executor(service.files, function, *arguments)


async def _receive(request: Request, file: Any, service: Service) -> tuple[str | None, list[tuple[str, str]]]:
    """Write the recording into `file`; returns its name in a form, and the form's other fields."""
    if not is_form(request):
        async for chunk in _Bounded(request, service.limits).stream():
            await in_thread(service, file.write, chunk)
        return None, []
    async with received_form(request, service) as form:
        upload = next((value for _, value in form.multi_items() if isinstance(value, UploadFile)), None)
        called = await keep(upload, file, service)
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        return called, fields


def is_form(request: Request) -> bool:
    """Whether the body of a request is a form, which may hold files."""
    kind: str = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "multipart/form-data"


async def keep(upload: UploadFile | str | None, file: Any, service: Service) -> str | None:
    """Write the recording of a form into `file`; its name there.

    Raises:
        HTTPException: 400, it is no file.
    """
    if not isinstance(upload, UploadFile):
        raise HTTPException(400, "the form has no file: send one, as curl -F file=@speech.wav does")
    while chunk := await upload.read(1 << 20):
        await in_thread(service, file.write, chunk)
    return upload.filename


@asynccontextmanager
async def received_form(request: Request, service: Service, max_files: int = 1) -> AsyncIterator[FormData]:
    """The form that a request's body is, within the server's limits.

    Raises:
        HTTPException: 400 it is none; 408 it comes too slowly; 413 it is too large.
    """
    body = _Bounded(request, service.limits)
    try:
        form = await Request(request.scope, body.receive).form(max_files=max_files, max_fields=MAX_FIELDS)
    except (HTTPException, ClientDisconnect, OSError):
        raise
    except Exception as error:  # whatever the parser meets in a stranger's bytes
        raise HTTPException(400, f"the form cannot be read: {error}") from None
    try:
        yield form
    finally:
        await form.close()


def printable(name: str) -> str:
    """`name` without what JSON cannot hold: halves of characters."""
    return name.encode("utf-8", "replace").decode()


class _Bounded:
    """A request's body that is refused once it is too large or too slow."""

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request = request
        self._limits = limits
        self._received = 0
        self._began = asyncio.get_running_loop().time()
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limits.upload_bytes:
            self._refuse()

    async def receive(self) -> Message:
        limits = self._limits
        paid = min(CHUNK_SECONDS + self._received / limits.upload_rate, limits.upload_seconds)
        try:
            async with asyncio.timeout(CHUNK_SECONDS), asyncio.timeout_at(self._began + paid):
                message = await self._request.receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"the file comes too slowly: {self._received} bytes so far; send it faster, or compressed",
            ) from None
        self._received += len(message.get("body", b""))
        if self._received > limits.upload_bytes:
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
            413,
            f"files may have {self._limits.upload_bytes >> 20} MiB here; send a shorter or compressed one",
        )


async def _recognize(
    request: Request, service: Service, path: str, wanted: Wanted
) -> tuple[list[Event], float, Mixed]:
    """What is heard in an audio file, its seconds, and the file, closed, which has remarks on it.

    Raises:
        AudioError: it cannot be used; the message begins with the path.
        RefusedError: the server has as much to do as it can, or the recording is too long.
    """
    events = asyncio.Queue[Event | None]()

    def listen(found: list[Event]) -> None:
        for event in [*found, None]:  # None: a tick has ended, and there may be room
            events.put_nowait(event)

    heard: list[Event] = []
    audio = Mixed(await in_thread(service, open_audio, path), "send one of them alone")
    try:
        rate, longest = audio.sample_rate, service.limits.duration_seconds
        blocks = audio.blocks()
        async with service.stream(wanted.opening(rate), listen, request.client, uploaded=True) as stream:
            done = 0
            while (block := await in_thread(service, next, blocks, None)) is not None:
                done += len(block)
                if done > longest * rate:
                    raise RefusedError(
                        Close.TOO_LONG, f"recordings may last {longest:g} s here; send it in parts"
                    )
                for piece in slices(len(block), int(PIECE_SECONDS * rate)):
                    _put(stream, block[piece], path)
                    while stream.backlog_seconds > PIECE_SECONDS:
                        _keep(await events.get(), heard, path, done / rate)
                if await request.is_disconnected():
                    raise ClientDisconnect
                if service.stopping.is_set():
                    raise RefusedError(Close.RESTART, STOPS)
            put(stream, Finish())
            while not isinstance(event := await events.get(), Final):
                _keep(event, heard, path, done / rate)
            return heard, event.seconds, audio
    finally:
        audio.close()


def _put(stream: PooledStream, samples: FloatArray, path: str) -> None:
    try:
        stream.push(mix_block(samples))
    except AudioError as error:
        if not stream.closed:  # else what ended it is on its way to the listener
            raise AudioError(f"{path}: {error}") from None


def _keep(event: Event | None, heard: list[Event], path: str, seconds: float) -> None:
    if isinstance(event, Failure):
        raise AudioError(f"{path}: within the first {seconds:.2f} s: {event.message}")
    if event is not None:
        heard.append(event)
