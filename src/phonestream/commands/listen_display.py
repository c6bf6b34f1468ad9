"""What `phonestream listen` shows: lines for a pipe, JSON for a program, and for a person phones as they come."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Self

from ..formats.text import boundary
from ..streaming.decode import Phone
from ..streaming.endpoint import Endpoint
from ..streaming.events import Event, Failure, Final, Listening, encode
from ..streaming.spotting.commands import CommandResult
from ..streaming.spotting.spotter import Spotted
from ..streaming.stream import Lost
from . import listen_lines
from .listen_lines import Lines
from .listen_status import SILENCE_DB, Status
from .output import complain, printable, write

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

FRAME = 0.08  # seconds between two pictures of the status line
METER = 24  # columns
METER_DB = 60  # below full scale, where the meter begins
LOUD_DB, CLIPPING_DB = -12, -1  # of the peak
MUTED_SECONDS = 3.0  # of exact silence that no open microphone gives


class Display:
    """A stream as it goes on: lines that are done, for a file, a pipe or a terminal that cannot move its cursor."""

    def __init__(self, called: Mapping[str, str]) -> None:
        self._called = called  # the name of each symbol
        self._lines = Lines()
        self._spoken = False  # since the last endpoint
        self._parting = False  # an empty line is due, below the command that the utterance was
        self._look_ahead = 0.0

    def show(self, event: Event) -> None:
        """An event, in order."""
        done: list[str] = []
        if not isinstance(event, CommandResult):
            self._part()
        match event:
            case Listening():
                self._look_ahead = event.look_ahead_seconds
                self.remark(f"listening to {event.device} at {event.sample_rate} Hz; Ctrl-C ends it")
            case Phone():
                done, self._lines = listen_lines.add_phone(self._lines, event, self._called)
                self._spoken = True
            case Lost():
                done, self._lines = listen_lines.end(self._lines)
                done.append(listen_lines.lost_line(event))
            case Spotted():  # the line goes on below it
                done = [listen_lines.spotted_line(event)]
            case CommandResult():
                done = [listen_lines.command_line(event)]
            case Endpoint():  # an empty line between two utterances
                done, self._lines = listen_lines.end(self._lines)
                self._parting, self._spoken = self._spoken, False
            case Final():
                done, self._lines = listen_lines.end(self._lines)
            case Failure():
                pass  # the command's own error
        for line in done:
            self._put(line)

    def status(self, status: Status) -> None:
        """How things stand after a chunk."""
        self._part()
        done, self._lines = listen_lines.settle(self._lines, status.seconds - self._look_ahead)
        for line in done:
            self._put(line)

    def tentative(self, phones: Sequence[Phone]) -> None:
        """What may follow the phones that were shown; each call takes back what the one before said."""

    def remark(self, text: str) -> None:
        """Something that the person should know and that is no event."""
        complain(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def _part(self) -> None:
        """Put the empty line that is due."""
        if self._parting:
            self._parting = False
            self._put("")

    def _put(self, line: str) -> None:
        write(line)


class Json(Display):
    """Each event on a line, at once."""

    def show(self, event: Event) -> None:
        write(json.dumps(encode(event)))

    def status(self, status: Status) -> None:
        pass


class Animated(Display):
    """On a terminal: lines that are done scroll away; below them the line that grows, and how things stand."""

    def __init__(self, called: Mapping[str, str]) -> None:
        super().__init__(called)
        from rich.console import Console
        from rich.live import Live

        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows ? for IPA
        self._console = Console(file=sys.stdout, highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._status: Status | None = None
        self._tentative: Sequence[Phone] = ()
        self._drawn = 0.0
        self._silent_since = 0.0  # on the audio clock

    def show(self, event: Event) -> None:
        super().show(event)
        if isinstance(event, Final):
            self._live.stop()
            self._summary(event)

    def status(self, status: Status) -> None:
        super().status(status)
        if status.level.peak > SILENCE_DB:
            self._silent_since = status.seconds
        self._status = status
        if time.monotonic() - self._drawn >= FRAME:
            self._draw()

    def tentative(self, phones: Sequence[Phone]) -> None:
        self._tentative = phones

    def remark(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(printable(text), style="dim"))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def _put(self, line: str) -> None:
        from rich.text import Text

        self._console.print(Text.from_ansi(line), soft_wrap=True)

    def _draw(self) -> None:
        self._live.update(self._picture(), refresh=True)
        self._drawn = time.monotonic()

    def _picture(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        line = Text.from_ansi(self._lines.line, no_wrap=True, overflow="crop")
        for phone in self._tentative:
            line.append(boundary(phone) + self._called[phone.symbol], "dim")
        if self._status is None:
            return line
        muted = self._status.seconds - self._silent_since >= MUTED_SECONDS
        return Group(
            line, Text(), meter(self._status, muted, self._plain_characters()), numbers(self._status)
        )

    def _summary(self, final: Final) -> None:
        words = f"{final.seconds:.2f} s heard, {final.lost_seconds:.2f} s of them lost"
        if self._status is not None:
            compute, load = 1000 * self._status.compute, 100 * self._status.load
            words += f"; compute {compute:.1f} ms a chunk, {load:.0f} % of a core"
        self.remark(words)

    def _plain_characters(self) -> bool:
        return not self._console.encoding.lower().startswith("utf")


def display_for(as_json: bool, called: Mapping[str, str]) -> Display:
    """What suits standard output."""
    if as_json:
        return Json(called)
    return Animated(called) if _animated() else Display(called)


def meter(status: Status, muted: bool, plain: bool) -> "Text":
    """A bar as long as the chunk is loud, a mark at its peak, and the clock."""
    from rich.text import Text

    full, empty, mark = ("#", "-", "|") if plain else ("━", "╌", "╸")
    length, peak = _columns(status.level.rms), _columns(status.level.peak)
    style = (
        "red" if status.level.peak >= CLIPPING_DB else "yellow" if status.level.peak >= LOUD_DB else "green"
    )
    bar = Text(f"{'':4}{_clock(status.seconds)}  ", no_wrap=True, overflow="crop")
    bar.append(full * length, style)
    bar.append(full * max(0, peak - length - 1) + mark * (peak > length), f"dim {style}")
    bar.append(empty * (METER - max(length, peak)), "dim")
    if muted:
        bar.append("  no signal: is it muted?", "bold yellow")
    elif status.level.peak >= CLIPPING_DB:
        bar.append("  too loud", "bold red")
    else:
        bar.append(f" {max(status.level.peak, -METER_DB):4.0f} dB", "dim")
    if status.lost_seconds:
        bar.append(f"  {status.lost_seconds:.2f} s lost", "bold red")
    return bar


def numbers(status: Status) -> "Text":
    """Where the delay comes from, and what it costs."""
    from rich.text import Text

    return Text(
        f"{'':4}{1000 * status.look_ahead:.0f} look-ahead + {1000 * status.buffering:.0f} buffers"
        f" + {1000 * status.compute:.1f} compute (95 %: {1000 * status.compute_p95:.1f}) ms"
        f"   load {100 * status.load:.0f} %",
        "dim",
        no_wrap=True,
        overflow="crop",
    )


def _animated() -> bool:
    """Whether standard output is a terminal whose cursor can be moved."""
    from rich.console import Console

    return sys.stdout is not None and sys.stdout.isatty() and not Console(file=sys.stdout).is_dumb_terminal


def _columns(decibels: float) -> int:
    return max(0, min(METER, round(METER * (1 + decibels / METER_DB))))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:3}:{rest:02}"
