"""Ogg (Opus, Vorbis, FLAC): every page's checksum and number, the last page, and that nothing follows it.

Pages as in RFC 3533: 27 bytes of header, a table of segment lengths, the segments. The decoder skips a page
whose checksum is wrong and reads on, and takes the last page it finds for the last there was.
"""

import struct
import zlib
from typing import BinaryIO, NamedTuple

from ....errors import AudioError

FIRST, LAST = 2, 4  # bits of a page's type

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    kind: int
    granule: int  # samples up to the end of the page's last packet, -1 if no packet ends in it
    serial: int
    number: int
    body: bytes


def check(file: BinaryIO, sample_rate: int) -> None:
    """Raise AudioError at the first byte that is not as RFC 3533 says; `sample_rate` is the decoder's."""
    open_streams: dict[int, int] = {}  # serial -> number of the page that comes next
    closed, seconds = False, 0.0
    rate = sample_rate  # of granule positions
    while True:
        position = file.tell()
        header = file.read(27)
        if closed and not header.startswith(b"OggS"):
            return  # the end; a tag or padding may follow
        page = _page(header, file)
        if page is None:
            what = "is damaged or breaks off" if header else "breaks off"
            raise AudioError(f"{what} after {seconds:.2f} s, at byte {position}; copy or download it again")
        if closed:
            raise AudioError(
                f"holds a second recording after {seconds:.2f} s, at byte {position}, which would be lost; "
                "make it one stream, for example with: ffmpeg -i FILE joined.wav"
            )
        if page.kind & FIRST:
            open_streams[page.serial] = page.number
            if page.body.startswith(b"OpusHead"):
                rate = 48_000  # whatever the decoder's, RFC 7845 section 4
        if open_streams.get(page.serial) != page.number:
            raise AudioError(
                f"lacks audio after {seconds:.2f} s, at byte {position}; copy or download it again"
            )
        open_streams[page.serial] = (page.number + 1) & 0xFFFFFFFF
        if page.granule > 0:
            seconds = page.granule / rate
        if page.kind & LAST:
            del open_streams[page.serial]
            closed = not open_streams


def _page(header: bytes, file: BinaryIO) -> Page | None:
    """The page that `header` begins, the rest read from `file`; None if it is cut short or damaged."""
    if len(header) < 27 or not header.startswith(b"OggS"):
        return None
    kind, granule, serial, number, checksum, segments = struct.unpack_from("<BqIIIB", header, 5)
    table = file.read(segments)
    body = file.read(sum(table))
    if len(table) < segments or len(body) < sum(table):
        return None
    if _checksum(header[:22] + b"\0\0\0\0" + header[26:] + table + body) != checksum:
        return None
    return Page(kind, granule, serial, number, body)


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's polynomial, most significant bit first, from 0 and not inverted.

    zlib's runs least significant bit first and inverts both ends, so it is given the bytes mirrored and its
    result is mirrored back: fast without a table of our own.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
