"""What an evaluation found: text for a person, a table with a line for each recording, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import atomic
from ...errors import DataError, system_errors_as
from ...streaming.decode import Phone
from ..corpora.rows import Problem
from ..lexicon.phones import PHONES
from .score import Edit, PhoneErrors, confusion_table, count_errors, top_confusions

GAP = "-"  # in the listing, where the other side has a phone
SHOWN_GROUPS = 10  # speakers or corpora in the text; JSON has all
SHOWN_CONFUSIONS = 15
PARTS = ("substitutions", "insertions", "deletions")  # of `PhoneErrors`
LISTING_COLUMNS = (
    "id", "corpus", "speaker", "seconds", "per",
    *PARTS, "reference_length", "reference", "hypothesis",
)  # fmt: skip


@dataclass(frozen=True)
class RecordingScore:
    """One recording: reference and decoded phones, aligned."""

    id: str
    corpus: str | None
    speaker: str | None
    seconds: float
    alignment: tuple[Edit, ...]
    phones: tuple[Phone, ...] = ()  # the decoded phones, the hypotheses of the alignment

    @cached_property
    def errors(self) -> PhoneErrors:
        return count_errors(self.alignment)


@dataclass(frozen=True)
class Report:
    """An evaluation of one model on one split."""

    model: str
    split: str
    data: str
    recordings: tuple[RecordingScore, ...]
    problems: tuple[Problem, ...]  # recordings that could not be scored; they are in no figure
    decode_seconds: float  # spent computing, reading files not counted
    threads: int
    sha256: str | None = None  # of the model file; None: a training run was evaluated

    @cached_property
    def errors(self) -> PhoneErrors:
        """Over all recordings."""
        return sum((recording.errors for recording in self.recordings), PhoneErrors())

    @property
    def seconds(self) -> float:
        """Of audio."""
        return sum(recording.seconds for recording in self.recordings)

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing for one of audio."""
        return self.decode_seconds / self.seconds

    @cached_property
    def confusions(self) -> NDArray[np.int64]:
        """As `score.confusion_table` gives it, [phones + 1, phones + 1]."""
        return confusion_table(recording.alignment for recording in self.recordings)

    @property
    def by_corpus(self) -> dict[str, PhoneErrors]:
        return _grouped((recording.corpus, recording.errors) for recording in self.recordings)

    @property
    def by_speaker(self) -> dict[str, PhoneErrors]:
        return _grouped((recording.speaker, recording.errors) for recording in self.recordings)


def _grouped(items: Iterable[tuple[str | None, PhoneErrors]]) -> dict[str, PhoneErrors]:
    groups: dict[str, PhoneErrors] = {}
    for name, errors in items:
        key = name or "unknown"
        groups[key] = groups.get(key, PhoneErrors()) + errors
    return dict(sorted(groups.items()))


def format_report(report: Report) -> str:
    """The report for a terminal: error rate, its parts, groups, what was taken for what, and the speed."""
    errors = report.errors
    length = errors.reference_length
    parts = [(name, getattr(errors, name)) for name in PARTS]
    blocks = [
        [
            f"{report.model} on {report.split} of {report.data}",
            f"{len(report.recordings):,} recordings, {report.seconds / 60:.1f} minutes, {length:,} phones",
            "",
            f"PER {errors.per:.2%}: " + ", ".join(f"{100 * n / length:.2f} {name}" for name, n in parts),
        ],
        _group_lines("corpus", report.by_corpus),
        _group_lines("speaker", report.by_speaker),
        _confusion_lines(report.confusions),
        [
            f"computed in {report.decode_seconds:.1f} s: {report.real_time_factor:.4f} of real time "
            f"on {report.threads} thread{'s' if report.threads > 1 else ''}"
        ],
    ]
    if report.problems:
        blocks.append([f"not scored: {len(report.problems):,} recordings"])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _group_lines(kind: str, groups: dict[str, PhoneErrors]) -> list[str]:
    """A table of groups if there are several; of many, those with the highest error rates."""
    if len(groups) < 2:
        return []
    ordered = sorted(groups.items(), key=lambda item: -item[1].per)
    shown = ordered[:SHOWN_GROUPS]
    title = kind if len(shown) == len(groups) else f"{kind} (worst {SHOWN_GROUPS} of {len(groups)})"
    width = max(len(title), *(len(name) for name, _ in shown))
    lines = [f"{title:<{width}}  {'phones':>8}  {'PER':>6}  {'sub':>6}  {'ins':>6}  {'del':>6}"]
    for name, errors in shown:
        counts = (errors.total, errors.substitutions, errors.insertions, errors.deletions)
        rates = "  ".join(f"{100 * count / max(1, errors.reference_length):6.2f}" for count in counts)
        lines.append(f"{name:<{width}}  {errors.reference_length:8,}  {rates}")
    return lines


