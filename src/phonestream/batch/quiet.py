"""Keeping C libraries' remarks off standard error, which belongs to our own messages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_remarks_off() -> Iterator[None]:
    """Inside, what C libraries print on standard error is dropped.

    mpg123, the MP3 decoder within libsndfile, and FFmpeg print remarks of their own about a file that is about
    to be refused.
    """
    try:
        saved = os.dup(2)
    except OSError:  # closed by whoever started us
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
