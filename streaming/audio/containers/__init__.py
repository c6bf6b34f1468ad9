"""Notices what the audio decoder does not: files cut short, damaged or joined that it reads without an error.

libsndfile believes the file system more than the header. A WAV file whose second half is missing opens as
one of half the length; an Opus file with a damaged page plays on after a hole; of two Ogg files in one,
only the first is heard. Each checker here reads the container (headers and, in Ogg, checksums; never
samples) and says at what second it breaks. Formats whose own decoder reports damage (FLAC), or that have no
header to hold against the file, are not checked here.
"""

from typing import BinaryIO

from . import mpeg, ogg, sized


def check(file: BinaryIO, *, seconds: float, frames: int, sample_rate: int) -> None:
    """Compare what a container's headers promise with the bytes that are there.

    Args:
        file: a regular file open for reading; its position is moved.
        seconds: how much audio the decoder says there is.
        frames: the same in samples per channel.
        sample_rate: of the decoded samples, in Hz.

    Raises:
        AudioError: the file breaks off, is damaged, or holds audio that the decoder would leave out. The
            message says where and does not name the file.
    """
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    if magic == b"OggS":
        ogg.check(file, sample_rate)
    elif magic in sized.READERS:
        sized.check(file, seconds)
    else:
        mpeg.check(file, frames)
