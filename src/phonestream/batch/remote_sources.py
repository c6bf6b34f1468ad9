"""What a URL on the command line stands for: a recording, a folder of them, or a pattern, as local names do."""

import glob
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from .entries import SUFFIXES, Entry, Failure, Source, without_ending
from .remote import Url, error_reason, filesystem, parse, remedy

Found: TypeAlias = tuple[str, int | None]
"""A path below a folder, and the size of the file in bytes."""


def expand_url(name: str, root: str | None) -> Iterator[Entry]:
    """The recordings that a URL stands for, sorted; what cannot be had is a Failure. `root` as in `sources.expand`.

    A name that ends as recordings do is taken for one unasked: asking a store ten thousand times takes long.

    Raises:
        ModuleNotFoundError: fsspec is not installed.
    """
    url = parse(name)
    path = _without_query(url)
    above = url._replace(path=path.rpartition("/")[0])
    pattern = glob.has_magic(path)
    if PurePosixPath(path).suffix.lower() in SUFFIXES and not pattern:
        yield _source(url, above, root, None)
        return
    try:
        store, path = filesystem(name)
        if pattern and not store.exists(path):
            base, found = _matching(store, url, path)
        elif store.isdir(path):
            base, found = url, _below(store, path)
        else:
            yield _source(url, above, root, None)
            return
    except ModuleNotFoundError:
        raise
    except Exception as error:  # plug-ins raise what they like
        yield Failure.of(
            name,
            f"cannot be searched: {error_reason(error)}; {remedy(error)}",
        )
        return
    for relative, size in found:
        yield _source(base.child(relative), base, root, size)
    if not found:
        what = "no recording is called so" if pattern else "is a folder that holds no recordings"
        yield Failure.of(name, f"{what} (names ending in .wav, .flac, .opus, .mp3, .m4a …); give another")


def _source(url: Url, above: Url, root: str | None, size: int | None) -> Entry:
    """A recording whose results mirror its place below `root`, or below the folder `above`.

    Results call it by the outermost file system's name, without a query: that ends as file names do, and a query may
    hold a signature, which is secret.
    """
    base = above if root is None else parse(root) if "://" in root else None
    folder = "" if base is None else base.path.rstrip("/")
    within = base is not None and (url.scheme, url.rest) == (base.scheme, base.rest)
    if not within or (folder and not url.path.startswith(f"{folder}/")):
        return Failure.of(str(url), f"is not below {root}; give another --root")
    stem = PurePosixPath(_without_query(url)[len(folder) :].lstrip("/"))
    if ".." in stem.parts or not stem.name:
        return Failure.of(str(url), "cannot name a result below the output folder; rename it")
    name = f"{url.scheme}://{_without_query(url)}"
    return Source(name, str(url), str(without_ending(stem)), size=size)


def _without_query(url: Url) -> str:
    """The path, of web addresses without what comes after it."""
    return url.path.partition("?")[0] if url.scheme in ("http", "https") else url.path


def _below(store: Any, path: str) -> list[Found]:
    """All recordings below a folder, sorted as a walk through it meets them."""
    found = []
    for name, facts in store.find(path, detail=True).items():
        relative = PurePosixPath(_relative(name, path))
        hidden = any(part.startswith(".") for part in relative.parts)
        if relative.suffix.lower() in SUFFIXES and not hidden:
            found.append((str(relative), facts.get("size")))
    return sorted(found, key=lambda one: PurePosixPath(one[0]).parts)


def _matching(store: Any, url: Url, path: str) -> tuple[Url, list[Found]]:
    """The fixed part of a pattern, and what matches below it."""
    parts = url.path.split("/")
    count = len(parts) - next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = "/".join(path.split("/")[:-count])
    found: list[Found] = []
    for name, facts in sorted(store.glob(path, detail=True).items()):
        relative = _relative(name, base)
        if facts.get("type") != "directory":
            found.append((relative, facts.get("size")))
        elif "**" not in parts:  # otherwise the files in it are matched themselves
            found += ((f"{relative}/{below}", size) for below, size in _below(store, name))
    return url._replace(path="/".join(parts[:-count])), found


def _relative(name: str, folder: str) -> str:
    return name[len(folder.rstrip("/")) :].lstrip("/")
