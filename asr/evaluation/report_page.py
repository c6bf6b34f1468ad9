"""An evaluation as a page to read and listen to: a folder with an index.html that asks nothing of any other host."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ...atomic import write_together
from ...errors import DataError, system_errors_as
from ..corpora.corpus import read_audio
from ..lexicon.phones import PHONES
from .reliability import BINS, judge, reliability
from .report import GAP, PARTS, RecordingScore, Report
from .report_latency import CHUNK_MS, Latency, measure_latency
from .report_pictures import confusion_matrix, histogram, reliability_diagram
from .score import PhoneErrors, top_confusions

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

INDEX = "index.html"
TEMPLATE = "report.html.jinja"
AUDIO = "audio"  # folder beside it
WORST = 20  # recordings to listen to
SHOWN_CONFUSIONS = 20
PLAYED = {".wav", ".mp3", ".flac", ".opus", ".ogg", ".oga", ".m4a"}  # by every current browser
DELAYS = np.arange(-200, 321, 20.0)  # milliseconds; edges of the bars
RATES = np.arange(0, 105, 5.0)  # phone error rates in per cent

Player: TypeAlias = tuple[RecordingScore, str, str]
"""A recording to listen to: its score, its file as the page names it, and its text."""


def write_page(
    folder: Path,
    report: Report,
    cuts: Sequence["MonoCut"],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `folder/index.html`, and beside it in `audio/` the recordings that can be played on it.

    Of a model file some recordings are streamed again, to measure what a listener waits for. A training run's weights
    do not stream, and have neither fitted confidences nor times: a page about them has no such parts.

    Args:
        folder: made if absent; a page from before is replaced, whole or not at all.
        cuts: those of the report's recordings.
        progress: called with the number of recordings streamed and their total.

    Raises:
        DataError: the folder cannot be written, or a recording not be read.
        ModelError: the report's model has gone.
    """
    latency = None
    if not Path(report.model).is_dir():
        from ...streaming.recognizer import Recognizer

        latency = measure_latency(Recognizer(report.model, threads=report.threads), cuts, progress)
    found = {cut.id: cut for cut in cuts}
    players: list[Player] = []
    files: dict[Path, bytes] = {}
    for number, recording in enumerate(_worst_first(report)[:WORST]):
        cut = found[recording.id]
        suffix, content = _audio_file(cut)
        name = f"{AUDIO}/{number + 1:02}{suffix}"
        files[folder / name] = content
        players.append((recording, name, cut.supervisions[0].text or ""))
    files[folder / INDEX] = page(report, latency, players).encode()
    with system_errors_as(
        DataError, f"{folder}: the page cannot be written", "make room, or give another folder"
    ):
        write_together(files)


