"""What was spotted in a recording: keywords, in the formats that have room for phrases that overlap, or one command."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..errors import printable
from ..streaming.audio.recording import Lost
from ..streaming.events import fields
from ..streaming.spotting.commands import CommandResult
from ..streaming.spotting.spotter import Spotted
from . import audacity, eaf, subtitles, textgrid
from .registry import FORMATS
from .units import Label

TIER = "keywords"
CSV_HEADER = b"file,phrase,start,end,score,word_boundary,channel\n"
COMMAND_CSV_HEADER = b"file,command,score,second,best,channel\n"
_WITHIN = "  (perhaps within a longer word)"


@dataclass(frozen=True)
class Spots:
    """The keywords in a recording, or in one channel of it."""

    file: str
    """As it was given."""
    seconds: float
    spotted: Sequence[Spotted]
    channel: int | None = None
    """Counted from 1; None where channels were mixed."""
    folder: str | None = None
    """Where the result will lie, for formats that say where the recording is; None: beside it."""
    lost: tuple[Lost, ...] = ()
    """What is missing within it, in order."""


@dataclass(frozen=True)
class Told:
    """Which command a recording is, or a channel of it."""

    file: str
    """As it was given."""
    result: CommandResult
    channel: int | None = None
    """Counted from 1; None where channels were mixed."""
    lost: tuple[Lost, ...] = ()
    """What is missing within it, in order."""


def _line(found: Spots | Told, text: str) -> bytes:
    """One that begins with the file's name as it is on disk, as grep's do."""
    channel = "" if found.channel is None else f", channel {found.channel}"
    return os.fsencode(f"{printable(found.file)}{channel}  {text}\n")


def _named(found: Spots | Told) -> dict[str, Any]:
    """What JSON begins with."""
    return {"file": found.file} | ({} if found.channel is None else {"channel": found.channel})


def _lost(found: Spots | Told) -> dict[str, Any]:
    """What JSON ends with, where something is missing within the recording."""
    return {"lost": [fields(lost) for lost in found.lost]} if found.lost else {}


def _text(found: Spots) -> bytes:
    """A line for each."""
    return b"".join(
        _line(
            found,
            f"{one.start:8.2f} - {one.end:.2f} s  {one.score:.3f}  {one.phrase}"
            + (_WITHIN if one.word_boundary is False else ""),
        )
        for one in found.spotted
    )


def _json(found: Spots) -> bytes:
    """One line, times in seconds to the millisecond; ASCII whatever the file is called."""
    spotted = [
        one._asdict() | {"start": round(one.start, 3), "end": round(one.end, 3), "score": round(one.score, 4)}
        for one in found.spotted
    ]
    content = {**_named(found), "seconds": round(found.seconds, 3), "spotted": spotted, **_lost(found)}
    return f"{json.dumps(content)}\n".encode()


def _csv(found: Spots) -> bytes:
    return CSV_HEADER + _rows(
        (
            found.file,
            one.phrase,
            f"{one.start:.3f}",
            f"{one.end:.3f}",
            f"{one.score:.4f}",
            {True: "true", False: "false", None: ""}[one.word_boundary],
            found.channel,
        )
        for one in found.spotted
    )


def _rows(rows: Iterable[Sequence[object]]) -> bytes:
    """As CSV; bytes of a name that are not UTF-8 become escapes such as \\udcff."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode(errors="backslashreplace")


def tiers(spotted: Sequence[Spotted]) -> dict[str, list[Label]]:
    """The keywords in the order of time; those that overlap others in tiers of their own, as few as can be."""
    found: list[list[Label]] = [[]]
    for one in sorted(spotted, key=lambda one: (one.start, one.end)):
        free = next((tier for tier in found if not tier or tier[-1][2] <= one.start), None)
        if free is None:
            found.append(free := [])
        free.append((one.phrase, one.start, one.end))
    return {TIER if number == 1 else f"{TIER} {number}": tier for number, tier in enumerate(found, start=1)}


def _cues(found: Spots) -> Iterator[subtitles.Cue]:
    for one in sorted(found.spotted, key=lambda one: (one.start, one.end)):
        yield subtitles.Cue(one.start, one.end, (one.phrase,))


def _audacity(found: Spots) -> bytes:
    return "".join(audacity.line(one.start, one.end, one.phrase) for one in found.spotted).encode()


def _command_text(told: Told) -> bytes:
    result = told.result
    said = result.command or f"none of the commands (nearest: {result.best})"
    return _line(told, f"{result.score:.3f}  {said}")


def _command_json(told: Told) -> bytes:
    result = told.result
    content = {
        **_named(told),
        "command": result.command,
        "score": round(result.score, 4),
        "second": result.second,
        "best": result.best,
        **_lost(told),
    }
    return f"{json.dumps(content)}\n".encode()


def _command_csv(told: Told) -> bytes:
    result = told.result
    row = told.file, result.command, f"{result.score:.4f}", result.second, result.best, told.channel
    return COMMAND_CSV_HEADER + _rows([row])


@dataclass(frozen=True)
class SpotFormat:
    """A way to write them down. Name, extension and `joins` are those of `registry.FORMATS`."""

    name: str
    write: Callable[[Any], bytes]
    """Of a `Spots` or a `Told` makes a file."""
    header: bytes = b""
    """What every file begins with."""

    @property
    def extension(self) -> str:
        return FORMATS[self.name].extension

    @property
    def joins(self) -> bool:
        return FORMATS[self.name].joins


def _table(*formats: SpotFormat) -> Mapping[str, SpotFormat]:
    return MappingProxyType({form.name: form for form in formats})


SPOT_FORMATS = _table(
    SpotFormat("text", _text),
    SpotFormat("json", _json),
    SpotFormat("csv", _csv, CSV_HEADER),
    SpotFormat("textgrid", lambda found: textgrid.write_tiers(tiers(found.spotted), found.seconds)),
    SpotFormat(
        "eaf", lambda found: eaf.write_tiers(tiers(found.spotted), found.file, found.channel, found.folder)
    ),
    SpotFormat("srt", lambda found: subtitles.as_srt(_cues(found))),
    SpotFormat("vtt", lambda found: subtitles.as_vtt(_cues(found))),
    SpotFormat("audacity", _audacity),
)
"""For keywords, by the names that `--format` takes."""

COMMAND_FORMATS = _table(
    SpotFormat("text", _command_text),
    SpotFormat("json", _command_json),
    SpotFormat("csv", _command_csv, COMMAND_CSV_HEADER),
)
"""For commands."""
