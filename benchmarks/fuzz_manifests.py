"""Mutated manifests read: how many rows are recordings, how many refused, the slowest manifest, and memory.

    python benchmarks/fuzz_manifests.py 20000 --seed 7

Ends with status 1 at the first one that raises anything, or gives a recording that cannot be a file; it is kept.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fuzzing_manifests import mutated, read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help="how many manifests")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    recordings = refused = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, (ending, data) in enumerate(mutated(options.count, options.seed)):
            path = Path(folder) / f"manifest{ending}"
            path.write_bytes(data)
            begun = time.perf_counter()
            try:
                found = read(path)
            except Exception as error:
                kept = Path(f"fuzz-{options.seed}-{number}{ending}")
                kept.write_bytes(data)
                print(f"{kept}: {type(error).__name__}: {error}")
                return 1
            recordings, refused = recordings + found[0], refused + found[1]
            slowest = max(slowest, time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"| {options.count} manifests | {recordings} recordings | {refused} rows refused | "
        f"slowest {slowest:.2f} s | peak memory {peak:.0f} MiB |"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
