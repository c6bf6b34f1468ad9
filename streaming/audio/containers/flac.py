"""FLAC: that no second file follows in the same one. Its decoder reports damage itself."""

from typing import BinaryIO

from ....errors import AudioError

WINDOW = 1 << 20  # bytes that are searched at a time

_BEGINNINGS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # the marker, and STREAMINFO's header


def check(file: BinaryIO, seconds: float | None) -> None:
    """Nothing is said of tags and padding behind the last frame.

    Args:
        file: a FLAC file.
        seconds: the first recording's length, if its header says it.

    Raises:
        AudioError: another recording begins behind the first, which the decoder would leave out.
    """
    position, rest = 4, b""
    file.seek(position)
    while piece := file.read(WINDOW):
        window = rest + piece
        found = [at for at in map(window.find, _BEGINNINGS) if at >= 0]
        if found:
            after = "" if seconds is None else f" after {seconds:.2f} s"
            raise AudioError(
                f"holds a second recording{after}, at byte {position - len(rest) + min(found)}, which would be "
                "lost; make them one, for example with: ffmpeg -i FILE joined.wav"
            )
        position += len(piece)
        rest = window[-7:]
