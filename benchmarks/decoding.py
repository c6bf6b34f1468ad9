"""Greedy decoding beside beam search of several sizes and delays: errors, time, delay and memory.

    PHONESTREAM_SPEECH=DIR python benchmarks/decoding.py --split dev
    PHONESTREAM_SPEECH=DIR phonestream phone-lm --output phones.arpa
    PHONESTREAM_SPEECH=DIR python benchmarks/decoding.py --split dev --arpa phones.arpa

The model runs once over each recording; its rows are then decoded a frame's at a time in each way, taking turns
recording by recording, so that the times can be compared with each other and with the model's. The delay is from the
end of the row around a phone's peak to the row with which it is given. Memory is what a stream carries from row to row.
Many streams decoded in one step, as a pool does, stand beside the same streams one after another, a turn of each at
every step.
Word starts are counted on phones heard correctly, against the first pronunciations of the words that were read.

With `--arpa`, a language model of phones without word boundaries, ours decodes with it too, and so does flashlight-text
where it and kenlm are installed: a whole recording at once, so it has no delay. Settings are chosen on dev and dev-cv;
other splits only report.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import on_split
from tables import Report

from phonestream import BeamSearch, Phone, Recognizer
from phonestream.asr.corpora.corpus import load_samples, reference_phones
from phonestream.asr.evaluation.pocketsphinx_alignment import peak
from phonestream.asr.evaluation.score import PhoneErrors, align, count_errors
from phonestream.asr.lexicon.lexicon import bundled as lexicon
from phonestream.asr.lexicon.text import normalise
from phonestream.streaming.arrays import FloatArray
from phonestream.streaming.decode import Decoder, DecoderState
from phonestream.streaming.decoding.config import BLANK_SECONDS
from phonestream.streaming.decoding.decoder import BeamDecoder

SIZES = (8, 16, 32, 64)
DELAYS = (0.1, 0.2, 0.3, 0.5, 1.0)  # seconds
STREAMS = 64  # decoded in one step
STREAM_FRAMES = 4  # of audio that have come in meanwhile


class Recording(NamedTuple):
    """A recording and its rows."""

    reference: list[str]
    rows: FloatArray
    seconds: float  # spent in the model


class Emitted(NamedTuple):
    """Phones that became final, after how many rows, and the bytes that the stream then carries."""

    phones: list[Phone]
    rows: int
    bytes: int


class Way(Protocol):
    """A way of decoding the rows of one recording, `step` at a time."""

    def __call__(self, rows: FloatArray, step: int) -> Iterator[Emitted]: ...


@dataclass
class Tally:
    """What a way has made of the recordings so far."""

    errors: PhoneErrors = field(default_factory=PhoneErrors)
    seconds: float = 0.0
    delays: list[float] = field(default_factory=list)
    bytes: int = 0
    starts: int = 0  # of words, in the references, of phones heard correctly
    guessed: int = 0  # on phones heard correctly
    right: int = 0

    def add(self, reference: list[str], word_starts: list[bool] | None, phones: list[Phone]) -> None:
        """Count a recording's errors, and its word starts where they are known."""
        edits = align(reference, [phone.symbol for phone in phones])
        self.errors += count_errors(edits)
        if word_starts is None:
            return
        references, found = iter(word_starts), iter(phones)
        for edit in edits:
            start = edit.reference is not None and next(references)
            guess = edit.hypothesis is not None and bool(next(found).word_start)
            if edit.operation == "equal":
                self.starts += start
                self.guessed += guess
                self.right += start and guess


def word_starts(text: str, reference: list[str]) -> list[bool] | None:
    """Whether a word begins with each reference phone; None where the phones are not the words'."""
    words = [lexicon().pronunciations(word)[0].phones for word in normalise(text)]
    if [phone for word in words for phone in word] != reference:
        return None
    return [place == 0 for word in words for place in range(len(word))]


def greedy(decoder: Decoder) -> Way:
    def decode(rows: FloatArray, step: int) -> Iterator[Emitted]:
        state = DecoderState()
        for begin in range(0, len(rows), step):
            phones, state = decoder.decode(state, rows[begin : begin + step])
            yield Emitted(phones, begin + step, 0)
        yield Emitted(decoder.finish(state), len(rows), 0)

    return decode


def search(decoder: BeamDecoder) -> Way:
    def decode(rows: FloatArray, step: int) -> Iterator[Emitted]:
        state = decoder.initial()
        for begin in range(0, len(rows), step):
            phones, state = decoder.decode(state, rows[begin : begin + step])
            yield Emitted(phones, begin + step, sum(array.nbytes for array in state.beam))
        yield Emitted(decoder.finish(state)[0], len(rows), 0)

    return decode


def flashlight(decoder: BeamDecoder, arpa: Path) -> Way | None:
    """flashlight-text with KenLM and the settings of `decoder`; None where they are not installed."""
    try:
        library: Any = import_module("flashlight.lib.text.decoder")
        kenlm: Any = import_module("flashlight.lib.text.decoder.kenlm")
        dictionary: Any = import_module("flashlight.lib.text.dictionary")
    except ImportError:
        return None
    symbols, blank = decoder.greedy.symbols, decoder.greedy.blank
    columns = dictionary.Dictionary()
    for column, symbol in enumerate(symbols):
        columns.add_entry("<blank>" if column == blank else symbol)
    options = library.LexiconFreeDecoderOptions(
        beam_size=decoder.settings.size,
        beam_size_token=15,
        beam_threshold=decoder.settings.threshold,
        lm_weight=decoder.settings.lm_weight * math.log(10),
        sil_score=decoder.rule.blank_score,
        log_add=True,
        criterion_type=library.CriterionType.CTC,
    )
    # With the blank as its "silence", sil_score is for blanks.
    found = library.LexiconFreeDecoder(options, kenlm.KenLM(str(arpa), columns), blank, blank, [])

    def decode(rows: FloatArray, step: int) -> Iterator[Emitted]:
        contiguous = np.ascontiguousarray(rows, np.float32)
        best = found.decode(contiguous.ctypes.data, *contiguous.shape)[0].tokens[1 : len(rows) + 1]
        changes = [column for last, column in zip([blank, *best], best, strict=False) if column != last]
        phones = [Phone(symbols[column], 0.0, 0.0, 0.0, peak=0.0) for column in changes if column != blank]
        yield Emitted(phones, 0, 0)

    return decode


