"""A recogniser: a model file, opened once, that hears any number of streams."""

import os
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from ..errors import ConfigError, ModelError
from . import snapshot, state
from .arrays import FloatArray
from .decode import Phone
from .decoding.config import N_BEST, BeamSearch, Decoding, check_decoding
from .decoding.decoder import BeamDecoder, Hypothesis
from .decoding.load import bundled_language_models, speaks
from .endpoint import EndpointConfig
from .metadata import ModelMetadata
from .model import Model
from .pool import many
from .pool.many import Outcome
from .spotting.commands import CommandRecognizer, Commands, check_commands, open_commands
from .spotting.keywords import Keywords
from .spotting.spotter import Spotter, open_spotter
from .stream import DEFAULT_RATE, Event, Stream


class Recognizer:
    """A model, ready to hear any number of streams. It never changes, and threads may share it.

    Examples:
        >>> recognizer = Recognizer()
        >>> stream = recognizer.stream()
        >>> for block in blocks:
        ...     for phone in stream.accept(block):
        ...         print(phone.symbol, phone.start, phone.end, phone.confidence)
        >>> stream.finish()
    """

    def __init__(
        self,
        model: str | PathLike[str] = "default",
        *,
        threads: int = 1,
        provider: str = "cpu",
        decoder: Decoding | None = None,
    ) -> None:
        """Open `model`, validate it and run one frame of silence through it.

        Args:
            model: path of an ONNX file made by `phonestream export`, or the name of a bundled model
                (`phonestream.bundled_models()`).
            threads: CPU threads for one call of the model. One is best for live audio and for many streams.
            provider: "cpu", or "cuda" with the onnxruntime-gpu package in the place of onnxruntime.
            decoder: how streams decode that do not ask for something else: "beam", "greedy" or a `BeamSearch`.
                None: beam search, or greedy decoding where the bundled language model lacks phones of the model.

        Raises:
            ModelError: the file is missing, not ours, of another version or inconsistent, `provider` is not
                there, or the decoder's language model cannot be used.
            ConfigError: `threads` is below 1, or `provider` or `decoder` is something else.
        """
        self._model = Model(model, threads=threads, provider=provider)
        if decoder is None:
            decoder = "beam" if speaks("default", self.phones) else "greedy"
        self._decoder: BeamDecoder | None = None
        self._decoder = self.open_decoder(decoder)

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

    @overload
    def stream(
        self,
        *,
        posteriors: bool = False,
        endpoints: Literal[False] = False,
        decoder: Decoding | None = None,
        keywords: None = None,
        commands: None = None,
    ) -> Stream: ...

    @overload
    def stream(
        self,
        *,
        posteriors: bool = False,
        endpoints: EndpointConfig | Literal[True],
        decoder: Decoding | None = None,
        keywords: None = None,
        commands: None = None,
    ) -> Stream[Event]: ...

    @overload
    def stream(
        self,
        *,
        posteriors: bool = False,
        endpoints: EndpointConfig | bool = False,
        decoder: Decoding | None = None,
        keywords: Keywords | None = None,
        commands: Commands | None = None,
    ) -> Stream[Any]: ...

    def stream(
        self,
        *,
        posteriors: bool = False,
        endpoints: EndpointConfig | bool = False,
        decoder: Decoding | None = None,
        keywords: Keywords | None = None,
        commands: Commands | None = None,
    ) -> Stream[Any]:
        """A new stream.

        Args:
            posteriors: whether its `take_posteriors` gives the rows of log-probabilities too.
            endpoints: rules that end an utterance, True for `EndpointConfig`'s own. `accept`, `gap` and
                `finish` then return `Endpoint` and `Lost` beside `Phone`.
            decoder: "beam", "greedy" or a `BeamSearch`; None: as the recognizer decodes. A language model is read
                when it is first asked for, and again when its file has changed.
            keywords: what to spot. `accept`, `gap` and `finish` then return `Spotted`, too: half a second after the
                keyword's end and the model's look-ahead, among the events of that time.
            commands: a closed list; needs `endpoints`. Behind each endpoint, and at the end, comes a `CommandResult` if
                any phone was heard since the one before.

        Raises:
            ConfigError: `endpoints`, `decoder`, `keywords` or `commands` is something else, or commands are wanted
                without endpoints.
            ModelError: the language model cannot be used.
        """
        rules = endpoint_config(endpoints)
        check_commands(commands, rules)
        initial = state.initial(
            self._model,
            posteriors,
            rules,
            self.open_decoder(decoder),
            self.open_spotter(keywords),
            self.open_commands(commands),
        )
        return Stream(self._model, initial)

    def restore(
        self, saved: bytes, *, keywords: Keywords | None = None, commands: Commands | None = None
    ) -> Stream[Any]:
        """The stream that `Stream.save` wrote, here or in another process; it goes on as if never stopped.

        Args:
            saved: the snapshot.
            keywords: those of the stream, which are not in the snapshot; None if it had none.
            commands: likewise.

        Raises:
            SnapshotError: not a snapshot, damaged, changed, of another format, of another model, with other keywords
                or commands, or of a language model that is neither bundled nor the recognizer's own.
        """
        spotter, ready = self.open_spotter(keywords), self.open_commands(commands)
        return Stream(self._model, snapshot.load(self._model, saved, self._decoder, spotter, ready))

    def accept_many(
        self,
        inputs: Sequence[tuple[Stream[Any], ArrayLike]],
        sample_rate: int | Sequence[int] = DEFAULT_RATE,
    ) -> list[Outcome]:
        """`Stream.accept` for many streams at once, in as few calls of the model as can be.

        Each stream hears its samples and gives the phones that it would give alone. One that cannot, for NaN in its
        audio say, stays as it was; the others go on.

        Examples:
            >>> for events, error in recognizer.accept_many([(stream, samples), (another, more)]):
            ...     print(error or events)

        Args:
            inputs: (stream, samples) pairs, samples as for `Stream.accept`; any number of them in each.
            sample_rate: Hz, one for all or one for each.

        Returns:
            For each input in order its events, and the error that `Stream.accept` would have raised, or None.

        Raises:
            ConfigError: a stream that is there twice or is another recognizer's, or rates that are not as many
                as the inputs. No stream has changed.
        """
        streams = [stream for stream, _ in inputs]
        if any(stream._model is not self._model for stream in streams):
            raise ConfigError("a stream of another recognizer: give each recognizer its own streams")
        if len({id(stream) for stream in streams}) < len(streams):
            raise ConfigError("a stream is there twice: concatenate its samples")
        rates = list(sample_rate) if isinstance(sample_rate, Sequence) else [sample_rate] * len(inputs)
        if len(rates) != len(inputs):
            raise ConfigError(
                f"{len(rates)} sample rates for {len(inputs)} inputs: give one, or one for each"
            )
        return many.accept(self._model, inputs, rates)

    def transcribe(
        self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE, *, decoder: Decoding | None = None
    ) -> list[Phone]:
        """All phones of a whole recording, given as for `Stream.accept`.

        Warns (`AudioWarning`) where channels cancel each other when they are mixed, so that little is heard.

        Raises:
            AudioError: as for `Stream.accept`.
            ConfigError, ModelError: as for `stream`.
        """
        stream = self.stream(decoder=decoder)
        return stream.accept(samples, sample_rate) + stream.finish()

    def transcribe_file(
        self, path: str | PathLike[str], *, channel: int | None = None, decoder: Decoding | None = None
    ) -> list[Phone]:
        """All phones of an audio file, of any format that `phonestream transcribe` reads, at any sample rate.

        Warns (`AudioWarning`) of what the command line remarks: that channels cancel each other when they are mixed,
        say, or that a file has no mark of its end.

        Args:
            path: of the file; `-` is standard input.
            channel: the one to be heard, counted from 1; None: their mean.
            decoder: as for `stream`.

        Raises:
            AudioError: the file is missing, no audio, damaged or cut short, or lacks the channel; the message begins
                with its path.
            ConfigError, ModelError: as for `stream`.
        """
        from .recording import transcribe_with

        return transcribe_with(self.stream(decoder=decoder), path, channel)

    def n_best(
        self,
        samples: ArrayLike,
        sample_rate: int = DEFAULT_RATE,
        *,
        limit: int = 5,
        decoder: BeamSearch = N_BEST,
    ) -> list[Hypothesis]:
        """The most probable transcripts of a whole recording, given as for `Stream.accept`; the best first.

        Raises:
            ConfigError: `limit` is below 1, or as for `stream`.
            AudioError: as for `Stream.accept`.
            ModelError: as for `stream`.
        """
        stream = self.stream(decoder=decoder)
        final = stream.accept(samples, sample_rate)
        stream.finish()
        return [way._replace(phones=(*final, *way.phones)) for way in stream.n_best(limit)]

    def log_probs(self, samples: ArrayLike, sample_rate: int = DEFAULT_RATE) -> FloatArray:
        """Log-probabilities [rows, phones + 1] of a whole recording, given as for `Stream.accept`.

        N samples at the model's rate give ceil(N / frame_samples) * rows_per_frame rows, each of
        `metadata.row_seconds`; column `metadata.blank` is the blank, and `phones` take the others in order.

        Raises:
            AudioError: as for `Stream.accept`.
        """
        stream = self.stream(posteriors=True, decoder="greedy")
        stream.accept(samples, sample_rate)
        stream.finish()
        return stream.take_posteriors()

    def open_spotter(self, keywords: Keywords | None) -> Spotter | None:
        """Keywords ready for streams of this model; None for none.

        Raises:
            ConfigError: they are something else, or in phones that the model has not.
        """
        return open_spotter(self.metadata, keywords)

    def open_commands(self, commands: Commands | None) -> CommandRecognizer | None:
        """Commands ready for streams of this model; None for none.

        Raises:
            ConfigError: they are something else, or in phones that the model has not.
        """
        return open_commands(self.metadata, commands)

    def open_decoder(self, decoder: Decoding | None = None) -> BeamDecoder | None:
        """The search that `decoder` asks for, ready for streams of this model; None: the recognizer's own.

        Returns:
            None for greedy decoding.

        Raises:
            ConfigError: it is something else.
            ModelError: the language model cannot be used.
        """
        if decoder is None:
            return self._decoder
        search = check_decoding(decoder)
        return None if search is None else BeamDecoder(self.metadata.decoder, search)

    def __copy__(self) -> "Recognizer":
        return self  # it never changes

    def __deepcopy__(self, memo: object) -> "Recognizer":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled are the model's name or path and how it was opened: whoever unpickles it opens the same file again.

        Raises, when it is unpickled:
            ModelError: the model, or the language model, cannot be opened there, or is another.
        """
        search = self._decoder
        if search is None:
            return _open_again, (self._model.arguments, self.sha256, "greedy", None)
        lm = search.settings.lm
        if lm is not None and fspath(lm) not in bundled_language_models():
            lm = os.path.abspath(lm)
        decoder = replace(search.settings, lm=lm)
        return _open_again, (self._model.arguments, self.sha256, decoder, search.rule.lm.sha256)

    def __repr__(self) -> str:
        return f"<Recognizer {self.metadata.name!r} {self.metadata.version}>"


def _open_again(
    arguments: tuple[str, int, str], sha256: str, decoder: Decoding, lm_sha256: str | None
) -> Recognizer:
    """The recogniser that was pickled."""
    model, threads, provider = arguments
    recognizer = Recognizer(model, threads=threads, provider=provider, decoder=decoder)
    search = recognizer.open_decoder()
    for name, expected, seen in (
        (model, sha256, recognizer.sha256),
        ("the language model", lm_sha256, None if search is None else search.rule.lm.sha256),
    ):
        if expected != seen:
            raise ModelError(f"{name}: is not the one that was pickled: give both processes the same file")
    return recognizer


def endpoint_config(endpoints: EndpointConfig | bool) -> EndpointConfig | None:
    """The rules that `endpoints` stands for.

    Raises:
        ConfigError: it is neither True, False nor an `EndpointConfig`.
    """
    if not isinstance(endpoints, bool | EndpointConfig):
        raise ConfigError(f"endpoints={repr(endpoints)[:60]}: expected True, False or an EndpointConfig")
    return EndpointConfig() if endpoints is True else endpoints or None
