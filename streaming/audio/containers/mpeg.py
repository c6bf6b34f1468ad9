"""MP3: whether the frames in the file are as many as its length header, or the decoder's guess, says.

Without a length header (Xing, Info) the decoder guesses the length from the first frame's bit rate and
stops there: a variable-bit-rate file without one would lose its end. Layer III frames as in ISO 11172-3 and
13818-3.
"""

import struct
from typing import BinaryIO, NamedTuple

from ....errors import AudioError

BIT_RATES = {  # kbit/s by MPEG version: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
MAX_JUNK = 65_536  # bytes before the first frame; the decoder gives up there too
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI", b"\0\0\0\0")  # what may follow the last frame
REMEDY = "write its length anew, for example with: ffmpeg -i FILE -c copy whole.mp3"


class Frame(NamedTuple):
    size: int  # bytes, the 4 of the header included
    samples: int
    rate: int
    tag_at: int  # where a length header stands, if this frame is one


def check(file: BinaryIO, frames: int) -> None:
    """Raise AudioError where the decoder would lose audio; it expects `frames` samples per channel.

    A file in which no MPEG layer III frame is found is left to the decoder.
    """
    start = _first_frame(file)
    if start is None:
        return
    file.seek(start)
    count, samples, rate = 0, 0, 1
    promised = None
    while True:
        position = file.tell()
        header = file.read(4)
        frame = _frame(header)
        if frame is None:
            if header and not any(tag.startswith(header) or header.startswith(tag) for tag in TAGS):
                raise AudioError(
                    f"is damaged after {samples / rate:.2f} s, at byte {position}; copy or download it again"
                )
            break
        body = file.read(frame.size - 4)
        if count == 0 and promised is None:
            promised = _promised(body, frame)
            if promised is not None:
                continue  # the length header is no audio
        if len(body) < frame.size - 4:
            raise AudioError(f"breaks off after {samples / frame.rate:.2f} s; copy or download it again")
        count, samples, rate = count + 1, samples + frame.samples, frame.rate
    heard = frames / rate
    if promised is None:
        if samples > frames:
            raise AudioError(
                f"has no length header, so that its end after {heard:.2f} s would be lost; {REMEDY}"
            )
    elif count < promised - 1:  # encoders differ in whether the length header counts itself
        raise AudioError(f"breaks off after {samples / rate:.2f} of {heard:.2f} s; copy or download it again")
    elif count > promised + 1:
        raise AudioError(f"holds more than the {heard:.2f} s that its length header says; {REMEDY}")


def _frame(header: bytes) -> Frame | None:
    if len(header) < 4:
        return None
    (word,) = struct.unpack(">I", header)
    version, layer, bit_rate, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version == 1 or layer != 1 or bit_rate in (0, 15) or rate == 3:
        return None
    sample_rate = SAMPLE_RATES[version][rate]
    samples = 1152 if version == 3 else 576
    kilobits = BIT_RATES[3 if version == 3 else 2][bit_rate - 1]
    size = samples // 8 * kilobits * 1000 // sample_rate + (word >> 9 & 1)
    mono = word >> 6 & 3 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(size, samples, sample_rate, side)


def _promised(body: bytes, frame: Frame) -> int | None:
    """How many frames a length header says follow it; None if `body` is no length header or does not say."""
    tag, flags, count = (
        struct.unpack_from(">4sII", body, frame.tag_at) if len(body) >= frame.tag_at + 12 else (b"", 0, 0)
    )
    return count if tag in (b"Xing", b"Info") and flags & 1 else None


def _first_frame(file: BinaryIO) -> int | None:
    """Position of the first frame that another follows, after an ID3v2 tag and whatever else precedes it."""
    file.seek(0)
    start = 0
    head = file.read(10)
    if len(head) == 10 and head.startswith(b"ID3"):
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    window = file.read(MAX_JUNK + 4096)
    position = window.find(b"\xff")
    while 0 <= position < MAX_JUNK:
        first = _frame(window[position : position + 4])
        if first is not None:
            second = _frame(window[position + first.size : position + first.size + 4])
            if second is not None and second.rate == first.rate:
                return start + position
        position = window.find(b"\xff", position + 1)
    return None
