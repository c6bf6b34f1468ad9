"""An evaluation as a page to read and listen to: a folder with an index.html that asks nothing of any other host."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import DataError
from ..corpora.corpus import read_audio
from ..lexicon.phones import PHONES
from .reliability import BINS, judge, reliability
from .report import GAP, RecordingScore, Report, write_output
from .report_latency import CHUNK_MS, Latency, measure_latency
from .report_pictures import confusion_matrix, confusion_words, histogram, reliability_diagram
from .report_style import STYLE
from .score import Edit, PhoneErrors, top_confusions

if TYPE_CHECKING:
    from lhotse.cut import MonoCut

INDEX = "index.html"
AUDIO = "audio"  # folder beside it
WORST = 20  # recordings to listen to
SHOWN_CONFUSIONS = 20
PLAYED = {".wav", ".mp3", ".flac", ".opus", ".ogg", ".oga", ".m4a"}  # by every current browser
DELAYS = np.arange(-200, 321, 20.0)  # milliseconds; edges of the bars
RATE_HEADS = ("phones", "PER", "substitutions", "insertions", "deletions")
RATES = np.arange(0, 105, 5.0)  # phone error rates in per cent


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
        folder: made if absent; a page from before is replaced.
        cuts: those of the report's recordings.
        progress: called with the number of recordings streamed and their total.

    Raises:
        DataError: the folder cannot be written.
        ModelError: the report's model has gone.
    """
    latency = None
    if not Path(report.model).is_dir():
        from ...streaming.recognizer import Recognizer

        latency = measure_latency(Recognizer(report.model, threads=report.threads), cuts, progress)
    worst = sorted(report.recordings, key=lambda recording: -recording.errors.per)[:WORST]
    found = {cut.id: cut for cut in cuts}
    players = [
        _copy_audio(found[recording.id], folder / AUDIO, number) for number, recording in enumerate(worst)
    ]
    texts = {name: cut.supervisions[0].text or "" for name, cut in found.items()}
    articles = [
        _recording(recording, f"{AUDIO}/{name}", texts[recording.id])
        for recording, name in zip(worst, players, strict=True)
    ]
    write_output(folder / INDEX, page(report, latency, articles))


def page(report: Report, latency: Latency | None, worst: Sequence[str]) -> str:
    """The page's HTML.

    Args:
        latency: None for a training run.
        worst: an article for each of the worst recordings.
    """
    title = f"{report.model} on {report.split}"
    sections = {
        "phones": ("Phone by phone", _by_phone(report)),
        "confusions": ("What was heard for what", _confusions(report)),
        "recordings": ("Recordings", _recordings(report)),
        "worst": (f"The worst {len(worst)}, to listen to", "".join(worst)),
        "latency": ("Waiting", _latency(latency)),
        "confidence": ("Confidence", _confidence(report, fitted=latency is not None)),
        "problems": ("Not scored", _problems(report)),
    }
    kept = {key: (heading, body) for key, (heading, body) in sections.items() if body}
    links = "".join(f'<a href="#{key}">{escape(heading)}</a>' for key, (heading, _) in kept.items())
    body = "".join(f'<h2 id="{key}">{escape(heading)}</h2>{text}' for key, (heading, text) in kept.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>'
        f"<h1>{escape(title)}</h1>{_summary(report)}<nav>{links}</nav>{body}</body></html>\n"
    )


def _summary(report: Report) -> str:
    errors = report.errors
    length = max(1, errors.reference_length)
    tiles = {
        "phone error rate": f"{errors.per:.2%}",
        "substitutions": f"{errors.substitutions / length:.2%}",
        "insertions": f"{errors.insertions / length:.2%}",
        "deletions": f"{errors.deletions / length:.2%}",
        "of real time to compute": f"{report.real_time_factor:.4f}",
    }
    return (
        f'<p class="soft">{len(report.recordings):,} recordings of {escape(report.data)}, '
        f"{report.seconds / 60:.1f} minutes, {errors.reference_length:,} phones</p>"
        '<div class="figures">'
        + "".join(f"<div><b>{value}</b>{name}</div>" for name, value in tiles.items())
        + "</div>"
    )


