"""CSV: one row for each phone, with a header, for spreadsheets, R and pandas."""

import csv
import io
from collections.abc import Iterator

from .document import Document
from .options import Options
from .units import milliseconds, named, with_words

COLUMNS = ("file", "channel", "start", "end", "symbol", "confidence", "word")
HEADER = (",".join(COLUMNS) + "\n").encode()


def write(document: Document, options: Options) -> Iterator[bytes]:
    """Rows under `COLUMNS`, in UTF-8 and quoted after RFC 4180, with plain line ends.

    Times are in seconds to the millisecond. `channel` is empty where channels were mixed, and `word` where no words
    were aligned. Bytes of a file's name that are not UTF-8 become escapes such as \\udcff.
    """
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    for (symbol, start, end, confidence), word in with_words(named(document, options), document.words):
        rows.writerow(
            (
                document.file,
                document.channel,
                f"{milliseconds(start) / 1000:.3f}",
                f"{milliseconds(end) / 1000:.3f}",
                symbol,
                f"{confidence:.3f}",
                "" if word is None else document.words[word].text,
            )
        )
    yield HEADER + out.getvalue().encode(errors="backslashreplace")
