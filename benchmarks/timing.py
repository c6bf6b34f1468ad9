"""How far the times of phones lie from pocketsphinx's forced alignment, and which constant offset would centre them.

    PHONESTREAM_SPEECH=DIR python benchmarks/timing.py --split dev

A connectionist model spikes where it likes; `phonestream export --time-offset` takes the constant that this prints out
of all times. Phones are matched by the edit-distance alignment of what was heard with what pocketsphinx aligned, and
only equal ones are compared, centre with centre. Recordings with a word that pocketsphinx's dictionary lacks are left
out.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder

from phonestream import Recognizer
from phonestream.asr.corpora import load_cuts, load_samples
from phonestream.asr.score import align

FRAME_SECONDS = 0.01  # of pocketsphinx's alignment
Timed = tuple[str, float]  # a phone and the middle of its time, in seconds


def forced_alignment(decoder: Decoder, text: str, samples: NDArray[np.float32]) -> list[Timed]:
    """Phones of `text` in `samples` at 16 kHz, silences left out; empty where pocketsphinx finds no alignment."""
    data = (samples * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(text)
    _run(decoder, data)  # words first ...
    if decoder.hyp() is None:
        return []
    decoder.set_alignment()
    _run(decoder, data)  # ... then the phones within them; there is no hyp() to ask for after this pass
    return [
        (phone.name, (phone.start + phone.duration / 2) * FRAME_SECONDS)
        for word in decoder.get_alignment()
        for phone in word
        if phone.name != "SIL"
    ]


def _run(decoder: Decoder, data: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(data, full_utt=True)
    decoder.end_utt()


def differences(recognizer: Recognizer, decoder: Decoder, split: str, count: int) -> Iterator[float]:
    """Seconds by which each matched phone's middle lies after pocketsphinx's."""
    cuts = list(load_cuts(Path(os.environ["PHONESTREAM_SPEECH"]), split))
    used = 0
    for cut in (cuts[index * len(cuts) // count] for index in range(min(count, len(cuts)))):
        text = cut.supervisions[0].text
        if any(decoder.lookup_word(word) is None for word in text.split()):
            continue
        samples = load_samples(cut)
        try:
            reference = forced_alignment(decoder, text, samples)
        except RuntimeError:  # pocketsphinx found no path
            continue
        heard = [(phone.symbol, (phone.start + phone.end) / 2) for phone in recognizer.transcribe(samples)]
        if not reference:
            continue
        used += 1
        at, after = 0, 0
        for edit in align([name for name, _ in reference], [symbol for symbol, _ in heard]):
            if edit.operation == "equal":
                yield heard[after][1] - reference[at][1]
            at += edit.reference is not None
            after += edit.hypothesis is not None
    print(f"{used} recordings of {split} aligned")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--recordings", type=int, default=100, help="how many, evenly spread over the split")
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    decoder = Decoder(bestpath=False, lm=None, loglevel="FATAL")
    found = np.array(list(differences(recognizer, decoder, options.split, options.recordings)))
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