def _by_phone(report: Report) -> str:
    """A row for each phone of the references, the one with most errors first."""
    table = report.confusions
    rows = []
    for index in np.argsort(-(table[:-1].sum(axis=1) - table.diagonal()[:-1]), kind="stable").tolist():
        said, right = int(table[index].sum()), int(table[index, index])
        if not said:
            continue
        deleted, inserted = int(table[index, -1]), int(table[-1, index])
        others = table[index, :-1].copy()
        others[index] = 0
        taken = PHONES[int(others.argmax())] if others.any() else ""
        wrong = (said - right) / said
        meter = f'<i style="width:{100 * wrong:.0f}%"></i>'
        cells = (f"{said:,}", f"{wrong:.1%}", meter, said - right - deleted, deleted, inserted, taken)
        rows.append((PHONES[index], *cells))
    heads = ("phone", "said", "wrong", "", "substituted", "deleted", "inserted", "mostly as")
    return _table(heads, rows, meter=3)


def _confusions(report: Report) -> str:
    listed = top_confusions(report.confusions, SHOWN_CONFUSIONS)
    rows = [(confusion_words(confusion), f"{confusion.times:,}") for confusion in listed]
    return (
        f'<figure><div class="scroll">{confusion_matrix(report.confusions)}</div><figcaption>Each row is a phone '
        "that was said, and what it was heard as; the more solid, the larger the share. The last column is deletions, "
        "the last row insertions. Point at a cell for its count.</figcaption></figure>"
        + _table(("most frequent errors", "times"), rows)
    )


def _recordings(report: Report) -> str:
    rates = np.array([100 * recording.errors.per for recording in report.recordings])
    picture = histogram(rates, RATES, "Recordings by phone error rate", "phone error rate of a recording, %")
    groups = ""
    for kind, group in (("corpus", report.by_corpus), ("speaker", report.by_speaker)):
        if len(group) > 1:
            parts = sorted(group.items(), key=lambda item: -item[1].per)
            groups += _table((kind, *RATE_HEADS), [(escape(name), *_rates(errors)) for name, errors in parts])
    ordered = sorted(report.recordings, key=lambda recording: -recording.errors.per)
    rows = [(escape(recording.id), *_rates(recording.errors)) for recording in ordered]
    return (
        f"<figure>{picture}</figure>{groups}<details><summary>All {len(rows):,} recordings</summary>"
        + _table(("recording", *RATE_HEADS), rows)
        + "</details>"
    )


def _rates(errors: PhoneErrors) -> tuple[str, ...]:
    length = max(1, errors.reference_length)
    counts = (errors.total, errors.substitutions, errors.insertions, errors.deletions)
    return (f"{errors.reference_length:,}", *(f"{count / length:.1%}" for count in counts))


def _recording(recording: RecordingScore, source: str, text: str) -> str:
    """One recording with a player, each reference phone above the decoded one."""
    errors = recording.errors
    facts = [f"PER {errors.per:.1%}", f"{recording.seconds:.1f} s"]
    facts += [f"speaker {recording.speaker}"] if recording.speaker else []
    return (
        f"<article><h3>{escape(recording.id)}</h3>"
        f'<p class="soft">{escape(", ".join(facts))}</p><p>{escape(text)}</p>'
        f'<audio controls preload="none" src="{escape(source)}"></audio>'
        f'<div class="pairs">{"".join(map(_pair, recording.alignment))}</div></article>\n'
    )


