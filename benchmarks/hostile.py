"""Clients that mean harm beside four honest streams: how late are these, and are they heard whole?

    python benchmarks/hostile.py

Starts `phonestream serve` anew for each attack, the attack in a process of its own, and once that is under way four
clients that each send a recording in real time, as benchmarks/server.py does. Latency is from the moment when a phone's
audio had been sent to the phone's arrival; "ready" is the time from connecting to the server's first answer. A stream
is whole when its phones are those that one stream alone gives. Then the server is told to stop, with the attack still
going on: "snapshot" is the time until an open stream has its snapshot, and "left" the server's exit status and how long
it took. Memory is the server's peak, the log what it wrote on standard error. Each attack is bounded in what it sends
at a time, and goes on for half a minute.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import psutil
import tables
from server import RATE, Outcome, Recording, hear, load
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.typing import Origin

from phonestream import Recognizer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

STREAMS = 4
UNDER_WAY_SECONDS = 2.0  # between an attack's beginning and the honest clients'
OPENING = {"version": 1, "rate": RATE}
SECOND = b"\0" * 2 * RATE

Attack = Callable[[str], Awaitable[object]]
"""Goes on until it is cancelled; takes the server's address, `http://host:port`."""


def stream_of(url: str) -> str:
    return url.replace("http", "ws", 1) + "/v1/stream"


async def forever(attempt: Callable[[], Awaitable[object]], count: int) -> None:
    """`count` attackers at once, each of whom begins anew when it is thrown out."""

    async def one() -> None:
        while True:
            with suppress(OSError, WebSocketException, httpx.HTTPError, TimeoutError, EOFError):
                await attempt()
            await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(count)))


async def idle(url: str) -> None:
    """1,100 connections that say nothing."""
    host, port = url.removeprefix("http://").split(":")

    async def attempt() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            await reader.read()
        finally:
            writer.close()

    await forever(attempt, 1100)


async def silent(url: str) -> None:
    """128 WebSockets without an opening message."""

    async def attempt() -> None:
        async with connect(stream_of(url), ping_interval=None) as socket:
            await socket.recv()

    await forever(attempt, 128)


async def slow_headers(url: str) -> None:
    """600 connections that send a header a second, and never the last."""
    host, port = url.removeprefix("http://").split(":")

    async def attempt() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                writer.write(b"X: y\r\n")
                await writer.drain()
                await asyncio.sleep(1)
        finally:
            writer.close()

    await forever(attempt, 600)


async def nonsense(url: str) -> None:
    """16 clients that say what makes no sense: text that is none, a foreign origin, no opening, broken frames."""
    frames = (
        Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
        Frame(Opcode.TEXT, b"[" * 100_000).serialize(mask=True),
        Frame(Opcode.BINARY, b"\0" * 100).serialize(mask=True),
        Frame(Opcode.CONT, b"x").serialize(mask=True),
        bytes(range(256)),
    )
    said = cycle([None, *frames])

    async def attempt() -> None:
        data = next(said)
        origin = Origin("http://elsewhere.example") if data is None else None
        async with connect(stream_of(url), ping_interval=None, origin=origin) as socket:
            socket.transport.write(data or b"")
            await socket.recv()

    await forever(attempt, 16)


async def pings(url: str) -> None:
    """Two clients that only ping, and read the answers."""
    await forever(lambda: ping(url, read=True), 2)


async def unread_pongs(url: str) -> None:
    """Two clients that only ping, and read nothing."""
    await forever(lambda: ping(url, read=False), 2)


async def ping(url: str, read: bool) -> None:
    frames = Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 100
    async with connect(stream_of(url), ping_interval=None) as socket:
        await socket.send(json.dumps(OPENING))
        await socket.recv()
        transport = socket.transport
        if not read:
            transport.pause_reading()
        while not transport.is_closing():
            if transport.get_write_buffer_size() < 1 << 20:
                transport.write(frames)
            await asyncio.sleep(0)


async def tiny_messages(url: str) -> None:
    """Two clients that send a sample at a time."""
    frames = Frame(Opcode.BINARY, b"\0\0").serialize(mask=True) * 1000

    async def attempt() -> None:
        async with connect(stream_of(url), ping_interval=None) as socket:
            await socket.send(json.dumps(OPENING))
            await socket.recv()
            while not socket.transport.is_closing():
                if socket.transport.get_write_buffer_size() < 1 << 20:
                    socket.transport.write(frames)
                await asyncio.sleep(0)

    await forever(attempt, 2)


