"""What `POST /v1/transcribe` answers: the format and the names that a request asks for."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import ConfigError
from ..streaming.audio.recording import Lost
from ..streaming.decode import Phone
from .document import Document
from .options import Options
from .registry import Format, find, needs_intervals
from .tiling import tile

PARAMETERS = ("format", "phones", "visemes")

MEDIA_TYPES = {
    "json": "application/json",
    "rhubarb": "application/json",
    "eaf": "application/xml",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
OTHER = "text/plain; charset=utf-8"


class AnswerWriter(NamedTuple):
    """How a request wants its transcript."""

    form: Format
    options: Options

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES.get(self.form.name, OTHER)

    def write(self, file: str, seconds: float, phones: Sequence[Phone], lost: tuple[Lost, ...] = ()) -> bytes:
        """The transcript of `file`, and in JSON what is missing within it."""
        intervals = tile(phones, seconds) if needs_intervals([self.form], self.options) else ()
        return self.form.write(Document(file, seconds, phones, intervals, lost=lost), self.options)


def answer_writer(parameters: Mapping[str, str]) -> AnswerWriter:
    """What `parameters` of a request ask for: `format`, by default json; `phones`, by default arpabet, or `visemes`.

    Raises:
        ConfigError: there is no such format, phone set, set of shapes or parameter, or both of phones and shapes.
    """
    unknown = [name for name in parameters if name not in PARAMETERS]
    if unknown:
        known = f"{', '.join(PARAMETERS[:-1])} or {PARAMETERS[-1]}"
        raise ConfigError(f"unknown parameter {unknown[0][:80]!r}: expected file, {known}")
    if "phones" in parameters and "visemes" in parameters:
        raise ConfigError("visemes: are shapes, not phones; leave out phones")
    options = Options(parameters.get("phones", "arpabet"), parameters.get("visemes"))
    return AnswerWriter(find(parameters.get("format", "json")), options)
