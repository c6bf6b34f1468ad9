"""`--failures FILE.jsonl`: what failed in a run and why, for programs."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import ConfigError
from .output import complain

if TYPE_CHECKING:
    from ..batch.run import Outcome


@contextmanager
def failure_list(path: str | None) -> Iterator[Callable[["Outcome"], None]]:
    """What notes outcomes: a line of JSON for each that failed, as soon as it is known; nothing without a `path`.

    A line has `file`, null where what failed is none, such as a row of a manifest, and the `reason` as standard error
    has it. Without failures the file is empty. A full disk is a line on standard error, and the run goes on.

    Raises:
        ConfigError: the file cannot be opened.
    """
    if path is None:
        yield lambda _: None
        return

    def unwritable(error: OSError) -> ConfigError:
        return ConfigError(f"{path}: cannot be written: {error.strerror}; give --failures another name")

    try:
        file = open(path, "wb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise unwritable(error) from None
    with file:
        full = False

        def note(outcome: "Outcome") -> None:
            nonlocal full
            if outcome.result.failure is None or full:
                return
            line = json.dumps({"file": outcome.entry.name, "reason": outcome.result.failure})
            try:
                file.write(f"{line}\n".encode())
            except OSError as error:
                full = True
                complain(str(unwritable(error)))

        yield note
