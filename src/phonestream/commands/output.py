"""Writing results and errors: plain bytes, one line each, whatever a file is called and whoever reads."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, BinaryIO, TextIO

from ..errors import AudioWarning, PhonestreamError
from ..errors import printable as printable
from ..native_output import native_remarks_off as native_remarks_off
from ..native_output import redirect_to_null

WIDTH = 80  # columns of a line of text
PIECE = 1 << 20  # bytes that are copied at a time

_DIM, _NORMAL = "\x1b[2m", "\x1b[22m"


class Format(StrEnum):
    """How commands that print facts write them."""

    text = "text"
    json = "json"


def write(line: str) -> None:
    """Print a line on standard output at once. File names in it come out as the bytes they are on disk.

    Raises:
        PhonestreamError: it cannot be written.
        SystemExit: with 141, as a shell reports SIGPIPE, if the reader has gone away.
    """
    _write(os.fsencode(line + "\n"))


def copy(file: BinaryIO) -> None:
    """Print the rest of a file on standard output as it is.

    Raises:
        PhonestreamError, SystemExit: as `write`.
    """
    while piece := file.read(PIECE):
        _write(piece)


def complain(message: str) -> None:
    """Print one line on standard error that begins with the program's name, as other commands do."""
    if sys.stderr is not None:
        with suppress(OSError):
            _put(sys.stderr, os.fsencode(f"phonestream: {printable(message)}\n"))


@contextmanager
def audio_warnings_told(hide: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Each `AudioWarning` is a line on standard error, as other remarks on recordings are.

    Args:
        hide: called before, to clear a progress bar.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", AudioWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, AudioWarning):
                hide()
                complain(str(message))
            else:
                others(message, category, *where, **more)

        warnings.showwarning = show
        yield


def dim(text: str) -> str:
    """`text` drawn faintly if standard output is a terminal that can."""
    return f"{_DIM}{text}{_NORMAL}" if styled() else text


def styled() -> bool:
    """Whether standard output is a terminal on which styles are wanted (https://no-color.org)."""
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def _write(data: bytes) -> None:
    with printing() as stdout:
        _put(stdout, data)


@contextmanager
def printing() -> Iterator[TextIO]:
    """Standard output, for what writes on it.

    Raises:
        PhonestreamError, SystemExit: as `write`; also where it is closed.
    """
    if sys.stdout is None:  # by whoever started us; what is asked for would be lost
        raise PhonestreamError("standard output is closed; send what is not wanted to /dev/null")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        raise SystemExit(141) from None
    except OSError as error:
        _discard(sys.stdout)
        raise PhonestreamError(f"standard output cannot be written: {error.strerror}; make room") from None


def _put(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def _discard(stream: TextIO) -> None:
    """Drop what is still in `stream`'s buffers, so that Python's own flush at exit does not fail again."""
    with suppress(OSError, ValueError):
        redirect_to_null(stream.fileno())
