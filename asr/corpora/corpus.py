"""Corpora as lhotse cut sets: any supported folder prepared into one, and a split of one had by its name."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...atomic import replacing
from ...errors import DataError, PhonestreamError
from .cuts import CUTS_SUFFIX, prepared_splits, read_cuts, write_cuts
from .cuts import load_samples as load_samples
from .cuts import read_audio as read_audio
from .cuts import reference_phones as reference_phones
from .cuts import share_of_corpora as share_of_corpora
from .cuts import spread as spread
from .files import is_split_name, walk
from .layouts import MANIFEST, find_layout, manifest_rows
from .rows import Problem as Problem
from .rows import Row, make_cut
from .rows import frames_needed as frames_needed

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import MonoCut

SPEECH_VARIABLE = "PHONESTREAM_SPEECH"


@dataclass(frozen=True)
class PreparedSplit:
    """One cut set that was written."""

    name: str
    path: Path
    recordings: int
    speakers: int  # those that the corpus names
    seconds: float


@dataclass(frozen=True)
class PreparedCorpus:
    """What `prepare` wrote, and what it had to leave out."""

    source: Path
    layout: str
    splits: tuple[PreparedSplit, ...]
    problems: tuple[Problem, ...]


def prepare(
    source: Path,
    output: Path,
    *,
    layout: str | None = None,
    split: str | None = None,
    decode: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PreparedCorpus:
    """Write a corpus as one lhotse cut set for each split, `output/SPLIT.jsonl.gz`.

    Each recording is a `MonoCut` of its whole length with one supervision: `text`, `speaker`, and in
    `custom` the reference `phones` ("HH IY …") and the `corpus`. Audio is not copied: cuts hold its
    absolute path. The same corpus gives the same bytes. A split of that name from before is replaced, whole
    or not at all; others stay.

    A recording that cannot be used is left out and said why; the others go on. If `problems` is not empty
    in the end, something was left out; if `splits` is empty, nothing could be used and nothing was written.

    Args:
        source: folder of the corpus.
        output: folder for the cut sets; made if it is missing.
        layout: manifest, librispeech, timit, wsj or folder (see `corpora_layouts`); None: the one that `source`
            shows.
        split: name for everything, in the layout `folder` without split folders; None: train.
        decode: decode all audio, to find damage that headers do not show.
        progress: called with the number of recordings looked at and their total.

    Raises:
        DataError: `source` is no folder, its layout is none or unclear, an index cannot be read, `split` is
            given for a corpus that has its own, or `output` cannot be written.
    """
    source = Path(os.path.abspath(source))
    files = walk(source)
    found = find_layout(source, files, layout)
    if split is not None and found.name != "folder":
        raise DataError(f"{source} has splits of its own (layout {found.name}): leave --split {split} out")
    if split is not None and not is_split_name(split):
        raise DataError(f"--split {split!r} cannot be a file's name: give letters, digits, - and _")
    rows = list(found.rows(source, files, split))
    if not rows:
        raise DataError(f"{source} holds nothing of the layout {found.name} ({found.sign})")
    cuts, problems = _make_cuts(rows, decode=decode, progress=progress)
    splits = tuple(
        PreparedSplit(
            name=name,
            path=output / f"{name}{CUTS_SUFFIX}",
            recordings=len(members),
            speakers=len({cut.supervisions[0].speaker for cut in members} - {None}),
            seconds=sum(cut.duration for cut in members),
        )
        for name, members in sorted(cuts.items())
    )
    _write_all({entry.path: cuts[entry.name] for entry in splits})
    return PreparedCorpus(source, found.name, splits, tuple(problems))


def read_split(source: Path, split: str) -> tuple["CutSet", list[Problem]]:
    """Cuts of one split, and what had to be left out.

    Args:
        source: a folder that `prepare` wrote to, or a corpus folder with a `manifest.tsv`.
        split: name of the split.

    Raises:
        DataError: there is neither, the split does not exist, a cut set is damaged, or nothing in it can be
            used.
    """
    from lhotse import CutSet

    source = Path(os.path.abspath(source))
    if not source.is_dir():
        raise DataError(
            f"{source} is not a folder: give one that `phonestream prepare` wrote, or a speech folder"
        )
    if splits := prepared_splits(source):
        if split not in splits:
            raise DataError(f"{source} has no split {split!r}: it has {', '.join(splits)}")
        return read_cuts(source / f"{split}{CUTS_SUFFIX}"), []
    if not (source / MANIFEST).is_file():
        raise DataError(
            f"{source} has neither cut sets nor a {MANIFEST}: "
            f"run `phonestream prepare {source} --output DIR` and give DIR"
        )
    rows = list(manifest_rows(source))
    names = sorted({row.split for row in rows if isinstance(row, Row)})
    if split not in names:
        raise DataError(f"{source / MANIFEST} has no split {split!r}: it has {', '.join(names) or 'none'}")
    cuts, problems = _make_cuts([row for row in rows if isinstance(row, Problem) or row.split == split])
    if split not in cuts:
        raise DataError(f"{source / MANIFEST}: nothing of {split} can be used; first: {problems[0]}")
    return CutSet(cuts[split]), problems


def load_cuts(source: Path, split: str) -> "CutSet":
    """Cuts of one split, all of them.

    Args:
        source: a folder that `prepare` wrote to, or a corpus folder with a `manifest.tsv`.
        split: name of the split.

    Raises:
        DataError: as `read_split`, or a recording cannot be used.
    """
    cuts, problems = read_split(source, split)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise DataError(f"{problems[0]}{more}: `phonestream prepare` leaves such recordings out")
    return cuts


def speech_root() -> Path:
    """The speech folder that the environment variable PHONESTREAM_SPEECH names.

    Raises:
        DataError: it is not set, or names no folder.
    """
    named = os.environ.get(SPEECH_VARIABLE)
    if not named:
        raise DataError(
            f"{SPEECH_VARIABLE} is not set: set it to the speech folder, or say which data with --data"
        )
    if not Path(named).is_dir():
        raise DataError(f"{SPEECH_VARIABLE} is {named}, which is not a folder: set it to the speech folder")
    return Path(named)


def format_prepared(prepared: PreparedCorpus) -> str:
    """A few lines for a person: what was written, and how much was left out."""
    lines = [
        f"{entry.path}: {entry.recordings:,} recordings, {_duration(entry.seconds)}"
        + (f", {entry.speakers:,} speakers" if entry.speakers else "")
        for entry in prepared.splits
    ] or [f"{prepared.source}: no recording can be used; nothing was written"]
    if prepared.problems:
        lines.append(f"left out: {len(prepared.problems):,}")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.2f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _make_cuts(
    rows: list[Row | Problem],
    *,
    decode: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, list["MonoCut"]], list[Problem]]:
    """Cuts by split, and all problems, both in the order of the rows."""
    cuts: dict[str, list[MonoCut]] = {}
    problems: list[Problem] = []
    first: dict[tuple[str, str], str] = {}
    for done, row in enumerate(rows, start=1):
        if isinstance(row, Problem):
            problems.append(row)
        elif (row.split, row.id) in first:
            problems.append(Problem(row.where, f"id {row.id} is also at {first[row.split, row.id]}"))
        else:
            try:
                cuts.setdefault(row.split, []).append(make_cut(row, _pronounce, decode=decode))
                first[row.split, row.id] = row.where
            except PhonestreamError as error:
                problems.append(Problem(row.where, str(error)))
        progress(done, len(rows))
    return {split: members for split, members in cuts.items() if members}, problems


def _pronounce(text: str) -> list[str]:
    """Phones of a text by the lexicon, which is loaded at the first text."""
    if not text.strip():
        return []
    from ..lexicon.lexicon import bundled

    return bundled().phones(text)


def _write_all(cuts: dict[Path, list["MonoCut"]]) -> None:
    """Write all cut sets, or none of them."""
    try:
        with ExitStack() as together:
            for path, members in cuts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                write_cuts(members, together.enter_context(replacing(path)))
    except OSError as error:
        where = error.filename or next(iter(cuts))
        raise DataError(
            f"{where}: cut sets cannot be written: {error.strerror}; give another --output"
        ) from None
