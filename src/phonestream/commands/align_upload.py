"""What `phonestream serve` does with a recording and its transcript: the work of `align --format json`."""

from typing import Any

from ..asr.lexicon.lexicon import bundled
from ..errors import DataError
from ..formats.options import Options
from ..streaming.recognizer import Recognizer
from ..streaming.server.alignment import Aligner, AlignRequest, Progress
from .align_output import as_fields, remarks
from .align_recording import Computed, Said, align_said, compute


def upload_aligner(recognizer: Recognizer) -> Aligner:
    """An aligner for `streaming.server.run`, with the bundled lexicon."""

    def align(path: str, name: str, asked: AlignRequest, progress: Progress) -> dict[str, Any]:
        of_recording: list[str] = []

        def posteriors() -> Computed:
            computed = compute(
                recognizer,
                path,
                asked.time_shifts,
                progress=lambda done, _: progress(done),
                remedy="send one of them alone",
            )
            of_recording.extend(remark.removeprefix(f"{path}: ") for remark in computed.remarks)
            return computed

        try:
            alignment = align_said(
                recognizer,
                [Said(asked.transcript)],
                posteriors,
                names=("transcript", path),
                phonemes=asked.phonemes,
                lexicon=bundled(),
                refuse=asked.refuse,
            )
        except ModuleNotFoundError as error:  # of the extra that reads digits
            raise DataError(
                f"transcript: this server lacks {error.name}, which reads numbers; write them as words"
            ) from None
        except DataError as error:
            raise DataError("; ".join([str(error), *of_recording])) from None
        found = [*of_recording, *remarks(alignment)]
        return as_fields(alignment, name, Options()) | ({"remarks": found} if found else {})

    return align
