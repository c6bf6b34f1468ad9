"""A server's log: what goes wrong is said, but no client can fill a disk with it."""

import logging
import time

RECORDS = 20  # that may come at once ...
SECONDS = 30.0  # ... and after so long another


class Paced(logging.Filter):
    """Lets records through at a bounded rate, and says how many were left out before one."""

    def __init__(self, records: int = RECORDS, seconds: float = SECONDS) -> None:
        super().__init__()
        self._records = records
        self._seconds = seconds
        self._allowance = float(records)
        self._counted = time.monotonic()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        gained = (now - self._counted) / self._seconds
        self._allowance = min(float(self._records), self._allowance + gained)
        self._counted = now
        if self._allowance < 1:
            self._left_out += 1
            return False
        self._allowance -= 1
        if self._left_out:
            record.msg = f"{record.getMessage()} ({self._left_out} lines before it were left out)"
            record.args = ()
            self._left_out = 0
        return True


def bound() -> None:
    """Pace what uvicorn and asyncio log. For a process that is a server and nothing else."""
    paced = Paced()
    for name in ("uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.filters = [*(old for old in logger.filters if not isinstance(old, Paced)), paced]
