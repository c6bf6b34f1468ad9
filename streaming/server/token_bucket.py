"""A bounded rate: tokens come at it, and so many of them may be spent at once."""

import time


class TokenBucket:
    """Full at first. It may be overdrawn, and is even again after `wait` seconds."""

    def __init__(self, rate: float, size: float) -> None:
        """`rate`: tokens a second; `size`: how many it holds."""
        self._rate, self._size = rate, size
        self._tokens, self._counted = size, time.monotonic()

    def spend(self, tokens: int = 1) -> None:
        """Take tokens, whether they are there or not."""
        self._tokens -= tokens

    @property
    def tokens(self) -> float:
        """How many are there now; below 0 if it is overdrawn."""
        now = time.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        return self._tokens

    @property
    def wait(self) -> float:
        """Seconds until it is no longer overdrawn."""
        return max(0.0, -self.tokens / self._rate)
