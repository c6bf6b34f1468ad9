"""`phonestream info`: what a model file is."""

import json
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer

from .output import WIDTH, Format, printable, write
from .shared_options import format_option

INDENT = 15  # columns before a fact


def info(
    model: Annotated[str, typer.Argument(help="A model file, or the name of a bundled model.")] = "default",
    form: Annotated[Format, format_option("JSON")] = Format.text,
) -> None:
    """Describe a model file: name, licence, training data, phones, look-ahead, size."""
    facts = describe(model)
    for line in [json.dumps(facts)] if form is Format.json else as_text(facts):
        write(line)


def describe(model: str) -> dict[str, Any]:
    """The facts about a model file or a bundled model; the names say the units.

    Raises:
        ModelError: it cannot be used.
    """
    from ..streaming.model import read_model
    from ..streaming.recognizer import Recognizer
    from ..streaming.silence import remembered_shape

    recognizer = Recognizer(model)
    metadata = recognizer.metadata
    rule = metadata.silence
    frame = 1000 * metadata.frame_samples / metadata.sample_rate
    return {
        "name": metadata.name,
        "version": metadata.version,
        "licence": metadata.licence,
        "training_data": metadata.training_data,
        "phones": list(metadata.phones),
        "sample_rate_hz": metadata.sample_rate,
        "frame_ms": round(frame, 3),
        "look_ahead_ms": round(metadata.look_ahead_frames * frame, 3),
        "state_kib": _kib(state.sized(1) for state in metadata.states),
        "silence_kib": _kib(
            remembered_shape(rule, state.sized(1))
            for state in metadata.states
            if rule and state.name in rule.states
        ),
        "file_mib": round(len(read_model(model)) / 2**20, 2),
        "sha256": recognizer.sha256,
    }


def _kib(shapes: Iterable[tuple[int, ...]]) -> float:
    """Of float32 tensors."""
    return round(4 * sum(math.prod(shape) for shape in shapes) / 1024, 1)


def as_text(facts: dict[str, Any]) -> Iterator[str]:
    """A table of two columns."""
    table = {
        "name": facts["name"],
        "version": facts["version"],
        "licence": facts["licence"],
        "training data": facts["training_data"],
        "phones": f"{len(facts['phones'])}: {' '.join(facts['phones'])}",
        "audio": f"{facts['sample_rate_hz']} Hz, in frames of {facts['frame_ms']:g} ms",
        "look-ahead": f"{facts['look_ahead_ms']:g} ms",
        "state": f"{facts['state_kib']:g} KiB for each stream, {facts['silence_kib']:g} more in silence",
        "file": f"{facts['file_mib']:g} MiB",
        "SHA-256": facts["sha256"],
    }
    for name, fact in table.items():
        lines = textwrap.wrap(printable(" ".join(fact.split())), WIDTH - INDENT)
        yield from map(str.__add__, [name.ljust(INDENT)] + [" " * INDENT] * (len(lines) - 1), lines)
