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

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples
from phonestream.asr.evaluation.pocketsphinx_alignment import (
    forced_alignment,
    match_phones,
    pocketsphinx_aligner,
)


def differences(recognizer: Recognizer, split: str, count: int) -> Iterator[float]:
    """Seconds by which each matched phone's middle lies after pocketsphinx's."""
    decoder = pocketsphinx_aligner()
    used = 0
    for cut in on_split.cuts(split, count):
        samples = load_samples(cut)
        reference = forced_alignment(decoder, cut.supervisions[0].text, samples)
        if not reference:
            continue
        used += 1
        heard = recognizer.transcribe(samples)
        for said, phone in match_phones(reference, heard):
            yield (phone.start + phone.end - said.start - said.end) / 2
    print(f"{used} recordings of {split} aligned")


def main() -> None:
    parser = on_split.parser(__doc__, "dev")
    parser.add_argument("--recordings", type=int, default=100, help="how many, evenly spread over the split")
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    found = np.array(list(differences(recognizer, options.split, options.recordings)))
    offset = recognizer.metadata.time_offset_seconds
    median = float(np.median(found))
    spread = np.abs(found - median)
    print(f"{len(found)} phones; the model's offset now is {offset * 1000:.0f} ms")
    print(
        f"median difference {median * 1000:+.0f} ms, so an offset of {(offset + median) * 1000:.0f} ms would centre it"
    )
    half, most = np.median(spread) * 1000, np.percentile(spread, 90) * 1000
    print(f"around the median: half within {half:.0f} ms, 90 % within {most:.0f} ms")


if __name__ == "__main__":
    main()
