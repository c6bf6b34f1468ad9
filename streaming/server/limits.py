"""What one server takes on: every bound in one place, with the figure that holds unless another is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that a server keeps, so that no client can take what belongs to the others."""

    streams: int = 128
    """Streams at a time; the next is refused. Files that are being transcribed count too."""
    message_bytes: int = 1 << 20
    """One WebSocket message, at most; the opening holds a snapshot in base64."""
    upload_bytes: int = 256 << 20
    """One file, at most."""
    backlog_seconds: float = 10.0
    """Audio of one stream that waits to be heard; while there is more, its socket is not read."""
    idle_seconds: float = 60.0
    """Without a message from the client, before its stream is closed."""
    duration_seconds: float = 24 * 3600.0
    """Audio in one stream, before it must be resumed in another connection."""
    stall_seconds: float = 30.0
    """While a client does not read what it is sent, before it is dropped."""
    lag_seconds: float = 1.0
    """That streams with audio wait for their turn, before new streams are refused."""
    grace_seconds: float = 20.0
    """For open streams to end in when the server stops."""

    backlog_messages: int = 1024
    """Messages of one stream that wait, however short."""
    outbox_bytes: int = 1 << 18
    """Events that wait to be sent, before the stream's audio waits too."""
    gaps: int = 10_000
    """Separate gaps in one stream: each takes room in it for good."""
    opening_seconds: float = 10.0
    """From the connection to the opening message."""
    waiting: int = 64
    """Connections that have not sent their opening message yet."""
