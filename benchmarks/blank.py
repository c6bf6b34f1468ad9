"""What the blank's score does to greedy decoding: PER on a split with blank lowered further, or raised again.

    PHONESTREAM_SPEECH=DIR python benchmarks/blank.py --split dev

`phonestream export --data` has lowered blank already; what this takes off its log-probabilities comes on top, and below
0 is given back. Beside the best path of rows stands another reading, of whole encoder frames: where all rows of a frame
are blank, but some phone is likelier to be in one of them than nothing is, the row in which it is likeliest stands for
it. Prints Markdown.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import on_split
from numpy.typing import NDArray
from tables import Report

from phonestream import Recognizer
from phonestream.asr.corpora.corpus import load_samples, reference_phones
from phonestream.asr.evaluation.score import PhoneErrors, phone_errors
from phonestream.asr.lexicon.phones import BLANK
from phonestream.asr.model.offline import greedy_phones

PENALTIES = tuple(round(0.2 * step, 1) for step in range(-4, 5))  # nats


def lowered(rows: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """`rows` [rows, columns] with blank's score `penalty` lower, as log-probabilities again."""
    scores = rows.copy()
    scores[:, BLANK] -= penalty
    summed: NDArray[np.float32] = np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return scores - summed


def by_frame(rows: NDArray[np.float32], rows_per_frame: int) -> NDArray[np.float32]:
    """`rows` with a phone made certain in each frame of blanks that rather holds one than none."""
    probabilities = np.exp(rows).reshape(-1, rows_per_frame, rows.shape[1])
    quiet = (probabilities.argmax(axis=2) == BLANK).all(axis=1)
    within = 1 - (1 - probabilities).prod(axis=1)  # that a phone is in the frame: rows are independent in CTC
    within[:, BLANK] = probabilities[:, :, BLANK].prod(axis=1)
    column = within.argmax(axis=1)
    read = rows.copy()
    for frame in np.flatnonzero(quiet & (column != BLANK)):
        row = probabilities[frame, :, column[frame]].argmax()
        read[frame * rows_per_frame + row, column[frame]] = 0
    return read


def main() -> None:
    options = on_split.parser(__doc__, "dev").parse_args()

    recognizer = Recognizer(options.model)
    cuts = on_split.cuts(options.split)
    log_probs = [recognizer.log_probs(load_samples(cut)) for cut in cuts]
    references = [reference_phones(cut) for cut in cuts]

    report = Report(options)
    report.note(f"PER % of {len(cuts)} recordings of {options.split}.")
    table = report.table(("off blank, nats", "+.1f"), ("best path", ".2f"), ("by frames", ".2f"))
    for penalty in PENALTIES:
        by_rows, by_frames = PhoneErrors(), PhoneErrors()
        for original, reference in zip(log_probs, references, strict=True):
            rows = lowered(original, penalty)
            by_rows += phone_errors(reference, greedy_phones(rows))
            frames = by_frame(rows, recognizer.metadata.rows_per_frame)
            by_frames += phone_errors(reference, greedy_phones(frames))
        table.add(penalty, 100 * by_rows.per, 100 * by_frames.per)
    report.save()


if __name__ == "__main__":
    main()
