"""Containers whose header gives the size of the samples: WAV, RF64, AIFF, Wave64, CAF, AU, NIST SPHERE."""

import os
import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from ....errors import AudioError

Extent = tuple[int, int]  # first byte of the samples, and the one after the last, as the header says

UNKNOWN = 0x7FFFF000
"""A 32-bit size from here up was written by a program that did not know it yet, into a pipe (sox, ffmpeg)."""

MAX_CHUNKS = 10_000  # before the samples; a file with more is not audio


def check(file: BinaryIO, seconds: float) -> None:
    """Raise AudioError where fewer bytes follow than the header promises; the decoder found `seconds`."""
    magic = file.read(4)
    file.seek(0)
    try:
        extent = READERS[magic](file)
    except struct.error:  # the header itself is cut short
        raise AudioError("breaks off inside its header; copy or download it again") from None
    size = file.seek(0, os.SEEK_END)
    if extent is None or size >= extent[1]:
        return
    start, end = extent
    promised = seconds * (end - start) / max(1, size - start)
    raise AudioError(f"breaks off after {seconds:.2f} of {promised:.2f} s; copy or download it again")


def _unpack(file: BinaryIO, layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _riff(file: BinaryIO, order: str) -> Extent | None:
    """WAV and AIFF: chunks of a 4-byte name, a 32-bit size and an even number of bytes; RF64 has ds64."""
    file.seek(12)
    wide = None
    for _ in range(MAX_CHUNKS):
        name = file.read(4)
        if len(name) < 4:
            return None
        (size,) = _unpack(file, order + "I")
        start = file.tell()
        if name == b"ds64":
            _, wide = _unpack(file, "<QQ")
        if name in (b"data", b"SSND"):
            size = wide if wide is not None and size == 0xFFFFFFFF else size
            return None if UNKNOWN <= size <= 0xFFFFFFFF else (start, start + size)
        file.seek(start + size + size % 2)
    return None


def _wave64(file: BinaryIO) -> Extent | None:
    """Sony Wave64: 16-byte names, 64-bit sizes that count the chunk's header, multiples of 8 bytes."""
    file.seek(40)
    for _ in range(MAX_CHUNKS):
        start = file.tell()
        name = file.read(16)
        if len(name) < 16:
            return None
        (size,) = _unpack(file, "<Q")
        if name.startswith(b"data"):
            return start + 24, start + size
        file.seek(start + max(24, size + -size % 8))
    return None


def _caf(file: BinaryIO) -> Extent | None:
    """Apple Core Audio: 4-byte names, signed 64-bit sizes; -1 is a size not known when it was written."""
    file.seek(8)
    for _ in range(MAX_CHUNKS):
        name = file.read(4)
        if len(name) < 4:
            return None
        (size,) = _unpack(file, ">q")
        start = file.tell()
        if name == b"data":
            return None if size < 0 else (start, start + size)
        file.seek(start + max(0, size))
    return None


def _au(file: BinaryIO, order: str) -> Extent | None:
    """Sun AU: where the samples begin and how many bytes they take, 0xFFFFFFFF if not known."""
    _, start, size = _unpack(file, order + "III")
    return None if size >= UNKNOWN else (start, start + size)


def _sphere(file: BinaryIO) -> Extent | None:
    """NIST SPHERE (TIMIT, WSJ): a text header of a stated length, with the counts that give the size."""
    header = file.read(1024)
    length = re.match(rb"NIST_1A\s+(\d+)", header)
    fields = dict(re.findall(rb"^(sample_count|sample_n_bytes|channel_count) -i (\d+)", header, re.MULTILINE))
    if not length or b"sample_count" not in fields:
        return None
    start = int(length[1])
    width = int(fields.get(b"sample_n_bytes", 2)) * int(fields.get(b"channel_count", 1))
    return start, start + int(fields[b"sample_count"]) * width


READERS: dict[bytes, Callable[[BinaryIO], Extent | None]] = {
    b"RIFF": lambda file: _riff(file, "<"),
    b"RF64": lambda file: _riff(file, "<"),
    b"RIFX": lambda file: _riff(file, ">"),
    b"FORM": lambda file: _riff(file, ">"),
    b"riff": _wave64,
    b"caff": _caf,
    b".snd": lambda file: _au(file, ">"),
    b"dns.": lambda file: _au(file, "<"),
    b"NIST": _sphere,
}
"""By a file's first four bytes: reads where its samples begin and end, None where the header does not say."""
