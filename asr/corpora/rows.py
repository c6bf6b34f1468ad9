"""One recording on its way into a cut set: as its corpus describes it, checked, and as a lhotse cut."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import AudioError, DataError
from ...streaming.audio.channels import SPLIT, MixLevel, warn_of_audio
from ...streaming.audio.files import AudioFile
from ..lexicon.phones import encode

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

FRAME_SECONDS = 0.04  # an encoder frame: 640 samples at 16 kHz
SILENCES = frozenset({"SIL", "SP", "PAU", "H#", "EPI", "<SIL>", "<EPS>"})
"""Symbols for silence in phone lists. Silence is no phone, so they are left out."""


@dataclass(frozen=True)
class Row:
    """A recording as its corpus describes it; nothing has been looked at yet."""

    where: str  # file, and line if it has one, for messages
    id: str
    split: str
    audio: Path
    text: str = ""  # words
    phones: str | None = None  # as written; None: to be had from the words
    speaker: str | None = None
    corpus: str | None = None
    seconds: float | None = None  # what the corpus says about the duration


@dataclass(frozen=True)
class Problem:
    """Why a recording was left out."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class AudioHeader(NamedTuple):
    """What an audio file says about itself."""

    rate: int  # Hz
    samples: int  # per channel
    channels: int


def read_header(path: Path, *, decode: bool = False) -> AudioHeader:
    """Rate, length and channels of an audio file, whose container is checked for missing parts.

    Args:
        path: the file.
        decode: decode it too, to the end, to find damage that the container does not show; and warn
            (`AudioWarning`) where its channels cancel each other.

    Raises:
        AudioError: the file is missing, is not audio that libsndfile reads, holds no samples, is damaged or
            breaks off, or, if it is decoded, holds NaN or infinite samples.
    """
    if _is_shorten(path):
        raise AudioError(
            f"{path}: is SPHERE audio with Shorten compression; convert it with `sph2pipe -f wav`"
        )
    with AudioFile(path) as audio:
        decoded, level = 0, MixLevel()
        # FLAC from a pipe has no length
        for block in audio.blocks() if decode or audio.frames is None else ():
            check_finite(block, path)
            decoded += len(block)
            level = level.add(block)
        warn_of_channels(level, path)
        length = decoded if audio.frames is None else audio.frames
        return AudioHeader(audio.sample_rate, length, audio.channels)


def warn_of_channels(level: MixLevel, path: str | Path) -> None:
    """Warn where the channels of a recording cancel each other, so that there is little to train on or to hear."""
    remark = level.describe("its", SPLIT)
    if remark is not None:
        warn_of_audio(f"{path}: {remark}")


def check_finite(samples: NDArray[np.float32], path: str | Path) -> None:
    """Refuse samples that are no numbers.

    Raises:
        AudioError: there is NaN or infinity among them.
    """
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; record or convert it again")


def _is_shorten(path: Path) -> bool:
    """Whether a file is compressed as LDC's older discs are, which libsndfile does not read."""
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError:
        return False  # and whoever opens it next says why
    return start.startswith(b"NIST_1A") and b"shorten" in start


def parse_phones(text: str) -> list[str]:
    """Phones of a written list: `HH IY1 sil`, or lines `start end symbol` as HTK and TIMIT write them.

    Case, stress digits and silences are dropped.

    Raises:
        DataError: a symbol is none of the 39 phones.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    timed = bool(lines) and all(
        len(line) >= 3 and _is_number(line[0]) and _is_number(line[1]) for line in lines
    )
    symbols = [line[2] for line in lines] if timed else [symbol for line in lines for symbol in line]
    names = [symbol.upper() for symbol in symbols]
    phones = [name.rstrip("012") for name in names if name not in SILENCES]
    encode(phones)
    return phones


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def frames_needed(phones: Sequence[object]) -> int:
    """Fewest CTC rows that spell `phones`: one each, and a blank between equal ones (Graves et al. 2006)."""
    return len(phones) + sum(a == b for a, b in pairwise(phones))


def make_cut(row: Row, pronounce: Callable[[str], list[str]], *, decode: bool = False) -> "MonoCut":
    """The lhotse cut of a row: the whole recording with one supervision (`text`, `speaker`, custom `phones`).

    Args:
        row: what the corpus says.
        pronounce: phones of a text, for rows that come without.
        decode: decode the audio to the end instead of trusting its header.

    Raises:
        AudioError: the audio is missing, cannot be read, or is not as long as the corpus says.
        DataError: the transcript is empty, has an unknown phone, or is longer than the audio allows.
    """
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    header = read_header(row.audio, decode=decode)
    seconds = header.samples / header.rate
    if row.seconds is not None and abs(row.seconds - seconds) > 0.1:
        raise AudioError(
            f"{row.audio}: holds {seconds:.2f} s where {row.seconds:.2f} s are stated: "
            "truncated, or another file"
        )
    phones = pronounce(row.text) if row.phones is None else parse_phones(row.phones)
    if not phones:
        raise DataError("empty transcript")
    needed, available = frames_needed(phones), math.ceil(round(seconds / FRAME_SECONDS, 6))
    if needed > available:
        raise DataError(
            f"transcript is longer than its audio allows: {len(phones)} phones need {needed} frames of 40 ms "
            f"and {seconds:.2f} s have {available}"
        )
    source = AudioSource(type="file", channels=list(range(header.channels)), source=str(row.audio))
    recording = Recording(
        id=row.id, sources=[source], sampling_rate=header.rate, num_samples=header.samples, duration=seconds
    )
    custom = {"phones": " ".join(phones)} | ({"corpus": row.corpus} if row.corpus else {})
    supervision = SupervisionSegment(
        id=row.id,
        recording_id=row.id,
        start=0.0,
        duration=seconds,
        text=row.text,
        speaker=row.speaker,
        custom=custom,
    )
    return MonoCut(
        id=row.id, start=0.0, duration=seconds, channel=0, recording=recording, supervisions=[supervision]
    )
