"""How fast a folder is transcribed or aligned with one process and with two, and the memory of a long file.

    PHONESTREAM_SPEECH=DIR python benchmarks/batch.py
    PHONESTREAM_SPEECH=DIR python benchmarks/batch.py --command align --recordings 200

The recordings are those of the dev split of the folder that PHONESTREAM_SPEECH names, or, without it, of
tests/data/speech. One and two processes take turns, and the median over the rounds is printed; starting processes and
loading the model is part of it, as it is for a user. Memory is the peak of a process that decodes a recording of one
minute, and of one that decodes ten hours, both made by repeating one shipped recording.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import tables

SHIPPED = Path(__file__).parent.parent / "tests" / "data" / "speech"
RATE = 16_000  # Hz, of the shipped recordings
MEASURED = """
import resource, sys
from phonestream.cli import main
try:
    main(sys.argv[1:])
finally:
    status = open("/proc/self/status", encoding="ascii").read()  # ru_maxrss would count the parent's memory too
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def dev_recordings(folder: Path, count: int | None) -> dict[Path, str]:
    """`count` recordings of the dev split, evenly spread over it, with their transcripts; all without a count."""
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "dev"]
    count = len(rows) if count is None else min(count, len(rows))
    chosen = [rows[index * len(rows) // count] for index in range(count)]
    return {folder / row["path"]: row["text"] for row in chosen}


def run(command: str, model: str, corpus: Path, jobs: int) -> float:
    """Seconds in which a command writes a result for each recording below `corpus`."""
    with tempfile.TemporaryDirectory() as output:
        options = ["--model", model, "--jobs", str(jobs), "--output", output, "--format", "json"]
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "phonestream", command, corpus, *options],
            stderr=subprocess.DEVNULL,  # and no check: a transcript may be refused
        )
        elapsed = time.perf_counter() - began
        written, expected = len(list(Path(output).iterdir())), len(list(corpus.glob("*.txt")))
        if written < 0.9 * expected:
            raise SystemExit(f"{written} of {expected} results were written")
        return elapsed


def corpus_of(recordings: Mapping[Path, str], folder: Path) -> Path:
    """A folder with links to recordings and their transcripts beside them."""
    for number, (path, text) in enumerate(recordings.items()):
        (folder / f"{number:05}{path.suffix}").symlink_to(path.absolute())
        (folder / f"{number:05}.txt").write_text(text, "utf-8")
    return folder


def synthetic(path: Path, seconds: float) -> None:
    """A 16-bit WAV file `seconds` long: the first shipped recording again and again."""
    samples, rate = soundfile.read(sorted(SHIPPED.glob("dev/*.opus"))[0], dtype="int16")
    assert rate == RATE
    left = round(seconds * RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16", format="RF64") as file:
        while left > 0:
            piece = samples[:left]
            file.write(np.ascontiguousarray(piece))
            left -= len(piece)


def peak_memory(model: str, recording: Path, options: Sequence[str]) -> float:
    """MiB at most of a process that transcribes `recording` to a file."""
    with tempfile.TemporaryDirectory() as output:
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                MEASURED,
                "transcribe",
                str(recording),
                "--model",
                model,
                "--output",
                output,
                *options,
            ],
            capture_output=True,
            check=True,
            text=True,
        )
    return int(result.stderr.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--command", choices=("transcribe", "align"), default="transcribe")
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument(
        "--recordings", type=int, help="how many of the dev split, evenly spread; all without it"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often each number of processes has its turn"
    )
    parser.add_argument("--hours", type=float, default=10, help="length of the long recording; 0: no memory")
    parser.add_argument(
        "--formats", nargs="+", default=["text", "json", "textgrid"], help="to measure memory with"
    )
    tables.add_option(parser)
    options = parser.parse_args()
    report = tables.Report(options)

    recordings = dev_recordings(Path(os.environ.get("PHONESTREAM_SPEECH") or SHIPPED), options.recordings)
    seconds = sum(soundfile.info(path).duration for path in recordings)
    cores = len(os.sched_getaffinity(0))
    report.note(
        f"{len(recordings)} recordings, {seconds / 3600:.2f} h, {options.rounds} rounds, {cores} cores; medians."
    )
    times: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        corpus = corpus_of(recordings, Path(folder))
        for _ in range(options.rounds):
            for jobs, spent in times.items():
                spent.append(run(options.command, options.model, corpus, jobs))
    table = report.table(("processes", ""), ("seconds", ".1f"), ("audio hours per hour", ".0f"))
    for jobs, spent in times.items():
        median = statistics.median(spent)
        table.add(jobs, median, seconds / median)
    gains = [one / two for one, two in zip(times[1], times[2], strict=True)]
    report.note(
        f"phonestream {options.command}: two processes are {statistics.median(gains):.2f} times as fast as one."
    )

    if options.hours and options.command == "transcribe":
        with tempfile.TemporaryDirectory() as folder:
            short, long = Path(folder, "short.wav"), Path(folder, "long.wav")
            synthetic(short, 60)
            synthetic(long, 3600 * options.hours)
            lengths = (("1 minute", ".0f"), (f"{options.hours:g} hours", ".0f"))
            table = report.table(("peak memory, MiB", ""), *lengths, ("ratio", ".2f"))
            for name in options.formats:
                small, large = (
                    peak_memory(options.model, path, ["--format", name]) for path in (short, long)
                )
                table.add(name, small, large, large / small)
    report.save()


if __name__ == "__main__":
    main()
