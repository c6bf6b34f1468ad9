"""Audio files changed at random, from a seed: a reader may hear them, or refuse them in one line."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from phonestream.errors import AudioError
from phonestream.streaming.audio.files import open_audio

SEEDS = [
    ("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AU", "ULAW"), ("CAF", "PCM_24"), ("NIST", "PCM_16"), ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("VOC", "PCM_16"), ("SVX", "PCM_16"),
    ("AVR", "PCM_16"), ("MAT4", "PCM_16"), ("MAT5", "PCM_16"), ("SDS", "PCM_16"), ("MPC2K", "PCM_16"),
]  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER = 256  # bytes at a file's beginning, where most changes are made
MAX_SAMPLES = 50_000_000  # that are read of one file


def originals(folder: Path) -> list[bytes]:
    """A short file of each format of SEEDS."""
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, 4_000).astype(np.float32)
    contents = []
    for container, subtype in SEEDS:
        path = folder / "original"
        soundfile.write(path, samples, 8_000, format=container, subtype=subtype)
        contents.append(path.read_bytes())
    return contents


def mutated(contents: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` files: bytes changed, numbers overwritten, stretches cut out, doubled or taken from another file."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(contents[random.integers(len(contents))])
        for _ in range(random.integers(1, 5)):
            within = min(len(data), HEADER) if random.random() < 0.7 else len(data)
            at = int(random.integers(max(1, within)))
            match random.integers(5):
                case 0 if data:
                    data[min(at, len(data) - 1)] = random.integers(256)
                case 1:
                    width = int(random.choice([1, 2, 4, 8]))
                    number = NUMBERS[random.integers(len(NUMBERS))] % (1 << 8 * width)
                    data[at : at + width] = number.to_bytes(width, str(random.choice(["little", "big"])))  # type: ignore[arg-type]
                case 2:
                    del data[at : at + int(random.integers(1, 2_000))]
                case 3:
                    data[at:at] = data[at : at + int(random.integers(1, 2_000))]
                case _:
                    other = contents[random.integers(len(contents))]
                    start = int(random.integers(len(other)))
                    data[at:at] = other[start : start + int(random.integers(1, 500))]
        yield bytes(data)


def read(path: Path) -> bool:
    """Whether a file was heard; any error but an AudioError of one line that names it goes on to the caller."""
    try:
        audio = open_audio(path)
    except AudioError as error:
        check(error, path)
        return False
    try:
        done = 0
        for block in audio.blocks():
            done += len(block)
            if done > MAX_SAMPLES:
                break
    except AudioError as error:
        check(error, path)
        return False
    finally:
        audio.close()
    return True


def check(error: AudioError, path: Path) -> None:
    message = str(error)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message, message
