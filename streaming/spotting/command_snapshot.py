"""The utterance of a stream with commands as fields and a tensor of its snapshot, and back, completely checked.

The commands themselves are not in it, only their digest: whoever restores a stream gives them again.
"""

from typing import Any

from ..arrays import AnyArray
from ..json_values import is_integer
from .command_state import LEAD_SECONDS, MAX_SECONDS, Commanding
from .commands import CommandRecognizer

ROWS = "commands.rows"


def fields(commanding: Commanding) -> dict[str, Any]:
    """What is no array: the commands' digest, where the rows that are kept begin, whether a phone is in them."""
    return {
        "commands": commanding.recognizer.digest,
        "first": commanding.first,
        "voiced": commanding.voiced,
    }


def load(
    saved: Any, rows: AnyArray | None, recognizer: CommandRecognizer, row: int, finished: bool
) -> Commanding:
    """The state of a stream that has seen `row` rows; `rows` are float32, finite.

    Raises:
        ValueError: it is damaged, or of other commands.
    """
    if not isinstance(saved, dict) or saved.keys() != {"commands", "first", "voiced"}:
        raise ValueError("is damaged: field 'commands' is no object of commands, first and voiced")
    if saved["commands"] != recognizer.digest:
        raise ValueError("is of a stream with other commands: give the same commands with it")
    most = recognizer.rows_of(MAX_SECONDS if saved["voiced"] is True else LEAD_SECONDS)
    if rows is None or rows.ndim != 2 or rows.shape[1] != recognizer.columns or len(rows) > most:
        raise ValueError(f"is damaged: tensor {ROWS!r} is no utterance")
    if (rows > 1e-3).any():
        raise ValueError(f"is damaged: tensor {ROWS!r} holds no log-probabilities")
    voiced = len(recognizer.voiced(rows)) > 0
    if saved["voiced"] is not voiced or (finished and len(rows)):
        raise ValueError("is damaged: field 'commands.voiced' is not so")
    last = row - len(rows)
    if not is_integer(saved["first"], 0 if len(rows) == recognizer.rows_of(MAX_SECONDS) else last, last):
        raise ValueError("is damaged: field 'commands.first' is no row of the utterance")
    return Commanding(recognizer, saved["first"], (rows,), voiced)
