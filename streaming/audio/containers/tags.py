"""Tags that stand before and behind audio in files of any kind: ID3, APE, Lyrics3, and padding."""

from typing import BinaryIO

_LYRICS_END = (b"LYRICSEND", b"LYRICS200")


def behind_tags(file: BinaryIO, position: int, end: int) -> int:
    """The first byte from `position` on, before `end`, that belongs to no tag."""
    while position < end:
        file.seek(position)
        head = file.read(32)
        size = _size(file, head, position)
        if size is None:
            break
        position += size
    return min(position, end)


def _size(file: BinaryIO, head: bytes, position: int) -> int | None:
    """How many bytes the tag that `head` begins takes; None if it begins none."""
    if head.startswith(b"ID3") and len(head) >= 10:
        footer = 10 if head[5] & 0x10 else 0
        return 10 + footer + _synchsafe(head[6:10])
    if head.startswith(b"3DI"):
        return 10
    if head.startswith(b"TAG+"):
        return 227
    if head.startswith(b"TAG"):
        return 128
    if head.startswith(b"APETAGEX") and len(head) >= 24:
        is_header = head[23] & 0x20
        return int.from_bytes(head[12:16], "little") + 32 if is_header else 32
    if head.startswith(b"LYRICSBEGIN"):
        file.seek(position)
        text = file.read(1 << 20)
        ends = [text.find(mark) + len(mark) for mark in _LYRICS_END if mark in text]
        return min(ends) if ends else len(text)
    return None


def _synchsafe(field: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(field, (21, 14, 7, 0), strict=True))
