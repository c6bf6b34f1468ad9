"""How far the times of phones lie from pocketsphinx's forced alignment, and which constant offset would centre them.

    PHONESTREAM_SPEECH=DIR python benchmarks/timing.py --split dev

A connectionist model spikes where it likes; `phonestream export --time-offset` takes the constant that this prints out
of all times. Phones are matched by the edit-distance alignment of what was heard with what pocketsphinx aligned, and
only equal ones are compared, centre with centre. Recordings with a word that pocketsphinx's dictionary lacks are left
out.
"""

from collections.abc import Iterator

import numpy as np
import on_split
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples
from phonestream.asr.evaluation.pocketsphinx_alignment import (
    forced_alignment,
    match_phones,
    peak,
    pocketsphinx_aligner,
)


def differences(recognizer: Recognizer, split: str, count: int) -> Iterator[float]:
    """Seconds by which each matched phone's peak lies after the middle of pocketsphinx's."""
    decoder = pocketsphinx_aligner()
    for cut in on_split.cuts(split, count):
        samples = load_samples(cut)
        reference = forced_alignment(decoder, cut.supervisions[0].text, samples)
        if not reference:
            continue
        heard = recognizer.transcribe(samples)
        for said, phone in match_phones(reference, heard):
            yield peak(phone) - (said.start + said.end) / 2


def main() -> None:
    parser = on_split.parser(__doc__, "dev")
    parser.add_argument("--recordings", type=int, default=100, help="how many, evenly spread over the split")
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    found = np.array(list(differences(recognizer, options.split, options.recordings)))
    offset = 1000 * recognizer.metadata.time_offset_seconds
    median = 1000 * float(np.median(found))
    off = np.abs(1000 * found - median)
    report = Report(options)
    table = report.table(
        ("phones", ""),
        ("model's offset, ms", ".0f"),
        ("median difference, ms", "+.0f"),
        ("offset that would centre it, ms", ".0f"),
        ("half within, ms", ".0f"),
        ("90 % within, ms", ".0f"),
    )
    table.add(len(found), offset, median, offset + median, np.median(off), np.percentile(off, 90))
    report.save()


if __name__ == "__main__":
    main()
