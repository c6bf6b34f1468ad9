"""Text for a person to read: lines of phones that begin with their time and end at a pause.

Where beam search has guessed at words, " | " stands between their phones.
"""

from collections.abc import Iterator

from ..streaming.decode import Phone
from .document import Document
from .options import Options
from .units import Heard, phones

PAUSE = 0.15  # seconds without a phone that begin a new line
WIDTH = 80  # columns of a line
DOUBTFUL = 0.5  # confidence below which a phone may be drawn faintly


_FAINT, _NORMAL = "\x1b[2m", "\x1b[22m"


def lines(document: Document, options: Options | None = None) -> Iterator[str]:
    """Lines that begin with the time of their first phone, broken at pauses and where they are full.

    Args:
        document: needs no intervals, but for visemes.
        options: the names of phones, ARPAbet by default; if styled, doubtful ones are drawn faintly.
    """
    options = options or Options()
    line, used, heard = "", 0, 0.0  # the line so far, its columns, when its last phone ended
    for phone in phones(document, options):
        mark = boundary(phone)
        if line and (phone.start - heard >= PAUSE or used + len(mark) + len(phone.symbol) > WIDTH):
            yield line
            line = ""
        if not line:
            line, mark = f"{phone.start:8.2f} ", " "
            used = len(line)
        faint = options.styled and phone.confidence < DOUBTFUL
        line += mark + (f"{_FAINT}{phone.symbol}{_NORMAL}" if faint else phone.symbol)
        used += len(mark) + len(phone.symbol)
        heard = phone.end
    yield line or f"{0:8.2f}  (no phones in {document.seconds:.2f} s)"


def boundary(phone: Heard) -> str:
    """What stands between a phone and the one before it on a line."""
    return " | " if isinstance(phone, Phone) and phone.word_start else " "


def write(document: Document, options: Options) -> Iterator[bytes]:
    """`lines`, in UTF-8."""
    for line in lines(document, options):
        yield f"{line}\n".encode()
