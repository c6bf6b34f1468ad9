"""Errors that are for the person who made the mistake: each message says what was wrong, where, and what to do.

The command line prints a `PhonestreamError` as one line and never a traceback; anything else is a bug.
"""

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Control characters and line separators; a file's name may hold any of them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class PhonestreamError(Exception):
    """Base of every error that Phonestream raises on purpose."""


class AudioError(PhonestreamError, ValueError):
    """Samples, a sample rate or an audio file that cannot be used."""


class AudioWarning(UserWarning):
    """Audio that is heard, and of which something should be known, such as that its channels cancel each other."""


class ModelError(PhonestreamError, ValueError):
    """A model file that is not ours, is of another version, or cannot run where it was asked to."""


class SnapshotError(PhonestreamError, ValueError):
    """A saved stream that is damaged, or belongs to another model."""


class DataError(PhonestreamError, ValueError):
    """A corpus, a transcript, a lexicon entry or a phone that cannot be used."""


class ConfigError(PhonestreamError, ValueError):
    """A configuration or checkpoint that is malformed, or does not fit what it is used with."""


def reason_of(error: BaseException) -> str:
    """What went wrong: in the operating system's words, without the file's name, where the error has them."""
    return getattr(error, "strerror", None) or str(error)


@contextmanager
def system_errors_as(
    kind: type[PhonestreamError], what: str, remedy: str = "", *, also: type[Exception] = OSError
) -> "Iterator[None]":
    """Inside, what the system refuses is an error of `kind`: what cannot be done, the system's reason, what to do.

    Args:
        what: begins with a file's name, as in "a.txt: cannot be written".
        remedy: what to do about it.
        also: an error beside OSError that means the same, such as ValueError for a null character in a name.

    Raises:
        PhonestreamError: of that kind; other errors of Phonestream pass as they are.
    """
    try:
        yield
    except PhonestreamError:
        raise
    except (OSError, also) as error:
        end = f"; {remedy}" if remedy else ""
        raise kind(f"{what}: {reason_of(error)}{end}") from None


def printable(text: str) -> str:
    """`text` on one line: control characters, which move the cursor or worse, become escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
