"""Rhubarb Lip Sync's JSON: mouth shapes as game engines, avatars and add-ons for animators read them."""

import json
from collections.abc import Iterator
from dataclasses import replace

from .document import Document
from .options import Options
from .units import intervals

SHAPES = "rhubarb"


def write(document: Document, options: Options) -> Iterator[bytes]:
    """An object with `metadata`, the recording and its seconds, and `mouthCues`, which cover it without gaps.

    The shapes are Rhubarb's whatever else is asked for; times are in seconds to the millisecond.
    """
    metadata = {"soundFile": document.file, "duration": round(document.seconds, 3)}
    yield f'{{\n  "metadata": {json.dumps(metadata)},\n  "mouthCues": ['.encode()
    separator = "\n"
    for shape in intervals(document, replace(options, visemes=SHAPES)):
        cue = {"start": round(shape.start, 3), "end": round(shape.end, 3), "value": shape.symbol}
        yield f"{separator}    {json.dumps(cue)}".encode()
        separator = ",\n"
    yield b"\n  ]\n}\n"
