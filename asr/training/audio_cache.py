"""Decoded training audio in one memory-mapped file, so that an epoch costs no decoding."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lhotse
import numpy as np
from numpy.typing import NDArray

from ...atomic import replacing
from ...errors import AudioError, DataError, system_errors_as
from ...streaming.audio.samples import SAMPLE_RATE
from ..corpora.corpus import frames_needed, load_samples, reference_phones
from ..lexicon.phones import encode
from ..model.encoder import FRAME

BYTES_PER_SAMPLE = 2


@dataclass(frozen=True)
class Utterance:
    """One training recording: where its samples lie in the cache, and what was said."""

    id: str
    offset: int  # samples
    samples: int
    labels: tuple[int, ...]  # CTC labels of the reference phones
    text: str = ""  # words, if the corpus has them

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE


@dataclass(frozen=True)
class CachedCorpus:
    """Utterances and their samples. `digest` changes with any recording, transcript or order."""

    utterances: tuple[Utterance, ...]
    pcm: NDArray[np.int16]
    digest: str

    def audio(self, utterance: Utterance) -> NDArray[np.float32]:
        """Samples `[n]` in [-1, 1]."""
        pcm = self.pcm[utterance.offset : utterance.offset + utterance.samples]
        return pcm.astype(np.float32) / np.float32(32768)


def cache_folder() -> Path:
    """`$PHONESTREAM_CACHE`, or `phonestream` in the user's cache folder."""
    if chosen := os.environ.get("PHONESTREAM_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phonestream"


def cached_corpus(
    cuts: Sequence[lhotse.cut.Cut],
    *,
    longest_seconds: float,
    report: Callable[[str], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CachedCorpus:
    """Decode `cuts` into the cache, or find them there.

    Recordings that are too long, or too short for their phones, are left out; `report` is called with how many.

    Raises:
        DataError: nothing is left, a phone is unknown, or the disk has no room.
    """
    kept = [cut for cut in cuts if cut.duration <= longest_seconds]
    if len(kept) < len(cuts):
        report(f"{len(cuts) - len(kept)} recordings longer than {longest_seconds:g} s are left out")
    labels = {cut.id: tuple(encode(reference_phones(cut))) for cut in kept}
    digest = _digest(kept)
    path = cache_folder() / f"{digest[:32]}.pcm"
    sizes = [
        cut.num_samples if cut.sampling_rate == SAMPLE_RATE else round(cut.duration * SAMPLE_RATE)
        for cut in kept
    ]
    total = BYTES_PER_SAMPLE * sum(sizes)
    keep(
        path,
        total,
        map(_pcm, kept, sizes),
        "decoded audio",
        f"it needs {total / 2**30:.1f} GiB: make room or set PHONESTREAM_CACHE to another folder",
        lambda done: progress(done, len(kept)),
    )
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    utterances = tuple(
        Utterance(cut.id, int(offset), size, labels[cut.id], cut.supervisions[0].text or "")
        for cut, offset, size in zip(kept, offsets, sizes, strict=False)
        if 0 < frames_needed(reference_phones(cut)) <= -(-size // FRAME)
    )
    if len(utterances) < len(kept):
        report(f"{len(kept) - len(utterances)} recordings are too short for their phones and are left out")
    if not utterances:
        raise DataError("no recording is left to train on: prepare a corpus with transcripts first")
    return CachedCorpus(utterances, np.memmap(path, np.int16, "r"), digest)


def _digest(cuts: Sequence[lhotse.cut.Cut]) -> str:
    digest = hashlib.sha256()
    for cut in cuts:
        digest.update(f"{cut.id}\t{cut.duration:.6f}\t{' '.join(reference_phones(cut))}\n".encode())
    return digest.hexdigest()


def _pcm(cut: lhotse.cut.Cut, size: int) -> bytes:
    """A recording's audio as 16-bit samples, `size` of them.

    Raises:
        AudioError: it has not about as many.
    """
    samples = load_samples(cut)
    if abs(len(samples) - size) > 160:
        raise AudioError(
            f"recording {cut.id} holds {len(samples)} samples but its header promises {size}: "
            "the file is truncated or was changed; prepare the corpus again"
        )
    fitted = np.zeros(size, np.float32)
    fitted[: min(size, len(samples))] = samples[:size]
    return (fitted * 32768).round().clip(-32768, 32767).astype("<i2").tobytes()


def keep(
    path: Path, size: int, parts: Iterable[bytes], what: str, remedy: str, progress: Callable[[int], object]
) -> None:
    """Write `parts` to a file of the cache, unless it is there with its `size` in bytes.

    Raises:
        DataError: the system refuses to: `what` could not be written, and its `remedy`.
    """
    if path.exists() and path.stat().st_size == size:
        return
    with system_errors_as(DataError, f"{what} could not be written to {path.parent}", remedy):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as file:
            for done, part in enumerate(parts, start=1):
                file.write(part)
                progress(done)
