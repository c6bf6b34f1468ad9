"""How long a phone keeps one waiting while audio arrives, part by part, measured by streaming recordings."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import PhonestreamError
from ...streaming.decode import Phone
from ..corpora.corpus import load_samples, read_audio, spread
from .pocketsphinx_alignment import forced_alignment, match_phones, peak, pocketsphinx_aligner

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

    from ...streaming.recognizer import Recognizer

CHUNK_MS = 40
RECORDINGS = 100  # streamed and aligned at most, evenly spread
INSTALL = (
    "pocketsphinx, which says when phones were spoken, is not installed: pip install 'phonestream[bench]'"
)


@dataclass(frozen=True)
class Latency:
    """Parts of the wait, which add up but for the computing of other phones."""

    recordings: int
    look_ahead_seconds: float
    """Audio after a row that the model needs before it can compute it."""
    compute_seconds: NDArray[np.float64]
    """[chunks], of each call of `accept`."""
    emission_seconds: NDArray[np.float64]
    """[phones], from a phone's acoustic end to the end of the row around its peak, look-ahead not counted.
    Negative where the model knows the phone before it has ended."""
    given_seconds: NDArray[np.float64]
    """[phones], from a phone's acoustic end to the end of the audio accepted when `accept` returned it: emission delay,
    the wait until its end is known, look-ahead and buffering, but no computing."""
    aligned: int
    """Recordings that the two above are from."""
    remark: str
    """Why there are none; empty where there are."""


def measure_latency(
    recognizer: "Recognizer",
    cuts: Sequence["MonoCut"],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Latency:
    """Stream recordings in chunks of 40 ms. One that cannot be read is left out: evaluation has reported it."""
    chosen = spread(cuts, RECORDINGS)
    meta = recognizer.metadata
    # From a phone's peak to the end of a row around it
    row_end = meta.time_offset_seconds + meta.row_seconds / 2
    remark, decoder = "", None
    try:
        decoder = pocketsphinx_aligner()
    except ModuleNotFoundError:
        remark = INSTALL
    compute: list[float] = []
    emission: list[float] = []
    given: list[float] = []
    streamed = aligned = 0
    for done, cut in enumerate(chosen, start=1):
        try:
            samples, rate = read_audio(cut)
            decoded, times = stream_chunks(recognizer, samples, rate)
            streamed += 1
            compute += times
            text = cut.supervisions[0].text
            reference = forced_alignment(decoder, text, load_samples(cut)) if decoder and text else []
        except PhonestreamError:
            continue
        aligned += bool(reference)
        moments = {id(phone): moment for phone, moment in decoded}
        for said, phone in match_phones(reference, [phone for phone, _ in decoded]):
            emission.append(peak(phone) + row_end - said.end)
            given.append(moments[id(phone)] - said.end)
        progress(done, len(chosen))
    if not remark and not aligned:
        remark = "pocketsphinx aligned none of the transcripts: a recording without one, or with a word that it lacks"
    return Latency(
        recordings=streamed,
        look_ahead_seconds=meta.look_ahead_frames * meta.frame_samples / meta.sample_rate,
        compute_seconds=np.array(compute),
        emission_seconds=np.array(emission),
        given_seconds=np.array(given),
        aligned=aligned,
        remark=remark,
    )


def stream_chunks(
    recognizer: "Recognizer", samples: NDArray[np.float32], rate: int
) -> tuple[list[tuple[Phone, float]], list[float]]:
    """`samples` [n] in chunks of 40 ms: phones, each with the seconds of audio accepted when it came, and the seconds
    that each whole chunk took.

    The last phones come at `finish`, after as much audio as the look-ahead would have needed.
    """
    stream = recognizer.stream()
    size = max(1, rate * CHUNK_MS // 1000)
    decoded: list[tuple[Phone, float]] = []
    times = []
    for first in range(0, len(samples), size):
        chunk = samples[first : first + size]
        began = time.perf_counter()
        phones = stream.accept(chunk, rate)
        if len(chunk) == size:
            times.append(time.perf_counter() - began)
        decoded += [(phone, stream.seconds) for phone in phones]
    meta = recognizer.metadata
    last = stream.seconds + meta.look_ahead_frames * meta.frame_samples / meta.sample_rate
    return decoded + [(phone, last) for phone in stream.finish()], times
