"""`phonestream transcribe` called in this process, and what it left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from phonestream.cli import main


class Result(NamedTuple):
    """How a call ended, and what it printed."""

    status: int
    out: str
    err: str


def transcriber(model: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """A function that calls `transcribe` with `model`."""

    def run(*arguments: str | Path) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as leaving:
            main(["transcribe", "--model", str(model), *map(str, arguments)])
        assert isinstance(leaving.value.code, int)
        return Result(leaving.value.code, *capfd.readouterr())

    return run


def tree(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden things too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