def together(decoder: BeamDecoder, recordings: list[FloatArray], step: int) -> tuple[float, float]:
    """µs a row of `STREAMS` streams in one step, and one after another: medians over the steps."""
    rows = np.concatenate(recordings)
    length = min(len(rows) // STREAMS, 1500) // step * step
    streams = rows[: STREAMS * length].reshape(STREAMS, length, -1)
    joint = alone = [decoder.initial() for _ in streams]
    spent = []
    for begin in range(0, length, step):
        chunk = streams[:, begin : begin + step]
        moments = [time.perf_counter()]
        joint = [state for _, state in decoder.decode_many(joint, chunk)]
        moments.append(time.perf_counter())
        alone = [decoder.decode(state, own)[1] for state, own in zip(alone, chunk, strict=True)]
        moments.append(time.perf_counter())
        spent.append(np.diff(moments))
    one, other = 1e6 * np.median(spent, axis=0) / (STREAMS * step)
    return float(one), float(other)


def ways(recognizer: Recognizer, arpa: Path | None) -> dict[str, Way]:
    """Every way by its name."""
    plain = recognizer.metadata.decoder
    usual = BeamSearch()
    made = {"greedy": greedy(plain), "no language model": search(BeamDecoder(plain, BeamSearch(lm=None)))}
    for size in SIZES:
        made[f"size {size}"] = search(BeamDecoder(plain, BeamSearch(size=size)))
    for delay in DELAYS:
        if delay != usual.delay_seconds:
            made[f"delay {delay:g} s"] = search(BeamDecoder(plain, BeamSearch(delay_seconds=delay)))
    if arpa is not None:
        decoder = BeamDecoder(plain, BeamSearch(lm=arpa, size=50, lm_weight=0.7, blank_score=-1.5))
        made[f"{arpa.name}, size 50"] = search(decoder)
        judge = flashlight(decoder, arpa)
        if judge is not None:
            made[f"{arpa.name}, size 50, flashlight"] = judge
    return made


def main() -> None:
    parser = on_split.parser(__doc__ or "", "dev")
    parser.add_argument("--limit", type=int, default=100, help="recordings, evenly spread over the split")
    parser.add_argument("--arpa", type=Path, help="a language model of phones for ours and for flashlight")
    options = parser.parse_args()

    report = Report(options)
    recognizer = Recognizer(options.model)
    row_seconds = recognizer.metadata.row_seconds
    step = recognizer.metadata.rows_per_frame
    every = ways(recognizer, options.arpa)
    tallies = {name: Tally() for name in every}
    model, count = 0.0, 0
    recordings = []
    for cut in on_split.cuts(options.split, options.limit):
        samples = load_samples(cut)
        begin = time.perf_counter()
        rows = recognizer.log_probs(samples)
        model += time.perf_counter() - begin
        count += len(rows)
        recordings.append(rows)
        reference = reference_phones(cut)
        starts = word_starts(cut.supervisions[0].text or "", reference)
        for name, way in every.items():
            tally, phones = tallies[name], []
            begin = time.perf_counter()
            emitted = list(way(rows, step))
            tally.seconds += time.perf_counter() - begin
            for found, seen, size in emitted:
                phones += found
                tally.bytes = max(tally.bytes, size)
                offset = recognizer.metadata.time_offset_seconds + row_seconds / 2
                tally.delays += [seen * row_seconds - peak(phone) - offset for phone in found]
            tally.add(reference, starts, phones)

    joint, alone = together(
        BeamDecoder(recognizer.metadata.decoder, BeamSearch()), recordings, STREAM_FRAMES * step
    )
    report.note(
        f"{options.split}: {count * row_seconds / 60:.0f} minutes; blank scores are for {BLANK_SECONDS * 1000:.0f} ms; "
        f"the model alone {1e6 * model / count:.0f} µs a row of {row_seconds * 1000:.0f} ms; "
        f"{STREAMS} streams in one step {joint:.0f} µs a row, one after another {alone:.0f}."
    )
    table = report.table(
        ("", ""),
        ("PER %", ".2f"),
        ("µs a row", ".0f"),
        ("with the model, times greedy", ".2f"),
        ("delay p50, s", ".2f"),
        ("p90, s", ".2f"),
        ("state, KB", ".1f"),
        ("word starts right %", ".1f"),
        ("found %", ".1f"),
    )
    least = tallies["greedy"].seconds + model
    for name, tally in tallies.items():
        half, most = np.percentile(tally.delays, [50, 90])
        whole = name.endswith("flashlight")
        table.add(
            name,
            100 * tally.errors.per,
            1e6 * tally.seconds / count,
            (tally.seconds + model) / least,
            None if whole else float(half),
            None if whole else float(most),
            tally.bytes / 1000 or None,
            100 * tally.right / tally.guessed if tally.guessed else None,
            100 * tally.right / tally.starts if tally.guessed else None,
        )
    report.save()


if __name__ == "__main__":
    main()
