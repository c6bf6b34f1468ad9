"""Ctrl-C and SIGTERM as a wish that a training step can look at, so that it ends with a checkpoint."""

import signal
from collections.abc import Callable
from types import FrameType


class StopOnSignal:
    """While open, SIGINT and SIGTERM ask for a stop after the present step instead of killing the process."""

    def __init__(self) -> None:
        self.requested = False
        self._before: list[tuple[int, Callable[[int, FrameType | None], object] | int | None]] = []

    def __enter__(self) -> "StopOnSignal":
        def request(number: int, frame: FrameType | None) -> None:
            self.requested = True

        self._before = [
            (number, signal.signal(number, request)) for number in (signal.SIGINT, signal.SIGTERM)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
