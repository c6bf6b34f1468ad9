"""Choosing a device, and the clock that says how much audio the system lost."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonestream.errors import AudioError
from phonestream.streaming.audio.devices import Device, find
from phonestream.streaming.audio.wall_clock import WallClock

RATE = 16_000
CHUNK = 640  # 40 ms

BUILT_IN = Device(0, "Built-in Audio", "ALSA", 2, 48_000, False)
USB = Device(2, "USB Audio: Headset (hw:1,0)", "ALSA", 1, 44_100, True)
USB_AGAIN = Device(5, "USB Audio: Headset", "JACK", 1, 48_000, False)
ALL = [BUILT_IN, USB, USB_AGAIN]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, USB),
        ("0", BUILT_IN),
        ("5", USB_AGAIN),
        ("built-in", BUILT_IN),
        ("headset jack", USB_AGAIN),
        ("USB Audio: Headset", USB_AGAIN),  # the very name, though the other's contains it
        ("USB Audio: Headset (JACK)", USB_AGAIN),
    ],
)
def test_a_device_is_found_by_number_name_or_words(wanted: str | None, expected: Device) -> None:
    assert find(wanted, ALL) == expected


@pytest.mark.parametrize(
    ("wanted", "among", "words"),
    [
        ("usb", ALL, "could be any of 2: USB Audio: Headset (hw:1,0) (ALSA), 5: USB Audio: Headset (JACK)"),
        ("3", ALL, "'3' is not there; there are 0: Built-in Audio (ALSA), 2: "),
        ("", ALL, "'' is not there"),
        (None, [BUILT_IN], "no default microphone; choose one with --device: 0: Built-in Audio (ALSA)"),
        (None, [], "there is no microphone"),
        ("usb", [], "there is no microphone"),
    ],
)
def test_a_device_that_is_not_one_is_refused_with_those_there_are(
    wanted: str | None, among: list[Device], words: str
) -> None:
    with pytest.raises(AudioError) as refused:
        find(wanted, among)
    assert words in str(refused.value)


def losses(arrivals: list[float], told: set[int] = frozenset(), start: int = 0) -> list[int]:
    """What a clock says was lost before each chunk of a source, by the times at which they arrive."""
    clock, end, found = WallClock(RATE), start, []
    for number, arrived in enumerate(arrivals):
        end += CHUNK
        found.append(clock.lost(end, arrived, number in told))
        end += found[-1]
    return found


def on_time(chunks: int) -> list[float]:
    return [(1 + number) * CHUNK / RATE for number in range(chunks)]


@given(st.floats(0.9995, 1.0005), st.integers(1, 500), st.floats(0, 60), st.integers(0, 99))
def test_delays_are_no_losses(pace: float, begin: int, stalled: float, seed: int) -> None:
    """Chunks come late, in a burst after a stall of up to a minute, and at a device's own idea of a second."""
    times = [pace * time for time in on_time(600)]
    until = times[begin] + stalled
    late = np.random.default_rng(seed).uniform(0, 0.03, len(times))
    arrivals = [(max(until, time) if at >= begin else time) for at, time in enumerate(times)]
    assert not any(losses(sorted(arrivals + late)))


@given(st.integers(50, 400), st.integers(1, 10 * RATE))
def test_a_loss_that_the_source_tells_of_is_measured_where_it_was(at: int, lost: int) -> None:
    arrivals = [time + (lost / RATE if number >= at else 0) for number, time in enumerate(on_time(500))]
    found = losses(arrivals, told={at})
    assert found[at] == pytest.approx(lost, abs=0.001 * RATE + 1)
    assert sum(found) == found[at]


@given(st.integers(100, 400), st.integers(2 * RATE, 60 * RATE))
def test_a_loss_that_it_does_not_tell_of_is_noticed_once_audio_flows_again(at: int, lost: int) -> None:
    arrivals = [time + (lost / RATE if number >= at else 0) for number, time in enumerate(on_time(700))]
    found = losses(arrivals)
    assert not any(found[:at])
    assert sum(found) == pytest.approx(lost, abs=0.02 * RATE)


def test_a_device_that_is_away_is_lost_time() -> None:
    clock, end = WallClock(RATE), 0
    assert clock.missing(0, 100.0) == 0  # it has not begun
    for number, arrived in enumerate(on_time(50)):
        end = (number + 1) * CHUNK
        assert clock.lost(end, arrived, told=False) == 0
    assert clock.missing(end, arrived + 3.0) == pytest.approx(3 * RATE, abs=1)


WITHOUT = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "sounddevice":
            raise {error}

sys.meta_path.insert(0, Broken())
from phonestream.cli import main
main()
"""


@pytest.mark.parametrize("command", ["devices", "listen"])
@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("OSError('PortAudio library not found')", "sudo apt-get install libportaudio2"),
        ("ModuleNotFoundError('no', name='sounddevice')", "pip install 'phonestream[mic]'"),
    ],
    ids=["no PortAudio", "no sounddevice"],
)
def test_what_is_not_installed_is_one_line_with_its_remedy(command: str, error: str, remedy: str) -> None:
    call = [sys.executable, "-c", WITHOUT.format(error=error), command]
    result = subprocess.run(call, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("phonestream: ")
    assert result.stderr.endswith(f"{remedy}\n")