def page(report: Report, latency: Latency | None, worst: Sequence[Player]) -> str:
    """The page's HTML.

    Args:
        latency: None for a training run.
        worst: recordings to listen to.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    judged = judge((recording.alignment, recording.phones) for recording in report.recordings)
    equal = reliability(judged)
    rates = np.array([100 * recording.errors.per for recording in report.recordings])
    return environment.get_template(TEMPLATE).render(
        title=f"{report.model} on {report.split}",
        report=report,
        tiles=_tiles(report),
        phones=_phone_rows(report),
        confusion_matrix=Markup(confusion_matrix(report.confusions)),
        confusions=[
            (confusion.words, f"{confusion.times:,}")
            for confusion in top_confusions(report.confusions, SHOWN_CONFUSIONS)
        ],
        rates_histogram=Markup(
            histogram(rates, RATES, "Recordings by phone error rate", "phone error rate of a recording, %")
        ),
        groups=[
            (
                kind,
                [
                    (name, *_rates(errors))
                    for name, errors in sorted(group.items(), key=lambda item: -item[1].per)
                ],
            )
            for kind, group in (("corpus", report.by_corpus), ("speaker", report.by_speaker))
            if len(group) > 1
        ],
        recordings=[(recording.id, *_rates(recording.errors)) for recording in _worst_first(report)],
        worst=worst,
        gap=GAP,
        latency=latency,
        latency_rows=[] if latency is None else _latency_rows(latency),
        delays_histogram=""
        if latency is None or latency.remark
        else Markup(
            histogram(latency.emission_seconds * 1000, DELAYS, "Emission delay", "emission delay, ms")
        ),
        chunk_ms=CHUNK_MS,
        equal=equal,
        wide=reliability(judged, binning="width"),
        bins=BINS,
        reliability_diagram=Markup(reliability_diagram(equal)) if equal.phones else "",
    )


def _worst_first(report: Report) -> list[RecordingScore]:
    return sorted(report.recordings, key=lambda recording: -recording.errors.per)


def _tiles(report: Report) -> dict[str, str]:
    errors = report.errors
    length = max(1, errors.reference_length)
    return {
        "phone error rate": f"{errors.per:.2%}",
        **{name: f"{getattr(errors, name) / length:.2%}" for name in PARTS},
        "of real time to compute": f"{report.real_time_factor:.4f}",
    }


def _phone_rows(report: Report) -> list[tuple[object, ...]]:
    """A row for each phone of the references, the one with most errors first."""
    table = report.confusions
    rows: list[tuple[object, ...]] = []
    for index in np.argsort(-(table[:-1].sum(axis=1) - table.diagonal()[:-1]), kind="stable").tolist():
        said, right = int(table[index].sum()), int(table[index, index])
        if not said:
            continue
        deleted, inserted = int(table[index, -1]), int(table[-1, index])
        others = table[index, :-1].copy()
        others[index] = 0
        taken = PHONES[int(others.argmax())] if others.any() else ""
        wrong = (said - right) / said
        rows.append(
            (
                PHONES[index],
                f"{said:,}",
                f"{wrong:.1%}",
                f"{100 * wrong:.0f}",
                said - right - deleted,
                deleted,
                inserted,
                taken,
            )
        )
    return rows


def _rates(errors: PhoneErrors) -> tuple[str, ...]:
    length = max(1, errors.reference_length)
    counts = (errors.total, errors.substitutions, errors.insertions, errors.deletions)
    return (f"{errors.reference_length:,}", *(f"{count / length:.1%}" for count in counts))


def _latency_rows(latency: Latency) -> list[tuple[str, str]]:
    rows = [
        ("look-ahead: what the model must still hear", f"{latency.look_ahead_seconds * 1000:.0f} ms"),
        ("buffering: the chunk", f"{CHUNK_MS} ms"),
    ]
    if len(latency.compute_seconds):
        p50, p95, p99 = np.percentile(latency.compute_seconds * 1000, (50, 95, 99))
        rows.append(("compute: a chunk, p50 / p95 / p99", f"{p50:.2f} / {p95:.2f} / {p99:.2f} ms"))
    if latency.remark:
        return [*rows, ("emission delay", "not measured")]
    delay, wait = "emission delay", "in all but compute: from the phone's end until it is given"
    return [
        *rows,
        (f"{delay}, median / 90 % under", _middle(latency.emission_seconds * 1000)),
        (f"{wait}, median / 90 % under", _middle(latency.given_seconds * 1000)),
    ]


def _middle(milliseconds: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    if not len(milliseconds):
        return "no phone in common"
    return "{:.0f} / {:.0f} ms".format(*np.percentile(milliseconds, (50, 90)))


def _audio_file(cut: "MonoCut") -> tuple[str, bytes]:
    """A recording for the page: the file itself if browsers play such, or else a WAV file; its suffix, its content.

    Raises:
        DataError: it cannot be read.
    """
    source = Path(cut.recording.sources[0].source)
    whole = cut.start == 0 and cut.num_samples == cut.recording.num_samples
    suffix = source.suffix.lower()
    if whole and suffix in PLAYED:
        with system_errors_as(DataError, f"{source}: cannot be read", "is it still there?"):
            return suffix, source.read_bytes()
    import soundfile

    samples, rate = read_audio(cut)
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return ".wav", content.getvalue()
