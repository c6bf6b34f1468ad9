"""A server's log: what goes wrong is said, but no client can fill a disk with it."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ...native_output import redirect_to_null
from .token_bucket import TokenBucket

ERRORS = "uvicorn.error"
REFUSED = "uvicorn.error.refused"  # paced apart, so that strangers hide no error
RECORDS = 20  # that may come at once ...
SECONDS = 30.0  # ... and after so long another


class Paced(logging.Filter):
    """Lets records through at a bounded rate, and says how many were left out before one."""

    def __init__(self, records: int = RECORDS, seconds: float = SECONDS) -> None:
        super().__init__()
        self._allowance = TokenBucket(1 / seconds, records)
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        if self._allowance.tokens < 1:
            self._left_out += 1
            return False
        self._allowance.spend()
        if self._left_out:
            record.msg = f"{record.getMessage()} ({self._left_out} lines before it were left out)"
            record.args = ()
            self._left_out = 0
        return True


def bound() -> None:
    """Pace what uvicorn and asyncio log. For a process that is a server and nothing else."""
    errors = Paced()
    for name, paced in ((ERRORS, errors), ("asyncio", errors), (REFUSED, Paced())):
        logger = logging.getLogger(name)
        logger.filters = [*(old for old in logger.filters if not isinstance(old, Paced)), paced]


@contextmanager
def native_output_off() -> Iterator[None]:
    """Inside, what C libraries print is dropped; `sys.stdout` and `sys.stderr` go where they went before.

    Decoders print about files that they cannot read. To begin and to end while no other thread runs.
    """
    restored = []
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        try:
            stream.flush()
            own = os.dup(number)
        except (AttributeError, OSError):  # closed by whoever started us
            continue
        copy = open(own, "w", encoding=stream.encoding, errors=stream.errors, buffering=1)  # noqa: SIM115
        redirect_to_null(number)
        setattr(sys, name, copy)
        restored.append((name, number, stream, copy))
    try:
        yield
    finally:
        for name, number, stream, copy in restored:
            copy.flush()
            os.dup2(copy.fileno(), number)
            setattr(sys, name, stream)
            copy.close()
