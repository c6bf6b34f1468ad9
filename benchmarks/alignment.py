"""How good `phonestream align` is: its times beside pocketsphinx's forced alignment, its scores, what it refuses.

    PHONESTREAM_SPEECH=DIR python benchmarks/alignment.py --split dev --limit 100

Times: both are given the same text and choose pronunciations for themselves; phones are matched by the edit-distance
alignment of what they chose, and only equal ones of equal words are compared. A boundary between phones is where one
ends and the next begins with no pause in between in either. Recordings with a word that pocketsphinx's dictionary
lacks are left out here. pocketsphinx's frames are 10 ms, and its own errors are in the differences.

Scores: every seventh phone of the reference is replaced by another at random; the area under the ROC curve is how
often a phone left alone scores above one that was replaced. Refusals: each recording with its own text (a refusal is a
false alarm), with another's (an acceptance is a miss), and with eight words of another's put in the middle of its own
(which of the words are said to be missing).
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder
from tables import Report, Table, add_option

from phonestream import DataError, Recognizer
from phonestream.asr.align.aligner import fit, spoken
from phonestream.asr.align.alignment import AlignedWord, Alignment
from phonestream.asr.align.posteriors import Posteriors, compute_posteriors
from phonestream.asr.corpora.corpus import load_cuts, load_samples
from phonestream.asr.evaluation.score import align as match
from phonestream.asr.lexicon.phones import PHONES

FRAME_SECONDS = 0.01  # of pocketsphinx's alignment
TOUCHING = 0.015  # seconds between two phones below which there is no pause
EVERY = 7  # which phone is replaced
PUT_IN = 8  # words


class Timed(NamedTuple):
    """A phone, or a word with its phones, in seconds."""

    name: str
    start: float
    end: float
    phones: tuple["Timed", ...] = ()


class Differences(NamedTuple):
    """Seconds by which our times lie after pocketsphinx's."""

    word_starts: list[float]
    word_ends: list[float]
    boundaries: list[float]


