"""Audacity's label track: one phone on each line, to lie under the waveform."""

from collections.abc import Iterator

from .document import Document
from .options import Options
from .units import named


def write(document: Document, options: Options) -> Iterator[bytes]:
    """A `line` for each phone."""
    for symbol, start, end, _ in named(document, options):
        yield line(start, end, symbol).encode()


def line(start: float, end: float, label: str) -> str:
    """Start, end and label between tabs, in seconds with the six decimals that Audacity writes itself."""
    return f"{start:.6f}\t{end:.6f}\t{label}\n"
