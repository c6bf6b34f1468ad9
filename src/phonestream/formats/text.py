"""Text for a person to read: lines of phones that begin with their time and end at a pause.

Where beam search has guessed at words, " | " stands between their phones.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..streaming.decode import Phone
from .document import Document
from .options import Options
from .units import Heard, phones

PAUSE = 0.15  # seconds without a phone that begin a new line
WIDTH = 80  # columns of a line
DOUBTFUL = 0.5  # confidence below which a phone may be drawn faintly


class Lines(NamedTuple):
    """The line that is not done yet."""

    line: str = ""
    columns: int = 0
    ended: float = 0.0
    """When its last phone ended."""


def lines(document: Document, options: Options | None = None) -> Iterator[str]:
    """Lines that begin with the time of their first phone, broken at pauses and where they are full.

    Args:
        document: needs no intervals, but for visemes.
        options: the names of phones, ARPAbet by default; if styled, doubtful ones are drawn faintly.
    """
    options = options or Options()
    state = Lines()
    for phone in phones(document, options):
        done, state = add_phone(state, phone, faint if options.styled else str)
        yield from done
    yield state.line or f"{0:8.2f}  (no phones in {document.seconds:.2f} s)"


def add_phone(state: Lines, phone: Heard, dim: Callable[[str], str]) -> tuple[list[str], Lines]:
    """The lines that are done now, and the one that `phone` is in; `dim` styles the symbols of doubtful ones."""
    done: list[str] = []
    mark, symbol = boundary(phone), phone.symbol
    columns = state.columns + len(mark) + len(symbol)
    if state.line and (phone.start - state.ended >= PAUSE or columns > WIDTH):
        done, state = [state.line], Lines()
    if not state.line:
        mark, line = " ", f"{phone.start:8.2f} "
        state = Lines(line, len(line))
    shown = dim(symbol) if phone.confidence < DOUBTFUL else symbol
    return done, Lines(f"{state.line}{mark}{shown}", state.columns + len(mark) + len(symbol), phone.end)


def faint(text: str) -> str:
    """The text as a terminal draws it faintly."""
    return f"\x1b[2m{text}\x1b[22m"


def boundary(phone: Heard) -> str:
    """What stands between a phone and the one before it on a line."""
    return " | " if isinstance(phone, Phone) and phone.word_start else " "


def write(document: Document, options: Options) -> Iterator[bytes]:
    """`lines`, in UTF-8."""
    for line in lines(document, options):
        yield f"{line}\n".encode()