def forced_alignment(decoder: Decoder, text: str, samples: NDArray[np.float32]) -> list[Timed]:
    """Words of `text` in `samples` at 16 kHz, silences left out; empty where pocketsphinx finds no alignment."""
    if any(decoder.lookup_word(word) is None for word in text.split()):
        return []
    data = (samples * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(text)
        _run(decoder, data)  # words first ...
        if decoder.hyp() is None:
            return []
        decoder.set_alignment()
        _run(decoder, data)  # ... then the phones within them; there is no hyp() to ask for after this pass
    except RuntimeError:  # no path
        return []
    words = [_timed(word, tuple(_timed(phone) for phone in word)) for word in decoder.get_alignment()]
    return [word for word in words if word.name not in ("<s>", "</s>", "<sil>", "(NULL)")]


def _timed(entry: object, phones: tuple[Timed, ...] = ()) -> Timed:
    start, duration = (getattr(entry, name) * FRAME_SECONDS for name in ("start", "duration"))
    return Timed(str(getattr(entry, "name")).split("(")[0], start, start + duration, phones)  # noqa: B009


def _run(decoder: Decoder, data: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def compare(ours: Alignment, reference: Sequence[Timed], into: Differences) -> None:
    """Add the differences of one recording."""
    pairs: list[tuple[AlignedWord, Timed]] = [
        (word, other) for word, other in zip(ours.words, reference, strict=True) if word.found
    ]
    into.word_starts.extend(word.start - other.start for word, other in pairs)
    into.word_ends.extend(word.end - other.end for word, other in pairs)
    mine = [phone for word, _ in pairs for phone in word.phones]
    theirs = [phone for _, other in pairs for phone in other.phones]
    matched = list(_matched([phone.symbol for phone in mine], [phone.name for phone in theirs]))
    for (i, j), (i_next, j_next) in pairwise(matched):
        neighbours = (i_next, j_next) == (i + 1, j + 1)
        pause = (
            max(theirs[j_next].start - theirs[j].end, mine[i_next].start - mine[i].end) if neighbours else 1.0
        )
        if pause < TOUCHING:
            into.boundaries.append(mine[i].end - theirs[j].end)


def _matched(mine: Sequence[str], theirs: Sequence[str]) -> Iterator[tuple[int, int]]:
    at, other = 0, 0
    for edit in match(mine, theirs):
        if edit.operation == "equal":
            yield at, other
        at += edit.reference is not None
        other += edit.hypothesis is not None


def wrong_phones(phones: Sequence[str], random: Random) -> tuple[list[str], set[int]]:
    """`phones` with every seventh replaced, and which these are."""
    replaced = set(range(2, len(phones), EVERY))
    return [
        random.choice([other for other in PHONES if other != phone]) if index in replaced else phone
        for index, phone in enumerate(phones)
    ], replaced


def area(above: Sequence[float], below: Sequence[float]) -> float:
    """Area under the ROC curve: the share of pairs in which the first is greater, ties counting half."""
    ordered = np.sort(below)
    return float(
        (np.searchsorted(ordered, above, "left") + np.searchsorted(ordered, above, "right")).mean()
        / 2
        / len(ordered)
    )


def accepted(
    recognizer: Recognizer, posteriors: Posteriors, text: str, *, phonemes: bool = False
) -> Alignment | None:
    """The alignment, None where audio and text are said not to match."""
    try:
        return fit(recognizer, posteriors, spoken(text, recognizer.phones, phonemes=phonemes))
    except DataError:
        return None


def measure_times(
    recognizer: Recognizer, cuts: Sequence[tuple[str, NDArray[np.float32]]], time_shifts: int, table: Table
) -> int:
    """Add rows to the table; how many recordings pocketsphinx could align."""
    decoder = Decoder(bestpath=False, lm=None, loglevel="FATAL")
    found = Differences([], [], [])
    used = 0
    for text, samples in cuts:
        reference = forced_alignment(decoder, text, samples)
        ours = accepted(recognizer, compute_posteriors(recognizer, [samples], 16_000, time_shifts), text)
        if ours is None or [word.name for word in reference] != [word.text for word in ours.words]:
            continue
        used += 1
        compare(ours, reference, found)
    for name, values in zip(found._fields, found, strict=True):
        off = 1000 * np.array(values or [np.nan])
        sizes = np.abs(off)
        quantiles = (np.median(sizes), np.percentile(sizes, 90), np.median(off))
        table.add(name.replace("_", " "), time_shifts, len(values), *quantiles)
    return used


def measure_scores(
    recognizer: Recognizer, cuts: Sequence[tuple[str, str, Posteriors]], report: Report
) -> None:
    """Report the scores, and what is refused."""
    random = Random(1)
    alone: list[float] = []
    replaced: list[float] = []
    false_alarms = misses = 0
    counted = {"said": 0, "said missing": 0, "put in": 0, "put in missing": 0}
    scores = []
    for index, (text, phones, posteriors) in enumerate(cuts):
        own = accepted(recognizer, posteriors, text)
        false_alarms += own is None
        scores += [own.score] if own else []
        other = cuts[(index + len(cuts) // 2) % len(cuts)][0]
        misses += accepted(recognizer, posteriors, other) is not None
        changed, where = wrong_phones(phones.split(), random)
        scored = accepted(recognizer, posteriors, " ".join(changed), phonemes=True)
        for position, phone in enumerate(scored.words if scored else ()):
            (replaced if position in where else alone).append(phone.score)
        words, extra = text.split(), other.split()[:PUT_IN]
        middle = len(words) // 2
        mixed = accepted(recognizer, posteriors, " ".join([*words[:middle], *extra, *words[middle:]]))
        for position, word in enumerate(mixed.words if mixed else ()):
            kind = "put in" if middle <= position < middle + len(extra) else "said"
            counted[kind] += 1
            counted[f"{kind} missing"] += not word.found
    report.note(
        f"Median score {np.median(scores) if scores else 0:.2f}; phones left alone {np.mean(alone):.2f}, replaced "
        f"{np.mean(replaced):.2f}."
    )
    table = report.table(
        ("own text refused, %", ".1f"),
        ("another's accepted, %", ".1f"),
        ("words put in, said to be missing, %", ".1f"),
        ("of the others, %", ".1f"),
        ("area under the curve", ".3f"),
    )
    missing = (counted[f"{kind} missing"] / max(1, counted[kind]) for kind in ("put in", "said"))
    shares = (false_alarms / len(cuts), misses / len(cuts), *missing)
    table.add(*(100 * share for share in shares), area(alone, replaced))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--split", default="dev")
    parser.add_argument(
        "--limit", type=int, default=100, help="how many recordings, evenly spread over the split"
    )
    add_option(parser)
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    everything = list(load_cuts(Path(os.environ["PHONESTREAM_SPEECH"]), options.split))
    count = min(options.limit, len(everything))
    chosen = [everything[index * len(everything) // count] for index in range(count)]
    samples = [load_samples(cut) for cut in chosen]
    texts = [cut.supervisions[0].text for cut in chosen]
    minutes = sum(map(len, samples)) / 16_000 / 60
    report = Report(options)
    report.note(f"{count} recordings of {options.split}, {minutes:.1f} minutes.")
    sizes = (("half within, ms", ".0f"), ("90 % within, ms", ".0f"), ("median difference, ms", "+.0f"))
    table = report.table(("", ""), ("time shifts", ""), ("count", ""), *sizes)
    aligned = [
        measure_times(recognizer, list(zip(texts, samples, strict=True)), time_shifts, table)
        for time_shifts in (1, 4)
    ]
    report.note(f"pocketsphinx could align {aligned[0]} of them.")
    heard = [compute_posteriors(recognizer, [each], 16_000, 1) for each in samples]
    phones = [cut.supervisions[0].custom["phones"] for cut in chosen]
    measure_scores(recognizer, list(zip(texts, phones, heard, strict=True)), report)
    report.save()


if __name__ == "__main__":
    main()
