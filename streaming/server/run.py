"""From options to a running server: sockets, TLS, signals, and an end that loses nothing."""

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import NamedTuple

import uvicorn
from prometheus_client import disable_created_metrics
from starlette.types import ASGIApp

from ...errors import ConfigError, system_errors_as
from ..recognizer import Recognizer
from . import log
from .access import Access, is_loopback
from .alignment import Aligner
from .app import application
from .engine import Engine
from .limits import Limits
from .listener import Listener
from .metrics import Metrics
from .middleware import log_requests
from .service import Answers, Service
from .wire import HTTPProtocol, WebSocketProtocol

BACKLOG = 1024  # connections that wait to be accepted
OWN_FILES = 64  # that the process has open beside connections
FILES_EACH = 4  # that a file on its way to be heard has open
SWITCH_SECONDS = (
    0.0005  # a stranger's file may keep the interpreter so long from the engine; Python's own is 0.005
)
PING_SECONDS = 20.0  # so that routers on the way do not forget a quiet connection
KEEP_ALIVE_SECONDS = 5


class Ending(NamedTuple):
    """How a server ended."""

    cut: int
    """Streams and files that had not come to their end, or to a snapshot."""
    forced: bool
    """A second signal came."""


def run(
    recognizer: Recognizer,
    *,
    host: str,
    port: int,
    access: Access,
    limits: Limits,
    certificate: str | None = None,
    key: str | None = None,
    root_path: str = "",
    request_log: bool = False,
    answers: Answers,
    announce: Callable[[str], object] = lambda url: None,
    align: Aligner | None = None,
    visemes: str | None = None,
) -> Ending:
    """Serve until SIGINT or SIGTERM; a second one does not wait for open streams.

    For a process that is a server and nothing else: threads take turns faster than usual, what C libraries print about
    a stranger's file is dropped, and no garbage is sought in what there was before.

    Args:
        recognizer: hears all streams.
        host: name or address to listen on.
        port: 0 for any that is free.
        access: who may ask.
        limits: what the server takes on.
        certificate: file of a TLS certificate and its chain, PEM; with it the server speaks HTTPS alone.
        key: file of its private key, where the certificate's file does not hold it.
        root_path: where a proxy shows the server, such as `/speech`.
        request_log: whether each request is a line on standard error.
        answers: how files are answered.
        announce: called with the page's address once the server answers.
        align: aligns what is sent to `/v1/align`; None: there is no such path.
        visemes: the set of mouth shapes that streams are told which name none.

    Returns:
        How it ended.

    Raises:
        ConfigError: the address cannot be had, or the certificate not be used.
    """
    listener = _listen(host, port)
    sys.setswitchinterval(SWITCH_SECONDS)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a time for each counter, which nobody asks for
    with listener, log.native_output_off():
        if request_log:
            log_requests()
        metrics, limits = Metrics(), _within_descriptors(limits)
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            engine = Engine(recognizer, metrics, limits, runner.get_loop())
            service = Service(engine, metrics, limits, access, answers, align, visemes)
            app = application(service, root_path, request_log)
            gc.collect()
            gc.freeze()  # what is there stays: to look through it again and again holds up all streams
            return runner.run(_serve(service, app, listener, certificate, key, announce, root_path))


async def _serve(
    service: Service,
    app: ASGIApp,
    listener: socket.socket,
    certificate: str | None,
    key: str | None,
    announce: Callable[[str], object],
    root_path: str,
) -> Ending:
    limits = service.limits
    config = uvicorn.Config(
        app,
        ws=partial(WebSocketProtocol, service.connections, limits),  # type: ignore[arg-type]  # any maker of one
        # Beyond this the connection is cut off with the message half read. The session refuses what is over the
        # limit itself, so that the close code and the reason arrive.
        ws_max_size=2 * limits.message_bytes,
        ws_ping_interval=PING_SECONDS,
        # A sender that is held back cannot answer; who has gone away shows by the limit on idle time.
        ws_ping_timeout=None,
        ws_per_message_deflate=False,  # PCM hardly shrinks, and what shrinks well is an attack
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        log_level=logging.WARNING,
        server_header=False,
        proxy_headers=False,
        access_log=False,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"the certificate or its key cannot be used: {error}; both are PEM files") from None
    log.bound()
    server = Server(config, service)
    scheme = "https" if certificate else "http"
    await server.start(listener, lambda: announce(f"{scheme}://{_shown(listener)}{root_path}/"))
    return server.ending


class Server(uvicorn.Server):
    """Uvicorn, but that a signal first lets every stream come to its end."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._forced = asyncio.Event()
        self.ending = Ending(0, False)

    async def start(self, listener: socket.socket, started: Callable[[], object]) -> None:
        """Serve until the end; `started` is called once requests are answered."""
        ending = asyncio.create_task(self._end(started))
        await self.serve(sockets=[listener])
        ending.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        stopping = self._service.stopping
        loop = asyncio.get_event_loop()
        loop.call_soon_threadsafe(self._forced.set if stopping.is_set() else stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, with our own listener and protocols."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        config, service = self.config, self._service

        def protocol() -> asyncio.Protocol:
            return HTTPProtocol(
                config, self.server_state, self.lifespan.state, service.connections, service.limits
            )

        self.servers = [
            Listener(listener, protocol, config.ssl, service.limits)  # type: ignore[misc]  # uvicorn only closes it
            for listener in sockets or []
        ]
        self.started = True

    async def _end(self, started: Callable[[], object]) -> None:
        while not self.started:
            await asyncio.sleep(0.01)
        started()
        await self._service.stopping.wait()
        waits = [asyncio.create_task(event.wait()) for event in (self._service.idle, self._forced)]
        grace = self._service.limits.grace_seconds
        await asyncio.wait(waits, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self.ending = Ending(self._service.serving, self._forced.is_set())
        if self.ending.cut:  # it is told by whoever has started this
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
        self.should_exit = True


def _event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is installed, which takes half as long for a message; there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _within_descriptors(limits: Limits) -> Limits:
    """`limits` with as many connections as the process may have open files, of which it asks for enough."""
    try:
        import resource
    except ImportError:  # Windows, where sockets are not counted so
        return limits
    others = limits.streams + limits.uploads * FILES_EACH + limits.handshakes + OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + others
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return replace(limits, connections=max(1, min(limits.connections, soft - others)))
    return limits


def _listen(host: str, port: int) -> socket.socket:
    with system_errors_as(ConfigError, f"--host {host}", "give a name or address of this machine"):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}, port {port}: cannot be listened on: {error.strerror}; choose another with --port"
        ) from None
    return listener


def _shown(listener: socket.socket) -> str:
    """Where the page is, for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::") or is_loopback(host):
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
