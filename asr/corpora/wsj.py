"""The Wall Street Journal corpora WSJ0 (LDC93S6A) and WSJ1 (LDC94S13A): the sets that papers report on.

LDC's discs hold many sets in one tree of folders. Which recordings are in a set is said by an index (`.ndx`), what was
said by one `.dot` file for each session. Folders and file names may be in either case, and the discs
(`11-1.1` … `13-34.1`) side by side or merged into one.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import DataError
from .files import numbered_lines, read_text
from .rows import Problem, Row


class Set(NamedTuple):
    """One set: the end of its index's path, the split it belongs to, and what papers call it."""

    listing: str
    split: str
    name: str


SETS = (
    Set("wsj0/doc/indices/train/tr_s_wv1.ndx", "train", "si84"),
    Set("wsj1/doc/indices/si_tr_s.ndx", "train", "si200"),  # si284 is this and si84
    Set("wsj1/doc/indices/h1_p0.ndx", "dev", "dev93"),
    Set("wsj0/doc/indices/test/nvp/si_et_20.ndx", "test", "eval92"),
    Set("wsj1/doc/indices/wsj1/eval/h1_p0.ndx", "test-eval93", "eval93"),
)
# In the index, but not one of the set's 84 speakers: Kaldi leaves it out too
NOT_IN_SI84 = "wsj0/si_tr_s/401/"
AUDIO = (".wav", ".flac", ".sph", ".wv1")  # what there may be of a recording, the most readable first

# [loud_breath], [<door_slam], [phone_ring/]; a pause; a truncation
_NOISE = re.compile(r"\[/?[^\]\s]*/?\]|[.~]")
_LINE = re.compile(r"(.*)\((\w+)\)")


def detect(source: Path, files: Sequence[Path]) -> bool:
    """Whether there is the index of a set."""
    return any(_ends(path, entry.listing) for path in files for entry in SETS)


def rows(source: Path, files: Sequence[Path], split: str | None = None) -> Iterator[Row | Problem]:
    """Rows of WSJ: si84, or si284 where WSJ1 is there too, as `train`; dev93 as `dev`; eval92 as `test`.

    A set's name is kept as the corpus of its recordings. LDC's `.wv1` files are compressed; where sph2pipe has put
    a `.wav` beside one, or in a folder of the same name elsewhere, that is taken.

    Raises:
        DataError: an index is not text.
    """
    audio = _recordings(files)
    texts: dict[str, str] = {}
    for path in files:
        if path.suffix.lower() == ".dot":
            try:
                texts |= dict(_utterances(read_text(path)))
            except DataError as error:
                yield Problem(str(path), str(error))
    for entry in SETS:
        for path in files:
            if _ends(path, entry.listing):
                yield from _rows_of(path, entry, audio, texts)


def words(dot: str) -> str:
    """What was said, from a line of a `.dot` file without its id, in lower case.

    Noises, pauses and truncations are no words; backslashes protect symbols; asterisks, angle brackets, colons
    and exclamation marks say how a word was spoken. Spoken punctuation is written with its sign before it: `,COMMA`.
    """
    spoken = (word.replace("\\", "") for word in dot.split())
    plain = (re.sub(r"[*<>!:]", "", word) for word in spoken if not _NOISE.fullmatch(word))
    return " ".join(
        word for word in (re.sub(r"^[^\w'\[]+(?=\w)", "", word) for word in plain) if word
    ).lower()


def _rows_of(
    index: Path, entry: Set, audio: dict[str, Path], texts: dict[str, str]
) -> Iterator[Row | Problem]:
    """Rows of one set, in the order of its index."""
    for where, line in numbered_lines(index):
        if line.lstrip().startswith(";"):
            continue
        name = _stem(line.partition(":")[2].strip().lstrip("/"))
        utterance = name.rpartition("/")[2]
        if name.startswith(NOT_IN_SI84):
            continue
        if not name.startswith(("wsj0/", "wsj1/")):
            yield Problem(where, "is no line of an index: expected DISC: wsj0/… or wsj1/…")
        elif name not in audio:
            yield Problem(where, f"there is no recording {name}.wv1 or .wav")
        elif utterance not in texts:
            yield Problem(where, f"no .dot file has a transcript of {utterance}")
        else:
            yield Row(
                where=where,
                id=utterance,
                split=entry.split,
                audio=audio[name],
                text=words(texts[utterance]),
                speaker=utterance[:3],
                corpus=entry.name,
            )


def _utterances(dots: str) -> Iterator[tuple[str, str]]:
    """Id and text of each line of a `.dot` file."""
    for line in dots.splitlines():
        if found := _LINE.fullmatch(line.strip()):
            yield found[2].lower(), found[1]


def _recordings(files: Sequence[Path]) -> dict[str, Path]:
    """Audio files by their path from `wsj0` or `wsj1` on, without suffix: `wsj0/si_tr_s/011/011c0201`."""
    found: dict[str, Path] = {}
    for suffix in reversed(AUDIO):
        for path in files:
            if path.suffix.lower() == suffix:
                parts = [part.lower() for part in path.parts]
                top = max((i for i, part in enumerate(parts) if part in ("wsj0", "wsj1")), default=None)
                if top is not None:
                    found[_stem("/".join(parts[top:]))] = path
    return found


def _stem(path: str) -> str:
    """A path in lower case without the suffix of a recording, which some indices leave out."""
    return re.sub(r"\.(wv1|wav|flac|sph)$", "", path.lower())


def _ends(path: Path, tail: str) -> bool:
    return path.as_posix().lower().endswith("/" + tail)
