"""Whether confidences mean something: reliability diagram and expected calibration error on a split.

    PHONESTREAM_SPEECH=DIR python benchmarks/confidence.py --split test

A phone is right when the edit-distance alignment with the reference pairs it with its like. Confidences are those that
streams give, with the temperature of the model's metadata; for comparison the table has those without one too. Prints
Markdown and draws benchmarks/pictures/confidence.png.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import on_split
from numpy.typing import NDArray
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples, reference_phones
from phonestream.asr.evaluation.reliability import BINS, Judged, Reliability, judge, reliability
from phonestream.asr.evaluation.score import align
from phonestream.streaming.decode import Decoder, DecoderState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = on_split.PICTURES / "confidence.png"


def judged(
    decoder: Decoder, log_probs: Sequence[NDArray[np.float32]], references: Sequence[Sequence[str]]
) -> Judged:
    """The phones that a decoder finds in `log_probs`, [rows, phones + 1] for each recording."""
    scored = []
    for rows, reference in zip(log_probs, references, strict=True):
        phones, state = decoder.decode(DecoderState(), rows)
        phones += decoder.finish(state)
        scored.append((align(reference, [phone.symbol for phone in phones]), phones))
    return judge(scored)


def draw(found: Reliability, confidence: NDArray[np.float64]) -> "Figure":
    """Share right against confidence, and below it how many phones have which confidence."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="#666666", linestyle="--", linewidth=1, label="calibrated")
    above.plot(
        [entry.confidence for entry in found.bins], [entry.right for entry in found.bins],
        marker="o", color="#0060a8", label=f"{BINS} bins of equally many phones",
    )  # fmt: skip
    above.set(ylabel="share right", ylim=(0, 1), xlim=(0, 1))
    above.text(0.97, 0.05, f"ECE {found.error:.3f}", ha="right", transform=above.transAxes)
    above.legend(frameon=False, loc="upper left")
    above.grid(alpha=0.3)
    below.hist(confidence, np.linspace(0, 1, 41), color="#0060a8")
    below.set(xlabel="confidence", ylabel="phones")
    return figure


def main() -> None:
    options = on_split.parser(__doc__, "test", PICTURE).parse_args()

    recognizer = Recognizer(options.model)
    cuts = on_split.cuts(options.split, options.limit)
    log_probs = [recognizer.log_probs(load_samples(cut)) for cut in cuts]
    references = [reference_phones(cut) for cut in cuts]

    decoder = recognizer.metadata.decoder
    fitted = judged(decoder, log_probs, references)
    plain = judged(replace(decoder, temperature=1.0), log_probs, references)
    report = Report(options)
    report.note(f"{len(fitted.right):,} phones of {len(cuts)} recordings of {options.split}.")
    means = (("mean confidence", ".3f"), ("right", ".3f"))
    ece = ((f"ECE, {BINS} bins of equal mass", ".4f"), ("of equal width", ".4f"))
    table = report.table(("temperature", "g"), *means, *ece)
    for temperature, found in ((decoder.temperature, fitted), (1.0, plain)):
        mass, width = reliability(found), reliability(found, binning="width")
        table.add(temperature, mass.confidence, mass.right, mass.error, width.error)
    mass = reliability(fitted)
    table = report.table(("confidence", ""), ("phones", ""), ("mean", ".3f"), ("right", ".3f"), shown=False)
    for entry in mass.bins:
        table.add(f"{entry.low:.3f} to {entry.high:.3f}", entry.phones, entry.confidence, entry.right)

    report.save()
    on_split.save(draw(mass, fitted.confidence), options.picture)


if __name__ == "__main__":
    main()
