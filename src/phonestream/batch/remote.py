"""Files behind a URL (s3://, gs://, sftp://, zip:// …), through fsspec, which the extra `url` brings.

How to reach a store, credentials among it, is configured as fsspec and its plug-ins have it: in the environment, or
in ~/.config/fsspec.
"""

import errno
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

from ..errors import AudioError, reason_of

TRIES = 3  # of reading or writing a file
PAUSE = 1.0  # seconds before the second; the third waits twice as long
PIECE = 1 << 20  # bytes that are copied at a time

_URL = re.compile(
    r"(?P<scheme>(?:[A-Za-z][\w+.-]+::)*[A-Za-z][\w+.-]+)://(?P<path>.*?)(?P<rest>(?:::.*)?)", re.S
)
_HERE = re.compile(r"(?:file|local)://(?!.*::)")

T = TypeVar("T")


class Url(NamedTuple):
    """A URL in parts; fsspec's may be chained, as in `zip://speech/a.wav::s3://bucket/speech.zip`."""

    scheme: str
    path: str  # within the outermost file system
    rest: str  # where that lies itself, with `::` before it

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}{self.rest}"

    def child(self, relative: str) -> "Url":
        """What lies below this folder."""
        base = self.path.rstrip("/")
        return self._replace(path=f"{base}/{relative}" if base else f"{self.path}{relative}")


class NoFilesystemError(OSError):
    """A URL of which nothing can be had, whatever network and credentials are like.

    Attributes:
        remedy: what to do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(errno.EINVAL, reason)
        self.remedy = remedy


def is_url(name: str) -> bool:
    """Whether a name is one for fsspec. A scheme has two letters at least: C:/ is a drive."""
    return _URL.match(name) is not None


def strip_file_scheme(name: str) -> str:
    """A name that means a file of this machine's, `file:///a/b.wav`, as its path; others as they are."""
    return _HERE.sub("", name, count=1) if _HERE.match(name) else name


def parse(url: str) -> Url:
    """The parts of a URL."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"{url!r} is not a URL")
    return Url(**found.groupdict())


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the URL's path in it.

    Raises:
        NoFilesystemError: there is none: the scheme is unknown, or its plug-in is not installed.
        OSError: it refuses.
        ModuleNotFoundError: fsspec is not installed.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    try:
        found: tuple[Any, str] = url_to_fs(url)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None)
        if not missing:  # fsspec says in words of its own what to install
            raise NoFilesystemError(error_reason(error), "then try again") from None
        package = missing.partition(".")[0]
        scheme = f"{parse(url).scheme.rpartition('::')[2]}://"
        raise NoFilesystemError(
            f"{scheme} needs the package {package}, which is not installed", f"pip install {package}"
        ) from None
    except Exception as error:  # plug-ins raise what they like
        reason = error_reason(error)
        if reason.startswith("Protocol not known"):
            raise NoFilesystemError(reason, "check the name: what comes before ://") from None
        raise OSError(errno.EINVAL, reason) from None
    return found


def remedy(error: BaseException, usual: str = "check the name, the network and the credentials") -> str:
    """What to do about an error of a file behind a URL; `usual` where nothing else is known."""
    return getattr(error, "remedy", usual)


def download(url: str) -> BinaryIO:
    """A copy of a file in a temporary one without a name. Decoding must seek, at which stores are slow.

    Raises:
        OSError: it cannot be had; FileNotFoundError if it is not there.
        ModuleNotFoundError: fsspec is not installed.
    """
    store, path = filesystem(url)
    copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (its reader closes it)

    def fetch() -> None:
        copy.seek(0)
        copy.truncate()
        with store.open(path, "rb") as source:
            shutil.copyfileobj(source, copy, PIECE)
        copy.flush()
        copy.seek(0)

    try:
        with_retries(fetch)
    except BaseException:
        copy.close()
        raise
    return copy


def open_binary(name: str) -> BinaryIO:
    """A file here or behind a URL, open for reading.

    Raises:
        OSError, ValueError, ModuleNotFoundError: as `open` and `download`.
    """
    return download(name) if is_url(name) else open(name, "rb")


def fetch_audio(url: str) -> BinaryIO:
    """`download` for a recording.

    Raises:
        AudioError: it cannot be had; the message begins with the URL.
        ModuleNotFoundError: fsspec is not installed.
    """
    try:
        file = download(url)
    except FileNotFoundError:
        raise AudioError(f"{url}: no such file; check the name") from None
    except OSError as error:
        raise AudioError(f"{url}: cannot be read: {error.strerror}; {_remedy(error)}") from None
    if not file.read(1):
        file.close()
        raise AudioError(f"{url}: is empty; record, copy or download it again")
    file.seek(0)
    return file


def with_retries(work: Callable[[], T]) -> T:
    """`work()`, tried again if it fails as a network does.

    Raises:
        OSError: it fails each time, or in a way that waiting does not mend. Whatever else a plug-in raises becomes
            one, with its reason in one line.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return work()
        except (FileNotFoundError, IsADirectoryError, PermissionError, NotImplementedError) as error:
            raise _as_os_error(error) from None
        except Exception as error:  # plug-ins raise what they like
            if attempt == TRIES or getattr(error, "errno", None) in (errno.ENOSPC, errno.EFBIG):
                raise _as_os_error(error) from None
            time.sleep(PAUSE * attempt)
    raise AssertionError("unreachable")


def error_reason(error: Exception) -> str:
    """Why something failed, in one line without a full stop."""
    text = reason_of(error)
    lines = text.strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError) and error.strerror:
        return error
    if isinstance(error, FileNotFoundError):  # fsspec's have the path alone
        return FileNotFoundError(errno.ENOENT, "no such file")
    return OSError(getattr(error, "errno", None) or errno.EIO, error_reason(error))


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EFBIG):
        return f"make room in {tempfile.gettempdir()}, or set TMPDIR"
    return remedy(error)
