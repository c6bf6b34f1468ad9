"""Audacity's label track: one phone on each line, to lie under the waveform."""

from collections.abc import Iterator

from .document import Document
from .options import Options
from .units import named


def write(document: Document, options: Options) -> Iterator[bytes]:
    """Lines of start, end and symbol between tabs, in seconds with the six decimals that Audacity writes itself."""
    for symbol, start, end, _ in named(document, options):
        yield f"{start:.6f}\t{end:.6f}\t{symbol}\n".encode()
