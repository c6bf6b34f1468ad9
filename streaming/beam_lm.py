"""Opening a language model of phones for beam search: bundled or a file, and of the phones that the model has."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.resources import as_file, files
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ..errors import ModelError

SUFFIX = ".lm.arpa.gz"


def bundled_language_models() -> tuple[str, ...]:
    """Names of the language models inside the package, for `BeamSearch(lm=NAME)`."""
    names = (entry.name for entry in files("phonestream.models").iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def open_language_model(source: str | PathLike[str] | None, symbols: tuple[str, ...], blank: int) -> Any:
    """flashlight's language model over the columns `symbols`; one that gives all phones the same for None.

    A file is read once, and again only if it has changed.

    Args:
        source: name of a bundled model, or path of an ARPA file (.gz too) or of a binary file of KenLM.
        symbols: the symbol of each column.
        blank: the column that has none.

    Raises:
        ModelError: there is no such file, KenLM cannot read it, or it lacks phones of the model.
        ModuleNotFoundError: the extra `beam` is not installed.
    """
    if source is None:
        return flashlight().ZeroLM()
    name = fspath(source)
    with ExitStack() as stack:
        path = Path(name)
        if name in bundled_language_models():
            path = stack.enter_context(as_file(files("phonestream.models") / f"{name}{SUFFIX}"))
        try:
            status = path.stat()
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            known = ", ".join(bundled_language_models()) or "none"
            raise ModelError(
                f"{name}: no language model can be read there ({getattr(error, 'strerror', error)}), "
                f"nor is it a bundled one (there are: {known})"
            ) from None
        if not path.is_file():
            raise ModelError(f"{name}: not a file; give a language model that `phonestream phone-lm` wrote")
        return _read(name, path, symbols, blank, (status.st_mtime_ns, status.st_size))


def flashlight() -> Any:
    """The module flashlight.lib.text.decoder.

    Raises:
        ModuleNotFoundError: the extra `beam` is not installed.
    """
    try:
        return import_module("flashlight.lib.text.decoder")
    except ModuleNotFoundError:  # its distribution has another name, by which the extra is found
        raise ModuleNotFoundError(
            "beam search needs flashlight-text: pip install 'phonestream[beam]'", name="flashlight_text"
        ) from None


def read_kenlm(name: str, path: Path) -> Any:
    """KenLM's own view of the file at `path`, which the user calls `name`.

    Raises:
        ModelError: it cannot be read.
        ModuleNotFoundError: the extra `beam` is not installed.
    """
    import kenlm

    try:
        with _remarks_off():
            return kenlm.Model(str(path))
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rsplit("Exception. ", 1)[-1].rstrip(")")
        raise ModelError(
            f"{name}: not a language model that KenLM can read ({reason}); "
            "make one with `phonestream phone-lm`, or give its ARPA file"
        ) from None


@lru_cache(maxsize=4)
def _read(name: str, path: Path, symbols: tuple[str, ...], blank: int, version: tuple[int, int]) -> Any:
    """The file at `path`; `version` tells contents of the same name apart."""
    flashlight()
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    phones = [symbol for column, symbol in enumerate(symbols) if column != blank]
    vocabulary = read_kenlm(name, path)
    # flashlight would silently take a phone that is missing for <unk>.
    missing = [phone for phone in phones if phone not in vocabulary]
    if missing:
        shown = " ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise ModelError(
            f"{name}: a language model of other phones: it lacks {len(missing)} of the model's {len(phones)} "
            f"({shown}); train one on this model's phones, or search without (none)"
        )
    columns = Dictionary()  # numbers entries by position
    for column, symbol in enumerate(symbols):
        columns.add_entry("<blank>" if column == blank else symbol)
    with _remarks_off():
        return KenLM(str(path), columns)


@contextmanager
def _remarks_off() -> Iterator[None]:
    """Inside, the process's standard error is dropped: KenLM draws a progress bar on it that nothing turns off."""
    try:
        saved = os.dup(2)
    except OSError:  # closed by whoever started us
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
