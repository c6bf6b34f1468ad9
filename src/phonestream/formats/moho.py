"""Moho's switch layer, as Papagayo and Rhubarb write it too: the frames of an animation at which the mouth changes."""

from collections.abc import Iterator
from dataclasses import replace

from ..streaming.visemes import VISEMES
from .document import Document
from .options import Options
from .units import intervals

SHAPES = "preston-blair"
"""The mouth shapes, where no others are asked for: those that Moho's own characters have."""


def write(document: Document, options: Options) -> Iterator[bytes]:
    """`MohoSwitch1`, then a line for each change: the frame, counted from 1, and the shape that is shown from it on.

    A shape begins in the frame nearest to its time; of several in one frame the last is shown. The last line is that
    of rest, at the end of the recording.
    """
    name = options.visemes or SHAPES
    rest = VISEMES[name][""][0]
    frames: dict[int, str] = {}
    for shape in intervals(document, replace(options, visemes=name)):
        frames[1 + round(shape.start * options.frame_rate)] = shape.symbol
    frames[1 + round(document.seconds * options.frame_rate)] = rest
    yield b"MohoSwitch1\n"
    shown = None
    for frame, symbol in frames.items():
        if symbol != shown:
            yield f"{frame} {symbol}\n".encode()
        shown = symbol
