"""What all connections of a server share: the engine, who may come in, and how many."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from ..audio import resample
from ..audio.recording import Lost
from ..decode import Phone
from ..pool.stream import PooledStream
from .access import Access, is_loopback
from .connections import Address, Connections, counted, network_of
from .engine import Engine, Listener, put
from .limits import Limits
from .metrics import Metrics
from .protocol import Close, Opening, RefusedError, SetCommands, SetKeywords

if TYPE_CHECKING:
    from .alignment import Aligner

T = TypeVar("T")


class AnswerWriter(Protocol):
    """How a transcript of a file is answered."""

    @property
    def media_type(self) -> str: ...

    def write(
        self, file: str, seconds: float, phones: Sequence[Phone], lost: tuple[Lost, ...] = ()
    ) -> bytes: ...


Answers: TypeAlias = Callable[[Mapping[str, str]], AnswerWriter]
"""What parameters of a request ask for; a ConfigError where there is no such thing."""

STOPS = "the server stops; connect to another"


class Service:
    """The state of a running server. Its methods belong to the event loop."""

    def __init__(
        self,
        engine: Engine,
        metrics: Metrics,
        limits: Limits,
        access: Access,
        answers: Answers,
        align: "Aligner | None" = None,
        visemes: str | None = None,
    ) -> None:
        self.engine = engine
        self.metrics = metrics
        self.limits = limits
        self.access = access
        self.answers = answers
        self.align = align
        self.visemes = visemes
        """Of streams that name none."""
        self.stopping = asyncio.Event()
        self.idle = asyncio.Event()  # nobody is being served
        self.idle.set()
        self.connections = Connections(limits)
        self._of_network: Counter[str] = Counter()  # of the streams
        self._waiting: dict[Address, None] = {}  # a set that keeps the order
        self.serving = 0  # connections that have not come to their end
        self._uploads = 0
        self._odd = 0  # Hz of streams of odd rates
        # Threads of their own: what takes long for one kind of client keeps no other waiting.
        self._openers = ThreadPoolExecutor(2, "open")
        self._resumers = ThreadPoolExecutor(1, "resume")
        self._designers = ThreadPoolExecutor(1, "design")
        self.files = ThreadPoolExecutor(2, "files")
        """For all that is done with uploaded files ..."""
        self.aligners = ThreadPoolExecutor(1, "align")
        """... but aligning them."""

    @property
    def streams(self) -> int:
        """Streams and files that are being heard."""
        return self._of_network.total()

    def status(self) -> str:
        """`ok`, or why another stream would be refused: `busy` or `stopping`."""
        if self.stopping.is_set():
            return "stopping"
        return "busy" if self._full() else "ok"

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Around a connection: the server does not stop inside, unless its patience ends.

        One that comes when it stops already is refused, and not waited for: others might come without end.
        """
        if self.stopping.is_set():
            yield
            return
        self.serving += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.serving -= 1
            if not self.serving:
                self.idle.set()

    @contextmanager
    def waiting(self, client: Address | None) -> Iterator[None]:
        """Around what a connection does before its opening; when there are too many, the oldest of the
        address that has most gives way."""
        if client is None:
            yield
            return
        while len(self._waiting) >= self.limits.waiting:
            [(largest, _)] = Counter(network_of(host) for host, _ in self._waiting).most_common(1)
            oldest = next(address for address in self._waiting if network_of(address[0]) == largest)
            del self._waiting[oldest]
            self.connections.abort(oldest)
        self._waiting[client] = None
        try:
            yield
        finally:
            self._waiting.pop(client, None)

    @contextmanager
    def upload(self, client: Address | None) -> Iterator[None]:
        """Around a file, from its first byte on: it takes the place of a stream.

        Raises:
            RefusedError: as for `stream`, or there are too many files.
        """
        if self._uploads >= self.limits.uploads:
            self.metrics.refused()
            raise RefusedError(
                Close.BUSY, f"{self._uploads} files are being sent already, as many as may; try again later"
            )
        with self._place(client):
            self._uploads += 1
            try:
                yield
            finally:
                self._uploads -= 1

    @asynccontextmanager
    async def stream(
        self, opening: Opening, listener: Listener, client: Address | None, *, uploaded: bool = False
    ) -> AsyncIterator[PooledStream]:
        """A stream of `client` in the engine; that of a file has its place already.

        Raises:
            RefusedError: the server stops, or has as much to do as it can.
            SnapshotError: as for `Engine.open`.
        """
        with nullcontext() if uploaded else self._place(client), self._odd_rate(opening.rate) as opener:
            if opener is None:
                opener = self._openers if opening.snapshot is None else self._resumers
            loop = asyncio.get_running_loop()
            opened = await loop.run_in_executor(opener, self.engine.open, opening, listener)
            self.metrics.opened()
            try:
                yield opened
            finally:
                self.engine.close(opened)

    async def change(self, stream: PooledStream, wanted: SetKeywords | SetCommands) -> None:
        """Give a stream other keywords or commands. It looks at them where openings are, not in the event loop.

        Raises:
            ConfigError, DataError: they are none.
        """
        await asyncio.get_running_loop().run_in_executor(self._openers, put, stream, wanted)

    async def before_stop(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, unless the server stops before.

        Raises:
            RefusedError: it does.
        """
        task, stopping = asyncio.create_task(work), asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise RefusedError(Close.RESTART, STOPS)
            return task.result()
        finally:
            task.cancel()
            stopping.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    @contextmanager
    def _place(self, client: Address | None) -> Iterator[None]:
        """One of the streams that there may be.

        Raises:
            RefusedError: there is none.
        """
        if self.stopping.is_set():
            raise RefusedError(Close.RESTART, STOPS)
        network = "" if client is None else network_of(client[0])
        full = self._full() or self._full_for(network)
        if full:
            self.metrics.refused()
            raise RefusedError(Close.BUSY, f"{full}; try again later or elsewhere")
        with counted(self._of_network, network):
            yield

    @contextmanager
    def _odd_rate(self, rate: int) -> Iterator[Executor | None]:
        """The thread in which a stream is opened that needs a large filter, one at a time; None for other rates.

        Raises:
            RefusedError: there are too many of them.
        """
        if not resample.is_odd(rate, self.engine.recognizer.metadata.sample_rate):
            yield None
            return
        if self._odd + rate > self.limits.odd_rates:
            self.metrics.refused()
            raise RefusedError(
                Close.BUSY,
                f"too many streams have rates like {rate} Hz, which cost most; send 16000 or 48000 Hz",
            )
        self._odd += rate
        try:
            yield self._designers
        finally:
            self._odd -= rate

    def _full(self) -> str | None:
        """Why another stream would be one too many; None if it would not."""
        if self.streams >= self.limits.streams:
            return f"the server hears {self.streams} streams already, as many as it may"
        lag = self.engine.lag_seconds
        if lag > self.limits.lag_seconds:
            return f"the server is overloaded: audio waits {lag:.1f} s for its turn"
        return None

    def _full_for(self, network: str) -> str | None:
        """Why another stream would be one too many for whoever has these addresses."""
        most = self.limits.address_streams
        if most is None:
            most = self.limits.streams if is_loopback(network) else max(1, self.limits.streams // 2)
        if self._of_network[network] < most:
            return None
        return f"{most} streams come from this address already, as many as may"
