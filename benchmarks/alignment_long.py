"""How well `phonestream align` does with an hour whose transcript lacks a part, or has one that was not said.

    PHONESTREAM_SPEECH=DIR python benchmarks/alignment_long.py --split dev dev-cv --minutes 60

Recordings are joined with half a second of silence between them, and aligned with their joined texts. Then a tenth
of the text is left out, or as much of other recordings' text is put in, or in the place of what is left out: in one
passage, or a recording here and there. Of the words whose recordings kept their text, the tables compare times with
those that each recording has aligned alone; of the words put in, how many are found though they were not said.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tables import Report, add_option

from phonestream import DataError, Recognizer
from phonestream.asr.align.aligner import fit, spoken
from phonestream.asr.align.alignment import AlignedWord
from phonestream.asr.align.posteriors import Posteriors, compute_posteriors
from phonestream.asr.corpora.corpus import load_cuts, load_samples

PAUSE = 0.5  # seconds between two recordings
TENTH = 10
FAR = 0.1  # seconds


class Part(NamedTuple):
    """A recording in the long one."""

    text: str
    start: float
    alone: tuple[AlignedWord, ...]
    """Empty where it cannot be aligned alone."""


def joined(recordings: Sequence[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    for samples in recordings:
        yield samples
        yield np.zeros(round(PAUSE * 16_000), np.float32)


def align_alone(
    recognizer: Recognizer, recordings: Sequence[tuple[str, NDArray[np.float32]]], time_shifts: int
) -> list[Part]:
    parts, start = [], 0.0
    for text, samples in recordings:
        posteriors = compute_posteriors(recognizer, [samples], 16_000, time_shifts)
        try:
            words = fit(recognizer, posteriors, spoken(text, recognizer.phones)).words
        except DataError:
            words = ()
        parts.append(Part(text, start, words))
        start += len(samples) / 16_000 + PAUSE
    return parts


def changed(
    parts: Sequence[Part], others: Sequence[str], *, leave_out: bool, put_in: bool, scattered: bool
) -> list[tuple[int | None, str]]:
    """What is in the transcript: texts with the index of their part, None for one that was not said."""
    count = len(parts) // TENTH
    touched = (
        set(range(5, len(parts), TENTH))
        if scattered
        else set(range(len(parts) // 3, len(parts) // 3 + count))
    )
    texts, other = list[tuple[int | None, str]](), iter(others)
    for index, part in enumerate(parts):
        if index in touched and put_in:
            texts.append((None, next(other)))
        if index not in touched or not leave_out:
            texts.append((index, part.text))
    return texts


def compare(
    recognizer: Recognizer,
    posteriors: Posteriors,
    parts: Sequence[Part],
    texts: Sequence[tuple[int | None, str]],
) -> tuple[float, ...]:
    """Shares and seconds of a row of the table."""
    words = fit(recognizer, posteriors, spoken("\n".join(text for _, text in texts), recognizer.phones)).words
    off, lost, all_words, put_in, found = list[float](), 0, 0, 0, 0
    done = 0
    for index, text in texts:
        mine = words[done : done + len(text.split())]
        done += len(mine)
        if index is None:
            put_in += len(mine)
            found += sum(word.found for word in mine)
            continue
        for word, alone in zip(mine, parts[index].alone, strict=False):
            if alone.found:
                all_words += 1
                lost += not word.found
                if word.found:
                    start = parts[index].start
                    off += [word.start - alone.start - start, word.end - alone.end - start]
    sizes = np.abs(off)
    return (
        all_words,
        100 * lost / all_words,
        1000 * float(np.median(sizes)),
        1000 * float(np.percentile(sizes, 99)),
        100 * float((sizes > FAR).mean()),
        100 * found / put_in if put_in else float("nan"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--split", nargs="+", default=["dev", "dev-cv"])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--time-shifts", type=int, default=1)
    add_option(parser)
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    root = Path(os.environ["PHONESTREAM_SPEECH"])
    cuts = [cut for split in options.split for cut in load_cuts(root, split)]
    Random(1).shuffle(cuts)
    lengths = np.cumsum([cut.duration + PAUSE for cut in cuts])
    count = int(np.searchsorted(lengths, 60 * options.minutes)) or 1
    recordings = [(cut.supervisions[0].text, load_samples(cut)) for cut in cuts[:count]]
    parts = align_alone(recognizer, recordings, options.time_shifts)
    posteriors = compute_posteriors(
        recognizer, joined([samples for _, samples in recordings]), 16_000, options.time_shifts
    )
    others = [cut.supervisions[0].text for cut in load_cuts(root, "train")][: len(cuts)]

    report = Report(options)
    report.note(
        f"{count} recordings of {' and '.join(options.split)}, {posteriors.seconds / 60:.1f} minutes in one."
    )
    table = report.table(
        ("transcript", ""),
        ("words", ""),
        ("no longer found, %", ".2f"),
        ("half within, ms", ".0f"),
        ("99 % within, ms", ".0f"),
        ("beyond 100 ms, %", ".2f"),
        ("put in and found, %", ".2f"),
    )
    ways = (
        ("a tenth left out", True, False),
        ("a tenth put in", False, True),
        ("a tenth replaced", True, True),
    )
    table.add("whole", *compare(recognizer, posteriors, parts, [*enumerate(part.text for part in parts)]))
    for name, leave_out, put_in in ways:
        for scattered in (False, True):
            texts = changed(parts, others, leave_out=leave_out, put_in=put_in, scattered=scattered)
            where = "here and there" if scattered else "in one passage"
            table.add(f"{name}, {where}", *compare(recognizer, posteriors, parts, texts))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report.note(f"At most {peak:.0f} MB of memory.")
    report.save()


if __name__ == "__main__":
    main()
