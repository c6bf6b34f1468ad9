"""Containers whose header gives the size of the samples: WAV, RF64, AIFF, Wave64, CAF, AU, NIST SPHERE and others."""

import os
import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from ....errors import AudioError
from . import sds
from .tags import behind_tags
from .view import Piece

UNKNOWN = 0x7FFFF000
"""A 32-bit size from here up was written by a program that did not know it yet, into a pipe (sox, ffmpeg)."""

MAX_CHUNKS = 10_000  # before the samples; a file with more is not audio
MAX_RIFF = (1 << 32) - 1  # bytes that a RIFF chunk can hold


class Extent(NamedTuple):
    """Where a header says that the samples are."""

    start: int  # first byte
    end: int  # the byte after the last
    size_at: int | None = None  # where a RIFF file holds their size


class Scan(NamedTuple):
    """What was found in a file that is whole as far as its header goes."""

    extent: Extent | None = None
    pieces: tuple[Piece, ...] | None = None  # what to show the decoder in place of the file
    remarks: tuple[str, ...] = ()


def scan(file: BinaryIO, kind: str = "", seconds: float | None = None) -> Scan:
    """Hold a header against the bytes that are there.

    Args:
        file: of any format; of those that state no size nothing is said.
        kind: libsndfile's name of the format, where it knows it.
        seconds: what the decoder found.

    Raises:
        AudioError: fewer bytes follow than the header promises, or the header itself is cut short.
    """
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    reader = OF_FORMAT.get(kind) or READERS.get(magic)
    if reader is None:
        return Scan()
    try:
        extent = reader(file)
    except struct.error:  # the header itself is cut short
        raise AudioError("breaks off inside its header; copy or download it again") from None
    size = file.seek(0, os.SEEK_END)
    if extent is None:
        return Scan()
    if size < extent.end:
        if seconds is None:
            raise AudioError(
                f"breaks off: {size - extent.start} of {extent.end - extent.start} bytes of audio are there; "
                "copy or download it again"
            )
        promised = seconds * (extent.end - extent.start) / max(1, size - extent.start)
        raise AudioError(f"breaks off after {seconds:.2f} of {promised:.2f} s; copy or download it again")
    if magic in CHUNKED and _is_more(file, extent.end, size, CHUNKED[magic]):
        return _longer(file, extent, size)
    return Scan(extent)


def _longer(file: BinaryIO, extent: Extent, size: int) -> Scan:
    """Of a file with samples behind the end that its header states: it was never brought up to date."""
    told = f"more bytes follow the {extent.end - extent.start} of audio that its header states: {size - extent.end}"
    if extent.size_at is None or size > MAX_RIFF:
        return Scan(extent, remarks=(f"{told}; they are not heard",))
    file.seek(0)
    magic = file.read(4)
    pieces = (
        magic + struct.pack("<I", size - 8),
        (8, extent.size_at),
        struct.pack("<I", size - extent.start),
        (extent.start, size),
    )
    heard = extent._replace(end=size)
    return Scan(heard, pieces, (f"{told}; it was not brought up to date, and they are heard too",))


def _is_more(file: BinaryIO, position: int, size: int, order: str) -> bool:
    """Whether what follows the samples is neither chunk nor tag nor padding.

    Raises:
        AudioError: it is a chunk of samples again.
    """
    file.seek(position)
    head = file.read(8 + position % 2)
    if head[:1] == b"\0" and position % 2:  # chunks begin at even bytes
        head, position = head[1:], position + 1
    if len(head) < 8:
        return False
    if behind_tags(file, position, size) > position:
        return False
    name, (length,) = head[:4], struct.unpack(order + "I", head[4:8])
    if all(0x20 <= byte < 0x7F for byte in name):
        if name in (b"data", b"SSND"):
            raise AudioError(
                f"holds a second part of audio at byte {position}, which would be lost; "
                "make it one, for example with: ffmpeg -i FILE joined.wav"
            )
        if position + 8 + length <= size + 1:
            return False
    file.seek(position)
    while piece := file.read(1 << 20):
        if piece.strip(b"\0"):
            return True
    return False


