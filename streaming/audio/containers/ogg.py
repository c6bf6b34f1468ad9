"""Ogg (Opus, Vorbis): every page's checksum and number, its place in time, the last page, and what follows it.

Pages as in RFC 3533: 27 bytes of header, a table of segment lengths, the segments. The decoder skips a page
whose checksum is wrong and reads on, and takes the last page it finds for the last there was.
"""

import struct
import zlib
from typing import BinaryIO, NamedTuple

from ....errors import AudioError
from ..recording import Lost
from .errors import JitterError, UnsupportedError
from .view import Piece

FIRST, LAST = 2, 4  # bits of a page's type
OPUS_RATE = 48_000  # of granule positions, whatever the decoder's: RFC 7845 section 4
MAX_JITTER = 2400  # samples of Opus, 50 ms, by which positions may be off and libsndfile may still read on
MIN_LOST = 240  # samples of Opus, 5 ms: jumps ahead that add up to more are lost audio

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_OPUS_SILK, _OPUS_HYBRID, _OPUS_CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


class Page(NamedTuple):
    kind: int
    granule: int  # samples up to the end of the page's last packet, -1 if no packet ends in it
    serial: int
    number: int
    table: bytes  # how long each segment is
    body: bytes


class Scan(NamedTuple):
    """What was found in an Ogg file that is whole as far as it goes."""

    pieces: tuple[Piece, ...] | None = None  # what to show the decoder in place of the file
    remarks: tuple[str, ...] = ()
    lost: tuple[Lost, ...] = ()  # where positions in time jump ahead


def scan(file: BinaryIO, sample_rate: int, *, jumps: bool = False) -> Scan:
    """Walk the pages.

    Args:
        file: at its beginning.
        sample_rate: the decoder's.
        jumps: whether the decoder reads over positions in time that jump.

    Raises:
        AudioError: at the first byte that is not as RFC 3533 says, and where a second recording follows.
        UnsupportedError: the positions in time jump, which the decoder takes for damage; JitterError if so
            little that it may read on.
    """
    open_streams: dict[int, int] = {}  # serial -> number of the page that comes next
    opus: dict[int, _Clock] = {}
    closed, seconds = False, 0.0
    rate = sample_rate  # of granule positions
    last: tuple[int, bytes] | None = None  # where the last page begins, and its header
    while True:
        position = file.tell()
        header = file.read(27)
        if closed and not header.startswith(b"OggS"):
            return Scan(lost=_lost(opus))  # a tag or padding may follow
        if not header and last is not None and seconds:  # whole pages, and no mark of the end
            where, head, rest = last[0], last[1], _after(file, last[0] + 27, position)
            return Scan(
                ((0, where), mark_last(head, rest)),
                (f"has no mark of its end; heard to {seconds:.2f} s, where its last whole page ends",),
                _lost(opus),
            )
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
                opus[page.serial] = _Clock(int.from_bytes(page.body[10:12], "little"), jumps)
                rate = OPUS_RATE
        if open_streams.get(page.serial) != page.number:
            raise AudioError(
                f"lacks audio after {seconds:.2f} s, at byte {position}; copy or download it again"
            )
        if page.serial in opus and page.granule > 0:
            opus[page.serial].add(page)
        open_streams[page.serial] = (page.number + 1) & 0xFFFFFFFF
        last = (position, header)
        if page.granule > 0:
            seconds = page.granule / rate
        if page.kind & LAST:
            del open_streams[page.serial]
            closed = not open_streams


def mark_last(header: bytes, rest: bytes) -> bytes:
    """The page of `header` [27] and the `rest` with the bit that says that it is the last."""
    marked = header[:5] + bytes([header[5] | LAST]) + header[6:22]
    checksum = _checksum(marked + bytes(4) + header[26:] + rest)
    return marked + struct.pack("<I", checksum) + header[26:] + rest


def _after(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


class _Clock:
    """Whether the positions in time of one stream's pages follow from what they hold.

    That of the last page may lie before its end, where the encoder cuts off what it had filled up with. So a
    page is judged when the next one comes, and the last if it is a little ahead; if by more, the file breaks off.
    Positions that sway around what the pages hold, as those of audio with a recorder's time stamps do, are lost
    audio only as far as they have not swayed before.

    Args:
        skip: samples that a player leaves out at the beginning.
        jumps: whether positions may jump; `lost` has those that jump ahead.
    """

    def __init__(self, skip: int, jumps: bool) -> None:
        self._skip, self._jumps = skip, jumps
        self._before: int | None = None
        self._jump, self._seconds = 0, 0.0
        # Samples by which positions are ahead of what was held, and of these told as lost
        self._ahead = self._told = 0
        self.lost: list[Lost] = []

    def add(self, page: Page) -> None:
        """Raise UnsupportedError where the page before jumps and must not."""
        self._judge()
        held = opus_samples(page)
        self._jump = 0
        if held is not None and self._before is not None:
            self._jump = page.granule - self._before - held
            self._seconds = max(0, self._before - self._skip) / OPUS_RATE
        self._before = page.granule

    def finish(self) -> tuple[Lost, ...]:
        """What is lost; raises JitterError where the last page is ahead, by too little for audio to be lost there."""
        if 0 < self._jump <= MIN_LOST:
            self._judge()
            self._jump = 0
        return tuple(self.lost)

    def _judge(self) -> None:
        if self._jump and not self._jumps:
            raise (UnsupportedError if abs(self._jump) > MAX_JITTER else JitterError)(
                f"its clock jumps by {self._jump / OPUS_RATE:.3f} s after {self._seconds:.2f} s, where libsndfile "
                "stops reading; convert it, for example with: ffmpeg -i FILE speech.wav"
            )
        self._ahead += self._jump
        self._told = min(self._told, self._ahead + MAX_JITTER)
        if self._jump > 0 and self._ahead - self._told > MIN_LOST:
            self.lost.append(Lost(self._seconds, (self._ahead - self._told) / OPUS_RATE))
            self._told = self._ahead


def _lost(clocks: dict[int, _Clock]) -> tuple[Lost, ...]:
    """Of the first stream, which is the one that is heard."""
    return next((clock.finish() for clock in clocks.values()), ())


def opus_samples(page: Page) -> int | None:
    """At 48 kHz, in a page's packets; None where one of them began before it or ends behind it."""
    if page.kind & 1 or page.table[-1:] == b"\xff":
        return None
    total, offset, fresh = 0, 0, True
    for length in page.table:
        if fresh:
            packet = page.body[offset : offset + 2]
        offset += length
        fresh = length < 255
        if fresh and packet:
            total += _packet_samples(packet)
    return total


def _packet_samples(packet: bytes) -> int:
    """RFC 6716 section 3.1: the table-of-contents byte."""
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        one = _OPUS_SILK[config & 3]
    elif config < 16:
        one = _OPUS_HYBRID[config & 1]
    else:
        one = _OPUS_CELT[config & 3]
    count = (1, 2, 2)[code] if code < 3 else (packet[1] & 63 if len(packet) > 1 else 1)
    return one * count


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
    return Page(kind, granule, serial, number, table, body)


def _checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's polynomial, most significant bit first, from 0 and not inverted.

    zlib's runs least significant bit first and inverts both ends, so it is given the bytes mirrored and its
    result is mirrored back: fast without a table of our own.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
