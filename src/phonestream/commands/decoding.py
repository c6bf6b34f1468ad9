"""The option `--decoder`, which several commands have."""

from enum import StrEnum
from typing import Annotated, Literal

import typer


class Decoding(StrEnum):
    """How rows of log-probabilities become phones."""

    beam = "beam"
    greedy = "greedy"


DecoderOption = Annotated[
    Decoding | None,
    typer.Option(
        help="beam weighs whole sequences with a language model of phones; greedy takes each row's best: sooner, and "
        "what was said rather than what should have been.",
        show_default="beam, where the language model has the model's phones",
    ),
]


def chosen(decoder: Decoding | None) -> Literal["beam", "greedy"] | None:
    """What `Recognizer` takes."""
    return None if decoder is None else decoder.value
