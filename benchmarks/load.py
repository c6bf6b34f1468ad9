"""How many live streams one core carries, at chunks of 40 to 320 ms: one at a time, together, and beside pocketsphinx.

    python benchmarks/load.py

All streams get a chunk of speech at once, which is what they must have been through before the next comes: n streams
are carried when the 99th percentile of the time for that is below the chunk. The largest such n is searched for, to
within a few per cent. Ways to hear the streams, all on one thread:

    one at a time   `Stream.accept` for each
    together        `Recognizer.accept_many`
    pool            `StreamPool`, whose states stay stacked between ticks
    pocketsphinx    its phone loop, a decoder for each stream, `process_raw` for each chunk

The second table says what a pool's tick at that many streams is made of; "uneven" is a tick in which the chunks are of
random lengths, half to one and a half times as long, so that a part of the streams sits out each tick.

To compare two commits, run this file with each one's environment in turns: it asks for nothing but public names, and
for the model's calls.

`--cpu-time` counts the thread's CPU time instead of what the clock on the wall says. On a machine with other work that
tells how much there is to do, though not that it would be done in time.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tables

from phonestream import Recognizer, StreamPool
from streaming import RATE, SHIPPED, Samples, load

CHUNKS_MS = (40, 80, 160, 320)
CLOSE = 0.03  # of the number of streams: where the search ends
TRIALS = 8  # measurements in a search at most
WARM_UP = 3  # ticks

now = time.perf_counter

Tick = Callable[[Sequence[Samples]], object]
"""Hears a chunk of each stream."""


def one_at_a_time(recognizer: Recognizer, streams: int, _: float) -> Tick:
    opened = [recognizer.stream() for _ in range(streams)]
    return lambda chunks: [stream.accept(chunk) for stream, chunk in zip(opened, chunks, strict=True)]


def together(recognizer: Recognizer, streams: int, _: float) -> Tick:
    opened = [recognizer.stream() for _ in range(streams)]
    return lambda chunks: recognizer.accept_many(list(zip(opened, chunks, strict=True)))


def pool(recognizer: Recognizer, streams: int, seconds: float) -> Tick:
    shared = StreamPool(recognizer, chunk_seconds=seconds, max_streams=streams)
    opened = [shared.open() for _ in range(streams)]

    def tick(chunks: Sequence[Samples]) -> None:
        for stream, chunk in zip(opened, chunks, strict=True):
            stream.push(chunk)
        while shared.ready:
            shared.tick()

    return tick


def pocketsphinx(_: Recognizer, streams: int, __: float) -> Tick:
    from pocketsphinx import Decoder, get_model_path

    options = {"hmm": get_model_path("en-us/en-us"), "allphone": get_model_path("en-us/en-us-phone.lm.bin")}
    options |= {"lm": None, "dict": None, "lw": 2.0, "beam": 1e-20, "pbeam": 1e-20, "loglevel": "FATAL"}
    decoders = [Decoder(**options) for _ in range(streams)]
    for decoder in decoders:
        decoder.start_utt()

    def tick(chunks: Sequence[Samples]) -> None:
        for decoder, chunk in zip(decoders, chunks, strict=True):
            decoder.process_raw((chunk * 32767).astype(np.int16).tobytes())

    return tick


WAYS = {
    "one at a time": one_at_a_time,
    "together": together,
    "pool": pool,
    "pocketsphinx": pocketsphinx,
}
MOST = {"pocketsphinx": 64}  # streams; a decoder takes tens of megabytes
UNBOUNDED = 4096


class Cost(NamedTuple):
    """Of ticks, in milliseconds."""

    p50: float
    p99: float
    model: float  # the ONNX graph, mean
    rest: float  # all else, mean


def chunks(speech: Samples, streams: int, size: int, uneven: bool = False) -> Iterator[list[Samples]]:
    """For each tick a chunk of each stream: the same speech, each from a place of its own, over and over."""
    random = np.random.default_rng(0)
    places = random.integers(0, len(speech), streams)
    sizes = np.full(streams, size)
    endless = np.concatenate([speech, speech[: 2 * size]])
    while True:
        if uneven:
            sizes = random.integers(size // 2, size + size // 2 + 1, streams)
        yield [endless[place : place + length] for place, length in zip(places, sizes, strict=True)]
        places = (places + sizes) % len(speech)


def measure(tick: Tick, feed: Iterator[list[Samples]], ticks: int, clock: "ModelClock") -> Cost:
    times = []
    for number in range(WARM_UP + ticks):
        if number == WARM_UP:
            clock.seconds = 0.0
        given = next(feed)
        began = now()
        tick(given)
        times.append(now() - began)
    p50, p99 = np.percentile(times[WARM_UP:], (50, 99)) * 1000
    model, whole = clock.seconds / ticks * 1000, sum(times[WARM_UP:]) / ticks * 1000
    return Cost(float(p50), float(p99), model, whole - model)


class ModelClock:
    """Adds up the time that a recogniser spends in calls of the graph from memory to memory."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.seconds = 0.0
        model = recognizer._model
        run = model.run_into

        def timed(*buffers: object) -> None:
            began = now()
            run(*buffers)  # type: ignore[arg-type]
            self.seconds += now() - began

        model.run_into = timed  # type: ignore[method-assign]


