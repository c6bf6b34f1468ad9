"""A microphone for machines that have none: what is played into PulseAudio's null sink is what it hears.

The server is a private one in a folder of its own, and ALSA's default device leads to it. Debian's packages:
pulseaudio, pulseaudio-utils, libasound2-plugins, libportaudio2.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

RATE = 44_100  # Hz, the rate that ALSA's pulse device says is its own: nothing on the way converts
SINK = "virtual"
ALSA = """
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


class VirtualMicrophone:
    """Plays into a microphone, and plugs it in and out."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.environment = environment
        """Of processes that are to hear it."""
        self._folder = folder

    def play(self, samples: np.ndarray) -> "subprocess.Popen[bytes]":
        """Begin to play int16 `samples` [n] at `RATE`."""
        file = self._folder / f"{time.monotonic_ns()}.wav"
        soundfile.write(file, samples, RATE, subtype="PCM_16")
        return subprocess.Popen(["paplay", file], env=self.environment)

    def plug(self) -> None:
        self._control("load-module", "module-null-sink", f"sink_name={SINK}", f"rate={RATE}", "channels=1")
        self._control("set-default-source", f"{SINK}.monitor")

    def unplug(self) -> None:
        self._control("unload-module", "module-null-sink")

    def _control(self, *command: str) -> None:
        subprocess.run(["pactl", *command], env=self.environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def virtual_microphone(folder: Path) -> Iterator[VirtualMicrophone]:
    """One that is plugged in, as long as the block lasts; `folder` is for its files."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (folder / "asound.conf").write_text(ALSA)
    socket = runtime / "socket"
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(runtime),
        "PULSE_RUNTIME_PATH": str(runtime),
        "PULSE_SERVER": f"unix:{socket}",
        "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
    }
    log = folder / "pulseaudio.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
                f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1",
            ],
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_for(socket, server, log)
        microphone = VirtualMicrophone(folder, environment)
        microphone.plug()
        yield microphone
    finally:
        server.terminate()
        server.wait()


def _wait_for(socket: Path, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        if socket.exists():
            return
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"PulseAudio does not answer: {log.read_text()}")
