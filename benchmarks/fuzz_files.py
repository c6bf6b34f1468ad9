"""Mutated audio files through the file layer: how many are heard, how many refused, the slowest, and memory.

    python benchmarks/fuzz_files.py 20000 --seed 7

Ends with status 1 at the first file that raises anything but its own one-line error; the file is kept.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fuzzing import mutated, originals, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help="how many files")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    heard, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated"
        for number, data in enumerate(mutated(originals(Path(folder)), options.count, options.seed)):
            path.write_bytes(data)
            begun = time.perf_counter()
            try:
                heard += read(path)
            except Exception as error:
                kept = Path(f"fuzz-{options.seed}-{number}.bin")
                kept.write_bytes(data)
                print(f"{kept}: {type(error).__name__}: {error}")
                return 1
            slowest = max(slowest, time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {options.count} files | {heard} heard | slowest {slowest:.2f} s | peak memory {peak:.0f} MiB |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
