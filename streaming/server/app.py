"""The server as an ASGI application: its paths, and what each answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import PurePath

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from . import alignment, page, upload
from . import websocket as session
from .access import Guard
from .metrics import CONTENT_TYPE
from .middleware import Prefix, RequestLog
from .protocol import STREAM_PATH
from .service import Service


def application(service: Service, root_path: str = "", request_log: bool = False) -> ASGIApp:
    """The application around a service whose engine has not been started.

    Args:
        service: what it serves.
        root_path: where a proxy shows it, such as `/speech`.
        request_log: whether each request is logged.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.engine.start()
        try:
            yield
        finally:
            service.engine.stop()

    async def stream(websocket: WebSocket) -> None:
        with service.serve():
            await websocket.accept()
            await session.serve(websocket, service)

    def answered(
        answer: Callable[[Request, Service], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer_request(request: Request) -> Response:
            with service.serve():
                try:
                    return await answer(request, service)
                except ClientDisconnect:
                    return Response(status_code=499)  # nobody reads it

        return answer_request

    async def health(_: Request) -> Response:
        status = service.status()
        return JSONResponse({"status": status}, 200 if status == "ok" else 503)

    async def metrics(_: Request) -> Response:
        text = service.metrics.render(service.streams, service.engine.waiting_seconds)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    routes: list[BaseRoute] = [
        WebSocketRoute(STREAM_PATH, stream),
        Route("/v1/transcribe", answered(upload.transcribe), methods=["POST"]),
        *([Route("/v1/align", answered(alignment.align), methods=["POST"])] if service.align else []),
        Route("/health", health),
        Route("/metrics", metrics),
        # No path of a request ever reaches the file system.
        *(_static(name, content) for name, content in page.contents().items()),
    ]
    handlers = {HTTPException: _failed, Exception: _bug}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    served: ASGIApp = Guard(app, service.access)
    if service.access.origins:
        # Outside the guard: a preflight brings no token, and a page is to read why it is refused.
        served = CORSMiddleware(
            served,
            allow_origins=tuple(service.access.origins),
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type"),
            expose_headers=(upload.REMARKS, "Retry-After"),
        )
    if root_path:
        served = Prefix(served, root_path)
    return RequestLog(served) if request_log else served


def _static(name: str, content: bytes) -> Route:
    async def file(_: Request) -> Response:
        return Response(content, media_type=page.KINDS[PurePath(name).suffix])

    return Route("/" if name == "index.html" else f"/{name}", file)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def _bug(_: Request, error: Exception) -> Response:
    return PlainTextResponse("internal error; the server's log has it\n", 500)
