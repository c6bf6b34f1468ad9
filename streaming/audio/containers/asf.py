"""ASF (WMA): whether the file has as many bytes as its header says. Objects as in Microsoft's specification, 3.2."""

import os
import struct
from typing import BinaryIO

from ....errors import AudioError

HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
BROADCAST = 1  # a flag: sizes were not known when the header was written
MAX_OBJECTS = 1000  # of a header


def check(file: BinaryIO) -> None:
    """Nothing is said of other formats, and of files whose size was not known when they were written.

    Raises:
        AudioError: the file is shorter than its header says.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(16) != HEADER:
        return
    position = 30  # behind the header's own identifier, size and number of objects
    for _ in range(MAX_OBJECTS):
        file.seek(position)
        head = file.read(24)
        if len(head) < 24:
            return
        length = int.from_bytes(head[16:], "little")
        if head[:16] == FILE_PROPERTIES:
            properties = file.read(68)
            if len(properties) < 68:
                return
            (promised,) = struct.unpack_from("<Q", properties, 16)
            (flags,) = struct.unpack_from("<I", properties, 64)
            if not flags & BROADCAST and promised > size:
                raise AudioError(
                    f"breaks off: {size} of {promised} bytes are there; copy or download it again"
                )
            return
        if not 24 <= length <= size:
            return
        position += length
