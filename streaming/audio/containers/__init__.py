"""Notices what the audio decoder does not: files cut short, damaged or joined that it reads without an error.

libsndfile believes the file system more than the header. A WAV file whose second half is missing opens as
one of half the length; an Opus file with a damaged page plays on after a hole; of two Ogg files in one,
only the first is heard. Each checker here reads the container (headers and, in Ogg, checksums; never
samples) and says at what second it breaks, or what to show the decoder in place of the file so that all of
it is heard. Formats whose own decoder reports damage (FLAC), or that have no header to hold against the
file, are not checked here.
"""

import os
from typing import BinaryIO, NamedTuple

from ....errors import AudioError
from ..recording import Lost
from . import asf, flac, matroska, mpeg, ogg, sized
from .errors import JitterError, UnsupportedError
from .view import Piece, View

__all__ = ["JitterError", "UnsupportedError", "Verdict", "View", "check", "check_decoded"]


class Verdict(NamedTuple):
    """What a container that is whole says of its audio."""

    samples: int | None = None  # per channel, where they were counted; else the decoder's number holds
    pieces: tuple[Piece, ...] | None = None  # what to show the decoder in place of the file
    remarks: tuple[str, ...] = ()  # what a person should know of it, in lines that do not name the file
    lost: tuple[Lost, ...] = ()  # what is missing within it


def check(
    file: BinaryIO, *, kind: str, subtype: str, seconds: float | None, sample_rate: int, jumps: bool = False
) -> Verdict:
    """Compare what a container's headers promise with the bytes that are there.

    Args:
        file: a regular file open for reading; its position is moved.
        kind: libsndfile's name of the container, such as `WAV`.
        subtype: libsndfile's name of the codec, such as `PCM_16`.
        seconds: how much audio the decoder says there is, None if it does not know.
        sample_rate: of the decoded samples, in Hz.
        jumps: whether the decoder is known to read over positions in time that jump.

    Raises:
        AudioError: the file breaks off, is damaged, or holds audio that the decoder would leave out. The
            message says where and does not name the file.
        UnsupportedError: it is whole, and libsndfile does not read it to its end.
    """
    if kind == "OGG":
        file.seek(0)
        paged = ogg.scan(file, sample_rate, jumps=jumps)
        return Verdict(None, paged.pieces, paged.remarks, paged.lost)
    if kind == "FLAC":
        return Verdict(lost=flac.scan(file, seconds))
    found = sized.scan(file, kind, seconds)
    if subtype.startswith("MPEG_LAYER"):
        start, end = (0, file.seek(0, os.SEEK_END)) if found.extent is None else found.extent[:2]
        frames = mpeg.scan(file, start, end)
        if frames is None:
            raise AudioError("holds no MPEG audio that can be found; convert it: ffmpeg -i FILE speech.wav")
        if found.extent is not None and frames.pieces is None:  # it has its header, within another container
            return Verdict(None, ((start, end),), found.remarks)
        return Verdict(frames.samples, frames.pieces, found.remarks)
    return Verdict(None, found.pieces, found.remarks)


def check_decoded(file: BinaryIO, kind: str, sample_rate: int) -> Verdict:
    """The same for a file of which FFmpeg gives the samples; `kind` is its name of the container.

    Raises:
        AudioError: the file breaks off or is damaged; the message does not name it.
    """
    file.seek(0)
    if file.read(4) == b"OggS":
        file.seek(0)
        return Verdict(None, None, ogg.scan(file, sample_rate, jumps=True).remarks)
    if kind == "mp3" and mpeg.scan(file, 0, file.seek(0, os.SEEK_END)) is None:
        raise AudioError("holds no MPEG audio that can be found; convert it: ffmpeg -i FILE speech.wav")
    asf.check(file)
    matroska.check(file)
    found = sized.scan(file)
    return Verdict(None, found.pieces, found.remarks)