def _pair(edit: Edit) -> str:
    kind = "" if edit.operation == "equal" else f' class="error" title="{edit.operation}"'
    return f"<span{kind}><b>{edit.reference or GAP}</b>{edit.hypothesis or GAP}</span>"


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return (
            "<p>Not measured: a training run's weights do not stream. Export them, and evaluate the file.</p>"
        )
    rows = [
        ("look-ahead: what the model must still hear", f"{latency.look_ahead_seconds * 1000:.0f} ms"),
        ("buffering: the chunk", f"{CHUNK_MS} ms"),
    ]
    if len(latency.compute_seconds):
        p50, p95, p99 = np.percentile(latency.compute_seconds * 1000, (50, 95, 99))
        rows.append(("compute: a chunk, p50 / p95 / p99", f"{p50:.2f} / {p95:.2f} / {p99:.2f} ms"))
    picture = ""
    if latency.remark:
        rows.append(("emission delay", "not measured"))
        picture = f"<p>{escape(latency.remark)}.</p>"
    else:
        delays = latency.emission_seconds * 1000
        rows.append(("emission delay, median / 90 % under", _middle(delays)))
        rows.append(
            ("in all but compute: from the phone's end until it is given, median / 90 % under",
             _middle(latency.given_seconds * 1000))
        )  # fmt: skip
        picture = (
            f"<figure>{histogram(delays, DELAYS, 'Emission delay', 'emission delay, ms')}<figcaption>From a phone's "
            "acoustic end, as pocketsphinx's forced alignment has it, to the end of the first frame in which the model "
            f"shows the phone, look-ahead not counted: {len(delays):,} phones of {latency.aligned} recordings. "
            "Below 0 the model knew the phone before it had ended. What lies beyond the axis is in its outermost bars."
            "</figcaption></figure>"
        )
    return (
        f"<p>Measured by streaming {latency.recordings} recordings, evenly spread, in chunks of {CHUNK_MS} ms.</p>"
        + _table(("part", "how long"), rows)
        + picture
    )


def _middle(milliseconds: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    if not len(milliseconds):
        return "no phone in common"
    return "{:.0f} / {:.0f} ms".format(*np.percentile(milliseconds, (50, 90)))


def _confidence(report: Report, *, fitted: bool) -> str:
    judged = judge((recording.alignment, recording.phones) for recording in report.recordings)
    equal = reliability(judged)
    if not equal.phones:
        return "<p>No phone was heard.</p>"
    wide = reliability(judged, binning="width")
    unfitted = "" if fitted else " A training run has no temperature fitted yet."
    return (
        f"<p>Expected calibration error <b>{equal.error:.3f}</b> over {BINS} bins of equally many phones "
        f"({wide.error:.3f} over {BINS} of equal width). The mean confidence is {equal.confidence:.3f}, and "
        f"{equal.right:.3f} of the {equal.phones:,} phones are right: paired with their like by the edit-distance "
        f"alignment.{unfitted}</p><figure>{reliability_diagram(equal)}<figcaption>On the dashed line, confidence is "
        "the share that is right. Below it the model is too sure.</figcaption></figure>"
    )


def _problems(report: Report) -> str:
    lines = (f"<li>{escape(problem.where)}: {escape(problem.reason)}</li>" for problem in report.problems)
    return f"<ul>{''.join(lines)}</ul>" if report.problems else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], meter: int | None = None) -> str:
    """Cells are HTML. Column `meter` holds bars."""
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for row in rows:
        cells = ('<td class="meter">' if number == meter else "<td>" for number in range(len(row)))
        lines.append("".join(f"{cell}{value}</td>" for cell, value in zip(cells, row, strict=True)))
    return '<div class="scroll"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def _copy_audio(cut: "MonoCut", folder: Path, number: int) -> str:
    """Put a recording into `folder`: the file itself if browsers play such, or else a WAV file. Returns its name.

    Raises:
        DataError: it cannot be written.
    """
    source = Path(cut.recording.sources[0].source)
    whole = cut.start == 0 and cut.num_samples == cut.recording.num_samples
    copied = whole and source.suffix.lower() in PLAYED
    target = folder / f"{number + 1:02}{source.suffix.lower() if copied else '.wav'}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if copied:
            shutil.copyfile(source, target)
        else:
            import soundfile

            samples, rate = read_audio(cut)
            soundfile.write(target, samples, rate, subtype="PCM_16")
    except (OSError, RuntimeError) as error:  # soundfile's errors are RuntimeErrors
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{target}: cannot be written: {reason}; give another folder") from None
    return target.name