def _unpack(file: BinaryIO, layout: str, at: int | None = None) -> tuple[int, ...]:
    if at is not None:
        file.seek(at)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _skip(file: BinaryIO, position: int) -> None:
    """Go to a chunk; no seek gets a number that some system cannot take.

    Raises:
        AudioError: the chunk before ends behind the file's end.
    """
    size = os.fstat(file.fileno()).st_size
    if position > size + 1:  # a byte that makes the last chunk even is often left out
        raise AudioError("is damaged or breaks off inside its header; copy or download it again")
    file.seek(position)


def _chunks(
    file: BinaryIO, name_bytes: int, layout: str, *, counted: int = 0, even: int = 1
) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and size of each chunk from here on.

    Args:
        name_bytes: of a name.
        layout: of the size that follows it.
        counted: bytes of the header that sizes count, too.
        even: chunks begin at multiples of so many bytes.
    """
    for _ in range(MAX_CHUNKS):
        name = file.read(name_bytes)
        if len(name) < name_bytes:
            return
        (size,) = _unpack(file, layout)
        size -= counted
        start = file.tell()
        yield name, start, size
        _skip(file, start + max(0, size + -size % even))


def _riff(file: BinaryIO, order: str) -> Extent | None:
    """WAV and AIFF: chunks of a 4-byte name, a 32-bit size and an even number of bytes; RF64 has ds64."""
    file.seek(12)
    wide = None
    for name, start, size in _chunks(file, 4, order + "I", even=2):
        if name == b"ds64":
            _, wide = _unpack(file, "<QQ")
        if name in (b"data", b"SSND", b"BODY"):
            size_at = start - 4 if name == b"data" and order == "<" and wide is None else None
            size = wide if wide is not None and size == 0xFFFFFFFF else size
            return None if UNKNOWN <= size <= 0xFFFFFFFF else Extent(start, start + size, size_at)
    return None


def _wave64(file: BinaryIO) -> Extent | None:
    """Sony Wave64: 16-byte names, 64-bit sizes that count the chunk's header, multiples of 8 bytes."""
    file.seek(40)
    for name, start, size in _chunks(file, 16, "<Q", counted=24, even=8):
        if name.startswith(b"data"):
            return Extent(start, start + size)
    return None


def _caf(file: BinaryIO) -> Extent | None:
    """Apple Core Audio: 4-byte names, signed 64-bit sizes; -1 is a size not known when it was written."""
    file.seek(8)
    for name, start, size in _chunks(file, 4, ">q"):
        if name == b"data":
            return None if size < 0 else Extent(start, start + size)
    return None


def _au(file: BinaryIO, order: str) -> Extent | None:
    """Sun AU: where the samples begin and how many bytes they take, 0xFFFFFFFF if not known."""
    _, start, size = _unpack(file, order + "III")
    return None if size >= UNKNOWN else Extent(start, start + size)


def _sphere(file: BinaryIO) -> Extent | None:
    """NIST SPHERE (TIMIT, WSJ): a text header of a stated length, with the counts that give the size.

    Where no width of a sample is stated, or it is a text, the coding says it; of a coding that is
    compressed (shorten) nothing is claimed.
    """
    header = file.read(1024)
    length = re.match(rb"NIST_1A\s+(\d{1,9})\s", header)
    numbers = re.findall(
        rb"^(sample_count|sample_n_bytes|channel_count) -(?:i|s\d+) (\d{1,18})\s*$", header, re.MULTILINE
    )
    fields = {name: int(value) for name, value in numbers}
    coding = re.search(rb"^sample_coding -s\d+ (\S+)", header, re.MULTILINE)
    name = b"pcm" if coding is None else coding[1].lower()
    width = fields.get(b"sample_n_bytes", WIDTHS.get(name))
    if not length or b"sample_count" not in fields or width is None or name not in WIDTHS:
        return None
    start = int(length[1])
    return Extent(start, start + fields[b"sample_count"] * width * fields.get(b"channel_count", 1))


WIDTHS = {b"pcm": 2, b"ulaw": 1, b"mu-law": 1, b"alaw": 1}
"""Bytes of a sample in each coding of NIST SPHERE that is not compressed."""


