"""An ONNX file looked through before it is run: that it is all in one file, and that it comes to an end.

ONNX Runtime reads weights from other files where a tensor says so, and the model's hash would not be theirs. The file
is walked as protocol buffers (onnx.proto3) and nothing is decoded: the package `onnx` is not needed.
"""

from collections.abc import Iterator

from ..errors import ModelError

MAX_DEPTH = 32  # graphs within nodes within graphs

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

# Which fields of a message are messages that are walked too
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_OP_TYPE = 4  # field of a node


def check_graph_file(data: bytes) -> None:
    """Look through a model file; what is no protocol buffer is left to ONNX Runtime to refuse.

    Raises:
        ModelError: weights are in another file, or a node repeats others as often as it likes.
    """
    _walk(memoryview(data), "model", 0)


def _walk(data: memoryview, kind: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ModelError(f"has graphs nested more than {MAX_DEPTH} deep; export the model again")
    inside = _MESSAGES[kind]
    for field, value in _fields(data):
        if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1)):
            raise ModelError(
                "has weights in another file, of which its hash says nothing; "
                "save it as one: onnx.save(onnx.load(FILE), ONE, save_as_external_data=False)"
            )
        if not isinstance(value, memoryview):
            continue
        if kind == "node" and field == _OP_TYPE and bytes(value) == b"Loop":
            raise ModelError(
                "has a Loop, which need not end; export the model again with `phonestream export`"
            )
        if field in inside:
            _walk(value, inside[field], depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field; it ends early where the bytes are no protocol buffer."""
    position, size = 0, len(data)
    while position < size:
        key, position = _varint(data, position)
        wire = key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if length < 0 or position + length > size:
            return
        if wire == _BYTES:
            yield key >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where the next field begins; a cut one ends the data."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            return 0, len(data) + 1
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, len(data) + 1
