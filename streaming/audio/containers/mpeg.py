"""MPEG audio (MP3, MP2): every frame is walked, so that what the decoder only guesses is known.

Without a length header (Xing, Info) the decoder guesses the length from the first frame's bit rate and
stops there, or promises more than there is; of joined files it hears the first. So the frames are counted
here, and a file that has no good length header is shown to the decoder with one. Frames as in ISO 11172-3
and 13818-3.
"""

import struct
from typing import BinaryIO, NamedTuple

from ....errors import AudioError
from .tags import behind_tags
from .view import Piece

_RATES_OF_LAYER = {  # kbit/s by MPEG 1 or a later version, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""By version: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5."""
MAX_JUNK = 65_536  # bytes before the first frame; the decoder gives up there too
MAX_PADDING = 1 << 20  # bytes behind the last frame that are searched for another one
VBRI_AT = 36  # bytes from a frame's first to Fraunhofer's length header, whatever the frame


class Frame(NamedTuple):
    size: int  # bytes, the 4 of the header included
    samples: int
    rate: int
    layer: int
    mono: bool
    tag_at: int  # bytes from the end of its header to a length header, if this frame is one

    def like(self, other: "Frame") -> bool:
        """Whether one decoder can read both in a row."""
        return (self.rate, self.layer, self.mono) == (other.rate, other.layer, other.mono)


class Promise(NamedTuple):
    """What a length header says of the frames that follow it; 0 where it says nothing."""

    frames: int
    size: int = 0
    """Bytes, the header's frame among them."""


class Scan(NamedTuple):
    """The audio in an MPEG file."""

    samples: int  # per channel
    pieces: tuple[Piece, ...] | None  # what to show the decoder in place of the file; None: the file will do


def scan(file: BinaryIO, start: int, end: int) -> Scan | None:
    """Walk the frames from byte `start` up to `end`; None where there is none to be found.

    Raises:
        AudioError: it breaks off, is damaged, or changes its rate, layer or channels.
    """
    begin = _first_frame(file, start, end)
    if begin is None:
        return None
    file.seek(begin)
    first: Frame | None = None
    first_header = b""
    samples = count = 0  # of the whole, of this part
    promised: Promise | None = None
    part = begin  # where the header is that promised it
    complete = True  # one part, and it says its length
    ranges: list[tuple[int, int]] = []
    opening = True  # the next frame is a part's first
    while True:
        position = file.tell()
        header = file.read(4) if position + 4 <= end else b""
        frame = parse_frame(header)
        if frame is None:
            following = _next_part(file, position, end, first, samples)
            _check_count(promised, count, position - part, samples, first)
            if following is None:
                break
            file.seek(following)
            complete, opening, promised, count = False, True, None, 0
            continue
        if first is None:
            first, first_header = frame, header
        elif not frame.like(first):
            raise AudioError(
                f"changes its sample rate, layer or channels after {samples / first.rate:.2f} s, "
                f"at byte {position}; make it one, for example with: ffmpeg -i FILE joined.wav"
            )
        body = file.read(frame.size - 4)
        found = length_header(body, frame)
        if found is not None:  # it is no audio
            if not opening or samples:  # of a file that was appended
                _check_count(promised, count, position - part, samples, first)
                complete, count = False, 0
            promised, part, opening = found if found.frames else None, position, False
            complete = complete and body[frame.tag_at : frame.tag_at + 4] in (b"Xing", b"Info")
            continue
        if len(body) < frame.size - 4 or position + frame.size > end:
            raise AudioError(f"breaks off after {samples / frame.rate:.2f} s; copy or download it again")
        opening = False
        count, samples = count + 1, samples + frame.samples
        if ranges and ranges[-1][1] == position:
            ranges[-1] = (ranges[-1][0], position + frame.size)
        else:
            ranges.append((position, position + frame.size))
    if first is None or not samples:
        raise AudioError("breaks off before its first sound; copy or download it again")
    if complete and promised is not None and count <= promised.frames:
        return Scan(samples, None)
    if first.layer != 3:  # in which there are no length headers
        return Scan(samples, None)
    return Scan(samples, (_xing_frame(first_header, samples // first.samples), *ranges))


def _check_count(promised: Promise | None, count: int, size: int, samples: int, first: Frame | None) -> None:
    """Hold `count` frames in `size` bytes, the header's own among them, against what it promised."""
    if promised is None or first is None:
        return
    missing = promised.frames - count
    if missing > 1 or (missing == 1 and size < promised.size):  # some count the header itself
        rate, per_frame = first.rate, first.samples
        of = (samples + missing * per_frame) / rate
        raise AudioError(f"breaks off after {samples / rate:.2f} of {of:.2f} s; copy or download it again")


def _next_part(file: BinaryIO, position: int, end: int, like: Frame | None, samples: int) -> int | None:
    """Where frames go on behind tags; None where what follows is no audio: tags, padding.

    Raises:
        AudioError: frames go on behind bytes that are neither.
    """
    behind = behind_tags(file, position, end)
    file.seek(behind)
    window = file.read(min(end - behind, MAX_PADDING))
    at = window.find(b"\xff")
    while at >= 0:
        frame = parse_frame(window[at : at + 4])
        if frame is not None and (like is None or frame.like(like)):
            following = parse_frame(window[at + frame.size : at + frame.size + 4])
            if following is not None and following.like(frame):
                break
        at = window.find(b"\xff", at + 1)
    if at < 0:
        return None
    if behind == position and window[:at].strip(b"\0"):
        rate = 1 if like is None else like.rate
        raise AudioError(
            f"is damaged after {samples / rate:.2f} s, at byte {position}; copy or download it again"
        )
    return behind + at


def parse_frame(header: bytes) -> Frame | None:
    """The frame that 4 bytes begin; None if they begin none. Frames of a free bit rate are not known."""
    if len(header) < 4:
        return None
    (word,) = struct.unpack(">I", header)
    version, layer, bit_rate, rate = word >> 19 & 3, 4 - (word >> 17 & 3), word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    sample_rate = SAMPLE_RATES[version][rate]
    bits = _RATES_OF_LAYER[version == 3, layer][bit_rate - 1] * 1000
    padding = word >> 9 & 1
    mono = word >> 6 & 3 == 3
    if layer == 1:
        samples, size = 384, (12 * bits // sample_rate + padding) * 4
    else:
        samples = 576 if layer == 3 and version != 3 else 1152
        size = samples // 8 * bits // sample_rate + padding
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(size, samples, sample_rate, layer, mono, side)


def length_header(body: bytes, frame: Frame) -> Promise | None:
    """What a length header says; None if `body` is none."""
    if frame.layer != 3:
        return None
    if len(body) >= frame.tag_at + 12:
        tag, flags, count = struct.unpack_from(">4sII", body, frame.tag_at)
        if tag in (b"Xing", b"Info"):
            if not flags & 1:
                return Promise(0)
            at = frame.tag_at + 12
            return Promise(count, int.from_bytes(body[at : at + 4], "big") if flags & 2 else 0)
    vbri = VBRI_AT - 4
    if len(body) >= vbri + 18 and body[vbri : vbri + 4] == b"VBRI":
        (count,) = struct.unpack_from(">I", body, vbri + 14)
        return Promise(count)
    return None


def _xing_frame(header: bytes, count: int) -> bytes:
    """A frame of silence like the one that `header` begins, with a length header for `count` frames."""
    (word,) = struct.unpack(">I", header)
    word = (word | 1 << 16) & ~(1 << 9)  # no checksum, no padding
    for bit_rate in range(1, 15):
        head = struct.pack(">I", word & ~(15 << 12) | bit_rate << 12)
        frame = parse_frame(head)
        if frame is not None and frame.size >= 4 + frame.tag_at + 12:
            return (head + bytes(frame.tag_at) + struct.pack(">4sII", b"Xing", 1, count)).ljust(
                frame.size, b"\0"
            )
    raise AssertionError("every version has a bit rate whose frames have room for 48 bytes")


def _first_frame(file: BinaryIO, start: int, end: int) -> int | None:
    """Position of the first frame that another follows, after tags and whatever else precedes it.

    Where the very first bytes begin a frame like it, those are the first, and what follows them is damaged or cut off.
    """
    start = behind_tags(file, start, end)
    file.seek(start)
    window = file.read(min(MAX_JUNK + 4096, end - start))
    leading = parse_frame(window[:4])
    position = window.find(b"\xff")
    while 0 <= position < MAX_JUNK:
        first = parse_frame(window[position : position + 4])
        if first is not None:
            second = parse_frame(window[position + first.size : position + first.size + 4])
            if second is not None and second.like(first):
                return start if leading is not None and leading.like(first) else start + position
        position = window.find(b"\xff", position + 1)
    return start if leading is not None else None
