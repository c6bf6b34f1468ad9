"""Servers in processes of their own, as the installed command starts them."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).parent / "phonestream"

# The command's own server, with limits that it has no options for, and with asyncio's event loop, as where there is
# no uvloop.
LIMITED = """
import sys
sys.modules["uvloop"] = None
from phonestream import Recognizer
from phonestream.formats.answers import answer_writer
from phonestream.streaming.server.access import Access
from phonestream.streaming.server.limits import Limits
from phonestream.streaming.server.run import run
limits = Limits(**eval(sys.argv[1]))
run(Recognizer(), host="localhost", port=0, access=Access(), limits=limits,
    answers=answer_writer, announce=lambda url: print(url, flush=True))
"""


class Process:
    """A server that answers."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.url = process.stdout.readline().split(" ")[0].strip().rstrip("/")
        assert self.url, "the server did not start"

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1) + "/v1/stream"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextmanager
def serving(*options: str, log: Path | None = None, **limits: Any) -> Iterator[Process]:
    """`phonestream serve` with these options, or a server with these limits; `log` is its standard error."""
    command = [COMMAND, "serve", "--port", "0", *options]
    if limits:
        command = [sys.executable, "-c", LIMITED, repr(limits)]
    with ExitStack() as stack:
        stderr = None if log is None else stack.enter_context(log.open("w"))
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        )
        stack.callback(process.kill)
        yield Process(process)


def transcribed(*files: Path, decoder: str = "beam") -> list[dict[str, Any]]:
    """What the command line hears in these files."""
    command = [COMMAND, "transcribe", "--format", "json", "--decoder", decoder, *files]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]
