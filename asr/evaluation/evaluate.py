"""Phone error rate on a split: of a model file, run as a stream, or of a training run's weights."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import ConfigError, DataError, ModelError, PhonestreamError
from ...streaming.decode import Phone
from ...streaming.decoding.config import Decoding
from ..corpora.corpus import (
    Problem,
    load_samples,
    read_audio,
    read_split,
    reference_phones,
    speech_root,
    spread,
)
from ..lexicon.phones import PHONES, encode
from .report import (
    RecordingScore,
    Report,
    check_output,
    format_confusions,
    format_json,
    format_listing,
    format_report,
    write_output,
)
from .report_page import INDEX, write_page
from .score import align

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

    from ...streaming.recognizer import Recognizer
    from ..model.encoder import Encoder

__all__ = ["RecordingScore", "Report", "evaluate", "format_report"]

GROUP_SECONDS = 1800.0  # of audio in memory at a time, when a run is evaluated in batches


class DecodedCut(NamedTuple):
    """A recording and its decoded phones."""

    cut: "MonoCut"
    outcome: list[Phone] | PhonestreamError  # phones, or why there are none
    seconds: float  # spent computing


def evaluate(
    model: str | Path,
    *,
    split: str = "dev",
    data: Path | None = None,
    limit: int | None = None,
    listing: Path | None = None,
    json: Path | None = None,
    confusions: Path | None = None,
    page: Path | None = None,
    decoder: Decoding | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Decode a split and compare with its reference phones.

    An ONNX model runs as it does for a user: each recording, at its own rate, through a stream of a
    `Recognizer`. Of a training run the averaged weights of its checkpoint are run by torch, in batches, and
    decoded greedily.

    A recording that cannot be read is reported in `problems` and is in no figure; the others go on.

    Args:
        model: a model file, the name of a bundled model, or the folder of a training run.
        split: name of the split.
        data: a folder made by `prepare`, or one with a `manifest.tsv`; None: what PHONESTREAM_SPEECH names.
        limit: at most so many recordings, evenly spread over the split; None: all.
        listing: file for a table of all recordings, references and hypotheses aligned.
        json: file for the whole report as JSON.
        confusions: file for the confusion table.
        page: folder for a page of all that was found, `report_page.write_page`.
        decoder: how to decode, as for `Recognizer`; None: as users do.
        threads: for computing.
        progress: called with the number of recordings decoded and their total.

    Raises:
        DataError: the split cannot be had, nothing in it can be scored, or a file cannot be written.
        ModelError, ConfigError: the model or run cannot be used.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: give a number from 1, or none for all recordings")
    outputs = [(listing, format_listing), (json, format_json), (confusions, format_confusions)]
    for path, _ in outputs:
        if path is not None:
            check_output(path)
    if page is not None:
        check_output(page / INDEX)
    source = speech_root() if data is None else data
    decode, sha256 = _load_decoder(model, decoder, threads)
    cuts, unusable = read_split(source, split)
    chosen, problems = _usable(list(cuts), limit)
    problems = [*unusable, *problems]

    scores = []
    seconds = 0.0
    for done, (cut, outcome, spent) in enumerate(decode(chosen), start=1):
        if isinstance(outcome, PhonestreamError):
            problems.append(Problem(cut.id, str(outcome)))
        else:
            seconds += spent
            scores.append(_score(cut, outcome))
        progress(done, len(chosen))
    if not scores:
        raise DataError(f"nothing in {split} of {source} can be scored; first: {problems[0]}")
    report = Report(str(model), split, str(source), tuple(scores), tuple(problems), seconds, threads, sha256)
    for path, write in outputs:
        if path is not None:
            write_output(path, write(report))
    if page is not None:
        write_page(page, report, chosen, progress)
    return report


def _usable(cuts: Sequence["MonoCut"], limit: int | None) -> tuple[list["MonoCut"], list[Problem]]:
    """Cuts to score, evenly spread if there is a limit, and those with references outside the 39 phones."""
    if limit is not None:
        cuts = spread(cuts, limit)
    usable, problems = [], []
    for cut in cuts:
        try:
            encode(reference_phones(cut))
            usable.append(cut)
        except DataError as error:
            problems.append(Problem(cut.id, str(error)))
    return usable, problems


def _score(cut: "MonoCut", phones: list[Phone]) -> RecordingScore:
    supervision = cut.supervisions[0]
    return RecordingScore(
        id=cut.id,
        corpus=(supervision.custom or {}).get("corpus"),
        speaker=supervision.speaker,
        seconds=cut.duration,
        alignment=tuple(align(reference_phones(cut), [phone.symbol for phone in phones])),
        phones=tuple(phones),
    )


def _load_decoder(
    model: str | Path, decoder: Decoding | None, threads: int
) -> tuple[Callable[[Sequence["MonoCut"]], Iterator[DecodedCut]], str | None]:
    """A function that decodes recordings with a model, loaded at once so that its errors come first; its SHA-256."""
    if Path(model).is_dir():
        if decoder not in (None, "greedy"):
            raise ConfigError(
                f"{model}: the weights of a training run are decoded greedily: export them to search"
            )
        import torch

        from ..training.checkpoint import load_encoder

        encoder = load_encoder(Path(model))
        torch.set_num_threads(threads)
        return lambda cuts: _decode_with_encoder(encoder, cuts), None
    from ...streaming.recognizer import Recognizer

    recognizer = Recognizer(model, threads=threads, decoder=decoder)
    if set(recognizer.phones) != set(PHONES):
        raise ModelError(
            f"{model}: its phones are not the {len(PHONES)} of the references, so it cannot be scored"
        )
    return lambda cuts: _decode_with_recognizer(recognizer, cuts), recognizer.sha256


def _decode_with_recognizer(recognizer: "Recognizer", cuts: Sequence["MonoCut"]) -> Iterator[DecodedCut]:
    """Each recording alone, at its own rate, as `phonestream transcribe` decodes it."""
    for cut in cuts:
        begin = time.perf_counter()
        try:
            samples, rate = read_audio(cut)
            begin = time.perf_counter()
            outcome: list[Phone] | PhonestreamError = recognizer.transcribe(samples, rate)
        except PhonestreamError as error:
            outcome = error
        yield DecodedCut(cut, outcome, time.perf_counter() - begin)


def _decode_with_encoder(encoder: "Encoder", cuts: Sequence["MonoCut"]) -> Iterator[DecodedCut]:
    """Batches of recordings, some of them in memory at a time."""
    from ..model.offline import encoder_log_probs, greedy_decode

    for group in _groups(cuts):
        recordings, failed = [], []
        for cut in group:
            try:
                recordings.append((cut, load_samples(cut)))
            except PhonestreamError as error:
                failed.append(DecodedCut(cut, error, 0.0))
        begin = time.perf_counter()
        log_probs = encoder_log_probs(encoder, [samples for _, samples in recordings])
        phones = [greedy_decode(rows) for rows in log_probs]
        share = (time.perf_counter() - begin) / max(1, len(recordings))
        yield from failed
        for (cut, _), outcome in zip(recordings, phones, strict=True):
            yield DecodedCut(cut, outcome, share)


def _groups(cuts: Sequence["MonoCut"]) -> Iterator[list["MonoCut"]]:
    """Consecutive cuts of about `GROUP_SECONDS` together."""
    group: list[MonoCut] = []
    for cut in cuts:
        group.append(cut)
        if sum(member.duration for member in group) >= GROUP_SECONDS:
            yield group
            group = []
    if group:
        yield group
