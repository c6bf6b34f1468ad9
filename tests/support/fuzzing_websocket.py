"""Connections that say something at random, from a seed: each is closed with a code, and the server goes on."""

import asyncio
import json
from collections import Counter
from typing import Any

import numpy as np
from fuzzing_json import changed, flipped
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.frames import Frame, Opcode

OPENING: dict[str, Any] = {"version": 1, "rate": 16_000}
OPTIONS: dict[str, Any] = {
    "encoding": "float32",
    "endpoints": True,
    "posteriors": True,
    "tentative": True,
    "snapshot": "AA==",
}
CONTROLS: tuple[dict[str, Any], ...] = (
    {"type": "gap", "samples": 100},
    {"type": "keywords", "keywords": ["gold buckles"], "threshold": 0.1},
    {"type": "commands", "commands": ["lamp (on | off)"], "threshold": 0.1},
    {"type": "snapshot"},
    {"type": "finish"},
)
PATIENCE_SECONDS = 30.0  # until a connection has its close


async def converse(url: str, number: int, seed: int) -> int:
    """One connection: its close code."""
    random = np.random.default_rng([seed, number])
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            connect(url, compression=None, ping_interval=None) as socket,
        ):
            try:
                for _ in range(random.integers(1, 8)):
                    await _say(socket, random)
                await socket.send('{"type": "finish"}')
                while True:
                    await socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006
    except (InvalidHandshake, InvalidMessage, ConnectionResetError, EOFError):
        return 1006


async def _say(socket: ClientConnection, random: np.random.Generator) -> None:
    opening = OPENING | {key: OPTIONS[key] for key in OPTIONS if random.random() < 0.2}
    match random.integers(9):
        case 0 | 1 | 2:
            await socket.send(json.dumps(opening))
        case 3:
            await socket.send(json.dumps(changed(opening, random)))
        case 4:
            await socket.send(json.dumps(CONTROLS[random.integers(len(CONTROLS) - 1)]))
        case 5:
            await socket.send(json.dumps(changed(CONTROLS[random.integers(len(CONTROLS))], random)))
        case 6:
            await socket.send(random.integers(0, 256, random.integers(0, 4_000), np.uint8).tobytes())
        case 7:
            await socket.send(random.integers(-500, 500, random.integers(0, 8_000)).astype("<i2").tobytes())
        case _:
            opcode = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.CLOSE)[random.integers(5)]
            whole = opcode in (Opcode.PING, Opcode.CLOSE) or bool(random.random() < 0.8)
            frame = Frame(opcode, random.bytes(random.integers(0, 100)), fin=whole)
            data = frame.serialize(mask=True)
            socket.transport.write(flipped(data, random) if random.random() < 0.7 else data)


async def conversations(url: str, numbers: range, seed: int, at_once: int = 16) -> Counter[int]:
    """How many of a seed's connections were closed with each code.

    Raises:
        TimeoutError: one was not closed in time.
    """
    places = asyncio.Semaphore(at_once)

    async def one(number: int) -> int:
        async with places:
            return await converse(url, number, seed)

    return Counter(await asyncio.gather(*map(one, numbers)))
