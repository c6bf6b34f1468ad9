"""Audio files changed at random, from a seed: a reader may hear them, or refuse them in one line.

A third of them are only shortened behind their header. Of those nothing may be lost in silence: they are refused, or
heard with all samples of the whole file, or with a remark.
"""

from pathlib import Path
from typing import NamedTuple

import av
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
MEDIA = [
    ("mp4", "aac"), ("mov", "alac"), ("matroska", "flac"), ("asf", "wmav2"), ("avi", "pcm_s16le"), ("tta", "tta"),
]  # fmt: skip
"""Containers and codecs that FFmpeg reads, and which say how long they are."""
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER = 256  # bytes at a file's beginning, where most changes are made
RATE, SECONDS = 16_000, 0.5  # of the originals
FRAME = 1024  # samples
SLACK_SECONDS = 0.15  # that a file of FFmpeg's may be shorter than it says
MAX_SAMPLES = 50_000_000  # that are read of one file


class Original(NamedTuple):
    """A file as it was written."""

    data: bytes
    samples: int  # that are heard at least where all of it is heard


class Mutated(NamedTuple):
    """A file that was changed."""

    data: bytes
    samples: int  # at least, where it is heard without a remark; 0 where nothing is known


def originals(folder: Path) -> list[Original]:
    """A short file of each format of SEEDS and MEDIA."""
    samples = np.random.default_rng(1).uniform(-0.3, 0.3, int(RATE * SECONDS)).astype(np.float32)
    path = folder / "original"
    found = []
    for container, subtype in SEEDS:
        soundfile.write(path, samples, RATE, format=container, subtype=subtype)
        found.append(Original(path.read_bytes(), len(samples)))
    for container, codec in MEDIA:
        _encode(path, samples, container, codec)
        found.append(Original(path.read_bytes(), len(samples) - int(SLACK_SECONDS * RATE)))
    return found


def _encode(path: Path, samples: np.ndarray, container: str, codec: str) -> None:
    pcm = (samples * 32767).astype(np.int16)
    with av.open(path, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout="mono", bit_rate=64_000)
        for begin in range(0, len(pcm), FRAME):
            frame = av.AudioFrame.from_ndarray(pcm[None, begin : begin + FRAME], format="s16", layout="mono")
            frame.rate, frame.pts = RATE, begin
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def mutated(contents: list[Original], seed: int, number: int) -> Mutated:
    """One of a seed's files: shortened, or bytes changed, numbers overwritten, stretches doubled or copied in."""
    random = np.random.default_rng([seed, number])
    original = contents[random.integers(len(contents))]
    data = bytearray(original.data)
    if random.random() < 0.3:
        at = int(random.integers(min(HEADER, len(data) - 1), len(data)))
        del data[at : at + int(random.integers(1, 2_000)) if random.random() < 0.5 else len(data)]
        return Mutated(bytes(data), original.samples)
    for _ in range(random.integers(1, 5)):
        within = min(len(data), HEADER) if random.random() < 0.7 else len(data)
        at = int(random.integers(max(1, within)))
        match random.integers(5):
            case 0 if data:
                data[min(at, len(data) - 1)] = random.integers(256)
            case 1:
                width = int(random.choice([1, 2, 4, 8]))
                value = NUMBERS[random.integers(len(NUMBERS))] % (1 << 8 * width)
                data[at : at + width] = value.to_bytes(width, str(random.choice(["little", "big"])))  # type: ignore[arg-type]
            case 2:
                del data[at : at + int(random.integers(1, 2_000))]
            case 3:
                data[at:at] = data[at : at + int(random.integers(1, 2_000))]
            case _:
                other = contents[random.integers(len(contents))].data
                start = int(random.integers(len(other)))
                data[at:at] = other[start : start + int(random.integers(1, 500))]
    return Mutated(bytes(data), 0)


def read(path: Path, least: int) -> bool:
    """Whether a file was heard; any error but an AudioError of one line that names it goes on to the caller.

    One that is heard without a remark has `least` samples.
    """
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
    assert audio.remarks or done >= least, f"{path}: {done} of {least} samples, and not a word"
    return True


def check(error: AudioError, path: Path) -> None:
    message = str(error)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message, message
