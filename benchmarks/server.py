"""Many simultaneous real-time WebSocket streams from a second process: is all heard, and how late?

    python benchmarks/server.py --streams 32 64 96 --overload

Starts `phonestream serve`, and here a client for each stream that sends a recording in real time in messages of 40 ms.
A stream is whole when its phones are those that one stream alone gives, and its final says that nothing was lost.
Latency is from the moment when a phone's audio had been sent to the arrival of the phone: look-ahead, what decoding
waits for, buffering and compute. Its part behind the message after which one stream alone has that phone is what being
one of many costs. The server's processor time is given for each second of audio.

With `--overload`, a last part asks the same server for twice as many streams as its `--max-streams` allow: the
surplus is refused with 1013, and those accepted must be whole all the same.

`--python` names the interpreter of another environment, whose server is then measured by these very clients: that is
how two commits are compared, in turns on one machine, with a `--model` that both read and a `--decoder` that both have;
a server that knows no such option is greedy by itself. Where the two wait differently long for what follows a phone, to
say where it ends, compare the latency behind one alone.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import psutil
import soundfile
import tables
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from phonestream import Recognizer

MESSAGE_SECONDS = 0.04
RATE = 16_000
MESSAGE_SAMPLES = int(MESSAGE_SECONDS * RATE)
SHIPPED = Path(__file__).parent.parent / "tests" / "data" / "speech"


ALONE = """
import json, sys
import numpy as np
from phonestream import Recognizer

given, size, paths = json.loads(sys.argv[1])
recognizer = Recognizer(**given)
for path in paths:
    samples, stream, told = np.fromfile(path, "<i2"), recognizer.stream(), []
    for first in range(0, len(samples), size):
        told.append(len(stream.accept(samples[first : first + size])))
    told[-1] += len(stream.finish())
    print(json.dumps(told))
