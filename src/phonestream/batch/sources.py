"""What a person names on the command line, as recordings in a stated order: files, folders, globs, lists, manifests."""

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from ..errors import ConfigError, DataError, reason_of
from ..text_file import STANDARD_INPUT, read_standard_input, read_whole
from .entries import SUFFIXES, Entry, Failure, Source, without_ending
from .manifests import is_manifest, read_manifest
from .raw import Raw
from .remote import is_url, open_binary, remedy, strip_file_scheme
from .remote_sources import expand_url

MAX_LIST_BYTES = 256 << 20  # of a list of names: some millions


def expand(names: Iterable[str], *, root: str | None = None, raw: Raw | None = None) -> Iterator[Entry]:
    """The recordings that `names` stand for, in that order; what cannot be had is a Failure in its place.

    A folder stands for the recordings below it, by the ending of their names, sorted; names with a leading dot
    are left out, links are followed. A name with `*`, `?` or `[` that is no file is a pattern, `**` for any
    depth. `*.jsonl`, `*.jsonl.gz` and `*.scp` are manifests. Any of them may be a URL that fsspec knows.

    Args:
        names: files, folders, patterns, manifests, `-` for standard input.
        root: results mirror the tree below this folder. Without it: below each folder that was named, and the
            fixed part of each pattern; other results go straight into the output folder.
        raw: what the samples on standard input are like; None for a file with a header.
    """
    for name in map(strip_file_scheme, names):
        if name == STANDARD_INPUT:
            yield Source(name, name, "stdin", raw=raw)
        elif is_manifest(name) and not os.path.isdir(name):
            yield from read_manifest(name)
        elif is_url(name):
            yield from expand_url(name, root)
        elif os.path.isdir(name):
            yield from _below(name, name if root is None else root)
        elif glob.has_magic(name) and not os.path.lexists(name):
            yield from _matching(name, root)
        else:
            yield _file(name, os.path.dirname(name) if root is None else root)


def read_list(path: str) -> list[str]:
    """The names in a list, one a line, or ended by null characters as `find -print0` writes them.

    Args:
        path: a file, a URL, or `-` for standard input.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    try:
        if path == STANDARD_INPUT:
            content = read_standard_input(MAX_LIST_BYTES)
        else:
            with open_binary(strip_file_scheme(path)) as file:
                content = read_whole(file, MAX_LIST_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise DataError(
            f"{path}: the list cannot be read: {reason_of(error)}; {remedy(error, 'check the name')}"
        ) from None
    lines = (
        content.split(b"\0") if b"\0" in content else [line.rstrip(b"\r") for line in content.split(b"\n")]
    )
    names = [os.fsdecode(line) for line in lines if line.strip()]
    if not names:
        raise DataError(f"{path}: the list is empty; give one name a line")
    return names


def _file(path: str, root: str) -> Entry:
    """A recording whose results mirror its place below `root`."""
    relative = os.path.relpath(path, root or ".") if root else os.path.basename(path)
    if relative.split(os.sep)[0] == os.pardir:
        return Failure.of(path, f"is not below {root}; give another --root")
    stem = os.fspath(without_ending(PurePath(relative))) if PurePath(relative).name else "_"
    return Source(path, path, stem)


def _below(folder: str, root: str) -> Iterator[Entry]:
    """All recordings below a folder, and what could not be searched."""
    found = False
    for entry in _walk(folder, frozenset()):
        found = True
        yield entry if isinstance(entry, Failure) else _file(entry, root)
    if not found:
        yield Failure.of(
            folder,
            "is a folder that holds no recordings (names ending in .wav, .flac, .opus, .mp3, .m4a …); "
            "give another, or name the files themselves",
        )


def _walk(folder: str, above: frozenset[str]) -> Iterator[str | Failure]:
    real = os.path.realpath(folder)
    if real in above:  # a link back up the tree
        return
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        yield Failure.of(folder, f"the folder cannot be read: {error.strerror}; change its permissions")
        return
    for name in inside:
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _walk(path, above | {real})
        elif Path(name).suffix.lower() in SUFFIXES:
            yield from _regular(path)


def _regular(path: str) -> Iterator[str | Failure]:
    """A file of a folder or a pattern, or why it is left out: a pipe would be waited for without end."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:  # a link to itself or to nothing
        yield Failure.of(path, f"cannot be opened: {error.strerror}; remove it, or mend the link")
        return
    if stat.S_ISREG(mode):
        yield path
    else:
        yield Failure.of(path, "is a pipe or a device, not a file; name it itself to have it read")


def _matching(pattern: str, root: str | None) -> Iterator[Entry]:
    """What a pattern stands for that no shell has expanded."""
    parts = PurePath(pattern).parts
    fixed = parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))]
    start = os.path.join(*fixed) if fixed else ""
    base = root if root is not None else start or os.curdir
    deep = "**" in parts  # then the files in a folder are matched themselves
    found = [
        match
        for match in sorted(set(_glob(start, parts[len(fixed) :])))
        if not (deep and os.path.isdir(match))
    ]
    if not found:
        yield _file(pattern, base)  # the name of a file that is not there, which opening it says
    for match in found:
        if os.path.isdir(match):
            yield from _below(match, base)
        else:
            for entry in _regular(match):
                yield entry if isinstance(entry, Failure) else _file(entry, base)


def _glob(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """What matches the pattern `parts` below a folder. Unlike glob's, `**` does not follow links round and round."""
    if not parts:
        yield folder
    elif parts[0] == "**":
        for below in _folders(folder, frozenset()):
            yield from _glob(below, parts[1:] or ("*",))
    elif glob.has_magic(parts[0]):
        for name in glob.glob(parts[0], root_dir=folder or None):
            yield from _glob(os.path.join(folder, name), parts[1:])
    elif os.path.lexists(path := os.path.join(folder, parts[0])):
        yield from _glob(path, parts[1:])


def _folders(folder: str, above: frozenset[str]) -> Iterator[str]:
    """A folder and all below it but hidden ones, links followed unless they lead back up the tree."""
    real = os.path.realpath(folder)
    if real in above:
        return
    yield folder
    with suppress(OSError), os.scandir(folder or os.curdir) as entries:
        inside = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        for name in inside:
            if os.path.isdir(path := os.path.join(folder, name)):
                yield from _folders(path, above | {real})


def only_once(names: Sequence[str]) -> None:
    """Refuse standard input named twice.

    Raises:
        ConfigError: it is.
    """
    if names.count(STANDARD_INPUT) > 1:
        raise ConfigError("standard input ('-') is given twice; it can be read only once")
