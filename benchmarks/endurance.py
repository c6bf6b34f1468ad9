"""One stream for an hour and more, in live chunks at an accelerated pace: does memory grow, or the time of a chunk?

    python benchmarks/endurance.py --minutes 60

The audio is the test split of the folder that PHONESTREAM_SPEECH names (without it tests/data/speech), recording after
recording, over and over, a second of silence between two. It comes in chunks of 40 ms, as from a microphone. Memory is
what the process holds at the end of each part; the phones are compared with those of another stream that hears the
same audio in blocks of 4 s.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tables

from phonestream import Recognizer
from streaming import RATE, SHIPPED, Samples, load, percentile

CHUNK = RATE * 40 // 1000  # samples
BLOCK = 4 * RATE


def endless(recordings: Sequence[Samples], samples: int, size: int) -> Iterator[Samples]:
    """`samples` samples of the recordings, over and over, `size` at a time."""
    left, rest = samples, np.empty(0, np.float32)
    silence = np.zeros(RATE, np.float32)
    for recording in itertools.cycle(recordings):
        rest = np.concatenate([rest, recording, silence])
        while len(rest) >= size or left <= len(rest):
            chunk, rest = rest[: min(size, left)], rest[size:]
            left -= len(chunk)
            yield chunk
            if not left:
                return


def resident_mib() -> float:
    """Memory of this process that is in use, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--minutes", type=float, default=60.0, help="of audio")
    parser.add_argument("--parts", type=int, default=6, help="into which it is divided")
    tables.add_option(parser)
    options = parser.parse_args()

    recordings = load(Path(os.environ.get("PHONESTREAM_SPEECH") or SHIPPED), 100)
    recognizer = Recognizer(options.model, threads=1)
    samples = int(options.minutes * 60 * RATE)
    chunks = -(-samples // CHUNK)

    report = tables.Report(options)
    percentiles = (("p50, ms", ".2f"), ("p95, ms", ".2f"), ("p99, ms", ".2f"))
    table = report.table(("minutes", ".0f"), *percentiles, ("memory, MiB", ".0f"))
    stream, phones, times = recognizer.stream(), [], []
    part = -(-chunks // options.parts)
    for number, chunk in enumerate(endless(recordings, samples, CHUNK), start=1):
        began = time.perf_counter()
        found = stream.accept(chunk)
        times.append(time.perf_counter() - began)
        phones += [phone.symbol for phone in found]
        if number % part == 0 or number == chunks:
            of_part = (percentile(times, share) for share in (50, 95, 99))
            table.add(stream.seconds / 60, *of_part, resident_mib())
            times.clear()
    phones += [phone.symbol for phone in stream.finish()]

    again, same = recognizer.stream(), []
    for block in endless(recordings, samples, BLOCK):
        same += [phone.symbol for phone in again.accept(block)]
    same += [phone.symbol for phone in again.finish()]
    words = "the same" if same == phones else "NOT the same"
    report.note(f"{len(phones):,} phones, {words} as in blocks of {BLOCK // RATE} s.")
    report.save()


if __name__ == "__main__":
    main()
