"""What a server counts, for Prometheus."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds. Histograms of several servers add up, which quantiles do not."""


class Metrics:
    """Counts and measurements; every method may be called from any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace="phonestream", registry=self._registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, namespace="phonestream", registry=self._registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, namespace="phonestream", registry=self._registry, buckets=BUCKETS)

        self._streams = gauge("streams", "Streams open now.")
        self._backlog = gauge("backlog_seconds", "Audio that waits to be heard, all streams together.")
        self._opened = counter("streams_opened", "Streams accepted.")
        self._refused = counter("streams_refused", "Streams refused as one too many.")
        self._audio = counter("audio_seconds", "Audio heard, lost audio included.")
        self._lost = counter("lost_seconds", "Audio that clients said was lost.")
        self._phones = counter("phones", "Phones given.")
        self._closed = counter("streams_closed", "Streams ended, by WebSocket close code.", "code")
        self._compute = histogram("compute_seconds", "Of work in one round of all streams that have audio.")
        self._queue = histogram("queue_seconds", "From the arrival of audio to its turn.")

    def opened(self) -> None:
        self._opened.inc()

    def refused(self) -> None:
        self._refused.inc()

    def closed(self, code: int) -> None:
        self._closed.labels(str(int(code))).inc()

    def heard(self, seconds: float, phones: int) -> None:
        self._audio.inc(seconds)
        self._phones.inc(phones)

    def lost(self, seconds: float) -> None:
        self._lost.inc(seconds)

    def turn(self, compute: float, queued: list[float]) -> None:
        """A round of turns took `compute` seconds, for messages that had waited so long."""
        self._compute.observe(compute)
        for seconds in queued:
            self._queue.observe(seconds)

    def render(self, streams: int, waiting: float) -> bytes:
        """All of it as Prometheus' text format, with what is open now.

        Args:
            streams: how many are open.
            waiting: seconds of audio in all of them that nobody has heard yet.
        """
        self._streams.set(streams)
        self._backlog.set(waiting)
        return generate_latest(self._registry)
