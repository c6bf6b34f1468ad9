"""Suppressing what C libraries print on standard error, which is for our own messages."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_remarks_off() -> Iterator[None]:
    """Inside, what C libraries print on standard error is dropped.

    mpg123, the MP3 decoder within libsndfile, and FFmpeg print warnings of their own about a file that is about
    to be refused.
    """
    try:
        saved = os.dup(2)
    except OSError:  # closed by whoever started us
        yield
        return
    try:
        redirect_to_null(2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def redirect_to_null(*descriptors: int) -> None:
    """Send what is written to `descriptors` nowhere, in this process and those that it starts."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor)
    os.close(null)