def _voc(file: BinaryIO) -> Extent | None:
    """Creative Voice: blocks of a type, a 24-bit size and so many bytes; type 0 ends the file."""
    (start,) = _unpack(file, "<H", at=20)
    position = start
    for _ in range(MAX_CHUNKS * 100):
        file.seek(position)
        head = file.read(4)
        if len(head) < 4 or head[0] == 0:
            return Extent(start, position)
        end = position + 4 + int.from_bytes(head[1:], "little")
        if end > os.fstat(file.fileno()).st_size:
            return Extent(start, end)
        position = end
    return None


def _avr(file: BinaryIO) -> Extent | None:
    """Audio Visual Research: 128 bytes of header, with the width of a sample and how many there are."""
    stereo, bits = _unpack(file, ">HH", at=12)
    (count,) = _unpack(file, ">I", at=26)
    return Extent(128, 128 + count * (2 if stereo else 1) * (bits // 8))


def _wve(file: BinaryIO) -> Extent | None:
    """Psion: 32 bytes of header, A-law."""
    if file.read(16) != b"ALawSoundFile**\0":
        return None
    (count,) = _unpack(file, ">I", at=18)
    return Extent(32, 32 + count)


def _mpc2k(file: BinaryIO) -> Extent | None:
    """Akai MPC 2000: 42 bytes of header, 16 bits a sample."""
    (stereo,) = _unpack(file, "<B", at=21)
    (count,) = _unpack(file, "<I", at=30)
    return Extent(42, 42 + 2 * count * (2 if stereo else 1))


def _mat4(file: BinaryIO) -> Extent | None:
    """MATLAB 4: matrices of a type, rows, columns and a name."""
    order = "<" if file.read(4) == bytes(4) else ">"
    file.seek(0)
    extent = None
    for _ in range(MAX_CHUNKS):
        start = file.tell()
        head = file.read(20)
        if len(head) < 20:
            return extent
        kind, rows, columns, imaginary, name = struct.unpack(order + "IIIII", head)
        width = MATLAB_WIDTHS.get(kind // 10 % 10)
        if width is None or name > 256:
            return extent
        first = start + 20 + name
        extent = Extent(first, first + rows * columns * width * (2 if imaginary else 1))
        if extent.end > os.fstat(file.fileno()).st_size:
            return extent
        file.seek(extent.end)
    return extent


MATLAB_WIDTHS = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
"""Bytes of a number in MATLAB 4, by the third digit of a matrix's type."""


def _mat5(file: BinaryIO) -> Extent | None:
    """MATLAB 5: 128 bytes of header, then matrices, of which each is a row of parts; the last part has the numbers.

    The size of a whole matrix is not believed: libsndfile writes a larger one.
    """
    file.seek(126)
    order = "<" if file.read(2) == b"IM" else ">"
    extent = None
    position = 128
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return extent
        kind, size = struct.unpack(order + "II", head)
        if kind == MATLAB_MATRIX or kind >> 16:
            position += 8
        else:
            extent = Extent(position + 8, position + 8 + size)
            if extent.end > os.fstat(file.fileno()).st_size:
                return extent
            position = extent.end + -size % 8
    return extent


MATLAB_MATRIX = 14


def _sds(file: BinaryIO) -> Extent | None:
    """MIDI sample dump: a header and packets."""
    header = file.read(sds.HEADER)
    if len(header) < sds.HEADER or header[3] != 1:
        return None
    packets = sds.packets_of(header)
    return None if packets is None else Extent(sds.HEADER, sds.HEADER + packets * sds.PACKET)


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
    b"Crea": _voc,
    b"2BIT": _avr,
    b"ALaw": _wve,
}
"""By a file's first four bytes: reads where its samples begin and end, None where the header does not say."""

OF_FORMAT: dict[str, Callable[[BinaryIO], Extent | None]] = {
    "MPC2K": _mpc2k,
    "MAT4": _mat4,
    "MAT5": _mat5,
    "SDS": _sds,
}
"""The same by libsndfile's name, for formats whose first bytes are too common to tell."""

CHUNKED = {b"RIFF": "<", b"RIFX": ">", b"FORM": ">"}
"""Files of which more may follow the samples only in chunks, and the order of these chunks' bytes."""
