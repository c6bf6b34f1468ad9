"""A lamp on the screen that is turned on and off by voice.

    python examples/lamp.py              # say "lamp on", "turn the light off", "good night"
    python examples/lamp.py clip.wav     # a recording in the place of the microphone

Whatever else is said leaves the lamp as it is.
"""

import sys
from collections.abc import Iterator

import phonestream
from phonestream import CommandResult, Commands, CommandStream, Recognizer
from phonestream.streaming.audio.files import AudioFile

COMMANDS = Commands(
    [
        "lamp (on | off)",
        "[please] (turn | switch) the (lamp | light) (on | off)",
        "let there be light",
        "good night",
    ]
)
ON, OFF = "\N{ELECTRIC LIGHT BULB} on", "\N{NEW MOON SYMBOL} off"


def lit(command: str, before: bool) -> bool:
    """Whether the lamp is on after `command`."""
    if command.endswith((" on", "there be light")):
        return True
    return False if command.endswith((" off", "good night")) else before


def from_file(stream: CommandStream, path: str) -> Iterator[CommandResult]:
    """What is said in a recording."""
    with AudioFile(path) as audio:
        for block in audio.blocks():
            yield from results(stream.accept(block, audio.sample_rate))
    yield from results(stream.finish())


def from_microphone(stream: CommandStream) -> Iterator[CommandResult]:
    """What is said into the default microphone, until Ctrl-C."""
    from phonestream.streaming.audio.devices import devices, find
    from phonestream.streaming.audio.microphone import Microphone

    with Microphone(find(None, devices()), chunk_ms=40) as microphone:
        for chunk in microphone:
            if chunk.lost:
                yield from results(stream.gap(chunk.lost, microphone.sample_rate))
            yield from results(stream.accept(chunk.samples, microphone.sample_rate))


def results(events: list[object]) -> Iterator[CommandResult]:
    """The commands among events."""
    return (event for event in events if isinstance(event, CommandResult))


def main(arguments: list[str]) -> int:
    """Show the lamp, and again whenever it changes."""
    stream, on = CommandStream(Recognizer(), COMMANDS), False
    print(OFF, flush=True)
    try:
        for result in from_file(stream, arguments[0]) if arguments else from_microphone(stream):
            if result.command is None:
                print(f"  ({result.end:.1f} s: no command, nearest {result.best!r})", flush=True)
                continue
            on = lit(result.command, on)
            print(
                f"{ON if on else OFF}  ({result.end:.1f} s: {result.command!r}, {result.score:.2f})",
                flush=True,
            )
    except phonestream.PhonestreamError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
