"""NIST's CTM, time-marked conversation: one phone on each line, as scoring tools (sclite, Kaldi) read it."""

import re
from collections.abc import Iterator
from pathlib import PurePath

from .document import Document
from .options import Options
from .units import milliseconds, named


def write(document: Document, options: Options) -> Iterator[bytes]:
    """Lines of `recording channel start duration symbol confidence`, times in seconds to the millisecond.

    The recording is the file's name without folder and ending. White space would end the field, and a name that
    begins with ";;" would make the line a comment: such characters become "_". The channel is 1 where channels
    were mixed. (NIST's SCTK, "ctm": format of the time-marked conversation file.)
    """
    recording = re.sub(r"\s|^;;", "_", PurePath(document.file).stem) or "_"
    for symbol, start, end, confidence in named(document, options):
        begin, length = milliseconds(start), milliseconds(end) - milliseconds(start)
        line = f"{recording} {document.channel or 1} {begin / 1000:.3f} {length / 1000:.3f} {symbol} {confidence:.3f}\n"
        yield line.encode(errors="backslashreplace")
