"""A recogniser: a model file, opened once, that hears any number of streams."""

from os import PathLike

from numpy.typing import ArrayLike

from . import snapshot, state
from .arrays import Floats
from .decode import Phone
from .metadata import ModelMetadata
from .session import Model
from .stream import DEFAULT_RATE, Stream


class Recognizer:
    """A model, ready to hear any number of streams. It never changes, and threads may share it.

    >>> recognizer = Recognizer()
    >>> stream = recognizer.stream()
    >>> for block in blocks:
    ...     for phone in stream.accept(block):
    ...         print(phone.symbol, phone.start, phone.end, phone.confidence)
    >>> stream.finish()
    """

    def __init__(
        self, model: str | PathLike[str] = "default", *, threads: int = 1, provider: str = "cpu"
    ) -> None:
        """Open `model`, validate it and run one frame of silence through it.

        Args:
            model: path of an ONNX file made by `phonestream export`, or the name of a bundled model
                (`phonestream.bundled_models()`).
            threads: CPU threads for one call of the model. One is best for live audio and for many streams.
            provider: "cpu", or "cuda" with the onnxruntime-gpu package in the place of onnxruntime.

        Raises:
            ModelError: the file is missing, not ours, of another version or inconsistent, or `provider` is
                not there.
            ConfigError: `threads` is below 1, or `provider` unknown.
        """
        self._model = Model(model, threads=threads, provider=provider)

    @property
    def metadata(self) -> ModelMetadata:
        """What the model file says about itself."""
        return self._model.metadata

    @property
    def phones(self) -> tuple[str, ...]:
        """The symbols that the model tells apart."""
        return self._model.metadata.phones

    @property
    def sha256(self) -> str:
        """Of the model file, in hexadecimal; snapshots carry it."""
        return self._model.sha256

    def stream(self, *, posteriors: bool = False) -> Stream:
        """A new stream. With `posteriors`, its `take_posteriors` gives the rows of log-probabilities too."""
        return Stream(self._model, state.initial(self._model, posteriors))

    def restore(self, saved: bytes) -> Stream:
        """The stream that `Stream.save` wrote, here or in another process; it goes on as if never stopped.

        Raises:
            SnapshotError: not a snapshot, damaged, changed, of another format or of another model.
        """
        return Stream(self._model, snapshot.load(self._model, saved))

    def transcribe(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> list[Phone]:
        """All phones of a whole recording, given as for `Stream.accept`.

        Raises:
            AudioError: as for `Stream.accept`.
        """
        stream = self.stream()
        return stream.accept(samples, sample_rate) + stream.finish()

    def log_probs(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> Floats:
        """Log-probabilities [rows, phones + 1] of a whole recording, given as for `Stream.accept`.

        N samples at the model's rate give ceil(N / frame_samples) * rows_per_frame rows, each of
        `metadata.row_seconds`; column `metadata.blank` is the blank, and `phones` take the others in order.

        Raises:
            AudioError: as for `Stream.accept`.
        """
        stream = self.stream(posteriors=True)
        stream.accept(samples, sample_rate)
        stream.finish()
        return stream.take_posteriors()

    def __repr__(self) -> str:
        return f"<Recognizer {self.metadata.name!r} {self.metadata.version}>"
