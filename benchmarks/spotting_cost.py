"""What keywords cost a stream: processor time, snapshot and memory, from 1 keyword to 1,000, in one run.

    python benchmarks/spotting_cost.py [--recording FILE] [--seconds 60] [--record]

Keywords are words of CMUdict of 4 to 12 phones, drawn at random, with all their pronunciations. The recording goes
through two streams in one thread, greedily, one without keywords and one with them, chunk by chunk in turns: of 40 ms
as from a microphone, of 0.64 s as from a file. Of each chunk the least of `RUNS` runs counts, in time of the thread, so
that other programs on the machine matter less. The target is that 100 keywords cost at most a fifth of the model.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import tracemalloc
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from numpy.typing import NDArray
from tables import Report, add_option

from phonestream import Keywords, Recognizer
from phonestream.asr.lexicon.lexicon import Lexicon

COUNTS = (1, 10, 100, 300, 1000)
CHUNKS = (0.04, 0.64)  # seconds
RUNS = 3
SHORTEST, LONGEST = 4, 12  # phones
SPEECH = Path(__file__).parent.parent / "tests/data/speech/test/1284-1180-0000.opus"

Samples = NDArray[np.float32]


def draw(count: int) -> list[str]:
    """So many words, the same ones each time; fewer are a part of more."""
    lexicon = Lexicon()
    words = sorted(word for word in lexicon if word.isalpha())
    Random(5).shuffle(words)
    drawn = []
    for word in words:
        if SHORTEST <= len(lexicon.pronunciations(word)[0].phones) <= LONGEST:
            drawn.append(word)
        if len(drawn) == count:
            break
    return drawn


def spent(recognizer: Recognizer, samples: Samples, chunk: float, keywords: Keywords) -> tuple[float, float]:
    """Seconds of processor time for each second of audio, without keywords and with them."""
    step = round(chunk * 16_000)
    firsts = range(0, len(samples), step)
    times = np.empty((RUNS, 2, len(firsts)))
    for run in times:
        streams = [recognizer.stream(decoder="greedy", keywords=some) for some in (None, keywords)]
        for at, first in enumerate(firsts):
            for stream, own in zip(streams, run, strict=True):
                began = time.thread_time()
                stream.accept(samples[first : first + step])
                own[at] = time.thread_time() - began
    alone, both = times.min(axis=0).sum(axis=1) / (len(samples) / 16_000)
    return float(alone), float(both)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--recording", type=Path, help="at 16 kHz; one that is shipped, without it")
    parser.add_argument("--seconds", type=float, default=60, help="of it, over and over where it is shorter")
    add_option(parser)
    options = parser.parse_args()
    recognizer = Recognizer(options.model, decoder="greedy")
    once, rate = soundfile.read(options.recording or SPEECH, dtype="float32")
    if rate != 16_000 or once.ndim != 1:
        parser.error(f"{options.recording}: expected one channel at 16000 Hz")
    samples = np.resize(once, round(options.seconds * 16_000))
    words = draw(max(COUNTS))
    report = Report(options, "spotting-cost")
    table = report.table(
        ("keywords", ""),
        ("pronunciations", ""),
        *(
            (name.format(1000 * chunk), ".2f")
            for chunk in CHUNKS
            for name in ("{:.0f} ms chunks: the model, ms a second", "keywords, ms a second", "of the model")
        ),
        ("snapshot, KB", ".1f"),
        ("memory, MB", ".2f"),
    )
    recognizer.open_spotter(Keywords(words[:1]))  # reads the language model, which all share
    for count in COUNTS:
        keywords = Keywords(words[:count])
        tracemalloc.start()
        stream = recognizer.stream(decoder="greedy", keywords=keywords)
        stream.accept(samples[:16_000])
        memory = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        times = [spent(recognizer, samples, chunk, keywords) for chunk in CHUNKS]
        cells = [
            value
            for alone, both in times
            for value in (1000 * alone, 1000 * (both - alone), both / alone - 1)
        ]
        variants = sum(len(word.variants) for word in keywords)
        table.add(count, variants, *cells, len(stream.save()) / 1000, memory)
    report.save()


if __name__ == "__main__":
    main()
