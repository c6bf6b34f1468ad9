"""What a server counts, and the text in which Prometheus reads it."""

from collections import Counter, deque
from collections.abc import Iterator
from threading import Lock

import numpy as np

KEPT = 4096  # of the latest measurements, from which quantiles are taken
QUANTILES = (0.5, 0.95, 0.99)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts and measurements; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._closed: Counter[int] = Counter()
        self._compute = Measured()
        self._queue = Measured()

    def opened(self) -> None:
        with self._lock:
            self._counts["opened"] += 1

    def refused(self) -> None:
        with self._lock:
            self._counts["refused"] += 1

    def closed(self, code: int) -> None:
        with self._lock:
            self._closed[code] += 1

    def heard(self, seconds: float, phones: int) -> None:
        with self._lock:
            self._counts["audio"] += seconds  # type: ignore[assignment]  # a Counter adds any number
            self._counts["phones"] += phones

    def lost(self, seconds: float) -> None:
        with self._lock:
            self._counts["lost"] += seconds  # type: ignore[assignment]

    def turn(self, compute: float, queued: list[float]) -> None:
        """A round of turns took `compute` seconds, for messages that had waited so long."""
        with self._lock:
            self._compute.add(compute)
            for seconds in queued:
                self._queue.add(seconds)

    def render(self, streams: int, waiting: float) -> str:
        """All of it as Prometheus' text format, with what is open now.

        Args:
            streams: how many are open.
            waiting: seconds of audio in all of them that nobody has heard yet.
        """
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines(streams, waiting))

    def _lines(self, streams: int, waiting: float) -> Iterator[str]:
        counts = self._counts
        yield from _plain("streams", "gauge", "Streams open now.", streams)
        yield from _plain(
            "backlog_seconds", "gauge", "Audio that waits to be heard, all streams together.", waiting
        )
        yield from _plain("streams_opened_total", "counter", "Streams accepted.", counts["opened"])
        yield from _plain(
            "streams_refused_total", "counter", "Streams refused as one too many.", counts["refused"]
        )
        yield from _plain(
            "audio_seconds_total", "counter", "Audio heard, lost audio included.", counts["audio"]
        )
        yield from _plain(
            "lost_seconds_total", "counter", "Audio that clients said was lost.", counts["lost"]
        )
        yield from _plain("phones_total", "counter", "Phones given.", counts["phones"])
        yield from _head("streams_closed_total", "counter", "Streams ended, by WebSocket close code.")
        for code, count in sorted(self._closed.items()):
            yield f'phonestream_streams_closed_total{{code="{code}"}} {count}'
        yield from self._compute.lines(
            "compute_seconds", "Of work in one round of all streams that have audio."
        )
        yield from self._queue.lines("queue_seconds", "From the arrival of audio to its turn.")


class Measured:
    """A quantity's count, sum, and latest values."""

    def __init__(self) -> None:
        self._count, self._sum = 0, 0.0
        self._latest: deque[float] = deque(maxlen=KEPT)

    def add(self, value: float) -> None:
        self._count += 1
        self._sum += value
        self._latest.append(value)

    def lines(self, name: str, text: str) -> Iterator[str]:
        yield from _head(name, "summary", f"{text} Quantiles of the latest {KEPT}.")
        values = np.quantile(self._latest, QUANTILES) if self._latest else [np.nan] * len(QUANTILES)
        for quantile, value in zip(QUANTILES, values, strict=True):
            yield f'phonestream_{name}{{quantile="{quantile}"}} {_number(value)}'
        yield f"phonestream_{name}_sum {_number(self._sum)}"
        yield f"phonestream_{name}_count {self._count}"


def _plain(name: str, kind: str, text: str, value: float) -> Iterator[str]:
    yield from _head(name, kind, text)
    yield f"phonestream_{name} {_number(value)}"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP phonestream_{name} {text}"
    yield f"# TYPE phonestream_{name} {kind}"


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.9g}"
