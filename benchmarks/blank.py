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

from phonestream import Recognizer
from phonestream.asr.corpora import load_samples, reference_phones
from phonestream.asr.score import PhoneErrors, phone_errors
from phonestream.streaming.decode import Decoder, DecoderState

PENALTIES = tuple(round(0.2 * step, 1) for step in range(-4, 5))  # nats


def lowered(rows: NDArray[np.float32], blank: int, penalty: float) -> NDArray[np.float32]:
    """`rows` [rows, columns] with blank's score `penalty` lower, as log-probabilities again."""
    scores = rows.copy()
    scores[:, blank] -= penalty
    summed: NDArray[np.float32] = np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return scores - summed


def by_frame(rows: NDArray[np.float32], blank: int, rows_per_frame: int) -> NDArray[np.float32]:
    """`rows` with a phone made certain in each frame of blanks that rather holds one than none."""
    probabilities = np.exp(rows).reshape(-1, rows_per_frame, rows.shape[1])
    quiet = (probabilities.argmax(axis=2) == blank).all(axis=1)
    within = 1 - (1 - probabilities).prod(axis=1)  # that a phone is in the frame: rows are independent in CTC
    within[:, blank] = probabilities[:, :, blank].prod(axis=1)
    column = within.argmax(axis=1)
    read = rows.copy()
    for frame in np.flatnonzero(quiet & (column != blank)):
        row = probabilities[frame, :, column[frame]].argmax()
        read[frame * rows_per_frame + row, column[frame]] = 0
    return read


def symbols(decoder: Decoder, rows: NDArray[np.float32]) -> list[str]:
    """The phones that greedy decoding finds."""
    phones, state = decoder.decode(DecoderState(), rows)
    return [phone.symbol for phone in phones + decoder.finish(state)]


def table_row(name: str, errors: PhoneErrors) -> str:
    parts = (errors.substitutions, errors.insertions, errors.deletions)
    shares = " | ".join(f"{100 * part / errors.reference_length:.2f}" for part in parts)
    return f"| {name} | {100 * errors.per:.2f} | {shares} |"


def main() -> None:
    parser = on_split.parser(__doc__, "dev")
    parser.add_argument("--limit", type=int, help="recordings at most, evenly spread over the split")
    options = parser.parse_args()

    recognizer = Recognizer(options.model)
    meta = recognizer.metadata
    cuts = on_split.cuts(options.split, options.limit)
    log_probs = [recognizer.log_probs(load_samples(cut)) for cut in cuts]
    references = [reference_phones(cut) for cut in cuts]

    print(f"{options.model}: {len(cuts)} recordings of {options.split}")
    for title in ("rows", "frames"):
        print(f"\n| off blank, nats; {title} | PER % | substitutions | insertions | deletions |")
        print("| --- | --- | --- | --- | --- |")
        for penalty in PENALTIES:
            errors = PhoneErrors()
            for rows, reference in zip(log_probs, references, strict=True):
                read = lowered(rows, meta.blank, penalty)
                if title == "frames":
                    read = by_frame(read, meta.blank, meta.rows_per_frame)
                errors += phone_errors(reference, symbols(meta.decoder, read))
            print(table_row(f"{penalty:+.1f}", errors), flush=True)


if __name__ == "__main__":
    main()
