"""A stream of commands: at each endpoint, what was said since the one before."""

from ..endpoint import EndpointConfig
from ..recognizer import Recognizer
from ..stream import Stream
from ..stream_state import Event
from .commands import Commands


class CommandStream(Stream[Event]):
    """A stream that tells which command each utterance was.

    Examples:
        >>> stream = CommandStream(Recognizer(), Commands(["lamp (on | off)"]))
        >>> for block in blocks:
        ...     for event in stream.accept(block):
        ...         if isinstance(event, CommandResult):
        ...             print(event.command)

    It is `recognizer.stream(commands=…, endpoints=True, decoder="greedy")`: events are those of a stream with
    endpoints, and behind each endpoint (and at the end) a `CommandResult` if any phone was heard since the one before.
    What `save` gives goes on with `recognizer.restore(saved, commands=…)`.
    """

    def __init__(
        self, recognizer: Recognizer, commands: Commands, *, endpoints: EndpointConfig | bool = True
    ) -> None:
        """
        Args:
            recognizer: hears it; phones are decoded greedily.
            commands: the closed list.
            endpoints: rules that end an utterance, True for the usual ones.

        Raises:
            ConfigError: no rules, or commands in phones that the model has not.
        """
        made = recognizer.stream(endpoints=endpoints, commands=commands, decoder="greedy")
        super().__init__(made._model, made._state)
