"""A folder of one's own: audio files with transcripts beside them, or listed in one file."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from .files import is_audio, is_split, numbered_lines, read_text
from .rows import Problem, Row

TABLE = "transcripts.tsv"
LIST = "text"
WORDS = ".txt"
PHONE_LISTS = (".phn", ".lab")


@dataclass(frozen=True)
class _Transcript:
    where: str
    text: str = ""
    phones: str | None = None
    speaker: str | None = None


def detect(source: Path, files: Sequence[Path]) -> bool:
    """Whether at least one audio file has a transcript."""
    if any(path.name in (TABLE, LIST) for path in files):
        return any(is_audio(path) for path in files)
    beside = _beside(files)
    return any(path.with_suffix("") in beside for path in files if is_audio(path))


def rows(source: Path, files: Sequence[Path], split: str | None = None) -> Iterator[Row | Problem]:
    """Rows of a folder of audio.

    Folders directly below `source` called train, dev or test, or one of these and more after a dash
    (`test-l2`), are splits; without any, everything is in `split` (train if None). An audio file's
    transcript is, in this order:

    * its line in a `transcripts.tsv`: tab-separated, the first line names the columns, `path` (from the
    table's folder)
      and `text` or `phones`, and `speaker` if there is one;
    * its line `NAME words…` in a file called `text`, where NAME is the file's name without its suffix, or
    its path from
      there;
    * files of its name beside it: `.txt` with words, `.phn` or `.lab` with phones, or both.

    The speaker, if no table says, is the audio's folder, unless that is the split or `source` itself. An id
    is the audio's path from `source` without its suffix.

    Raises:
        DataError: a table lacks a column, a transcript is not text, or `split` is given beside split folders.
    """
    audio = [path for path in files if is_audio(path)]
    parts = sorted({path.relative_to(source).parts[0] for path in audio if path.parent != source})
    splits = [name for name in parts if is_split(name)]
    if splits and split is not None:
        raise DataError(f"{source} has the split folders {', '.join(splits)}: leave --split {split} out")
    listed, problems = _listed(files, audio)
    yield from problems
    beside = _beside(files)
    names = Counter(path.with_suffix("") for path in audio)
    for path in audio:
        place = path.relative_to(source)
        if splits and place.parts[0] not in splits:
            yield Problem(str(path), f"lies in none of the split folders {', '.join(splits)}")
            continue
        if names[path.with_suffix("")] > 1:
            yield Problem(str(path), "another audio file has the same name with another suffix: remove one")
            continue
        try:
            transcript = listed.get(path) or _read_beside(beside.get(path.with_suffix(""), ()))
        except DataError as error:
            yield Problem(str(path), str(error))
            continue
        if transcript is None:
            yield Problem(
                str(path), f"has no transcript: write one to {path.with_suffix(WORDS).name} beside it"
            )
            continue
        depth = 2 if splits else 1
        yield Row(
            where=transcript.where,
            id=place.with_suffix("").as_posix(),
            split=place.parts[0] if splits else split or "train",
            audio=path,
            text=transcript.text,
            phones=transcript.phones,
            speaker=transcript.speaker or (path.parent.name if len(place.parts) > depth else None),
            corpus=source.name,
        )


def _beside(files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Transcript files by their path without suffix, words first."""
    found: defaultdict[Path, list[Path]] = defaultdict(list)
    for suffix in (WORDS, *PHONE_LISTS):
        for path in files:
            if path.suffix.lower() == suffix:
                found[path.with_suffix("")].append(path)
    return found


def _read_beside(paths: Sequence[Path]) -> _Transcript | None:
    """The transcript in the files beside an audio file."""
    if not paths:
        return None
    text, phones = "", None
    for path in paths:
        content = read_text(path)
        if path.suffix.lower() == WORDS:
            text = " ".join(content.split())
        elif phones is None:
            phones = content
    return _Transcript(str(paths[0]), text, phones)


def _listed(files: Sequence[Path], audio: Sequence[Path]) -> tuple[dict[Path, _Transcript], list[Problem]]:
    """Transcripts of all tables and lists by audio file, and the lines that cannot be used."""
    transcripts: dict[Path, _Transcript] = {}
    problems: list[Problem] = []
    for kind, read in ((TABLE, _read_table), (LIST, _read_list)):
        for index in (path for path in files if path.name == kind):
            for item in read(index, audio):
                if isinstance(item, Problem):
                    problems.append(item)
                elif item[0] in transcripts:
                    problems.append(
                        Problem(item[1].where, f"{item[0]} has a transcript at {transcripts[item[0]].where}")
                    )
                else:
                    transcripts[item[0]] = item[1]
    return transcripts, problems


def _read_table(table: Path, audio: Sequence[Path]) -> Iterator[tuple[Path, _Transcript] | Problem]:
    lines = numbered_lines(table)
    columns = next(lines, ("", ""))[1].split("\t")
    if "path" not in columns or not {"text", "phones"} & set(columns):
        raise DataError(f"{table}:1: must name the tab-separated columns 'path' and 'text' or 'phones'")
    known = set(audio)
    for where, line in lines:
        values = line.split("\t")
        if len(values) != len(columns):
            yield Problem(where, f"has {len(values)} columns where the first line has {len(columns)}")
            continue
        row = dict(zip(columns, values, strict=True))
        path = Path(os.path.normpath(table.parent / row["path"]))
        if path not in known:
            reason = (
                "lies outside of the corpus folder, or is no audio file" if path.exists() else "is missing"
            )
            yield Problem(where, f"{path} {reason}")
            continue
        phones = row.get("phones", "").strip() or None
        yield path, _Transcript(where, row.get("text", "").strip(), phones, row.get("speaker") or None)


def _read_list(index: Path, audio: Sequence[Path]) -> Iterator[tuple[Path, _Transcript] | Problem]:
    below = [path for path in audio if path.is_relative_to(index.parent)]
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for path in below:
        by_name[path.stem].append(path)
    by_place = {path.relative_to(index.parent).with_suffix("").as_posix(): path for path in below}
    for where, line in numbered_lines(index):
        name, *words = line.split()
        candidates = [by_place[name]] if name in by_place else by_name.get(name, [])
        if not candidates:
            yield Problem(where, f"no audio file is called {name}")
        elif len(candidates) > 1:
            yield Problem(where, f"{len(candidates)} audio files are called {name}: write its path instead")
        else:
            yield candidates[0], _Transcript(where, " ".join(words))
