"""Files told by their first bytes, where bare samples are expected: heard as such they would be noise."""

_BEGINNINGS = {
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3": "MP3",
    b"RIFF": "WAV",
    b"RF64": "WAV",
    b"FORM": "AIFF",
    b"caff": "CAF",
}
LENGTH = 12
"""How many of a file's first bytes `container_name` looks at."""


def container_name(head: bytes) -> str | None:
    """What kind of file begins with `head`; None where nothing tells it from samples."""
    if head[4:8] == b"ftyp":
        return "MP4"
    return next((name for beginning, name in _BEGINNINGS.items() if head.startswith(beginning)), None)
