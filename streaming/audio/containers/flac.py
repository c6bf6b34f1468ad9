"""FLAC: that no second file follows in the same one, and which frames are missing. Its decoder reports other damage.

libFLAC puts zeros in the place of missing frames, up to some seconds, and says nothing. Frames as in RFC 9639,
section 9: each begins with its number, or in files whose frames differ in size that of its first sample, and a
checksum of that.
"""

import re
from typing import BinaryIO, NamedTuple

from ....errors import AudioError
from ..recording import Lost
from .tags import behind_tags

WINDOW = 1 << 20  # bytes that are searched at a time
HEADER = 17  # bytes that a frame's header has at most, the checksum among them
MAX_BLOCKS = 1000  # of metadata that are skipped
FILLED_FRAMES = 50  # missing in one place, of the last one's size, for which libFLAC puts zeros
FILLED_SECONDS = 4.0  # up to which it does so whatever their size

_BEGINNINGS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # the marker, and STREAMINFO's header
_SYNC = re.compile(rb"\xff[\xf8\xf9]")


def scan(file: BinaryIO, seconds: float | None) -> tuple[Lost, ...]:
    """Walk the frames. Nothing is said of tags before, and of tags and padding behind the audio.

    Args:
        file: a FLAC file.
        seconds: the first recording's length, if its header says it.

    Returns:
        What is missing within it; the decoder puts zeros in its place.

    Raises:
        AudioError: another recording begins behind the first, which the decoder would leave out, or more is missing
            in one place than it puts zeros for.
    """
    frames = _Frames(file)
    position, rest = frames.marker + 4, b""
    file.seek(position)
    while piece := file.read(WINDOW):
        window, begin = rest + piece, position - len(rest)
        found = [at for at in map(window.find, _BEGINNINGS) if at >= 0]
        if found:
            after = "" if seconds is None else f" after {seconds:.2f} s"
            raise AudioError(
                f"holds a second recording{after}, at byte {begin + min(found)}, which would be "
                "lost; make them one, for example with: ffmpeg -i FILE joined.wav"
            )
        frames.search(window, begin)
        position += len(piece)
        rest = window[1 - HEADER :]
    return frames.finish()


class _Frame(NamedTuple):
    byte: int  # in the file
    start: int  # its first sample
    end: int  # the sample behind its last

    def follows(self, before: "_Frame") -> bool:
        return self.byte > before.byte and self.start == before.end


class _Frames:
    """The frames of a file, held against their numbers.

    Bytes in a frame may look like another's header. So a frame whose number jumps counts only when the next one goes
    on from it, or the recording ends with it. Behind the end that the header states, nothing counts. Where recordings
    were joined frame by frame, numbers begin anew; the decoder reads on.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.marker = behind_tags(file, 0, file.seek(0, 2))
        self._begin = _skip_metadata(file, self.marker + 4)
        file.seek(self.marker + 8)
        info = file.read(34)
        self._size = int.from_bytes(info[2:4], "big")  # of a block, in samples
        self._rate = int.from_bytes(info[10:13], "big") >> 4
        self._total = int.from_bytes(info[13:18], "big") & (1 << 36) - 1
        self._last: _Frame | None = None
        self._doubted: _Frame | None = None
        self._heard = 0  # samples by which the decoder's clock is ahead of the numbers
        self._lost: list[Lost] = []

    def search(self, window: bytes, begin: int) -> None:
        """Look for frames in bytes of the file from `begin` on, which may overlap those before."""
        if not self._rate or not self._size:
            return
        for match in _SYNC.finditer(window):
            at = begin + match.start()
            if at >= self._begin:
                header = _read_header(window[match.start() : match.start() + HEADER], self._size)
                if header is not None:
                    self._add(_Frame(at, *header))

    def finish(self) -> tuple[Lost, ...]:
        """What is missing, once all has been searched."""
        if self._doubted is not None and self._doubted.end == self._total:
            self._jump_to(self._doubted)
        return tuple(self._lost)

    def _add(self, frame: _Frame) -> None:
        if self._total and frame.end > self._total:
            return
        if self._last is None:
            self._last = frame if frame.byte == self._begin else None
        elif frame.follows(self._last):
            self._last, self._doubted = frame, None
        elif self._doubted is not None and frame.follows(self._doubted):
            self._jump_to(self._doubted)
            self._last, self._doubted = frame, None
        elif frame.byte > self._last.byte:
            self._doubted = frame

    def _jump_to(self, frame: _Frame) -> None:
        assert self._last is not None
        missing = frame.start - self._last.end
        if missing < 0:
            self._heard -= missing
            return
        lost = Lost((self._last.end + self._heard) / self._rate, missing / self._rate)
        if missing > FILLED_FRAMES * (self._last.end - self._last.start) or lost.seconds > FILLED_SECONDS:
            raise AudioError(
                f"lacks {lost.seconds:.2f} s of audio after {lost.start:.2f} s, at byte {frame.byte}; "
                "copy or download it again"
            )
        self._lost.append(lost)


def _skip_metadata(file: BinaryIO, position: int) -> int:
    """The byte behind the blocks of metadata that begin at `position`."""
    for _ in range(MAX_BLOCKS):
        file.seek(position)
        head = file.read(4)
        position += 4 + int.from_bytes(head[1:], "big")
        if len(head) < 4 or head[0] & 0x80:
            break
    return position


def _read_header(data: bytes, size: int) -> tuple[int, int] | None:
    """The first sample of the frame that `data` begins, and the one behind its last; None if it begins none.

    Args:
        data: from the frame's first byte on.
        size: of blocks that are numbered, in samples.
    """
    if len(data) < 6 or data[3] & 1 or data[3] >> 4 > 10:
        return None
    code, rate = data[2] >> 4, data[2] & 15
    if code == 0 or rate == 15:
        return None
    ones = 8 - (data[4] ^ 0xFF).bit_length()  # the number is written as UTF-8 writes characters
    if ones in (1, 8):
        return None
    number, at = data[4] & 0x7F >> ones, 5
    for byte in data[5 : 4 + ones]:
        if byte & 0xC0 != 0x80:
            return None
        number, at = number << 6 | byte & 0x3F, at + 1
    wide = {6: 1, 7: 2}.get(code, 0)
    if wide:
        samples = int.from_bytes(data[at : at + wide], "big") + 1
    else:
        samples = 192 if code == 1 else 144 << code if code < 6 else 1 << code
    at += wide + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if len(data) <= at or _crc8(data[:at]) != data[at]:
        return None
    start = number if data[1] & 1 else number * size
    return start, start + samples


def _crc8(data: bytes) -> int:
    """Of the polynomial x^8 + x^2 + x + 1, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 0x80 else crc << 1
    return crc
