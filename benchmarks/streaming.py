"""How fast one thread decodes: whole files in blocks, live chunks of 40 to 640 ms, and pocketsphinx in the same run.

    python benchmarks/streaming.py

Recordings come from the test split of the folder that PHONESTREAM_SPEECH names, or, without it, from tests/data/speech.
Phonestream and pocketsphinx take turns, recording by recording, so that a machine whose speed drifts is unfair to
neither; medians over the rounds are printed. Loading a model is reported apart. Peak memory is that of a fresh process
that loads the model and decodes every recording once.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import csv
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import tables
from numpy.typing import NDArray

Samples = NDArray[np.float32]
RATE = 16000  # Hz
CHUNKS_MS = (40, 80, 160, 640)
SHIPPED = Path(__file__).parent.parent / "tests" / "data" / "speech"


def load(folder: Path, count: int) -> list[Samples]:
    """`count` recordings of the test split, evenly spread over it."""
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "test"]
    chosen = [rows[index * len(rows) // count] for index in range(min(count, len(rows)))]
    recordings = []
    for row in chosen:
        samples, rate = soundfile.read(folder / row["path"], dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{folder / row['path']}: has {rate} Hz, this benchmark wants {RATE}")
        recordings.append(samples)
    return recordings


def phonestream(model: str) -> Callable[[Samples], int]:
    """A decoder of whole recordings with Phonestream: samples to the number of phones."""
    from phonestream import Recognizer

    recognizer = Recognizer(model, threads=1)
    return lambda samples: len(recognizer.transcribe(samples))


def greedy(model: str) -> Callable[[Samples], int]:
    """The same with greedy decoding, which is the model's own time but for little."""
    from phonestream import Recognizer

    recognizer = Recognizer(model, threads=1, decoder="greedy")
    return lambda samples: len(recognizer.transcribe(samples))


def pocketsphinx(_: str) -> Callable[[Samples], int]:
    """A decoder of whole recordings with pocketsphinx's phone loop, as its makers set it up."""
    from pocketsphinx import Decoder, get_model_path

    decoder = Decoder(
        hmm=get_model_path("en-us/en-us"),
        allphone=get_model_path("en-us/en-us-phone.lm.bin"),
        lm=None,
        dict=None,
        lw=2.0,
        beam=1e-20,
        pbeam=1e-20,
        loglevel="FATAL",
    )

    def decode(samples: Samples) -> int:
        decoder.start_utt()
        decoder.process_raw((samples * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        return sum(1 for _ in decoder.seg())

    return decode


MAKERS = {"phonestream": phonestream, "phonestream, greedy": greedy, "pocketsphinx allphone": pocketsphinx}


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def chunk_times(model: str, recordings: Sequence[Samples], milliseconds: int) -> list[float]:
    """Seconds that each call of `accept` took, for every chunk of every recording."""
    from phonestream import Recognizer

    recognizer, size = Recognizer(model, threads=1), milliseconds * RATE // 1000
    times = []
    for samples in recordings:
        stream = recognizer.stream()
        for first in range(0, len(samples) - size + 1, size):
            chunk = samples[first : first + size]
            times.append(timed(lambda stream=stream, chunk=chunk: stream.accept(chunk)))
        stream.finish()
    return times


def _peak(
    name: str, model: str, recordings: Sequence[Samples], result: "multiprocessing.Queue[float]"
) -> None:
    decode = MAKERS[name](model)
    for samples in recordings:
        decode(samples)
    status = Path("/proc/self/status").read_text(
        encoding="ascii"
    )  # ru_maxrss would count the parent's memory too
    result.put(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def peak_memory(name: str, model: str, recordings: Sequence[Samples]) -> float:
    """MiB of a fresh process that decodes every recording once."""
    context = multiprocessing.get_context("spawn")
    result: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=_peak, args=(name, model, recordings, result))
    process.start()
    peak = result.get(timeout=600)
    process.join()
    return peak


def percentile(times: Sequence[float], share: float) -> float:
    return float(np.percentile(times, share)) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument(
        "--recordings", type=int, default=20, help="how many, evenly spread over the test split"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each recording is decoded by each")
    tables.add_option(parser)
    options = parser.parse_args()

    folder = Path(os.environ.get("PHONESTREAM_SPEECH") or SHIPPED)
    recordings = load(folder, options.recordings)
    seconds = sum(map(len, recordings)) / RATE
    loading, decoders = {}, {}
    for name, maker in MAKERS.items():
        began = time.perf_counter()
        decoders[name] = maker(options.model)
        loading[name] = time.perf_counter() - began
    for decode in decoders.values():
        decode(recordings[0])

    totals: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(options.rounds):
        spent = dict.fromkeys(decoders, 0.0)
        for samples in recordings:
            for name, decode in decoders.items():
                spent[name] += timed(lambda decode=decode, samples=samples: decode(samples))
        for name, total in spent.items():
            totals[name].append(total)

    report = tables.Report(options)
    report.note(
        f"{len(recordings)} recordings, {seconds:.0f} s of audio, {options.rounds} rounds, one thread; medians."
    )
    faster = {
        name: statistics.median(
            a / b for a, b in zip(totals["pocketsphinx allphone"], totals[name], strict=True)
        )
        for name in ("phonestream", "phonestream, greedy")
    }
    report.note(
        f"phonestream is {faster['phonestream']:.1f} times as fast as pocketsphinx, "
        f"{faster['phonestream, greedy']:.1f} times with greedy decoding."
    )
    table = report.table(
        ("whole files", ""),
        ("real-time factor", ".5f"),
        ("times real time", ".0f"),
        ("loading, s", ".2f"),
        ("peak memory, MiB", ".0f"),
    )
    for name in decoders:
        factor = statistics.median(totals[name]) / seconds
        memory = peak_memory(name, options.model, recordings)
        table.add(name, factor, 1 / factor, loading[name], memory)

    percentiles = (("p50, ms", ".2f"), ("p95, ms", ".2f"), ("p99, ms", ".2f"))
    table = report.table(("chunk, ms", ""), *percentiles, ("share of one core, %", ".1f"))
    for milliseconds in CHUNKS_MS:
        rounds = [chunk_times(options.model, recordings, milliseconds) for _ in range(options.rounds)]
        times = (statistics.median(percentile(times, share) for times in rounds) for share in (50, 95, 99))
        share = statistics.median(sum(times) / len(times) for times in rounds) * 1000 / milliseconds
        table.add(milliseconds, *times, 100 * share)
    report.save()


if __name__ == "__main__":
    main()
