"""Mutated snapshots restored: how many are taken, how many refused, the slowest, and memory.

    python benchmarks/fuzz_snapshots.py 20000 --seed 7

Ends with status 1 at the first one that raises anything but one of our own one-line errors; the snapshot is kept.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fuzzing_snapshots import mutated, originals, resume

from phonestream import Recognizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help="how many snapshots")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    recognizer = Recognizer()
    taken, slowest = 0, 0.0
    for number, data in enumerate(mutated(originals(recognizer), options.count, options.seed)):
        begun = time.perf_counter()
        try:
            taken += resume(recognizer, data)
        except Exception as error:
            kept = Path(f"fuzz-{options.seed}-{number}.snapshot")
            kept.write_bytes(data)
            print(f"{kept}: {type(error).__name__}: {error}")
            return 1
        slowest = max(slowest, time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {options.count} snapshots | {taken} taken | slowest {slowest:.2f} s | peak memory {peak:.0f} MiB |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
