"""What all connections of a server share: the engine, who may come in, and how many."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from ..pool.stream import PooledStream
from .access import Access
from .connections import Address, Connections
from .engine import Engine, Listener
from .limits import Limits
from .metrics import Metrics
from .protocol import Close, Opening, RefusedError


class Service:
    """The state of a running server. Its methods belong to the event loop."""

    def __init__(self, engine: Engine, metrics: Metrics, limits: Limits, access: Access) -> None:
        self.engine = engine
        self.metrics = metrics
        self.limits = limits
        self.access = access
        self.stopping = asyncio.Event()
        self.idle = asyncio.Event()  # nobody is being served
        self.idle.set()
        self.connections = Connections(limits)
        self._streams = 0
        self._waiting: dict[Address, None] = {}  # a set that keeps the order
        self._serving = 0

    @property
    def streams(self) -> int:
        """Streams and files that are being heard."""
        return self._streams

    def status(self) -> str:
        """`ok`, or why another stream would be refused: `busy` or `stopping`."""
        if self.stopping.is_set():
            return "stopping"
        return "busy" if self._full() else "ok"

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Around a connection: the server does not stop inside, unless its patience ends."""
        self._serving += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._serving -= 1
            if not self._serving:
                self.idle.set()

    @contextmanager
    def waiting(self, client: Address | None) -> Iterator[None]:
        """Around what a connection does before its opening; the oldest that waits gives way when there are too many."""
        if client is None:
            yield
            return
        while len(self._waiting) >= self.limits.waiting:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self.connections.abort(oldest)
        self._waiting[client] = None
        try:
            yield
        finally:
            self._waiting.pop(client, None)

    @asynccontextmanager
    async def stream(self, opening: Opening, listener: Listener) -> AsyncIterator[PooledStream]:
        """A stream in the engine.

        Raises:
            RefusedError: the server stops, or has as much to do as it can.
            SnapshotError: as for `Engine.open`.
        """
        if self.stopping.is_set():
            raise RefusedError(Close.RESTART, "the server stops; connect to another")
        full = self._full()
        if full:
            self.metrics.refused()
            raise RefusedError(Close.BUSY, f"{full}; try again later or elsewhere")
        self._streams += 1
        try:
            opened = await asyncio.to_thread(self.engine.open, opening, listener)
            self.metrics.opened()
            try:
                yield opened
            finally:
                self.engine.close(opened)
        finally:
            self._streams -= 1

    def _full(self) -> str | None:
        """Why another stream would be one too many; None if it would not."""
        if self._streams >= self.limits.streams:
            return f"the server hears {self._streams} streams already, as many as it may"
        lag = self.engine.lag_seconds
        if lag > self.limits.lag_seconds:
            return f"the server is overloaded: audio waits {lag:.1f} s for its turn"
        return None
