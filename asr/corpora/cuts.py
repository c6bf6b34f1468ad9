"""Prepared recordings read back: cut sets from disk, and the samples and reference phones of a cut."""

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import AudioError, ConfigError, DataError, reason_of
from ...streaming.audio.channels import MixLevel
from ...streaming.audio.files import AudioFile
from ...streaming.audio.samples import SAMPLE_RATE, mono
from .rows import check_finite, warn_of_channels

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import MonoCut

CUTS_SUFFIX = ".jsonl.gz"


T = TypeVar("T")


def share_of_corpora(cuts: Iterable["MonoCut"], shares: Mapping[str, float]) -> list["MonoCut"]:
    """Of each corpus that `shares` names that share of its cuts, drawn by their names; of others all.

    Raises:
        ConfigError: a corpus is named of which there are no cuts.
    """
    kept, known = [], set()
    for cut in cuts:
        corpus = (cut.supervisions[0].custom or {}).get("corpus") if cut.supervisions else None
        known.add(corpus)
        if zlib.crc32(cut.id.encode()) % 100 < 100 * shares.get(str(corpus), 1.0):
            kept.append(cut)
    missing = sorted(shares.keys() - known)
    if missing:
        names = ", ".join(sorted(filter(None, known))) or "none that are named"
        raise ConfigError(
            f"corpus_shares has {missing[0]}, of which there are no recordings; there are {names}"
        )
    return kept


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of `items`, evenly spread over them."""
    taken = min(count, len(items))
    return [items[index * len(items) // taken] for index in range(taken)]


def prepared_splits(folder: Path) -> list[str]:
    """Names of the splits that `phonestream prepare` wrote to `folder`."""
    return sorted(path.name.removesuffix(CUTS_SUFFIX) for path in folder.glob(f"*{CUTS_SUFFIX}"))


def write_cuts(cuts: Iterable["MonoCut"], path: Path) -> None:
    """Write a cut set, gzipped JSON lines. The same cuts give the same bytes.

    Raises:
        OSError: no room, or no permission.
    """
    with path.open("wb") as file:
        # Neither the time nor the name of the temporary file goes into the header.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
            for cut in cuts:
                stream.write(json.dumps(cut.to_dict(), ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_cuts(path: Path) -> "CutSet":
    """Read a cut set of whole recordings with phones.

    Raises:
        DataError: the file is missing or damaged, or a cut has no phones.
    """
    from lhotse import CutSet
    from lhotse.cut import MonoCut
    from lhotse.serialization import deserialize_item

    cuts = []
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):  # noqa: B007 (for the message)
                cut = deserialize_item(json.loads(line))
                if not isinstance(cut, MonoCut):
                    raise ValueError(f"holds a {type(cut).__name__} where a MonoCut is expected")
                reference_phones(cut)
                cuts.append(cut)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason_of(error)}; prepare the corpus again") from None
    except DataError as error:
        raise DataError(f"{path}:{number}: {error}") from None
    except (EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        where = f"{path} after line {number}"
        raise DataError(f"{where}: not a cut set, or damaged ({error}); prepare the corpus again") from None
    if not cuts:
        raise DataError(f"{path}: holds no recordings; prepare the corpus again")
    return CutSet(cuts)


def reference_phones(cut: "MonoCut") -> list[str]:
    """Reference phones of a cut.

    Raises:
        DataError: it has none.
    """
    supervisions = cut.supervisions
    phones = (supervisions[0].custom or {}).get("phones") if len(supervisions) == 1 else None
    if not isinstance(phones, str) or not phones.strip():
        raise DataError(f"recording {cut.id} has no phones: prepare the corpus with `phonestream prepare`")
    return phones.split()


def read_audio(cut: "MonoCut") -> tuple[NDArray[np.float32], int]:
    """Samples [n] in [-1, 1] of a cut, channels mixed down, and their rate in Hz.

    Warns (`AudioWarning`) where the recording's channels cancel each other.

    Raises:
        AudioError: the file is missing, cannot be read, is shorter than the cut says, or holds NaN or
            infinity.
        DataError: the cut does more than name a file, or part of one (lhotse's own `cut.load_audio()` may
            read it).
    """
    recording = cut.recording
    if recording.transforms or len(recording.sources) != 1 or recording.sources[0].type != "file":
        raise DataError(f"recording {cut.id}: expected one audio file without transforms")
    path = recording.sources[0].source
    level, blocks = MixLevel(), []
    with AudioFile(path) as audio:
        rate = audio.sample_rate
        for block in audio.blocks():
            level = level.add(block)
            blocks.append(mono(block))
    samples = np.concatenate(blocks)
    warn_of_channels(level, path)
    if (rate, len(samples)) != (recording.sampling_rate, recording.num_samples):
        raise AudioError(
            f"{path}: holds {len(samples)} samples at {rate} Hz where the cut set says {recording.num_samples} "
            f"at {recording.sampling_rate} Hz; it was changed, so prepare the corpus again"
        )
    check_finite(samples, path)
    start = round(cut.start * rate)
    return samples[start : start + cut.num_samples], rate


def load_samples(cut: "MonoCut") -> NDArray[np.float32]:
    """Samples [n] in [-1, 1] of a cut at 16 kHz, channels mixed down.

    Another rate is converted by soxr at its highest quality.

    Raises:
        AudioError, DataError: as `read_audio`.
    """
    samples, rate = read_audio(cut)
    if rate == SAMPLE_RATE:
        return samples
    import soxr

    converted: NDArray[np.float32] = soxr.resample(samples, rate, SAMPLE_RATE, quality="VHQ")
    return converted
