"""How far a run is and how fast, for its progress bar, and a summary of it for the end."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from .entries import Entry, Source
from .remote import is_url
from .run import Outcome

SHOWN = 20  # failures that the summary repeats
DEFAULT_SIZE = 200_000  # bytes: of a recording whose size a store was not asked for


class RunStatistics:
    """What has been transcribed so far."""

    def __init__(self, entries: Sequence[Entry], done_before: int = 0) -> None:
        """Begin the clock.

        Args:
            entries: all that the run will go through.
            done_before: recordings of an earlier run that are left alone.
        """
        self._weights = [estimated_size(entry) for entry in entries if isinstance(entry, Source)]
        self._total = sum(self._weights)
        self._count = len(entries)
        self._done_before = done_before
        self._since = time.monotonic()
        self._running: dict[int, tuple[float, float]] = {}  # recording -> seconds decoded, weight done
        self._seconds = 0.0  # of audio in recordings that are done
        self._done_weight = 0.0
        self._completed = 0  # recordings
        self._outcomes = 0  # recordings, and entries that are none
        self.failures: list[str] = []
        self.misfits = 0  # of transcripts with recordings

    def update(self, index: int, seconds: float, length: float | None) -> None:
        """Of recording `index`, `seconds` of its `length` are decoded."""
        share = min(1.0, seconds / length) if length else 0.0
        self._running[index] = seconds, share * self._weights[index]

    def complete(self, outcome: Outcome) -> None:
        """The next entry is done."""
        self._outcomes += 1
        if isinstance(outcome.entry, Source):
            self._running.pop(self._completed, None)
            self._done_weight += self._weights[self._completed]
            self._completed += 1
        self._seconds += outcome.result.seconds
        self.misfits += len(outcome.result.misfits)
        if outcome.result.failure is not None:
            self.failures.append(outcome.result.failure)

    @property
    def progress(self) -> tuple[float, float, str]:
        """How much is done, of how much, and the pace in words."""
        seconds = self._seconds + sum(seconds for seconds, _ in self._running.values())
        done = self._done_weight + sum(share for _, share in self._running.values())
        pace = seconds / 60 / max(1e-9, time.monotonic() - self._since)
        return done, self._total, f"{pace:.2f} audio hours per minute"

    def interrupted(self) -> str:
        """A line for a run that Ctrl-C has stopped, whose results are files."""
        done, total = self._done_before + self._outcomes - len(self.failures), self._done_before + self._count
        return f"interrupted; {done} of {total} done; the same command with --resume goes on"

    def summary(self) -> list[str]:
        """Lines for the end: recordings, hours and pace, and the failures with their reasons."""
        elapsed = max(1e-9, time.monotonic() - self._since)
        good = self._count - len(self.failures)
        line = f"{good} of {self._count} done, {self._seconds / 3600:.3f} h of audio in {_duration(elapsed)}"
        if self._seconds:
            factor = elapsed / self._seconds
            line += f" (real-time factor {factor:.4f}, {1 / factor:.0f} audio hours per hour)"
        if self._done_before:
            line += f"; {self._done_before} done before"
        if not self.failures:
            return [line]
        shown = [f"  {reason}" for reason in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            shown.append(f"  and {len(self.failures) - SHOWN} more, named above")
        return [f"{line}; {len(self.failures)} failed:", *shown]


def estimated_size(source: Source) -> float:
    """About how much work a recording is: bytes of its file, or of its samples at 16 kHz; 0 where none can say."""
    if source.seconds is not None:
        return 32_000 * source.seconds
    if is_url(source.path):
        return DEFAULT_SIZE if source.size is None else source.size
    with suppress(OSError, ValueError):
        return os.stat(source.path).st_size
    return 0


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {int(seconds) % 60} s"
    )
