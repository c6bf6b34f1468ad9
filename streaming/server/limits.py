"""What one server takes on: every bound in one place, with the figure that holds unless another is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that a server keeps, so that no client can take what belongs to the others."""

    streams: int = 128
    """Streams at a time; the next is refused. Files that are being transcribed count too."""
    address_streams: int | None = None
    """The same for one IPv4 address, or one IPv6 network of 64 bits. None: half of `streams` for another machine, all
    for this one, where a proxy may stand for many."""
    message_bytes: int = 1 << 20
    """One WebSocket message, at most; the opening holds a snapshot in base64."""
    upload_bytes: int = 256 << 20
    """One file, at most."""
    backlog_seconds: float = 10.0
    """Audio of one stream that waits to be heard; while there is more, its socket is not read."""
    idle_seconds: float = 60.0
    """Without a message from the client, before its stream is closed."""
    duration_seconds: float = 24 * 3600.0
    """Audio in one stream, over all connections in which it was resumed; then another must be started."""
    stall_seconds: float = 30.0
    """While a client does not read what it is sent, before it is dropped."""
    lag_seconds: float = 1.0
    """That streams with audio wait for their turn, before new streams are refused."""
    grace_seconds: float = 20.0
    """For open streams to end in when the server stops."""

    uploads: int = 16
    """Files at a time, from their first byte on; each also counts as a stream."""
    upload_seconds: float = 900.0
    """From a file's first byte to its last."""
    upload_rate: float = 8192.0
    """Bytes a second that a file must come with, on average, once it has been coming for half a minute."""
    odd_rates: int = 200_000
    """Hz at a time, all streams together whose rates need a large filter (see `resample.is_odd`): those cost most."""
    gap_seconds: float = 3600.0  # a whole number of `lost_audio.period`, at any rate
    """Of a gap that waits to be heard; a longer one is taken in parts, each of which is an event of its own."""

    backlog_messages: int = 1024
    """Messages of one stream that wait, however short."""
    outbox_bytes: int = 1 << 18
    """Events that wait to be sent, before the stream's audio waits too."""
    gaps: int = 10_000
    """Separate gaps in one stream: each takes room in it for good."""
    opening_seconds: float = 10.0
    """From the connection to the opening message."""
    waiting: int = 256
    """WebSockets that have not sent their opening message yet; one more, and the oldest of them is dropped."""

    connections: int = 512
    """At a time, beside as many as `streams`; one more, and the oldest that holds no stream and no file is dropped."""
    address_connections: int = 256
    """The same for one IPv4 address, or one IPv6 network of 64 bits."""
    header_seconds: float = 10.0
    """From a connection, or the answer before, to the end of a request's headers."""
    accepts_per_second: float = 500.0
    """Connections; beyond it they wait to be accepted."""
    handshakes: int = 64
    """Connections that have not ended their TLS handshake; one more, and the oldest of them is dropped."""
    frames_per_second: float = 500.0
    """Of one WebSocket; beyond it the connection is not read for a while."""