def _confusion_lines(table: NDArray[np.int64]) -> list[str]:
    """The most frequent errors, each with its share of the reference phone."""
    found = top_confusions(table, SHOWN_CONFUSIONS)
    if not found:
        return []
    lines = ["most frequent errors"]
    for confusion in found:
        reference, _, times = confusion
        share = ""
        if reference is not None:
            share = f"  {times / table[PHONES.index(reference)].sum():6.1%} of {reference}"
        lines.append(f"{times:6,}  {confusion.words:<15}{share}".rstrip())
    return lines


def aligned(alignment: Sequence[Edit]) -> tuple[str, str]:
    """Reference and hypothesis as two lines of equal length, each reference phone above the decoded one."""
    pairs = [(edit.reference or GAP, edit.hypothesis or GAP) for edit in alignment]
    widths = [max(len(reference), len(hypothesis)) for reference, hypothesis in pairs]
    above = " ".join(pair[0].ljust(width) for pair, width in zip(pairs, widths, strict=True))
    below = " ".join(pair[1].ljust(width) for pair, width in zip(pairs, widths, strict=True))
    return above, below


def format_listing(report: Report) -> str:
    """Tab-separated lines, one for each recording, in the order of the split, below the columns' names."""
    lines = ["\t".join(LISTING_COLUMNS)]
    for recording in report.recordings:
        errors = recording.errors
        values = (
            recording.id,
            recording.corpus or "",
            recording.speaker or "",
            f"{recording.seconds:.3f}",
            f"{errors.per:.4f}",
            *astuple(errors),
            *aligned(recording.alignment),
        )
        lines.append("\t".join(map(str, values)))
    return "\n".join(lines) + "\n"


def format_confusions(report: Report) -> str:
    """The confusion table, tab-separated: a row for each reference phone, a column for each decoded phone.

    The last column counts deletions, the last row insertions; all of a row together are the reference's
    phones.
    """
    names = (*PHONES, GAP)
    lines = ["\t".join(("reference", *names))]
    for name, counts in zip(names, report.confusions.tolist(), strict=True):
        lines.append("\t".join((name, *map(str, counts))))
    return "\n".join(lines) + "\n"


def format_json(report: Report) -> str:
    """All of a report as one JSON object."""
    confusions = top_confusions(report.confusions, report.confusions.size)
    content = {
        "model": report.model,
        "model_sha256": report.sha256,
        "split": report.split,
        "data": report.data,
        **_counts(report.errors),
        "seconds": report.seconds,
        "decode_seconds": report.decode_seconds,
        "real_time_factor": report.real_time_factor,
        "threads": report.threads,
        "corpora": {name: _counts(errors) for name, errors in report.by_corpus.items()},
        "speakers": {name: _counts(errors) for name, errors in report.by_speaker.items()},
        "confusions": [confusion._asdict() for confusion in confusions],
        "recordings": [
            {
                "id": recording.id,
                "corpus": recording.corpus,
                "speaker": recording.speaker,
                "seconds": recording.seconds,
                **_counts(recording.errors),
                "reference": [edit.reference for edit in recording.alignment if edit.reference],
                "hypothesis": [edit.hypothesis for edit in recording.alignment if edit.hypothesis],
            }
            for recording in report.recordings
        ],
        "problems": [{"where": problem.where, "reason": problem.reason} for problem in report.problems],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _counts(errors: PhoneErrors) -> dict[str, Any]:
    return {"per": errors.per, **asdict(errors)}


def check_output(path: Path) -> None:
    """See that a file can be written, before hours go into what is to be written to it.

    Raises:
        DataError: it cannot.
    """
    with system_errors_as(DataError, f"{path}: cannot be written", "give another file"):
        there = path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            pass
        if not there:
            path.resolve().unlink()  # not a link to it


def write_output(path: Path, text: str) -> None:
    """Write a file that `check_output` has seen, whole or not at all; to a device or a pipe.

    Raises:
        DataError: it cannot be written.
    """
    with system_errors_as(DataError, f"{path}: cannot be written", "make room, or give another file"):
        atomic.write_output(path, text.encode())
