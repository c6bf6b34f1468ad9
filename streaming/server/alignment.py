"""`POST /v1/align`: a recording and its transcript in one form, aligned in a thread beside the live streams."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ...errors import AudioError, DataError
from .protocol import Close, RefusedError
from .service import STOPS, Service
from .upload import in_thread, is_form, keep, kept_file, printable, received_form, respond

LOOK_SECONDS = 0.2  # between two looks at whether the client is still there
FIELDS = ("file", "transcript", "phonemes", "refuse", "time_shifts")
MAX_TIME_SHIFTS = 8
MAX_TRANSCRIPT = 1 << 20  # bytes, which is what starlette lets a field have


@dataclass(frozen=True)
class AlignRequest:
    """What is asked of a recording, as options of `phonestream align` ask it."""

    transcript: str
    phonemes: bool = False
    refuse: bool = True
    time_shifts: int = 4


class StoppedError(Exception):
    """Nobody waits for the alignment any more."""


Progress = Callable[[float], None]
"""Called with the seconds that are done; may raise `StoppedError` or `RefusedError`."""

Aligner = Callable[[str, str, AlignRequest, Progress], dict[str, Any]]
"""Takes the path of a recording, what it is called, what is asked, and `Progress`; gives the object that
`phonestream align --format json` prints. Raises AudioError and DataError, whose messages may begin with the path."""


async def align(request: Request, service: Service) -> Response:
    """A form with the recording in `file` and its words in `transcript`.

    Raises:
        HTTPException: as `upload.transcribe`; 422 where recording and transcript do not fit, too.
    """
    return await respond(request, service, _alignment)


async def _alignment(request: Request, service: Service) -> Response:
    with kept_file() as file:
        name, asked = await service.before_stop(_receive(request, file, service))
        await in_thread(service, file.flush)
        try:
            return JSONResponse(await _watched(request, service, file.name, name, asked))
        except (AudioError, DataError) as error:  # may begin with the path, which is nobody's business
            raise HTTPException(422, str(error).replace(file.name, name)) from None


async def _receive(request: Request, file: Any, service: Service) -> tuple[str, AlignRequest]:
    """Write the recording into `file`; its name, and what is asked of it."""
    if not is_form(request):
        raise HTTPException(
            400, "expected a form: curl -F file=@speech.wav -F transcript='what was said' does it"
        )
    async with received_form(request, service, max_files=2) as form:
        asked = await _asked(form)
        name = await keep(form.get("file"), file, service)
        return printable(name or "recording"), asked


async def _asked(form: FormData) -> AlignRequest:
    """What a form asks.

    Raises:
        HTTPException: 400, it has no transcript, or a field that there is none of.
    """
    surplus = [key for key in form if key not in FIELDS]
    if surplus:
        raise HTTPException(400, f"unknown field {surplus[0]!r}: expected {', '.join(FIELDS)}")
    transcript = form.get("transcript")
    if isinstance(transcript, UploadFile):
        data = await transcript.read(MAX_TRANSCRIPT + 1)
        if len(data) > MAX_TRANSCRIPT:
            raise HTTPException(
                413, f"transcripts may have {MAX_TRANSCRIPT >> 20} MiB here; send it in parts"
            )
        try:
            transcript = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise HTTPException(400, "transcript: is not text in UTF-8") from None
    if transcript is None:
        raise HTTPException(400, "the form has no transcript: send one, as curl -F transcript=@said.txt does")
    shifts = str(form.get("time_shifts", AlignRequest.time_shifts))
    if shifts not in map(str, range(1, MAX_TIME_SHIFTS + 1)):
        raise HTTPException(400, f"time_shifts: expected a whole number from 1 to {MAX_TIME_SHIFTS}")
    return AlignRequest(transcript, _flag(form, "phonemes", False), _flag(form, "refuse", True), int(shifts))


def _flag(form: FormData, name: str, usual: bool) -> bool:
    value = form.get(name, "true" if usual else "false")
    if value not in ("true", "false"):
        raise HTTPException(400, f"{name}: expected true or false")
    return value == "true"


async def _watched(
    request: Request, service: Service, path: str, name: str, asked: AlignRequest
) -> dict[str, Any]:
    """What the aligner gives, in its thread; it is stopped when the client leaves or the server stops."""
    stopped, longest = threading.Event(), service.limits.duration_seconds

    def progress(seconds: float) -> None:
        if stopped.is_set():
            raise StoppedError
        if seconds > longest:
            raise RefusedError(Close.TOO_LONG, f"recordings may last {longest:g} s here; send it in parts")

    assert service.align is not None  # else there is no such path
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(service.aligners, service.align, path, name, asked, progress)
    try:
        while not (await asyncio.wait([work], timeout=LOOK_SECONDS))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
            if service.stopping.is_set():
                raise RefusedError(Close.RESTART, STOPS)
        return work.result()
    finally:
        stopped.set()
        await asyncio.wait([work])  # the file stays until the thread has let go of it
        work.exception()  # that it was stopped is nobody's business
