"""Events on their way to a client: as many as fit, and word to whoever makes them when they do not."""

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """A queue of messages that tells when it is too full and when it has room again. For one event loop."""

    def __init__(self, limit: int, hold: Callable[[bool], object]) -> None:
        """`hold(True)` is called when more than `limit` bytes wait, `hold(False)` when half of it is gone."""
        self._limit = limit
        self._hold = hold
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._holding = False
        self._ended = False
        self._changed = asyncio.Event()

    def post(self, text: str) -> None:
        """Take a message, even beyond the limit: nothing is thrown away."""
        self._texts.append(text)
        self._bytes += len(text)
        self._changed.set()
        if self._bytes > self._limit and not self._holding:
            self._holding = True
            self._hold(True)

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._changed.set()

    async def take(self) -> str | None:
        """The next message, once there is one; None after the last."""
        while not self._texts:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        text = self._texts.popleft()
        self._bytes -= len(text)
        if self._holding and self._bytes <= self._limit // 2:
            self._holding = False
            self._hold(False)
        return text
