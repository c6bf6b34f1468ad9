"""How corpora lie on the disk: which layout a folder has, and the rows of the two that come with an index."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from . import folder as corpora_folder
from . import timit as corpora_timit
from . import wsj as corpora_wsj
from .files import is_audio, is_split, is_split_name, numbered_lines
from .rows import Problem, Row

MANIFEST = "manifest.tsv"
LIBRISPEECH_TRANSCRIPTS = ".trans.txt"
Reader = Callable[[Path, Sequence[Path], str | None], Iterator[Row | Problem]]
"""Rows of (corpus folder, all its files, name for the split of a corpus without any), problems among them."""


@dataclass(frozen=True)
class Layout:
    """One way to lay out a corpus."""

    name: str
    sign: str  # what a folder of this layout has, in words
    detect: Callable[[Path, Sequence[Path]], bool]
    rows: Reader


def find_layout(source: Path, files: Sequence[Path], name: str | None = None) -> Layout:
    """The layout called `name`, or the one that `source` shows.

    Raises:
        DataError: the name is unknown, no layout fits, or several do.
    """
    layouts = {layout.name: layout for layout in LAYOUTS}
    if name is not None:
        if name not in layouts:
            raise DataError(f"unknown layout {name!r}: expected one of {', '.join(layouts)}")
        return layouts[name]
    found = [layout for layout in LAYOUTS if layout.detect(source, files)]
    if len(found) > 1:
        signs = " and ".join(f"{layout.name} ({layout.sign})" for layout in found)
        raise DataError(f"{source} looks like {signs}: say which with --layout")
    if found:
        return found[0]
    audio = sum(is_audio(path) for path in files)
    if not audio:
        raise DataError(f"{source} holds no audio: give the folder that holds the corpus")
    signs = "; ".join(f"{layout.name}: {layout.sign}" for layout in LAYOUTS)
    raise DataError(f"{source} holds {audio} audio files but no transcripts for them. Looked for {signs}")


def manifest_rows(
    source: Path, files: Sequence[Path] = (), split: str | None = None
) -> Iterator[Row | Problem]:
    """Rows of `manifest.tsv`, whose first line names its columns.

    `id`, `split` and `path` (from the manifest's folder) are needed, and `text` or `phones`; `speaker`,
    `corpus` and `seconds` are used if they are there.

    Raises:
        DataError: the file is missing, is not text, or lacks a column that is needed.
    """
    path = source / MANIFEST
    lines = numbered_lines(path)
    columns = next(lines, ("", ""))[1].split("\t")
    missing = [name for name in ("id", "split", "path") if name not in columns]
    if "text" not in columns and "phones" not in columns:
        missing.append("text")
    if missing:
        raise DataError(
            f"{path}:1: lacks the column {missing[0]!r}; its first line must name tab-separated columns"
        )
    for where, line in lines:
        values = line.split("\t")
        if len(values) != len(columns):
            yield Problem(where, f"has {len(values)} columns where the first line has {len(columns)}")
            continue
        row = dict(zip(columns, values, strict=True))
        empty = [name for name in ("id", "split", "path") if not row[name].strip()]
        if empty:
            yield Problem(where, f"the column {empty[0]!r} is empty")
            continue
        if not is_split_name(row["split"]):
            yield Problem(
                where, f"split {row['split']!r} cannot be a file's name: use letters, digits, - and _"
            )
            continue
        try:
            seconds = float(row["seconds"]) if row.get("seconds") else None
        except ValueError:
            yield Problem(where, f"seconds is {row['seconds']!r}, which is no number")
            continue
        yield Row(
            where=where,
            id=row["id"],
            split=row["split"],
            audio=source / row["path"],
            text=row.get("text", "").strip(),
            phones=row.get("phones", "").strip() or None,
            speaker=row.get("speaker") or None,
            corpus=row.get("corpus") or None,
            seconds=seconds,
        )


def librispeech_rows(
    source: Path, files: Sequence[Path], split: str | None = None
) -> Iterator[Row | Problem]:
    """Rows of LibriSpeech (Panayotov et al. 2015), or any part of it.

    A folder `train-*`, `dev-*` or `test-*` says the split and is kept as the corpus, so that `test-clean`
    and `test-other` are reported apart. lhotse's own recipe is not used because it knows only the published
    parts, and passes over what it does not find.

    Raises:
        DataError: a transcript file is not text.
    """
    audio = {path.with_suffix("").as_posix(): path for path in files if is_audio(path)}
    parents = set()
    for transcripts in files:
        if not transcripts.name.endswith(LIBRISPEECH_TRANSCRIPTS):
            continue
        parents.add(transcripts.parent)
        folders = [source.name, *transcripts.relative_to(source).parts[:-1]]
        part = next(filter(is_split, reversed(folders)), None)
        if part is None:
            yield Problem(str(transcripts), "lies in no folder called train-…, dev-… or test-…")
        for where, line in numbered_lines(transcripts):
            utterance, _, text = line.strip().partition(" ")
            stem = transcripts.parent / utterance
            path = audio.pop(stem.as_posix(), stem.with_name(f"{utterance}.flac"))
            if part is not None:
                yield Row(
                    where=where,
                    id=utterance,
                    split=part.partition("-")[0],
                    audio=path,
                    text=text.strip().lower(),
                    speaker=utterance.partition("-")[0],
                    corpus=part,
                )
    for path in audio.values():
        if path.parent in parents:
            yield Problem(str(path), f"has no line in the folder's *{LIBRISPEECH_TRANSCRIPTS}")


def _is_librispeech(source: Path, files: Sequence[Path]) -> bool:
    return any(path.name.endswith(LIBRISPEECH_TRANSCRIPTS) for path in files)


def _is_folder(source: Path, files: Sequence[Path]) -> bool:
    """A folder of audio with transcripts, and nothing that says it is one of the others."""
    others = (layout for layout in LAYOUTS if layout.name != "folder")
    return not any(other.detect(source, files) for other in others) and corpora_folder.detect(source, files)


LAYOUTS: tuple[Layout, ...] = (
    Layout("manifest", f"a {MANIFEST}", lambda source, files: source / MANIFEST in files, manifest_rows),
    Layout("librispeech", f"files *{LIBRISPEECH_TRANSCRIPTS}", _is_librispeech, librispeech_rows),
    Layout("timit", "folders DR1 to DR8 with .PHN files", corpora_timit.detect, corpora_timit.rows),
    Layout("wsj", "wsj0 or wsj1 with .ndx files in doc/indices", corpora_wsj.detect, corpora_wsj.rows),
    Layout(
        "folder",
        "a .txt, .phn or .lab file beside an audio file, a transcripts.tsv or a text file",
        _is_folder,
        corpora_folder.rows,
    ),
)
