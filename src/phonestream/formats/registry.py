"""Every format by its name: what `--format` chooses from, and all that a caller needs to write a result."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from ..errors import ConfigError
from . import audacity, csv_rows, ctm, eaf, json_lines, lab, moho, rhubarb, subtitles, text, textgrid
from .document import Document
from .options import Options

__all__ = ["FORMATS", "Format", "Options", "find", "find_among", "needs_intervals"]

F = TypeVar("F")


@dataclass(frozen=True)
class Format:
    """A way to write a `Document` down."""

    name: str
    extension: str
    """Of a file's name, without the dot. No two formats share one."""
    chunks: Callable[[Document, Options], Iterator[bytes]]
    """The file a part at a time, so that hours of phones are never all spelt out in memory. The same document gives
    the same bytes."""
    needs_intervals: bool = True
    """Whether it is written from `Document.intervals`; `needs_intervals` below minds the options too."""
    header: bytes = b""
    """What every file begins with."""
    joins: bool = False
    """Whether files written one behind the other, headers but the first left out, are a file of the format."""
    write_channels: Callable[[Sequence[Document], Options], bytes] | None = None
    """Several channels of a recording in one file, where the format has room for them."""

    def write(self, document: Document, options: Options) -> bytes:
        """The whole file."""
        return b"".join(self.chunks(document, options))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        form.name: form
        for form in (
            Format("text", "txt", text.write, needs_intervals=False, joins=True),
            Format("json", "json", json_lines.write, needs_intervals=False, joins=True),
            Format("ctm", "ctm", ctm.write, joins=True),
            Format("textgrid", "TextGrid", textgrid.write, write_channels=textgrid.write_channels),
            Format("eaf", "eaf", eaf.write),
            Format("srt", "srt", subtitles.write_srt),
            Format("vtt", "vtt", subtitles.write_vtt),
            Format("audacity", "audacity.txt", audacity.write),
            Format("lab", "lab", lab.write),
            Format("moho", "dat", moho.write),
            Format("rhubarb", "rhubarb.json", rhubarb.write),
            Format("csv", "csv", csv_rows.write, header=csv_rows.HEADER, joins=True),
        )
    }
)
"""By the names that `--format` takes."""


def find(name: str) -> Format:
    """The format called `name`, in any case.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    return find_among(FORMATS, name)


def find_among(formats: Mapping[str, F], name: str) -> F:
    """`find` among other formats than `FORMATS`."""
    form = formats.get(name.lower())
    if form is None:
        raise ConfigError(f"unknown format {name!r}: choose from {', '.join(formats)}")
    return form


def needs_intervals(formats: Iterable[Format], options: Options) -> bool:
    """Whether a `Document` for these must have `intervals`: visemes always need them."""
    return options.visemes is not None or any(form.needs_intervals for form in formats)
