"""Keywords in recordings: how many are found at how many false alarms, pocketsphinx's keyphrase search beside it.

    PHONESTREAM_SPEECH=DIR python benchmarks/spotting.py --split dev [--keywords 40] [--limit N]

Keywords are words and pairs of words of 4 to 12 phones that are said at least three times in the split, drawn at random
with as many of each length as there are. `phonestream align` says when they are said. A detection is one whose middle
lies in one that is said; any other is a false alarm, and so is a second one of the same. Detections of all keywords are
put in order of their score; *detected at n* is the share of those said that come before the false alarms exceed n for
each keyword and hour, and the figure of merit is its mean over n from 1 to 10 (NIST, 1991). Measured, too, is how many
false alarms there are at the scores that promise one an hour (0.5) and one in nine (0.9).
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder
from tables import Report, add_option

from phonestream import DataError, Keywords, Recognizer, Spotted
from phonestream.asr.align.aligner import fit, spoken
from phonestream.asr.align.posteriors import compute_posteriors
from phonestream.asr.corpora.corpus import load_cuts, load_samples, speech_root
from phonestream.asr.evaluation.spotting import Judged, Said, judge, occurrences
from phonestream.streaming.spotting.spotter import Spotter, boundary_model

RATE = 16_000  # Hz
FRAME_SECONDS = 0.01  # of pocketsphinx
SHORTEST, LONGEST, LETTERS, TIMES = 4, 12, 5, 3  # phones, phones, letters at least, times said at least
LENGTHS = ((4, 6), (7, 9), (10, 12))  # phones
ALARMS = (0.5, 1, 5)  # for each keyword and hour
LOWEST = 1e-40  # pocketsphinx's threshold: nearly everything, to be put in order by its score

Samples = NDArray[np.float32]


def choose(texts: Sequence[str], count: int) -> list[str]:
    """`count` keywords of the texts, evenly of all lengths."""
    words = [text.split() for text in texts]
    often = Counter(
        phrase for line in words for phrase in {*line, *(" ".join(pair) for pair in pairwise(line))}
    )
    phrases = sorted(phrase for phrase, times in often.items() if times >= TIMES and len(phrase) >= LETTERS)
    lengths = defaultdict(list)
    for phrase in phrases:
        try:
            phones = len(Keywords([phrase])[0].variants[0].phones)
        except DataError:
            continue
        if SHORTEST <= phones <= LONGEST:
            lengths[phones].append(phrase)
    random = Random(3)
    for same in lengths.values():
        random.shuffle(same)
    chosen: list[str] = []
    while len(chosen) < count and any(lengths.values()):
        chosen += [same.pop() for _, same in sorted(lengths.items()) if same]
    return chosen[:count]


def pocketsphinx(phrases: Sequence[str], folder: Path) -> tuple[Decoder, list[str]]:
    """Its keyphrase search, and those of the phrases whose words its dictionary has."""
    decoder = Decoder(lm=None, loglevel="FATAL")
    known = [phrase for phrase in phrases if all(decoder.lookup_word(word) for word in phrase.split())]
    listing = folder / "phrases.txt"
    listing.write_text("".join(f"{phrase} /{LOWEST}/\n" for phrase in known), encoding="utf-8")
    decoder.add_kws("phrases", str(listing))
    decoder.activate_search("phrases")
    return decoder, known


def pocketsphinx_spots(decoder: Decoder, recording: int, samples: Samples) -> list[Said]:
    """What it finds."""
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    return [
        Said(
            recording,
            segment.word.strip(),  # it ends in a space
            segment.start_frame * FRAME_SECONDS,
            (segment.end_frame + 1) * FRAME_SECONDS,
            segment.prob,
        )
        for segment in decoder.seg()
    ]


def detected(judged: Sequence[Judged], said: int, alarms: float) -> float:
    """% of those said that come before more than so many false alarms in all."""
    right = wrong = 0
    for one in judged:
        wrong += not one.hit
        if wrong > alarms:
            break
        right += one.hit
    return 100 * right / max(1, said)


def merit(judged: Sequence[Judged], said: int, unit: float) -> float:
    """The figure of merit, `unit` false alarms in all being one for each keyword and hour."""
    return float(np.mean([detected(judged, said, alarms * unit) for alarms in range(1, 11)]))


def by_length(
    report: Report,
    systems: dict[str, list[Judged]],
    truth: Sequence[Said],
    lengths: dict[str, int],
    hours: float,
) -> None:
    """A table of what is found of keywords of like length."""
    table = report.table(
        ("phones", ""),
        ("keywords", ""),
        ("said", ""),
        *(
            (f"{name}, {figure}", ".1f")
            for name in systems
            for figure in ("figure of merit", "detected at 1, %")
        ),
        title="By length",
        shown=False,
    )
    for shortest, longest in LENGTHS:
        some = {phrase for phrase, phones in lengths.items() if shortest <= phones <= longest}
        said, unit = sum(one.phrase in some for one in truth), len(some) * hours
        cells: list[float] = []
        for judged in systems.values():
            own = [one for one in judged if one.phrase in some]
            cells += [merit(own, said, unit), detected(own, said, unit)]
        table.add(f"{shortest} to {longest}", len(some), said, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--keywords", type=int, default=40)
    parser.add_argument("--limit", type=int, help="the first so many recordings")
    add_option(parser)
    options = parser.parse_args()
    recognizer = Recognizer(options.model, decoder="greedy")
    cuts = list(load_cuts(speech_root(), options.split))
    texts = [cut.supervisions[0].text for cut in cuts]
    phrases = choose(texts, options.keywords)
    lm = boundary_model(recognizer.phones)
    spotter = Spotter(recognizer.metadata.decoder, Keywords(phrases, threshold=0), lm)
    truth: list[Said] = []
    ours: list[Said] = []
    theirs: list[Said] = []
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        decoder, known = pocketsphinx(phrases, Path(folder))
        for index, (cut, text) in enumerate(zip(cuts[: options.limit], texts[: options.limit], strict=True)):
            samples = load_samples(cut)
            posteriors = compute_posteriors(recognizer, [samples], RATE, 1)
            try:
                alignment = fit(recognizer, posteriors, spoken(text, recognizer.phones))
            except DataError:
                continue
            seconds += posteriors.seconds
            truth += occurrences(index, alignment.words, phrases)
            certain, state = spotter.decode(spotter.initial(), posteriors.rows)
            events: list[Spotted] = [one.event for one in certain] + spotter.finish(state)
            ours += [Said(index, one.phrase, one.start, one.end, one.score) for one in events]
            theirs += pocketsphinx_spots(decoder, index, samples)
    report = Report(options)
    hours = seconds / 3600
    report.note(
        f"{len(phrases)} keywords, said {len(truth)} times in {hours:.2f} hours of {options.split}; "
        f"{len(known)} of them are in pocketsphinx's dictionary, and its others count as missed"
    )
    table = report.table(
        ("", ""),
        ("figure of merit", ".1f"),
        *((f"detected at {alarms:g}, %", ".1f") for alarms in ALARMS),
        ("false alarms an hour at 0.5", ".2f"),
        ("at 0.9", ".2f"),
    )
    unit = len(phrases) * hours  # false alarms in all that are one for each keyword and hour
    systems = {"phonestream": judge(ours, truth), "pocketsphinx": judge(theirs, truth)}
    for name, judged in systems.items():
        at = [detected(judged, len(truth), alarms * unit) for alarms in ALARMS]
        wrong = [sum(not one.hit and one.score >= least for one in judged) / unit for least in (0.5, 0.9)]
        scale = wrong if name == "phonestream" else [None, None]
        table.add(name, merit(judged, len(truth), unit), *at, *scale)
    lengths = {word.phrase: len(word.variants[0].phones) for word in spotter.keywords}
    by_length(report, systems, truth, lengths, hours)
    report.save()


if __name__ == "__main__":
    main()
