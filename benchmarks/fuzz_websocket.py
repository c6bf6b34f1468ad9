"""Connections that say something at random to one server: how each ended, and the server's memory and log.

    python benchmarks/fuzz_websocket.py 4000 --seed 7

Ends with status 1 where a connection is not closed in time, the server's log has anything, or it no longer answers.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from fuzzing_websocket import conversations
from server_process import serving

LIMITS = {"idle_seconds": 5.0, "opening_seconds": 5.0}  # for who sends half a frame, and then nothing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help="how many connections")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(log=Path(folder) / "log", **LIMITS) as server:
        closed = asyncio.run(conversations(server.ws, options.count, options.seed))
        healthy = httpx.get(f"{server.url}/health").status_code == 200
        memory = psutil.Process(server.process.pid).memory_info().rss / (1 << 20)
        log = (Path(folder) / "log").read_text()
    codes = ", ".join(f"{count} with {code}" for code, count in sorted(closed.items()))
    print(f"| {options.count} connections | closed {codes} | memory {memory:.0f} MiB |")
    if log or not healthy:
        print(log or "the server no longer answers")
    return 1 if log or not healthy else 0


if __name__ == "__main__":
    sys.exit(main())
