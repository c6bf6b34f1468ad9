"""Snapshots taken apart and put together again by docs/snapshot.md alone."""

import hashlib
import json
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from toy_model import levels

from phonestream import Recognizer, Stream

KEY = "phonestream_snapshot"


def unpacked(snapshot: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fields and tensors of a snapshot."""
    header = json.loads(snapshot[8 : 8 + int.from_bytes(snapshot[:8], "little")])
    return json.loads(header["__metadata__"][KEY]), load_tensors(snapshot)


def sealed(fields: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytes:
    """A snapshot with a checksum that is right whatever is in it, by docs/snapshot.md alone."""
    fields = {key: value for key, value in fields.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    return save_tensors(tensors, {KEY: json.dumps(fields | {"sha256": digest.hexdigest()})})


def poisoned(recognizer: Recognizer) -> Stream:
    """A stream that was restored from a valid snapshot, and for which the model will give NaN."""
    stream = recognizer.stream()
    stream.accept(levels(1, 2, 3))
    fields, tensors = unpacked(stream.save())
    huge = {name: np.full_like(tensor, 3e38) for name, tensor in tensors.items() if name.startswith("model.")}
    return recognizer.restore(sealed(fields, tensors | huge))
