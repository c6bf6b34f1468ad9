"""Finding the language model that a search asks for: bundled, a packed file, or an ARPA file."""

from functools import lru_cache
from importlib.resources import as_file, files
from os import PathLike, fspath
from pathlib import Path

from ...errors import ModelError, reason_of
from . import arpa, trie
from .phone_lm import PhoneLM, uniform

SUFFIX = ".lm"


def bundled_language_models() -> tuple[str, ...]:
    """Names of the language models inside the package, for `BeamSearch(lm=NAME)`."""
    names = (entry.name for entry in files("phonestream.models").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def load(source: str | PathLike[str] | None, phones: tuple[str, ...]) -> PhoneLM:
    """A language model of `phones`, and maybe of others; one that gives all the same for None.

    A file is read once, and again only if it has changed.

    Args:
        source: name of a bundled model, or path of a file that `phonestream phone-lm` made, or of an ARPA file.
        phones: those of the acoustic model.

    Raises:
        ModelError: there is no such file, it is damaged or too large, or it lacks phones.
    """
    if source is None:
        return uniform(phones)
    name = fspath(source)
    if name in bundled_language_models():
        with as_file(files("phonestream.models") / f"{name}{SUFFIX}") as path:
            lm = _open(name, path)
    else:
        lm = _open(name, Path(name))
    missing = [phone for phone in phones if phone not in lm.phones]
    if missing:
        shown = " ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise ModelError(
            f"{name}: a language model of other phones: it lacks {len(missing)} of the model's {len(phones)} "
            f"({shown}); train one on this model's phones, or search without (none)"
        )
    return lm


def read_bytes(source: str | PathLike[str]) -> bytes:
    """The packed file of a language model, checked: what `BeamSearch.lm` names, which is no ARPA file.

    Raises:
        ModelError: there is no such file, or it is not a packed one.
    """
    name = fspath(source)
    bundled = name in bundled_language_models()
    path = files("phonestream.models") / f"{name}{SUFFIX}" if bundled else Path(name)
    try:
        content = path.read_bytes()
        trie.read(content)
    except OSError as error:
        raise ModelError(f"{name}: the language model cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise ModelError(
            f"{name}: not a packed language model: {error}; make one with `phonestream phone-lm`"
        ) from None
    return content


def speaks(name: str, phones: tuple[str, ...]) -> bool:
    """Whether the bundled language model `name` is there and has all `phones`."""
    try:
        load(name, phones)
    except ModelError:
        return False
    return True


def _open(name: str, path: Path) -> PhoneLM:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        known = ", ".join(bundled_language_models()) or "none"
        raise ModelError(
            f"{name}: no language model can be read there ({reason_of(error)}), "
            f"nor is it a bundled one (there are: {known})"
        ) from None
    if not path.is_file():
        raise ModelError(f"{name}: not a file; give a language model that `phonestream phone-lm` wrote")
    return _read(name, path, (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=4)
def _read(name: str, path: Path, version: tuple[int, int]) -> PhoneLM:
    """The file at `path`; `version` tells contents of the same name apart."""
    size = version[1]
    try:
        with path.open("rb") as file:
            packed = file.read(len(trie.MAGIC)) == trie.MAGIC
            limit = trie.MAX_FILE_BYTES if packed else arpa.MAX_BYTES
            if size > limit:
                raise ValueError(f"{size:,} bytes, at most {limit:,} can be had; prune the model")
            model = trie.read(trie.MAGIC + file.read()) if packed else arpa.read(path)
    except OSError as error:
        raise ModelError(f"{name}: the language model cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise ModelError(
            f"{name}: not a usable language model: {error}; make one with `phonestream phone-lm`"
        ) from None
    return PhoneLM(model)
