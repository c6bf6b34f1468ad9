"""TIMIT (LDC93S1): its sentences, its phonetic transcription folded to the 39 of this project."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from ...errors import DataError
from .files import read_text
from .rows import Problem, Row

FOLDED = {
    "ax": "AH", "ax-h": "AH", "axr": "ER", "ix": "IH", "ux": "UW", "hv": "HH", "nx": "N",
    "dx": "T",  # a flap: t more often than d
    "el": "AH L", "em": "AH M", "en": "AH N", "eng": "IH NG",  # syllabic, spelt as CMUdict spells them
    "h#": "", "pau": "", "epi": "", "q": "",  # silences, and the glottal stop, which CMUdict does not write
}  # fmt: skip
"""Of TIMIT's 61 symbols those that are neither closures nor, in capitals, phones of ours."""

CLOSURES = {
    "bcl": ("b",), "dcl": ("d", "jh"), "gcl": ("g",), "pcl": ("p",), "tcl": ("t", "ch"), "kcl": ("k",),
}  # fmt: skip
"""Closure to the releases that may follow it; the first is the stop it stands for without any."""


def fold(symbols: Sequence[str]) -> str:
    """TIMIT's symbols as phones of ours, separated by spaces; a symbol of neither is passed on in capitals.

    A closure and its release are one stop, and a closure without a release is that stop too. This is close
    to the folding of Lee & Hon (1989), but not it: theirs merges AO with AA and ZH with SH, keeps the flap
    and counts silence as a phone, so error rates are not those of papers.
    """
    phones: list[str] = []
    for symbol, following in zip_longest(symbols, symbols[1:]):
        if symbol in CLOSURES:
            phones.append("" if following in CLOSURES[symbol] else CLOSURES[symbol][0].upper())
        else:
            phones.append(FOLDED.get(symbol, symbol.upper()))
    return " ".join(phone for phone in phones if phone)


def detect(source: Path, files: Sequence[Path]) -> bool:
    """Whether there are phone lists in dialect folders."""
    return any(path.suffix.lower() == ".phn" and _place(path) is not None for path in files)


def rows(source: Path, files: Sequence[Path], split: str | None = None) -> Iterator[Row | Problem]:
    """Rows of TIMIT, whatever the case of its file names.

    The training speakers are `train`; of the test speakers the usual 50 are `dev`, the core set of 24 is
    `test` and the others are `test-rest`. The two sentences that all speakers read (SA1, SA2) are left out,
    as is usual.

    Raises:
        DataError: a `.PHN` or `.TXT` file cannot be read.
    """
    from lhotse.recipes.timit import get_speakers

    dev, core = (frozenset(speakers) for speakers in get_speakers())
    by_name = {_folded_case(path): path for path in files}
    for path in files:
        place = _place(path)
        if path.suffix.lower() != ".phn" or place is None or path.stem.lower().startswith("sa"):
            continue
        part, speaker = place
        audio = by_name.get(_folded_case(path.with_suffix(".wav")))
        words = by_name.get(_folded_case(path.with_suffix(".txt")))
        if audio is None or words is None:
            yield Problem(str(path), f"has no {'.WAV' if audio is None else '.TXT'} file beside it")
            continue
        try:
            symbols = [line.split()[2].lower() for line in read_text(path).splitlines() if line.strip()]
            text = " ".join(read_text(words).split()[2:])  # the first two are samples
        except IndexError:
            yield Problem(str(path), "is not a TIMIT phone list: expected lines of start, end and symbol")
            continue
        except DataError as error:
            yield Problem(str(path), str(error))
            continue
        test = "dev" if speaker in dev else "test" if speaker in core else "test-rest"
        yield Row(
            where=str(path),
            id=f"{speaker}-{path.stem.lower()}",
            split="train" if part == "train" else test,
            audio=audio,
            text=text,
            phones=fold(symbols),
            speaker=speaker,
            corpus="timit",
        )


def _place(path: Path) -> tuple[str, str] | None:
    """`train` or `test`, and the speaker, of a file `…/TRAIN/DR1/FCJF0/SA1.PHN`."""
    names = [name.lower() for name in path.parts[-4:-1]]
    if len(names) < 3 or names[0] not in ("train", "test") or names[1] not in {f"dr{n}" for n in range(1, 9)}:
        return None
    return names[0], names[2]


def _folded_case(path: Path) -> str:
    """A path by which file names can be found in either case."""
    return (path.parent / path.name.lower()).as_posix()
