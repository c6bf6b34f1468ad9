"""What audio can be captured from, by PortAudio's account."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

from ...errors import AudioError

PORTAUDIO_MISSING = (
    "the PortAudio library, through which microphones are heard, is not installed; "
    "on Debian and Ubuntu: sudo apt-get install libportaudio2"
)


class Device(NamedTuple):
    """Something that audio can be captured from."""

    number: int
    """PortAudio's number, which changes when devices come and go."""
    name: str
    host_api: str
    """The system that it is reached through: ALSA, Core Audio, Windows WASAPI …"""
    channels: int
    """That it can capture."""
    sample_rate: int
    """Its own, in Hz."""
    default: bool

    def __str__(self) -> str:
        return f"{self.name} ({self.host_api})"


def devices() -> list[Device]:
    """All devices that can capture, in the order of their numbers.

    Raises:
        AudioError: PortAudio is not installed or does not work.
        ModuleNotFoundError: sounddevice is not installed.
    """
    sounddevice = portaudio()
    with explained("cannot list the devices"):
        apis = sounddevice.query_hostapis()
        default = sounddevice.default.device[0]
        return [
            Device(
                number=found["index"],
                name=found["name"],
                host_api=apis[found["hostapi"]]["name"],
                channels=found["max_input_channels"],
                sample_rate=round(found["default_samplerate"]),
                default=found["index"] == default,
            )
            for found in sounddevice.query_devices()
            if found["max_input_channels"] > 0
        ]


def find(wanted: str | None, among: list[Device]) -> Device:
    """The one device that is meant.

    Args:
        wanted: its number; or its name; or words that, in any case, its name and host API contain and no other
            device's do. None is the default device.
        among: `devices()`.

    Raises:
        AudioError: it is none of them, or several.
    """
    if not among:
        raise AudioError("there is no microphone: plug one in, or allow this program to use it")
    if wanted is None:
        default = next((device for device in among if device.default), None)
        if default is None:
            raise AudioError(
                f"the system has no default microphone; choose one with --device: {_names(among)}"
            )
        return default
    words = wanted.lower().split()
    exact = [device for device in among if wanted in (str(device.number), device.name, str(device))]
    found = exact or [
        device for device in among if words and all(word in str(device).lower() for word in words)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise AudioError(f"device {wanted!r} could be any of {_names(found)}; give its number")
    raise AudioError(f"device {wanted!r} is not there; there are {_names(among)}")


def portaudio() -> ModuleType:
    """The module, which loads PortAudio.

    Raises:
        AudioError: it finds no PortAudio.
        ModuleNotFoundError: sounddevice itself is not installed.
    """
    try:
        import sounddevice
    except OSError as error:  # sounddevice's wheels for Linux do not bring the library
        raise AudioError(PORTAUDIO_MISSING) from error
    module: ModuleType = sounddevice
    return module


@contextmanager
def explained(what: str) -> Iterator[None]:
    """PortAudio's errors as ours."""
    sounddevice = portaudio()
    try:
        yield
    except sounddevice.PortAudioError as error:
        reason = str(error.args[0] if error.args else error).rstrip(".")
        raise AudioError(
            f"{what}: {reason}; see with `phonestream devices` that it is there and that nothing else holds it"
        ) from None


def _names(among: list[Device]) -> str:
    return ", ".join(f"{device.number}: {device}" for device in among)
