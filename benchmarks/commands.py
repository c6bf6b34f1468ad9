"""Words of a closed list, and what is none of them: phonestream beside pocketsphinx with a JSGF grammar, in one run.

    python benchmarks/commands.py DIR [--limit N]
    PHONESTREAM_SPEECH=DIR python benchmarks/commands.py --split dev,dev-cv [--lists N]

DIR holds `manifest.tsv` with columns path and word (and others), and the clips: Speech Commands (Warden 2018), say.
Lists are of the ten usual words and of all words of the manifest. *Right* is the share of clips whose word is the best
of the list. Rejection is measured with the ten words, the others being what is to be refused: *right at x %* is the
share of clips of the ten that are right and score above all but x % of the others. A JSGF grammar has no score to
reject by; pocketsphinx's is that of its best path, a frame.

With --split the clips are words cut out of the recordings of splits (`cut_words`), and the figures means over lists of
ten drawn at random from the words that are said often (`command_lists`): thousands of clips to be refused, by which a
way to score is chosen. The level that one in a hundred of them reaches, and how many reach a score of 0.5
(`LEVEL_AT_HALF`), are measured over all lists together.

Seconds are of one thread, the model's included; they count on a machine that does nothing else.
"""

import argparse
import csv
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from command_lists import Lists
from cut_words import cut_words
from numpy.typing import NDArray
from pocketsphinx import Decoder
from tables import Report, add_option

from phonestream import Commands, Recognizer
from phonestream.asr.corpora.corpus import speech_root
from phonestream.asr.lexicon.lexicon import bundled
from phonestream.streaming.spotting import command_level
from phonestream.streaming.spotting.command_clip import hear_clip
from phonestream.streaming.spotting.commands import CommandRecognizer

TEN = ("up", "yes", "left", "stop", "down", "no", "off", "go", "right", "on")
FALSE_ACCEPTS = (0.01, 0.02, 0.05, 0.1)
RIGHT = [("right, %", ".1f"), *((f"right at {100 * share:g} %", ".1f") for share in FALSE_ACCEPTS)]  # columns
RATE = 16_000  # Hz

Samples = NDArray[np.float32]


class Clip(NamedTuple):
    """A recording of one word."""

    word: str
    samples: Samples


class Answer(NamedTuple):
    """The best of the list, and how good it is."""

    word: str
    score: float


def read_clips(folder: Path, limit: int | None) -> list[Clip]:
    """The clips of the manifest, at 16 kHz."""
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    step = max(1, len(lines) // limit) if limit else 1
    clips = []
    for line in lines[::step]:
        samples, rate = soundfile.read(folder / line["path"], dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{line['path']}: {rate} Hz, expected {RATE}")
        clips.append(Clip(line["word"], samples))
    return clips


def phonestream_once(words: Sequence[str], recognizer: Recognizer) -> Callable[[Samples], Answer]:
    """As utterances of a stream are heard."""
    ready = CommandRecognizer(recognizer.metadata.decoder, Commands(words))

    def answer(samples: Samples) -> Answer:
        result = ready.recognize(recognizer.log_probs(samples, RATE))
        return Answer(result.best, result.score)

    return answer


def phonestream_clip(words: Sequence[str], recognizer: Recognizer) -> Callable[[Samples], Answer]:
    """As `spot --commands` hears files."""
    ready = CommandRecognizer(recognizer.metadata.decoder, Commands(words))

    def answer(samples: Samples) -> Answer:
        result = ready.recognize(*hear_clip(samples, RATE, recognizer))
        return Answer(result.best, result.score)

    return answer


def pocketsphinx(words: Sequence[str]) -> Callable[[Samples], Answer]:
    """Its own English model, the list as a grammar."""
    decoder = Decoder(lm=None, loglevel="FATAL")
    decoder.add_jsgf_string("words", f"#JSGF V1.0;\ngrammar words;\npublic <word> = {' | '.join(words)};\n")
    decoder.activate_search("words")

    def answer(samples: Samples) -> Answer:
        decoder.start_utt()
        decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        if found is None:
            return Answer("", -np.inf)
        return Answer(found.hypstr, found.best_score * RATE / 160 / len(samples))

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="clips and their manifest.tsv")
    parser.add_argument("--split", help="words cut out of these splits instead, commas between them")
    parser.add_argument("--lists", type=int, default=200, help="drawn from the words of the splits")
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, help="at most so many clips, evenly chosen")
    add_option(parser)
    options = parser.parse_args()
    if (options.folder is None) == (options.split is None):
        parser.error("give either a folder of clips or --split")
    if options.split:
        on_splits(options)
        return
    clips = read_clips(options.folder, options.limit)
    recognizer = Recognizer(options.model, decoder="greedy")
    every = sorted({clip.word for clip in clips})
    ten = [word for word in TEN if word in every]
    report = Report(options)
    report.note(f"{len(clips)} clips of {len(every)} words")
    table = report.table(
        ("", ""),
        ("words", "d"),
        *RIGHT,
        ("seconds", ".1f"),
    )
    makers: dict[str, Callable[[Sequence[str]], Callable[[Samples], Answer]]] = {
        "phonestream, clips": lambda words: phonestream_clip(words, recognizer),
        "phonestream, as in a stream": lambda words: phonestream_once(words, recognizer),
        "pocketsphinx, JSGF": pocketsphinx,
    }
    for words in (ten, every):
        for name, make in makers.items():
            answer = make(words)
            begun = time.perf_counter()
            answers = [answer(clip.samples) for clip in clips]
            seconds = time.perf_counter() - begun
            table.add(name, len(words), *shares(clips, answers, words), seconds)
    report.save()