async def odd_rates(url: str) -> None:
    """Nine streams at odd rates near 192 kHz, each in real time."""
    rates = iter(range(191_999, 190_000, -2))

    async def attempt() -> None:
        rate = next(rates, 189_999)
        async with connect(stream_of(url), ping_interval=None) as socket:
            await socket.send(json.dumps({"version": 1, "rate": rate}))
            await socket.recv()
            while True:
                await socket.send(b"\0\0" * (rate // 25))
                await asyncio.sleep(0.04)

    await forever(attempt, 9)


async def gaps(url: str) -> None:
    """Four clients that say that 23.9 hours are lost."""

    async def attempt() -> None:
        async with connect(stream_of(url), ping_interval=None) as socket:
            await socket.send(json.dumps(OPENING))
            await socket.recv()
            await socket.send(json.dumps({"type": "gap", "samples": int(23.9 * 3600 * RATE)}))
            while True:
                await socket.recv()

    await forever(attempt, 4)


async def snapshots(url: str) -> None:
    """Two clients that resume a stream with 20,000 gaps."""
    opening = json.dumps(OPENING | {"endpoints": True, "snapshot": await asyncio.to_thread(_with_gaps)})

    async def attempt() -> None:
        async with connect(stream_of(url), ping_interval=None) as socket:
            await socket.send(opening)
            await socket.recv()

    await forever(attempt, 2)


def _with_gaps() -> str:
    from base64 import b64encode

    from snapshots import sealed, unpacked

    stream = Recognizer().stream(endpoints=True)
    stream.gap(40_000)
    fields, tensors = unpacked(stream.save())
    fields["lost"] = fields["endpoints"]["untold"] = [[2 * number, 1] for number in range(20_000)]
    return b64encode(sealed(fields, tensors)).decode()


async def slow_files(url: str) -> None:
    """400 files at once, a byte a second."""
    host, port = url.removeprefix("http://").split(":")

    async def attempt() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            head = f"POST /v1/transcribe HTTP/1.1\r\nHost: {host}\r\nContent-Length: {1 << 28}\r\n\r\n"
            writer.write(head.encode())
            answer = asyncio.create_task(reader.read())
            while not answer.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
        finally:
            writer.close()

    await forever(attempt, 400)


async def tiny_frames(url: str) -> None:
    """Six MP3s of the smallest frames, 20 MB each."""
    frame = bytes([0xFF, 0xE3, 0x18, 0xC0]) + bytes(68)  # MPEG 2.5, 8 kbit/s, 8 kHz, one channel
    await forever(lambda: post(url, frame * 290_000), 6)


async def absurd_rates(url: str) -> None:
    """130 WAV files that say 1 Hz, and as many that say 4 MHz."""

    def wav(rate: int) -> bytes:
        size = 200_000
        fields: tuple[bytes | int, ...] = (
            b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size,
        )  # fmt: skip
        widths = (4, 4, 8, 4, 2, 2, 4, 4, 2, 2, 4, 4)
        parts = [
            field if isinstance(field, bytes) else field.to_bytes(width, "little")
            for field, width in zip(fields, widths, strict=True)
        ]
        return b"".join(parts) + bytes(size)

    await asyncio.gather(*(forever(lambda rate=rate: post(url, wav(rate)), 130) for rate in (1, 4_000_000)))


async def post(url: str, content: bytes) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        await client.post(f"{url}/v1/transcribe?file=x", content=content)


async def nothing(_: str) -> None:
    """No attack."""
    await asyncio.Event().wait()


ATTACKS: dict[str, Attack] = {
    attack.__name__.replace("_", "-"): attack
    for attack in (
        nothing, idle, silent, slow_headers, nonsense, pings, unread_pongs, tiny_messages, odd_rates, gaps,
        snapshots, slow_files, tiny_frames, absurd_rates,
    )
}  # fmt: skip


def measure(name: str, recordings: list[Recording]) -> list[tables.Cell]:
    """Whole, p50, p95, ready, snapshot, left, MiB, KiB of log."""
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-m", "phonestream", "serve", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split()[0].rstrip("/")
            command = [sys.executable, __file__, "--attack", name, "--url", url]
            attack = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # it is thrown out all the time
            try:
                time.sleep(UNDER_WAY_SECONDS)
                ready, outcomes = asyncio.run(honest(url, recordings))
                memory = psutil.Process(server.pid).memory_info()
                peak = getattr(memory, "peak_wset", None) or _peak(server.pid) or memory.rss
                snapshot, stopped = asyncio.run(stop(url, server))
                left = f"{server.wait(timeout=60)} after {time.monotonic() - stopped:.1f} s"
            finally:
                attack.kill()
                attack.wait()
                server.kill()
        log.seek(0, os.SEEK_END)
        written = log.tell()
    late = [seconds for outcome in outcomes for seconds in outcome.late]
    p50, p95 = np.quantile(late, (0.5, 0.95)) if late else (None, None)
    whole = f"{sum(outcome.whole for outcome in outcomes)} of {len(outcomes)}"
    return [whole, p50, p95, ready, snapshot, left, peak / (1 << 20), written / 1024]


def _peak(pid: int) -> int | None:
    """Bytes of memory at most so far, where Linux says it."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


async def honest(url: str, recordings: list[Recording]) -> tuple[float, list[Outcome]]:
    """How long the first answer takes, and what became of the streams."""
    begun = time.monotonic()
    ready = float("nan")
    with suppress(OSError, WebSocketException):
        async with connect(stream_of(url), open_timeout=60) as socket:
            await socket.send(json.dumps(OPENING))
            await socket.recv()
            ready = time.monotonic() - begun
    heard = await asyncio.gather(
        *(hear(stream_of(url), recording, index / STREAMS) for index, recording in enumerate(recordings)),
        return_exceptions=True,
    )
    kept_out = Outcome(1006, whole=False, late=[], behind=[], seconds=0.0)
    return ready, [outcome if isinstance(outcome, Outcome) else kept_out for outcome in heard]


async def stop(url: str, server: subprocess.Popen[str]) -> tuple[float | None, float]:
    """Tell the server to stop: how long an open stream waits for its snapshot, and when it was told."""
    told = float("nan")
    snapshot = None
    try:
        async with connect(stream_of(url), open_timeout=60, ping_interval=None) as socket:
            await socket.send(json.dumps(OPENING))
            await socket.recv()
            await socket.send(SECOND)
            server.terminate()
            told = time.monotonic()
            async for message in socket:
                if json.loads(message)["event"] == "snapshot":
                    snapshot = time.monotonic() - told
    except (OSError, WebSocketException):  # closed, as it should be, or never open
        pass
    if math.isnan(told):
        server.terminate()
        told = time.monotonic()
    return snapshot, told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="of the attacks")
    parser.add_argument("--attack", choices=ATTACKS, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--url", help=argparse.SUPPRESS)
    tables.add_option(parser)
    options = parser.parse_args()
    if options.attack is not None:
        asyncio.run(ATTACKS[options.attack](options.url))
        return
    report = tables.Report(options)
    recordings = load(STREAMS, sys.executable, "", {})
    table = report.table(
        ("attack", ""), ("whole", ""), ("latency p50, s", ".3f"), ("p95, s", ".3f"), ("p95 / undisturbed", ".2f"),
        ("ready, s", ".3f"), ("snapshot, s", ".2f"), ("left", ""), ("memory, MiB", ".0f"), ("log, KiB", ".1f"),
    )  # fmt: skip
    undisturbed = None
    statuses, lost = Counter[str](), list[str]()
    for name in dict.fromkeys(["nothing", *options.only]):
        whole, p50, p95, *rest = measure(name, recordings)
        undisturbed = undisturbed or p95
        statuses[str(rest[2]).partition(" ")[0]] += 1
        lost += [] if whole == f"{len(recordings)} of {len(recordings)}" else [f"{name}: {whole}"]
        table.add(name, whole, p50, p95, p95 / undisturbed if p95 and undisturbed else None, *rest)
    ends = ", ".join(f"{count} times with {status}" for status, count in statuses.most_common())
    report.note(f"Streams that were not whole: {'; '.join(lost) or 'none'}. The server left {ends}.")
    report.save("default")


if __name__ == "__main__":
    main()
