"""Manifests that other toolkits write, read without them: lhotse's recordings and cuts, and Kaldi's wav.scp."""

import gzip
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from ..errors import DataError, reason_of
from ..streaming.json_values import is_number
from .entries import Entry, Failure, Source
from .remote import open_binary, remedy, strip_file_scheme
from .sinks import HIDDEN

LHOTSE = (".jsonl", ".jsonl.gz")
KALDI = (".scp",)
MAX_ROW = 4 << 20  # bytes: a cut of ten hours with its words is shorter
MAX_WRONG = 1000  # rows that are named each
# Of what a packed manifest holds to its own size, once it is above FREE_BYTES; others have 5 to 30
MAX_RATIO = 100
FREE_BYTES = 16 << 20


def is_manifest(name: str) -> bool:
    """Whether a file's name is one of a manifest."""
    return name.lower().endswith(LHOTSE + KALDI)


def read_manifest(path: str) -> Iterator[Entry]:
    """The recordings of a manifest, row by row, under their ids. A row that is wrong is a Failure with its number.

    Of lhotse's, cuts (MonoCut, MultiCut) and recordings are read whose audio is one file; of Kaldi's, rows
    `id path`. Of a cut, its channels from its start for its duration are read. Relative paths are
    relative to the working folder, as those toolkits have it.
    """
    parse = _kaldi if path.lower().endswith(KALDI) else _lhotse
    number = wrong = 0
    try:
        with open_binary(path) as packed, _unpacked(path, packed) as file:
            for number, line in enumerate(_rows(file, packed), start=1):
                if line is not None and not line.strip():
                    continue
                entry = _entry(line, f"{path}:{number}: ", parse)
                wrong += isinstance(entry, Failure)
                if isinstance(entry, Source) or wrong <= MAX_WRONG:
                    yield entry
    except (OSError, EOFError, zlib.error, ValueError) as error:  # ValueError: a null character in the name
        after = f" after row {number}" if number else ""
        mend = remedy(error, "check the name, or write it again")
        yield Failure(f"{path}: the manifest cannot be read{after}: {reason_of(error)}; {mend}")
    else:
        if number == 0:
            yield Failure(f"{path}: the manifest is empty; write it again")
    if wrong > MAX_WRONG:
        yield Failure(f"{path}: {wrong - MAX_WRONG} more rows are wrong; is this a manifest?")


def _entry(line: bytes | None, where: str, parse: Callable[[str, str], Source]) -> Entry:
    if line is None:
        return Failure(f"{where}is longer than {MAX_ROW >> 20} MiB; is this a manifest?")
    try:
        return parse(line.decode("utf-8"), where)
    except UnicodeDecodeError as error:
        return Failure(f"{where}is not UTF-8 text (byte {error.start}); save the manifest as UTF-8")
    except DataError as error:
        return Failure(f"{where}{error}")


def _rows(file: BinaryIO, packed: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a manifest, None for one that is too long to keep.

    Raises:
        ValueError: `packed`, which it comes from, holds far more than its size says.
    """
    within = False  # a line that is too long
    while part := file.readline(MAX_ROW):
        if file is not packed and file.tell() > max(FREE_BYTES, MAX_RATIO * packed.tell()):
            raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size")
        whole = len(part) < MAX_ROW or part.endswith(b"\n")
        if whole:
            yield None if within else part
        within = not whole
    if within:
        yield None


def _unpacked(path: str, file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file, "rb")) if path.lower().endswith(".gz") else file


def _kaldi(line: str, where: str) -> Source:
    fields = line.split(None, 1)
    if len(fields) < 2:
        raise DataError(f"has no path after {line.strip()!r}; rows are: ID PATH")
    key, path = fields[0], fields[1].strip()
    if path.endswith("|") or path.startswith("|"):
        raise DataError("is a command, and none are run; run it yourself and name the file that it gives")
    if re.search(r"\.ark:\d+(\[.*\])?$", path):
        raise DataError("points into an archive (ark); copy it out: wav-copy scp:wav.scp ...")
    return Source(key, strip_file_scheme(path), _stem(key), where)


def _lhotse(line: str, where: str) -> Source:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({error}); write the manifest again") from None
    if not isinstance(row, dict):
        raise DataError("is no object; expected a lhotse cut or recording")
    if "sources" in row:
        path, _ = _audio(row, None)
        return Source(_text(row, "id"), path, _stem(_text(row, "id")), where)
    kind = row.get("type")
    if kind not in ("MonoCut", "MultiCut"):
        what = f"is a {kind}" if kind else "has no 'sources'"
        raise DataError(f"{what}; expected a recording, a MonoCut or a MultiCut with its recording")
    if not isinstance(row.get("recording"), dict):
        raise DataError("is a cut without a recording; features alone cannot be heard")
    start, seconds = _number(row, "start"), _number(row, "duration")
    if seconds == 0:
        raise DataError("has 'duration' 0; leave the row out")
    channel = row.get("channel", 0)
    wanted = channel if isinstance(channel, list) else [channel]
    if not wanted or any(type(one) is not int or one < 0 for one in wanted):
        raise DataError(f"has 'channel' {channel!r}; expected whole numbers from 0 on")
    path, columns = _audio(row["recording"], wanted)
    return Source(
        _text(row, "id"), path, _stem(_text(row, "id")), where, start=start, seconds=seconds, columns=columns
    )


def _audio(recording: Mapping[str, Any], wanted: list[int] | None) -> tuple[str, tuple[int, ...] | None]:
    """The file of a recording that holds the channels `wanted`, and which of its columns they are."""
    sources = recording.get("sources")
    if recording.get("transforms"):
        raise DataError("has transforms, which only lhotse applies; save the audio with them first")
    if not isinstance(sources, list) or not sources or not all(isinstance(one, dict) for one in sources):
        raise DataError(f"has 'sources' {sources!r:.60}; expected a list of audio sources")
    if wanted is None:
        if len(sources) != 1:
            raise DataError(f"has its channels in {len(sources)} files; name each as a recording of its own")
        return _path(sources[0]), None
    for source in sources:
        held = source.get("channels", [0])
        if not isinstance(held, list) or any(type(one) is not int for one in held):
            raise DataError(f"has 'channels' {held!r:.60}; expected whole numbers from 0 on")
        if set(wanted) <= set(held):
            return _path(source), tuple(held.index(channel) for channel in wanted)
    raise DataError(f"has no single file with its channel {', '.join(map(str, wanted))}; check its sources")


def _path(source: Mapping[str, Any]) -> str:
    if source.get("type") not in ("file", "url"):
        raise DataError(
            f"has audio of type {source.get('type')!r}; only files and URLs are read, so save it to one"
        )
    return strip_file_scheme(_text(source, "source"))


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"has {key!r} {value!r:.60}; expected a text")
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        raise DataError(
            f"has {key!r} {value!r:.60}, which is no text (a lone surrogate); rename it"
        ) from None
    return value


def _number(row: Mapping[str, Any], key: str) -> float:
    value = row.get(key, 0.0 if key == "start" else None)
    if not is_number(value, 0, 1e9):
        raise DataError(f"has {key!r} {value!r:.60}; expected seconds from 0 on")
    return float(value)


def _stem(key: str) -> str:
    """An id as the name of a result: with slashes it is a path below the output folder."""
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\0" in key or not path.parts or path.parts[0] == HIDDEN:
        raise DataError(f"has the id {key!r}, which cannot name a file below the output folder; rename it")
    return str(path)
