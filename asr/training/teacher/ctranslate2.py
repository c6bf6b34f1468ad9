"""Reading the weights of a model in CTranslate2's format (`model.bin`, binary versions 4 to 6).

Little-endian: the version (uint32), the model's name (uint16 length, then that many bytes, the last one zero), its
revision and its number of variables (uint32 each). A variable is its name, its rank (uint8), that many sizes (uint32),
its type (uint8, `TYPES`), its number of bytes (uint32), and these bytes. What follows the variables are aliases, which
an encoder has no need of.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import ModelError, system_errors_as

VERSIONS = range(4, 7)
TYPES: tuple[np.dtype[np.generic], ...] = tuple(map(np.dtype, ("<f4", "i1", "<i2", "<i4", "<f2")))
NAME = "model.bin"
Variables = dict[str, NDArray[np.generic]]


def read_folder(folder: Path) -> Variables:
    """The variables of `FOLDER/model.bin`, or of its parts `model.bin.part1`, `model.bin.part2`, … in order.

    Raises:
        ModelError: there is no such file, or it cannot be read as one.
    """
    whole = folder / NAME
    paths = [whole] if whole.is_file() else sorted(folder.glob(f"{NAME}.part*"), key=_part)
    if not paths:
        raise ModelError(
            f"{folder}: has no {NAME} and no {NAME}.part1; give a folder with a Whisper model in CTranslate2's format"
        )
    with system_errors_as(ModelError, f"{paths[0]}: cannot be read"):
        data = b"".join(path.read_bytes() for path in paths)
    try:
        return read_variables(data)
    except ModelError as error:
        raise ModelError(f"{paths[0] if len(paths) == 1 else folder}: {error}") from None


def read_variables(data: bytes) -> Variables:
    """The variables of a model file, as views into `data`.

    Raises:
        ModelError: not this format, or cut short (naming the variable).
    """
    place = 0
    name = "the header"

    def take(count: int) -> bytes:
        nonlocal place
        if place + count > len(data):
            raise ModelError(
                f"is cut short in {name}, at byte {len(data)}; put all parts of {NAME} into the folder"
            )
        place += count
        return data[place - count : place]

    def number(form: str) -> int:
        return int(struct.unpack("<" + form, take(struct.calcsize("<" + form)))[0])

    def text() -> str:
        return take(number("H"))[:-1].decode("utf-8", "replace")

    version = number("I")
    if version not in VERSIONS:
        raise ModelError(
            f"is not a model of CTranslate2's binary versions {VERSIONS.start} to {VERSIONS.stop - 1}: "
            f"its first number is {version}"
        )
    text()  # the model's name, by which CTranslate2 finds its class
    number("I")  # the class's revision
    variables: Variables = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind >= len(TYPES) or size != TYPES[kind].itemsize * int(np.prod(shape)):
            raise ModelError(
                f"variable {name!r} is of type {kind} and shape {shape} in {size} bytes: damaged"
            )
        variables[name] = np.frombuffer(take(size), TYPES[kind]).reshape(shape)
    return variables


def _part(path: Path) -> tuple[int, str]:
    digits = path.name.rpartition("part")[2]
    return (int(digits) if digits.isdecimal() else 0, path.name)