def search(run: Callable[[int], Cost], limit_ms: float, most: int) -> tuple[int, Cost | None]:
    """The most streams whose 99th percentile is below `limit_ms`, and what they cost."""
    low, high, best = 0, most + 1, None
    streams = 4
    for _ in range(TRIALS):
        cost = run(streams)
        if cost.p99 < limit_ms:
            low, best = streams, cost
        else:
            high = streams
        if high - low <= max(1, CLOSE * low):
            break
        # Time grows about as the streams do; a call or two are had before any.
        guess = round(streams * min(4.0, 0.98 * limit_ms / cost.p99))
        streams = min(max(guess, low + 1), high - 1)
    return low, best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--decoder", help="greedy or beam; without it the default")
    parser.add_argument("--ticks", type=int, default=150, help="in each measurement")
    parser.add_argument("--chunks", type=int, nargs="+", default=CHUNKS_MS, help="milliseconds")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--streams", type=int, help="for the second table, instead of as many as are carried")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time, for a machine with other work")
    tables.add_option(parser)
    options = parser.parse_args()
    report = tables.Report(options)
    if options.cpu_time:
        global now
        now = time.thread_time

    folder = Path(os.environ.get("PHONESTREAM_SPEECH") or SHIPPED)
    speech = np.concatenate(load(folder, 20))
    recognizer = Recognizer(
        options.model, threads=1, **({"decoder": options.decoder} if options.decoder else {})
    )
    clock = ModelClock(recognizer)

    def run(way: str, streams: int, milliseconds: int, uneven: bool = False) -> Cost:
        tick = WAYS[way](recognizer, streams, milliseconds / 1000)
        feed = chunks(speech, streams, milliseconds * RATE // 1000, uneven)
        return measure(tick, feed, options.ticks, clock)

    carried: dict[tuple[str, int], int] = {}
    table = report.table(
        ("chunk, ms", ""), *((way, "") for way in options.ways), ("pool / one at a time", ".1f")
    )
    for milliseconds in options.chunks:
        for way in options.ways:
            carried[way, milliseconds], _ = search(
                lambda streams, way=way, milliseconds=milliseconds: run(way, streams, milliseconds),
                milliseconds,
                MOST.get(way, UNBOUNDED),
            )
        counts = [carried[way, milliseconds] for way in options.ways]
        alone, pooled = (carried.get((way, milliseconds), 0) for way in ("one at a time", "pool"))
        table.add(milliseconds, *counts, pooled / alone if alone and pooled else None)

    kilobytes = sum(spec.zeros(1).nbytes for spec in recognizer.metadata.states) / 1024
    report.note(f"The state of a stream is {kilobytes:.0f} KiB; a pool keeps it twice.")
    figures = ("p50", "p99", "the model", "all else", "uneven p50", "uneven p99")
    table = report.table(("chunk, ms", ""), ("streams", ""), *((f"{name}, ms", ".1f") for name in figures))
    for milliseconds in options.chunks:
        streams = options.streams or carried.get(("pool", milliseconds), 0)
        if streams:
            even, uneven = (run("pool", streams, milliseconds, odd) for odd in (False, True))
            ticks = (even.p50, even.p99, even.model, even.rest, uneven.p50, uneven.p99)
            table.add(milliseconds, streams, *ticks)
    report.save()


if __name__ == "__main__":
    main()
