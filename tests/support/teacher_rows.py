"""A teacher's rows made by hand."""

from pathlib import Path

import numpy as np

from phonestream.asr.corpora.corpus import load_cuts
from phonestream.asr.lexicon.phones import BLANK, PHONES
from phonestream.asr.training.audio_cache import cached_corpus
from phonestream.asr.training.teacher.rows import TeacherRows, load_rows, sparse_rows, write_rows

LABELS = len(PHONES) + 1
HOP = 320  # samples of a row of 20 ms


def spiky(places: list[tuple[int, int]], rows: int) -> np.ndarray:
    """Probabilities: blank but in the rows `place`, where `label` has 0.9."""
    probabilities = np.zeros((rows, LABELS), np.float32)
    probabilities[:, BLANK] = 1.0
    for place, label in places:
        probabilities[place] = 0.0
        probabilities[place, [BLANK, label]] = 0.1, 0.9
    return probabilities


def logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-9)).astype(np.float32)


def even_rows(data: Path, path: Path) -> TeacherRows:
    """Rows of all training recordings of `data`, written to `path`: the transcript's phones, evenly spread."""
    corpus = cached_corpus(list(load_cuts(data, "train")), longest_seconds=35.0, report=lambda line: None)
    recordings = []
    for utterance in corpus.utterances:
        rows = -(-utterance.samples // HOP)
        places = np.linspace(5, rows - 6, len(utterance.labels)).astype(int).tolist()
        pairs = list(zip(places, utterance.labels, strict=True))
        recordings.append((utterance.id, sparse_rows(logs(spiky(pairs, rows)))))
    write_rows(path, recordings, row_seconds=0.02, lead_seconds=0.0, teacher="even spikes")
    return load_rows(path)
