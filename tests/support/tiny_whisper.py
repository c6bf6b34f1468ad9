"""A random Whisper of a few thousand weights in CTranslate2's format, written by a writer of our own."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KINDS = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
WIDTH, HEADS, LAYERS, LONGEST = 16, 2, 3, 1500

Variables = dict[str, NDArray[np.generic]]


def random_whisper(seed: int = 0) -> Variables:
    """Variables of an encoder, by CTranslate2's names, and one of a decoder."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.generic]:
        return (rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float16)

    def norm(name: str) -> Variables:
        return {f"{name}/gamma": 1 + weights(WIDTH) / 4, f"{name}/beta": weights(WIDTH) / 4}

    def linear(name: str, outputs: int, inputs: int) -> Variables:
        return {f"{name}/weight": weights(outputs, inputs), f"{name}/bias": weights(outputs) / 4}

    found: Variables = {
        "encoder/num_heads": np.array(HEADS, np.int16),
        "encoder/position_encodings/encodings": weights(LONGEST, WIDTH),
        "encoder/conv1/weight": weights(WIDTH, 80, 3),
        "encoder/conv1/bias": weights(WIDTH) / 4,
        "encoder/conv2/weight": weights(WIDTH, WIDTH, 3),
        "encoder/conv2/bias": weights(WIDTH) / 4,
        "decoder/embeddings/weight": weights(7, WIDTH),
    } | norm("encoder/layer_norm")
    for layer in range(LAYERS):
        place = f"encoder/layer_{layer}"
        found |= norm(f"{place}/self_attention/layer_norm")
        found |= linear(f"{place}/self_attention/linear_0", 3 * WIDTH, WIDTH)
        found |= linear(f"{place}/self_attention/linear_1", WIDTH, WIDTH)
        found |= norm(f"{place}/ffn/layer_norm")
        found |= linear(f"{place}/ffn/linear_0", 4 * WIDTH, WIDTH)
        found |= linear(f"{place}/ffn/linear_1", WIDTH, 4 * WIDTH)
    return {name: np.asarray(values) for name, values in found.items()}


def model_bytes(variables: Variables, version: int = 6) -> bytes:
    """The variables as a model file."""

    def text(value: str) -> bytes:
        encoded = value.encode() + b"\0"
        return struct.pack("<H", len(encoded)) + encoded

    parts = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(variables))]
    for name, values in variables.items():
        data = values.tobytes()
        parts += [text(name), struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)]
        parts += [struct.pack("<BI", KINDS[values.dtype.name], len(data)), data]
    return b"".join(parts) + struct.pack("<I", 0)  # no aliases


def write_whisper(folder: Path, seed: int = 0, parts: int = 1) -> Path:
    """A folder with such a model, in one file or in several."""
    folder.mkdir()
    content = model_bytes(random_whisper(seed))
    if parts == 1:
        (folder / "model.bin").write_bytes(content)
    for part in range(parts if parts > 1 else 0):
        piece = content[part * len(content) // parts : (part + 1) * len(content) // parts]
        (folder / f"model.bin.part{part + 1}").write_bytes(piece)
    return folder
