"""What stands around the whole application: a path of a proxy, and a log of requests."""

import logging
import sys
import time

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("phonestream.requests")


class Prefix:
    """Serves the application below a path, `/speech`, whether or not a proxy takes it off requests."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path == self._path:  # the page's addresses are relative to a folder
            await RedirectResponse(f"{self._path}/", 308)(scope, receive, send)
            return
        if path.startswith(f"{self._path}/"):
            scope = {**scope, "path": path[len(self._path) :]}
        await self._app(scope, receive, send)


class RequestLog:
    """Writes a line for each request that has ended: client, method, path, status or close code, seconds.

    Never what follows `?`, which names people's files.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
            elif message["type"] == "websocket.close":
                status = message.get("code", 1000)
            await send(message)

        async def noted_receive() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect" and not status:
                status = message.get("code") or 1006  # 1006: it broke off
            return message

        try:
            await self._app(scope, noted_receive, noted_send)
        finally:
            client = scope["client"][0] if scope.get("client") else "-"
            method = scope.get("method", "WebSocket")
            path = scope.get("raw_path", b"").decode("ascii", "backslashreplace")
            LOG.info("%s %s %s %s %.3f s", client, method, path, status or "-", time.monotonic() - began)


def log_requests() -> None:
    """Let `RequestLog` write on standard error, each line with its time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
