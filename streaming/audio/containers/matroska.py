"""Matroska and WebM: whether the segment has as many bytes as its header says. Elements as in RFC 8794."""

import os
from typing import BinaryIO

from ....errors import AudioError

EBML, SEGMENT = 0x1A45DFA3, 0x18538067  # identifiers of the two elements that a file consists of


def check(file: BinaryIO) -> None:
    """Nothing is said of other formats, and of a segment whose size was not known when it was written.

    Raises:
        AudioError: the file is shorter than its segment.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    for identifier in (EBML, SEGMENT):
        if _number(file, marked=True) != identifier:
            return
        length = _number(file, marked=False)
        if length is None:
            return
        end = file.tell() + length
        if end > size:
            raise AudioError(f"breaks off: {size} of {end} bytes are there; copy or download it again")
        file.seek(end)


def _number(file: BinaryIO, marked: bool) -> int | None:
    """An integer whose first byte tells its length by leading zeros; None if there is none or it is all ones."""
    head = file.read(1)
    if not head or not head[0]:
        return None
    length = 9 - head[0].bit_length()
    data = head + file.read(length - 1)
    value = int.from_bytes(data, "big")
    if len(data) < length or marked:
        return value if len(data) == length else None
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value
