"""`phonestream spot --tune FOLDER`: thresholds of keywords from a user's own recordings and transcripts."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from ..errors import DataError
from .align_recording import align_said, compute, read_transcript
from .output import complain, printable
from .progress import Bar

if TYPE_CHECKING:
    from ..batch.entries import Entry, Source
    from ..batch.output import Output
    from ..batch.sinks import ResultSink
    from ..batch.spot_task import Opened, SpotSpec
    from ..batch.task import Progress, Result


class TuneTask(NamedTuple):
    """A recording with a transcript, in which keywords are looked for by ear and by eye."""

    source: "Source"
    transcript: str

    def run(self, opened: "Opened", output: "Output | None", progress: "Progress") -> "Result":
        """JSON of the keywords that are said, by the transcript, and of those that were spotted.

        Args:
            opened: from `SpotSpec.open`, with keywords of threshold 0.
            output: not used.
            progress: not called; a recording is one step.
        """
        from ..asr.evaluation.spotting import occurrences
        from ..batch.task import whole_result
        from ..batch.transcription import errors_named
        from ..streaming.spotting.keywords import Keywords

        recognizer, keywords = opened
        assert isinstance(keywords, Keywords)
        spotter = recognizer.open_spotter(keywords)
        assert spotter is not None
        file, phrases = self.source.path, [word.phrase for word in keywords]
        of_recording: list[str] = []

        def write(sink: "ResultSink") -> tuple[float, Sequence[str]]:
            with errors_named(self.source):
                computed = compute(recognizer, file, 1, remedy="make one of them a file")
                of_recording.extend(computed.remarks)
                said = read_transcript(self.transcript).said
                names = self.transcript, file
                alignment = align_said(recognizer, said, lambda: computed, names=names)
            certain, state = spotter.decode(spotter.initial(), computed.posteriors.rows)
            spotted = [*(one.event for one in certain), *spotter.finish(state)]
            found = {
                "said": [
                    [one.phrase, one.start, one.end] for one in occurrences(0, alignment.words, phrases)
                ],
                "spotted": [[one.phrase, one.start, one.end, one.score] for one in spotted],
            }
            sink.open(None, "json").write(json.dumps(found).encode())
            return computed.posteriors.seconds, ()

        return whole_result(self.source, None, write)._replace(remarks=tuple(of_recording))


def tune(
    folder: str,
    entries: "Sequence[Entry]",
    transcripts: Mapping[str, str],
    phrases: Sequence[str],
    spec: "SpotSpec",
    alarms: float,
    jobs: int,
) -> tuple[str, bool]:
    """The keywords as a list with a threshold for each, and whether all recordings could be used.

    Args:
        folder: what the recordings are called together.
        entries, transcripts: from `align_corpus.with_transcripts`.
        phrases: the keywords as they were given, with their phones where they have any.
        spec: the model, and those keywords with the threshold 0.
        alarms: false alarms of a keyword in an hour that are put up with.
        jobs: processes.

    Raises:
        DataError: a keyword has no words, or no recording could be used.
        ModelError, ConfigError: as `SpotSpec.open`.
    """
    from ..asr.evaluation.spotting import Said, judge, thresholds
    from ..asr.lexicon.text import normalise
    from ..batch.run import run
    from ..streaming.spotting.keywords import Keywords

    assert isinstance(spec.sought, Keywords)
    labels = [word.phrase for word in spec.sought]
    for label in labels:
        if "/" in label or not normalise(label):
            raise DataError(
                f"keyword {label!r} has phones alone: write its words before them, as in transcripts"
            )
    failures: list[str] = []
    said: list[Said] = []
    spotted: list[Said] = []
    used, seconds = 0, 0.0
    outcomes = run(entries, lambda source: TuneTask(source, transcripts[source.path]), spec, jobs=jobs)
    with Bar("tuning") as bar, closing(outcomes):
        for recording, (_, result) in enumerate(outcomes):
            for remark in result.remarks:
                bar.hide()
                complain(remark)
            if result.failure is not None:
                failures.append(result.failure)
                continue
            used += 1
            seconds += result.seconds
            for payload in result.payloads:
                with payload.file as file:
                    found = json.load(file)
                said += (Said(recording, *one) for one in found["said"])
                spotted += (Said(recording, *one) for one in found["spotted"])
            bar(recording + 1, len(entries))
    for failure in failures:
        complain(failure)
    if not used:
        raise DataError(f"{folder}: no recording of it could be used, so there is nothing to tune by")
    judged = judge(spotted, said)
    chosen = thresholds(judged, labels, seconds / 3600, alarms)
    lines = [
        f"# Expected false alarms of each in an hour: {alarms:g} at most.",
        f"# Recordings: {used} of {printable(folder)}, {seconds / 3600:.2f} h.",
    ]
    for phrase, label in zip(phrases, labels, strict=True):
        own = [one for one in judged if one.phrase == label and one.score >= chosen[label]]
        times, hits = sum(one.phrase == label for one in said), sum(one.hit for one in own)
        remark = f"said: {times}, found: {hits}, false alarms: {len(own) - hits}"
        lines.append(f"{phrase}\t{chosen[label]:.4f}  # {remark}")
    return "".join(f"{line}\n" for line in lines), not failures
