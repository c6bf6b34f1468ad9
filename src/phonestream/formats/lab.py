"""HTK's label file: intervals in units of 100 ns, as HTK, HTS and synthesis front ends read them."""

from collections.abc import Iterator

from .document import Document
from .options import Options
from .units import intervals, with_words

_UNITS = 10_000_000  # in a second
SILENCE = "sil"


def write(document: Document, options: Options) -> Iterator[bytes]:
    """Lines of `start end symbol`, without gaps from 0 to the recording's end; silence is `sil`.

    A word stands behind the symbol of its first phone, where HVite puts it. (The HTK Book, "HTK label files"; names
    are quoted after its "Strings and names" where they would be read otherwise.)
    """
    before: int | None = None
    for (symbol, start, end, _), word in with_words(intervals(document, options), document.words):
        line = f"{round(start * _UNITS)} {round(end * _UNITS)} {_name(symbol or SILENCE)}"
        if word is not None and word != before:
            line += " " + _name(document.words[word].text)
            before = word
        yield f"{line}\n".encode(errors="backslashreplace")


def _name(text: str) -> str:
    """`text` so that HTK reads it as one name and no number."""
    escaped = text.replace("\\", "\\\\")
    if text[:1].isdigit() or text[:1] in ("'", '"', "-", "+", ".") or any(map(str.isspace, text)):
        escaped = '"' + escaped.replace('"', '\\"') + '"'
    return escaped
