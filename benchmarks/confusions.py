"""What is heard for what: the confusion matrix of a split, as a picture and its commonest errors as a table.

    PHONESTREAM_SPEECH=DIR python benchmarks/confusions.py --split test

A row is a phone of the reference, a column what the alignment paired with it; the last column is what was deleted, the
last row what was inserted. Prints Markdown and draws benchmarks/pictures/confusions.png.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from typing import TYPE_CHECKING

import numpy as np
import on_split
from numpy.typing import NDArray
from tables import Report

from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.evaluation.score import top_confusions
from phonestream.asr.lexicon.phones import PHONES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = on_split.PICTURES / "confusions.png"
LISTED = 10  # errors


def draw(table: NDArray[np.int64]) -> "Figure":
    """Each row's shares, on a scale on which one in a thousand still shows."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(8, 7.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.where(shares > 0, shares, np.nan), cmap="Blues", norm=LogNorm(1e-3, 1))
    places = range(len(PHONES) + 1)
    axes.set_xticks(places, [*PHONES, "deleted"], rotation=90, fontsize=7)
    axes.set_yticks(places, [*PHONES, "inserted"], fontsize=7)
    axes.set(xlabel="heard", ylabel="reference")
    figure.colorbar(image, label="share of the row", shrink=0.7)
    return figure


def main() -> None:
    options = on_split.parser(__doc__, "test", PICTURE).parse_args()

    evaluation = evaluate(options.model, split=options.split, limit=options.limit)
    counts = evaluation.confusions
    report = Report(options)
    report.note(
        f"{counts[:-1].sum():,} phones of {len(evaluation.recordings)} recordings of {options.split}."
    )
    table = report.table(("reference", ""), ("heard", ""), ("times", ""), ("% of the reference's", ".1f"))
    of_phone = dict(zip(PHONES, counts.sum(axis=1), strict=False))
    for error in top_confusions(counts, LISTED):
        share = None if error.reference is None else 100 * error.times / of_phone[error.reference]
        table.add(error.reference or "nothing", error.hypothesis or "nothing", error.times, share)
    report.save()
    on_split.save(draw(counts), options.picture)


if __name__ == "__main__":
    main()
