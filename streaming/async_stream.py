"""A stream for asyncio: the model runs in a thread, so that the event loop goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Any, Generic, TypeVar

from numpy.typing import ArrayLike

from .spotting.commands import Commands
from .spotting.keywords import Keywords
from .stream import DEFAULT_RATE, E, Stream

R = TypeVar("R")


class AsyncStream(Generic[E]):
    """`Stream`'s methods to be awaited, in the order of their calls.

    Examples:
        >>> stream = phonestream.AsyncStream(recognizer.stream())
        >>> async for phone in stream.events(microphone_chunks):
        ...     print(phone.symbol)

    A call that raises or is cancelled, by `asyncio.timeout` say, leaves the stream as it was: its audio is not heard,
    no event is lost, and the same call can be made again.
    """

    def __init__(self, stream: Stream[E]) -> None:
        """Go on with `stream`, which stays as it is."""
        self._stream = stream.copy()
        self._turn = asyncio.Lock()

    @property
    def stream(self) -> Stream[E]:
        """A copy of the stream after the calls so far: its clock, `save()`, `tentative()` …"""
        return self._stream.copy()

    async def accept(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> list[E]:
        """`Stream.accept`; `samples` must not change until it returns."""
        return await self._run(Stream.accept, samples, sample_rate)

    async def gap(self, samples: int, sample_rate: int | None = None) -> list[E]:
        """`Stream.gap`."""
        return await self._run(Stream.gap, samples, sample_rate)

    async def set_keywords(self, keywords: Keywords | None) -> None:
        """`Stream.set_keywords`."""
        await self._run(Stream.set_keywords, keywords)

    async def set_commands(self, commands: Commands | None) -> None:
        """`Stream.set_commands`."""
        await self._run(Stream.set_commands, commands)

    async def finish(self) -> list[E]:
        """`Stream.finish`."""
        return await self._run(Stream.finish)

    async def events(
        self, chunks: AsyncIterable[ArrayLike] | Iterable[ArrayLike], sample_rate: int = DEFAULT_RATE
    ) -> AsyncIterator[E]:
        """All events of `chunks` as they become certain, to the end of the stream."""
        if isinstance(chunks, AsyncIterable):
            async for chunk in chunks:
                for event in await self.accept(chunk, sample_rate):
                    yield event
        else:
            for chunk in chunks:
                for event in await self.accept(chunk, sample_rate):
                    yield event
        for event in await self.finish():
            yield event

    async def _run(self, method: Callable[..., R], *arguments: Any) -> R:
        async with self._turn:
            # A thread cannot be cancelled: what it does is taken over only at its end
            after = self._stream.copy()
            result = await asyncio.to_thread(method, after, *arguments)
            self._stream = after
            return result
