"""From a folder of Whisper weights and a corpus to a file of a teacher's rows."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ....errors import ModelError
from ....streaming.recognizer import Recognizer
from ...corpora.corpus import load_cuts, load_samples, reference_phones, spread
from ...evaluation.score import PhoneErrors, phone_errors
from ...lexicon.phones import PHONES, encode
from ...model.offline import greedy_phones
from ..audio_cache import CachedCorpus, cached_corpus
from ..distillation import fingerprint
from ..distributed import SINGLE_PROCESS
from ..precision import DTYPES, choose_precision
from .features import Features, features_of, kept_features
from .fit import fit_head, head_log_probs
from .head import Head, load_head, save_head
from .lead import measure_lead
from .parts import remove_parts, rows_in_parts
from .rows import write_rows
from .whisper import RATE, ROW, WhisperEncoder, load_whisper

if TYPE_CHECKING:
    from lhotse.cut import Cut

LONGEST_SECONDS = 120.0  # of a training recording
DEV_RECORDINGS = 100  # on which the head's errors and its lead are measured

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Made:
    """What was written."""

    path: Path
    recordings: int
    size: int  # bytes
    errors: PhoneErrors  # of the head on dev
    lead_seconds: float

    def __str__(self) -> str:
        """Two lines for a person."""
        return (
            f"{self.path}: rows of {self.recordings} recordings, {self.size / 1e6:.1f} MB\n"
            f"dev PER of the teacher {100 * self.errors.per:.2f} %; lead of its spikes on the student's "
            f"{1000 * self.lead_seconds:.0f} ms"
        )


def make_rows(
    whisper: Path,
    data: Path,
    output: Path,
    head_path: Path,
    *,
    hours: float,
    passes: float,
    student: str | Path,
    lead_seconds: float | None = None,
    limit: int | None = None,
    report: Callable[[str], None] = lambda line: None,
    progress: Progress = lambda what, done, total: None,
) -> Made:
    """Train a head on Whisper's frozen encoder, unless `head_path` has one, and write its rows of the train split.

    Args:
        whisper: folder of a Whisper model in CTranslate2's format.
        data: a prepared corpus, or a folder with a manifest.tsv; its train and dev splits are used.
        output: the file of rows.
        head_path: of the head: read if it is there, else written.
        hours: of the train split, evenly spread, that the head learns from.
        passes: over these hours.
        student: a model file or bundled model like the one to be taught, from whose rows the lead is measured.
        lead_seconds: by which the teacher's spikes come before the student's, where it need not be measured.
        limit: at most so many recordings of the train split in all; None: all.

    Raises:
        ModelError: Whisper, the head or the student cannot be used, or the head cannot be written.
        DataError: the corpus cannot be used, or a file cannot be written.
    """
    recognizer = _student(student) if lead_seconds is None else None
    encoder = load_whisper(whisper)
    digest = fingerprint(encoder)
    precision = choose_precision("auto", SINGLE_PROCESS)
    report(f"precision of the encoder: {precision}")
    encoder = encoder.to(SINGLE_PROCESS.device, DTYPES[precision] or torch.float32)
    cuts: list[Cut] = list(load_cuts(data, "train"))
    corpus = cached_corpus(
        cuts if limit is None else spread(cuts, limit),
        longest_seconds=LONGEST_SECONDS,
        report=report,
        progress=lambda done, total: progress("decoding", done, total),
    )
    known: dict[str, Features] = {}  # features that need not be computed again
    if head_path.exists():
        head = load_head(head_path, digest)
    else:
        head, known = _fitted(encoder, f"{digest} {precision}", corpus, hours, passes, report, progress)
        save_head(head, head_path, digest)
        report(f"{head_path}: the head is written")

    dev = spread(list(load_cuts(data, "dev")), DEV_RECORDINGS)
    errors, pairs = PhoneErrors(), []
    for done, cut in enumerate(dev, start=1):
        samples = load_samples(cut)
        log_probs = head_log_probs(head, features_of(encoder, samples))
        errors += phone_errors(reference_phones(cut), greedy_phones(log_probs))
        if recognizer is not None:
            pairs.append((log_probs, _own_order(recognizer, recognizer.log_probs(samples))))
        progress("measuring on dev", done, len(dev))
    if recognizer is not None:
        lead_seconds = measure_lead(pairs, ROW / RATE, recognizer.metadata.row_seconds)
    assert lead_seconds is not None

    parts = output.with_name(f".{output.name}.parts")
    rows = rows_in_parts(
        parts,
        f"{digest} {precision} {fingerprint(head)} {corpus.digest}",
        [utterance.id for utterance in corpus.utterances],
        lambda index: head_log_probs(head, _features(encoder, corpus, known, index)),
        lambda done, total: progress("making rows", done, total),
    )
    name = f"CTC head on {whisper.name}, encoder {digest[:16]}"
    size = write_rows(output, rows, row_seconds=ROW / RATE, lead_seconds=lead_seconds, teacher=name)
    remove_parts(parts)
    return Made(output, len(corpus.utterances), size, errors, lead_seconds)


def _features(
    encoder: WhisperEncoder, corpus: CachedCorpus, known: dict[str, Features], index: int
) -> Features:
    utterance = corpus.utterances[index]
    features = known.get(utterance.id)
    return features_of(encoder, corpus.audio(utterance)) if features is None else features


def _fitted(
    encoder: WhisperEncoder,
    digest: str,
    corpus: CachedCorpus,
    hours: float,
    passes: float,
    report: Callable[[str], None],
    progress: Progress,
) -> tuple[Head, dict[str, Features]]:
    """A head, and the features that it was trained on by the recordings' ids."""
    seconds = sum(utterance.seconds for utterance in corpus.utterances)
    count = max(1, round(len(corpus.utterances) * min(1.0, 3600 * hours / seconds)))
    chosen = spread(corpus.utterances, count)
    recordings = [
        (utterance.id, utterance.samples, lambda utterance=utterance: corpus.audio(utterance))
        for utterance in chosen
    ]
    features = kept_features(
        encoder, digest, recordings, lambda done, total: progress("computing features", done, total)
    )
    head = fit_head(features, [utterance.labels for utterance in chosen], passes=passes, report=report)
    return head, {utterance.id: kept for utterance, kept in zip(chosen, features, strict=True)}


def _student(model: str | Path) -> Recognizer:
    recognizer = Recognizer(model)
    if set(recognizer.phones) != set(PHONES):
        raise ModelError(
            f"{model}: its phones are not the {len(PHONES)} of the references; name another --student"
        )
    return recognizer


def _own_order(recognizer: Recognizer, log_probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """A model's `[rows, labels]` in the order of our labels: the blank, then `PHONES`."""
    meta = recognizer.metadata
    label = {symbol: index for index, symbol in enumerate(meta.decoder.symbols) if index != meta.blank}
    ours = [meta.blank, *(label[phone] for phone in PHONES)]
    assert encode(PHONES) == list(range(1, len(PHONES) + 1))  # and so the blank is 0
    return log_probs[:, ours]
