"""What beam search gains on dev and what it costs: greedy, beams without and with a language model, settings swept.

    PHONESTREAM_SPEECH=DIR python benchmarks/beam.py
    PHONESTREAM_SPEECH=DIR python benchmarks/beam.py --sweep

The model runs once over each recording, as a file is heard; its rows are then decoded a second at a time in each way,
taking turns recording by recording, so that the time of decoding can be compared with the model's. The delay is from a
phone's end to the row with which it becomes final. Language models of other orders are estimated from the train split,
as `phonestream phone-lm` does. Settings are chosen on dev; `--split test` only reports.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tables import Report, add_option

from phonestream import Phone, Recognizer
from phonestream.asr.corpora.corpus import load_cuts, load_samples, reference_phones
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.asr.phone_lm.estimate import estimate, perplexity, save
from phonestream.streaming.arrays import FloatArray
from phonestream.streaming.beam import Beam, BeamDecoder
from phonestream.streaming.beam_config import BeamSearch
from phonestream.streaming.decode import Decoder, DecoderState

ORDERS = (2, 3, 4, 5, 6)
WEIGHTS = (0.3, 0.5, 0.7, 0.9)
BLANK_SCORES = (0.0, -1.0, -1.5, -2.0)
SIZES = (10, 20, 50, 100, 200)
DELAYS = (0.4, 0.6, 1.0, 2.0, 4.0)  # seconds
THRESHOLDS = (4.0, 6.0, 8.0, 12.0)  # nats


class Recording(NamedTuple):
    """A recording heard once."""

    reference: list[str]
    rows: FloatArray
    seconds: float  # spent in the model


@dataclass
class Tally:
    """What one way of decoding has made of the recordings so far."""

    errors: PhoneErrors = field(default_factory=PhoneErrors)
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)


def hear(recognizer: Recognizer, data: Path, split: str, limit: int) -> list[Recording]:
    """`limit` recordings of the split, evenly spread over it, run through the model."""
    cuts = list(load_cuts(data, split))
    count = min(limit, len(cuts))
    found = []
    for cut in (cuts[index * len(cuts) // count] for index in range(count)):
        samples = load_samples(cut)
        begin = time.perf_counter()
        rows = recognizer.log_probs(samples)
        found.append(Recording(reference_phones(cut), rows, time.perf_counter() - begin))
    return found


def greedily(decoder: Decoder, rows: FloatArray, step: int) -> Iterator[tuple[list[Phone], int]]:
    """Phones, and after how many rows they are final."""
    state = DecoderState()
    for begin in range(0, len(rows), step):
        phones, state = decoder.decode(state, rows[begin : begin + step])
        yield phones, begin + step
    yield decoder.finish(state), len(rows)


def by_beam(decoder: BeamDecoder, rows: FloatArray, step: int) -> Iterator[tuple[list[Phone], int]]:
    """The same by beam search."""
    beam = Beam(decoder, decoder.initial())
    for begin in range(0, len(rows), step):
        phones, beam = beam.decode(rows[begin : begin + step])
        yield phones, begin + step
    yield beam.finish()[0], len(rows)


Way = Callable[[FloatArray, int], Iterator[tuple[list[Phone], int]]]


def compare(
    recognizer: Recognizer,
    recordings: list[Recording],
    searches: dict[str, BeamSearch],
    report: Report,
    title: str = "",
) -> None:
    """Report a table: greedy decoding and each of `searches`."""
    greedy = recognizer.metadata.decoder
    ways: dict[str, Way] = {"greedy": lambda rows, step: greedily(greedy, rows, step)}
    for name, search in searches.items():
        decoder = BeamDecoder(greedy, search)
        ways[name] = lambda rows, step, decoder=decoder: by_beam(decoder, rows, step)  # type: ignore[misc]
    tallies = {name: Tally() for name in ways}
    second = round(1 / greedy.row_seconds)
    for recording in recordings:
        for name, way in ways.items():
            tally, phones = tallies[name], []
            begin = time.perf_counter()
            for found, _ in way(recording.rows, second):
                phones += found
            tally.seconds += time.perf_counter() - begin
            tally.errors += phone_errors(recording.reference, [phone.symbol for phone in phones])
            for found, seen in way(recording.rows, 1):
                tally.delays += [seen * greedy.row_seconds - phone.end for phone in found]

    audio = sum(len(recording.rows) for recording in recordings) * greedy.row_seconds
    model = sum(recording.seconds for recording in recordings) / audio
    if not title:
        report.note(
            f"{len(recordings)} recordings, {audio:.0f} s; the model alone: real-time factor {model:.4f}."
        )
    counts = (("PER %", ".2f"), ("S", ""), ("I", ""), ("D", ""))
    factors = (("real-time factor, decoding", ".4f"), ("with the model", ".4f"))
    delays = (("delay p50, s", ".2f"), ("p90, s", ".2f"))
    table = report.table(("", ""), *counts, *factors, *delays, title=title, shown=not title)
    for name, tally in tallies.items():
        errors, factor = tally.errors, tally.seconds / audio
        half, most = np.percentile(tally.delays, [50, 90])
        found_errors = (100 * errors.per, errors.substitutions, errors.insertions, errors.deletions)
        table.add(name, *found_errors, factor, factor + model, half, most)


def orders(data: Path, split: str, folder: Path) -> dict[str, BeamSearch]:
    """Searches with language models of all orders, which are written to `folder`."""
    train = [reference_phones(cut) for cut in load_cuts(data, "train")]
    held_out = [reference_phones(cut) for cut in load_cuts(data, split)]
    searches = {}
    for order in ORDERS:
        path = folder / f"{order}.arpa.gz"
        save(estimate(train, order=order), path)
        value = perplexity(path, held_out)
        name = f"{order}-grams, perplexity {value:.2f}, {path.stat().st_size / 2**20:.2f} MiB"
        searches[name] = BeamSearch(lm=path)
    return searches


def sweep() -> Iterator[tuple[str, dict[str, BeamSearch]]]:
    """Tables of one or two settings each, the others as they are."""
    usual = BeamSearch()
    yield (
        "lm_weight, blank_score",
        {
            f"{weight}, {score}": replace(usual, lm_weight=weight, blank_score=score)
            for weight in WEIGHTS
            for score in BLANK_SCORES
        },
    )
    yield "size", {str(size): replace(usual, size=size) for size in SIZES}
    yield "delay_seconds", {str(delay): replace(usual, delay_seconds=delay) for delay in DELAYS}
    yield "threshold", {str(threshold): replace(usual, threshold=threshold) for threshold in THRESHOLDS}
    yield (
        "blank_score without a language model",
        {str(score): replace(usual, lm=None, blank_score=score) for score in BLANK_SCORES},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, default=100, help="recordings, evenly spread over the split")
    parser.add_argument("--sweep", action="store_true", help="try other settings too, one after the other")
    add_option(parser)
    options = parser.parse_args()
    report = Report(options)

    data = Path(os.environ["PHONESTREAM_SPEECH"])
    recognizer = Recognizer(options.model)
    recordings = hear(recognizer, data, options.split, options.limit)
    with tempfile.TemporaryDirectory() as folder:
        plain = {"beam, no language model": BeamSearch(lm=None), "beam, bundled language model": BeamSearch()}
        compare(recognizer, recordings, plain | orders(data, options.split, Path(folder)), report)
    if options.sweep:
        for title, searches in sweep():
            compare(recognizer, recordings, searches, report, title)
    report.save()


if __name__ == "__main__":
    main()
