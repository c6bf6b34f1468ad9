"""Manifests changed at random, from a seed: each row is a recording, or refused in one line."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from fuzzing_json import changed, flipped

from phonestream.batch.entries import Failure, Source
from phonestream.batch.manifests import read_manifest

RECORDING: dict[str, Any] = {
    "id": "rec", "sources": [{"type": "file", "channels": [0, 1], "source": "a.wav"}], "sampling_rate": 16_000,
    "num_samples": 16_000, "duration": 1.0, "channel_ids": [0, 1],
}  # fmt: skip
ROWS: tuple[dict[str, Any], ...] = (
    RECORDING,
    {"id": "a/b", "type": "MonoCut", "start": 0.2, "duration": 0.5, "channel": 0, "recording": RECORDING},
    {"id": "c", "type": "MultiCut", "start": 0, "duration": 1, "channel": [0, 1], "recording": RECORDING},
)
KALDI = ("one a.wav", "two /data/b.flac", "three sox a.wav -t wav - |", "four raw.ark:123", "five")


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """One of a seed's manifests: the ending of its name, and its bytes."""
    random = np.random.default_rng([seed, number])
    if random.random() < 0.2:
        rows = [KALDI[random.integers(len(KALDI))].encode() for _ in range(3)]
        return ".scp", flipped(b"\n".join(rows), random)
    lines = []
    for _ in range(3):
        row: Any = ROWS[random.integers(len(ROWS))]
        for _ in range(random.integers(0, 3)):
            row = changed(row, random)
        lines.append(json.dumps(row).encode())
    data = b"\n".join(lines)
    if random.random() < 0.3:
        data = flipped(data, random)
    if random.random() < 0.7:
        return ".jsonl", data
    packed = gzip.compress(data)
    return ".jsonl.gz", flipped(packed, random) if random.random() < 0.5 else packed


def read(path: Path) -> tuple[int, int]:
    """Recordings and refused rows of a manifest; any error goes on to the caller."""
    sources = failures = 0
    for entry in read_manifest(str(path)):
        if isinstance(entry, Failure):
            failures += 1
            assert entry.reason.startswith(str(path)), entry.reason
            continue
        assert isinstance(entry, Source)
        sources += 1
        os.fsencode(entry.stem)  # it is a file's name
        os.fsencode(entry.path)
        assert not os.path.isabs(entry.stem)
        assert ".." not in Path(entry.stem).parts
    return sources, failures
