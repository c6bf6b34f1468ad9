"""Log-probabilities to a safetensors file row by row, so that ten hours of them need no memory."""

import json
from typing import BinaryIO

from ..streaming.arrays import FloatArray
from ..streaming.metadata import ModelMetadata

EXTENSION = "safetensors"
ROOM = 24  # digits kept free in the header for the counts that are known at the end


class PosteriorsWriter:
    """Writes tensor `log_probs` [rows, phones + 1], float32, with the model's facts as metadata.

    The format: 8 bytes little-endian, the length of the header; the header, JSON that may end in spaces; the
    numbers. Space for the header is left at the beginning and filled in by `finish`.
    """

    def __init__(self, file: BinaryIO, metadata: ModelMetadata) -> None:
        self._file = file
        self._columns = len(metadata.phones) + 1
        self._facts = {
            "blank": str(metadata.blank),
            "model": metadata.name,
            "phones": json.dumps(metadata.phones),
            "row_seconds": repr(metadata.row_seconds),
            "time_offset_seconds": repr(metadata.time_offset_seconds),
            "version": metadata.version,
        }
        self._rows = 0
        length = len(self._header()) + 2 * ROOM
        self._length = length + -length % 8  # the numbers begin at a multiple of 8
        file.write(bytes(8 + self._length))

    def add(self, rows: FloatArray) -> None:
        """Write the next rows [n, phones + 1]."""
        self._file.write(rows.astype("<f4", copy=False).tobytes())
        self._rows += len(rows)

    def finish(self) -> None:
        """Write the header; the file is whole then."""
        self._file.seek(0)
        self._file.write(self._length.to_bytes(8, "little") + self._header().ljust(self._length))

    def _header(self) -> bytes:
        shape = [self._rows, self._columns]
        size = 4 * self._rows * self._columns
        tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
        return json.dumps({"__metadata__": self._facts, "log_probs": tensor}).encode()
