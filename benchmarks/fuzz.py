"""Input changed at random: audio files, snapshots, manifests, connections. Is any of it more than taken or refused?

    python benchmarks/fuzz.py --record                          # as many of each as RESULTS.md has
    python benchmarks/fuzz.py files --count 1 --first 1234      # one case again

Every case follows from the seed and its number. The run ends with status 1 at the first that raises anything but its
own one-line error, takes ten seconds of processor time or blocks, or is a file that is heard in part without a word;
the input is kept in the current folder. Connections talk to one server, sixteen at a time: each must be closed, and
the server's log stay empty. Peak memory is that of the process that takes the input.
"""

import argparse
import asyncio
import functools
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import tables

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

import fuzzing
import fuzzing_manifests
import fuzzing_snapshots
from fuzzing_websocket import conversations
from server_process import serving

from phonestream import Recognizer

SLOWEST_SECONDS, MOST_MEMORY = 10.0, 500  # of processor time; MB, of 10^6 bytes
BLOCKED_SECONDS = 120  # by the clock on the wall, on a machine that may have other things to do
STEP = 1000  # cases between two lines of progress
LIMITS = {"idle_seconds": 5.0, "opening_seconds": 5.0}  # for who sends half a frame, and then nothing


class Outcome(NamedTuple):
    """What became of a kind of input."""

    taken: int
    slowest: float | None  # seconds of processor time
    memory: float  # MB


Make = Callable[[int], tuple[str, bytes, Callable[[], bool]]]
"""A case by its number: the ending of its file's name, its bytes, and what says whether it is taken."""


def files(folder: Path, seed: int) -> Make:
    contents = fuzzing.originals(folder)
    path = folder / "mutated"

    def make(number: int) -> tuple[str, bytes, Callable[[], bool]]:
        data, least = fuzzing.mutated(contents, seed, number)
        path.write_bytes(data)
        return ".bin", data, functools.partial(fuzzing.read, path, least)

    return make


def snapshots(_: Path, seed: int) -> Make:
    recognizer = Recognizer()
    saved = fuzzing_snapshots.originals(recognizer)

    def make(number: int) -> tuple[str, bytes, Callable[[], bool]]:
        data = fuzzing_snapshots.mutated(saved, seed, number)
        return ".snapshot", data, functools.partial(fuzzing_snapshots.resume, recognizer, data)

    return make


def manifests(folder: Path, seed: int) -> Make:
    def make(number: int) -> tuple[str, bytes, Callable[[], bool]]:
        ending, data = fuzzing_manifests.mutated(seed, number)
        path = folder / f"manifest{ending}"
        path.write_bytes(data)
        return ending, data, lambda: fuzzing_manifests.read(path)[0] > 0

    return make


KINDS = {"files": (20_000, files), "snapshots": (20_000, snapshots), "manifests": (20_000, manifests)}
CONNECTIONS = 4_000


def run(kind: str, numbers: range, seed: int) -> Outcome:
    """Cases of a kind one after another.

    Raises:
        SystemExit: one is not as it should be.
    """
    taken, slowest = 0, 0.0
    signal.signal(signal.SIGALRM, _blocked)
    with tempfile.TemporaryDirectory() as folder:
        make = KINDS[kind][1](Path(folder), seed)
        for number in numbers:
            ending, data, attempt = make(number)
            began = time.process_time()
            wrong = ""
            signal.alarm(BLOCKED_SECONDS)
            try:
                taken += attempt()
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            seconds = time.process_time() - began
            slowest = max(slowest, seconds)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
            if not wrong and (seconds > SLOWEST_SECONDS or memory > MOST_MEMORY):
                wrong = f"took {seconds:.1f} s; the peak of memory is {memory:.0f} MB"
            if wrong:
                kept = Path(f"fuzz-{kind}-{seed}-{number}{ending}")
                kept.write_bytes(data)
                sys.exit(f"{kept}: {wrong}")
            if (number + 1) % STEP == 0:
                progress(kind, number + 1, numbers)
    return Outcome(taken, slowest, memory)


def _blocked(*_: object) -> None:
    raise TimeoutError(f"blocks for {BLOCKED_SECONDS} s")


def connections(numbers: range, seed: int) -> tuple[Outcome, Counter[int]]:
    """Connections to one server, and how many were closed with each code.

    Raises:
        SystemExit: the server has logged something, or does not answer.
    """
    closed: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder, serving(log=Path(folder) / "log", **LIMITS) as server:
        for first in range(numbers.start, numbers.stop, STEP):
            part = range(first, min(numbers.stop, first + STEP))
            closed += asyncio.run(conversations(server.ws, part, seed))
            progress("connections", part.stop, numbers)
        healthy = httpx.get(f"{server.url}/health").status_code == 200
        memory = psutil.Process(server.process.pid).memory_info().rss / 1e6
        log = (Path(folder) / "log").read_text()
    if log or not healthy or memory > MOST_MEMORY:
        sys.exit(f"{log}\nthe server answers: {healthy}; its memory is {memory:.0f} MB")
    return Outcome(closed[1000], None, memory), closed


def progress(kind: str, done: int, numbers: range) -> None:
    print(f"{kind}: {done - numbers.start} of {len(numbers)}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = [*KINDS, "connections"]
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(kinds)}; all without any")
    parser.add_argument("--count", type=int, help="of each kind; without it the full number")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=7)
    tables.add_option(parser)
    options = parser.parse_args()
    unknown = set(options.kinds) - set(kinds)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(kinds)}")
    report = tables.Report(options)
    for kind in options.kinds or kinds:
        count = options.count or (CONNECTIONS if kind == "connections" else KINDS[kind][0])
        numbers = range(options.first, options.first + count)
        if kind == "connections":
            found, closed = connections(numbers, options.seed)
            codes = ", ".join(f"{number} with {code}" for code, number in sorted(closed.items()))
            report.note(f"{count:,} connections: closed {codes}; the server's memory {found.memory:.0f} MB.")
            continue
        found = run(kind, numbers, options.seed)
        report.note(
            f"{count:,} {kind}: {found.taken:,} taken, the slowest {found.slowest:.1f} s, "
            f"peak memory {found.memory:.0f} MB."
        )
    report.save("default")


if __name__ == "__main__":
    main()
