"""A file as the decoder should see it: stretches of the real one, and a few bytes in place of wrong ones."""

import io
from bisect import bisect_right
from itertools import accumulate
from typing import Any, BinaryIO, TypeAlias

Piece: TypeAlias = bytes | tuple[int, int]
"""Bytes, or the first byte of a stretch of the file and the one after its last."""


class View(io.RawIOBase):
    """`pieces` of `file` one behind the other, to be read like a file of its own; nothing is copied.

    Args:
        file: open for reading and seekable. It is not closed with this one.
        pieces: in the order in which they are read.
    """

    def __init__(self, file: BinaryIO, pieces: tuple[Piece, ...]) -> None:
        self._file = file
        self._pieces = pieces
        self._starts = [
            0, *accumulate(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in pieces)
        ]  # fmt: skip
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._starts[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done, left = 0, min(len(view), max(0, self._starts[-1] - self._position))
        while left:
            index = bisect_right(self._starts, self._position, hi=len(self._pieces)) - 1
            piece, offset = self._pieces[index], self._position - self._starts[index]
            wanted = min(left, self._starts[index + 1] - self._position)
            if isinstance(piece, bytes):
                part = piece[offset : offset + wanted]
            else:
                self._file.seek(piece[0] + offset)
                part = self._file.read(wanted)
            if not part:  # the file has become shorter meanwhile
                break
            view[done : done + len(part)] = part
            done, left = done + len(part), left - len(part)
            self._position += len(part)
        return done
