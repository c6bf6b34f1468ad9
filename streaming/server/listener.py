"""Connections are accepted at a bounded rate: who is dropped and comes again at once keeps nobody busy."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from .limits import Limits
from .token_bucket import TokenBucket

REST_SECONDS = 0.1  # after an error, such as too many open files


class Listener:
    """A listening socket and the task that accepts from it. What uvicorn wants of an `asyncio.Server`."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._limits = limits
        self._connecting: dict[asyncio.Task[None], None] = {}  # a set that keeps the order
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more."""
        self._accepting.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, return_exceptions=True)

    async def _accept(self) -> None:
        loop, rate = asyncio.get_running_loop(), self._limits.accepts_per_second
        allowance = TokenBucket(rate, rate)
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(REST_SECONDS)
                continue
            task = loop.create_task(self._connect(connection))
            self._connecting[task] = None
            task.add_done_callback(self._connecting.pop)
            if len(self._connecting) > self._limits.handshakes:
                next(iter(self._connecting)).cancel()
            allowance.spend()
            if rest := allowance.wait:
                await asyncio.sleep(rest)

    async def _connect(self, connection: socket.socket) -> None:
        """From a socket to a protocol, through TLS where that is spoken."""
        patience = self._limits.header_seconds if self._tls else None
        with suppress(OSError):  # it has gone, is too slow, or speaks no TLS: nobody else's business
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_handshake_timeout=patience
            )