"""
"""Prints how many phones each message brings to one stream alone; for the interpreter that is measured."""


class Recording(NamedTuple):
    data: bytes  # int16
    symbols: list[str]
    due: list[float]
    """For each phone the seconds after which one stream alone has it, its messages having been sent till then."""


class Outcome(NamedTuple):
    code: int
    whole: bool
    late: list[float]  # seconds, of each phone
    behind: list[float]  # the same, behind one stream alone
    seconds: float  # of audio heard


def load(count: int, python: str, known: str, given: dict[str, str]) -> list[Recording]:
    """Recordings, and what streams alone have of them: their phones here, and when they are told by `python`.

    Args:
        known: options of that interpreter's server.
    """
    recognizer = Recognizer(**given)
    folder = Path(os.environ.get("PHONESTREAM_SPEECH") or SHIPPED)
    recordings: list[tuple[bytes, list[str]]] = []
    for path in sorted(folder.glob("test/**/*.opus"))[:count]:
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == RATE, path
        phones = recognizer.transcribe(samples, rate)
        recordings.append((samples.tobytes(), [phone.symbol for phone in phones]))
    if not recordings:
        raise SystemExit(f"{folder} has no recordings in test/: name the folder with PHONESTREAM_SPEECH")
    with TemporaryDirectory() as temporary:
        paths = [str(Path(temporary) / str(index)) for index in range(len(recordings))]
        for path, (data, _) in zip(paths, recordings, strict=True):
            Path(path).write_bytes(data)
        settings = {name: value for name, value in given.items() if f"--{name}" in known}
        work = json.dumps([settings, MESSAGE_SAMPLES, paths])
        told = subprocess.run([python, "-c", ALONE, work], capture_output=True, text=True, check=True).stdout
    dues = [
        [(index + 1) * MESSAGE_SECONDS for index, count in enumerate(json.loads(line)) for _ in range(count)]
        for line in told.splitlines()
    ]
    return [Recording(*recording, due) for recording, due in zip(recordings, dues, strict=True)]


async def hear(url: str, recording: Recording, delay: float) -> Outcome:
    """One stream in real time, beginning `delay` seconds from now."""
    await asyncio.sleep(delay)
    symbols: list[str] = []
    late: list[float] = []
    behind: list[float] = []
    whole, seconds = False, 0.0
    try:
        async with connect(url, compression=None, ping_timeout=None) as socket:
            await socket.send(json.dumps({"version": 1, "rate": RATE}))
            await socket.recv()
            began = time.monotonic()
            sender = asyncio.create_task(send(socket, recording.data, began))
            async for message in socket:
                event = json.loads(message)
                if event["event"] == "phone":
                    now = time.monotonic() - began
                    if len(symbols) < len(recording.due):
                        behind.append(now - recording.due[len(symbols)])
                    symbols.append(event["symbol"])
                    late.append(now - event["end"])
                elif event["event"] == "final":
                    seconds = event["seconds"]
                    whole = event["lost_seconds"] == 0 and symbols == recording.symbols
            await sender
    except ConnectionClosed as closed:
        return Outcome(closed.rcvd.code if closed.rcvd else 1006, False, late, behind, seconds)
    return Outcome(1000, whole, late, behind, seconds)


async def send(socket, data: bytes, began: float) -> None:
    size = MESSAGE_SAMPLES * 2
    with suppress(ConnectionClosed):  # the receiver meets it too
        for index, first in enumerate(range(0, len(data), size)):
            await asyncio.sleep(began + (index + 1) * MESSAGE_SECONDS - time.monotonic())
            await socket.send(data[first : first + size])
        await socket.send('{"type": "finish"}')


async def run(url: str, recordings: list[Recording], streams: int) -> list[Outcome]:
    stream = url.replace("http", "ws", 1) + "v1/stream"
    return await asyncio.gather(
        *(hear(stream, recordings[index % len(recordings)], index / streams) for index in range(streams))
    )


def add(table: tables.Table, outcomes: list[Outcome], cost: float) -> None:
    codes = ", ".join(
        f"{count} with {code}" for code, count in sorted(Counter(o.code for o in outcomes).items())
    )
    accepted = [outcome for outcome in outcomes if outcome.code != 1013]
    late = [seconds for outcome in accepted for seconds in outcome.late]
    p50, p95, p99 = np.quantile(late, (0.5, 0.95, 0.99)) if late else [np.nan] * 3
    behind = [seconds for outcome in accepted for seconds in outcome.behind]
    beyond = np.quantile(behind, (0.5, 0.99)) if behind else [np.nan] * 2
    whole = f"{sum(outcome.whole for outcome in accepted)} of {len(accepted)}"
    table.add(len(outcomes), codes, whole, p50, p95, p99, *beyond, 1000 * cost)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[64], help="so many at a time, one after another"
    )
    parser.add_argument("--python", help="whose `phonestream serve` is measured; this one's without it")
    parser.add_argument("--model", help="path of a model file or name of a bundled model")
    parser.add_argument("--decoder", help="greedy or beam; without it the default")
    parser.add_argument("--recordings", type=int, default=8, help="different ones; streams share them")
    parser.add_argument("--overload", action="store_true", help="then ask for twice as many as are allowed")
    tables.add_option(parser)
    options = parser.parse_args()
    report = tables.Report(options)
    settings = {"model": options.model, "decoder": options.decoder}
    given = {name: value for name, value in settings.items() if value is not None}
    python = options.python or sys.executable
    command = [
        python,
        "-m",
        "phonestream",
        "serve",
        "--port",
        "0",
        "--max-streams",
        str(max(options.streams)),
    ]
    known = subprocess.run([*command[:4], "--help"], capture_output=True, text=True, check=True).stdout
    recordings = load(options.recordings, python, known, given)
    for name, value in given.items():
        command += [f"--{name}", value] if f"--{name}" in known else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        latency = (("latency p50, s", ".3f"), ("p95, s", ".3f"), ("p99, s", ".3f"))
        counts = (("streams", ""), ("closed", ""), ("whole", ""))
        behind = (("behind one alone p50, s", ".3f"), ("p99, s", ".3f"))
        table = report.table(*counts, *latency, *behind, ("processor, ms/s", ".1f"))
        process = psutil.Process(server.pid)
        for streams in [*options.streams, 2 * max(options.streams)] if options.overload else options.streams:
            before = sum(process.cpu_times()[:2])
            outcomes = asyncio.run(run(url, recordings, streams))
            spent = sum(process.cpu_times()[:2]) - before
            add(table, outcomes, spent / sum(outcome.seconds for outcome in outcomes))
        server.terminate()
    report.save(options.model or "default")


if __name__ == "__main__":
    main()
