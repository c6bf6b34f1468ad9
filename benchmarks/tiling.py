"""How far the boundaries of intervals lie from pocketsphinx's forced alignment, beside other rules to draw them.

    PHONESTREAM_SPEECH=DIR python benchmarks/tiling.py --split dev

Two neighbouring phones are compared where both were heard as they were aligned, with nothing heard between them. A
boundary is where one goes over into the other; at a silence, the end of the one and the beginning of the other count
each. pocketsphinx aligns in steps of 10 ms.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import on_split
from tables import Report, Table

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples
from phonestream.asr.evaluation.pocketsphinx_alignment import (
    FRAME_SECONDS,
    Aligned,
    forced_alignment,
    match_phones,
    peak,
    pocketsphinx_aligner,
)
from phonestream.streaming.arrays import FloatArray
from phonestream.streaming.decode import Phone
from phonestream.streaming.metadata import ModelMetadata


class Pair(NamedTuple):
    """Two neighbours: as aligned and as heard."""

    aligned: tuple[Aligned, Aligned]
    heard: tuple[Phone, Phone]
    rows: FloatArray  # [rows, phones + 1] log-probabilities of the whole recording

    @property
    def silent(self) -> bool:
        """Whether pocketsphinx has a silence between the two."""
        return self.aligned[1].start - self.aligned[0].end > FRAME_SECONDS / 2

    @property
    def paused(self) -> bool:
        """Whether the phones heard have one."""
        return self.heard[1].start > self.heard[0].end


Rule = Callable[[Pair, ModelMetadata], float]


def tiled(pair: Pair, metadata: ModelMetadata) -> float:
    return pair.heard[1].start


def halfway(pair: Pair, metadata: ModelMetadata) -> float:
    return (peak(pair.heard[0]) + peak(pair.heard[1])) / 2


def posteriors_cross(pair: Pair, metadata: ModelMetadata) -> float:
    """Where the left phone's posterior falls below the right's, between the peaks."""
    left, right = pair.heard
    offset, seconds, symbols = metadata.time_offset_seconds, metadata.row_seconds, metadata.decoder.symbols
    first = max(round((peak(left) + offset) / seconds) - 1, 0)
    rows = pair.rows[first : round((peak(right) + offset) / seconds) + 1]
    above = rows[:, symbols.index(left.symbol)] - rows[:, symbols.index(right.symbol)]
    for number, (before, after) in enumerate(pairwise(above)):
        if before > 0 >= after:
            return (first + number + 0.5 + float(before / (before - after))) * seconds - offset
    return halfway(pair, metadata)


RULES: dict[str, Rule] = {
    "as phones have them": tiled,
    "half-way between the spikes": halfway,
    "where the posteriors cross": posteriors_cross,
}


def pairs(recognizer: Recognizer, split: str, count: int) -> Iterator[Pair]:
    decoder = pocketsphinx_aligner()
    for cut in on_split.cuts(split, count):
        samples = load_samples(cut)
        reference = forced_alignment(decoder, cut.supervisions[0].text, samples)
        stream = recognizer.stream(posteriors=True)
        heard = stream.accept(samples) + stream.finish()
        rows = stream.take_posteriors()
        said_at = {phone: position for position, phone in enumerate(reference)}
        heard_at = {phone: position for position, phone in enumerate(heard)}
        for (said, left), (next_said, right) in pairwise(match_phones(reference, heard)):
            at = heard_at[left]
            if said_at[next_said] == said_at[said] + 1 and heard_at[right] == at + 1:
                yield Pair((said, next_said), (left, right), rows)


def main() -> None:
    parser = on_split.parser(__doc__, "dev")
    parser.add_argument("--recordings", type=int, default=100, help="how many, evenly spread over the split")
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    found = list(pairs(recognizer, options.split, options.recordings))
    flowing = [pair for pair in found if not pair.silent and not pair.paused]
    silences = [pair for pair in found if pair.silent]
    both = [pair for pair in silences if pair.paused]
    wrong = sum(pair.paused for pair in found) - len(both)
    report = Report(options)
    report.note(
        f"{len(flowing):,} boundaries between phones; {len(silences)} silences between phones, {len(both)} of them "
        f"found and {wrong} where there is none."
    )
    sizes = (("half within", ".0f"), ("90 % within", ".0f"), ("mean", ".1f"), ("bias", "+.1f"))
    table = report.table(("ms from the alignment's", ""), *sizes)
    for name, rule in RULES.items():
        _add(table, name, [rule(pair, recognizer.metadata) - pair.aligned[1].start for pair in flowing])
    _add(table, "where silences begin", [pair.heard[0].end - pair.aligned[0].end for pair in both])
    _add(table, "where they end", [pair.heard[1].start - pair.aligned[1].start for pair in both])
    report.save()


def _add(table: Table, name: str, errors: Sequence[float]) -> None:
    off = np.array(errors) * 1000
    size = np.abs(off)
    table.add(name, np.median(size), np.percentile(size, 90), size.mean(), off.mean())


if __name__ == "__main__":
    main()