def on_splits(options: argparse.Namespace) -> None:
    """Lists of words cut out of the recordings of splits."""
    recognizer = Recognizer(options.model, decoder="greedy")
    clips = [
        clip for split in options.split.split(",") for clip in cut_words(recognizer, speech_root(), split)
    ]
    clips = clips[:: max(1, len(clips) // options.limit) if options.limit else 1]
    words = [word for word, _ in clips]
    report = Report(options)
    report.note(f"{len(clips)} clips of {len(set(words))} words, {options.lists} lists of ten")
    table = report.table(
        ("", ""),
        *RIGHT,
        ("standard error at 1 %", ".2f"),
        ("level of 1 %", ".2f"),
        ("accepted at 0.5, %", ".1f"),
    )
    passes = {
        "clips": [hear_clip(samples, RATE, recognizer) for _, samples in clips],
        "as in a stream": [(recognizer.log_probs(samples, RATE),) for _, samples in clips],
    }
    for name, rows in passes.items():
        lists = Lists(recognizer.metadata.decoder, bundled(), words, rows)
        judged = [lists.judge(chosen) for chosen in lists.draw(options.lists)]
        found = np.array([at_shares(one.right, one.known, one.others, one.levels) for one in judged])
        refused = np.concatenate([one.levels[one.others] for one in judged])
        table.add(
            name,
            *found.mean(axis=0),
            found[:, 1].std() / len(found) ** 0.5,
            np.quantile(refused, 0.99),
            100 * (refused > command_level.LEVEL_AT_HALF).mean(),
        )
    report.save()


def shares(clips: Sequence[Clip], answers: Sequence[Answer], words: Sequence[str]) -> list[float | None]:
    """% right, and right at each share of false accepts; None where no clip is of another word."""
    known = np.array([clip.word in words for clip in clips])
    right = np.array([clip.word == answer.word for clip, answer in zip(clips, answers, strict=True)]) & known
    score = np.array([answer.score for answer in answers])
    return at_shares(right, known, ~known, score)


def at_shares(
    right: NDArray[np.bool_], known: NDArray[np.bool_], others: NDArray[np.bool_], score: NDArray[np.float64]
) -> list[float | None]:
    """% of the `known` clips that are right, and at each share of false accepts among the `others`, if any."""
    wrong = np.sort(score[others])[::-1]
    at = [
        100 * (right & (score > wrong[int(share * len(wrong))])).sum() / known.sum() if len(wrong) else None
        for share in FALSE_ACCEPTS
    ]
    return [100 * right.sum() / known.sum(), *at]


if __name__ == "__main__":
    main()
