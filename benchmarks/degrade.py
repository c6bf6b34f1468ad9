"""What happens to speech on its way to a recogniser: noise, clipping, telephones, codecs and rooms, for robustness.py.

Written apart from asr/training/channel.py, which training uses, and by other means (libsndfile's mu-law, real codecs,
rooms by the image-source method), so that a model is not asked what it was taught.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

Samples = NDArray[np.float32]
RATE = 16_000  # Hz
SOUND = 343.0  # metres a second


def at_snr(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    """`speech` with `noise`, both [n], scaled so that their mean powers over the whole recording differ by `snr_db`."""
    power = float(np.mean(np.square(speech, dtype=np.float64)))
    noise_power = float(np.mean(np.square(noise, dtype=np.float64))) or 1.0
    return (speech + noise * np.sqrt(power / noise_power * 10 ** (-snr_db / 10))).astype(np.float32)


def recorded_noise(folder: Path, length: int, rng: Generator) -> Samples:
    """[length] of the recordings in `folder` in random order, at the same mean power, faded into each other."""
    clips = _clips(folder)
    ramp = np.linspace(0, 1, RATE // 20, dtype=np.float32)
    noise = np.zeros(length + 2 * RATE, np.float32)
    at = 0
    while at < length:
        clip = clips[int(rng.integers(len(clips)))]
        fade = np.ones(len(clip), np.float32)
        fade[: len(ramp)], fade[-len(ramp) :] = ramp, ramp[::-1]
        noise[at : at + len(clip)] += clip * fade
        at += len(clip) - len(ramp)
    return noise[:length]


@lru_cache(maxsize=1)
def _clips(folder: Path) -> list[Samples]:
    paths = sorted(folder.iterdir())
    if not paths:
        raise SystemExit(f"{folder}: holds no noises")
    clips = []
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        if rate != RATE:
            raise SystemExit(f"{path}: has {rate} Hz, this benchmark wants {RATE}")
        level = float(np.sqrt(np.mean(samples**2)))
        if level > 1e-5 and RATE // 5 < len(samples) <= 2 * RATE:
            clips.append((samples / level).astype(np.float32))
    return clips


def pink_noise(length: int, rng: Generator) -> Samples:
    """[length] with a power that falls by 3 dB an octave, at mean power 1."""
    spectrum = rng.normal(size=length // 2 + 1) + 1j * rng.normal(size=length // 2 + 1)
    spectrum /= np.sqrt(np.maximum(1, np.arange(length // 2 + 1)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, length)
    return (noise / (np.sqrt(np.mean(noise**2)) + 1e-12)).astype(np.float32)


def babble(talkers: Sequence[Samples], length: int, rng: Generator) -> Samples:
    """[length] of six recordings at a time, each at the same mean power, from a random place on, round and round."""
    noise = np.zeros(length, np.float32)
    for index in rng.choice(len(talkers), min(6, len(talkers)), replace=False):
        talker = talkers[int(index)]
        start = int(rng.integers(len(talker)))
        noise += np.take(talker, np.arange(start, start + length), mode="wrap") / (talker.std() + 1e-9)
    return noise


def gain(samples: Samples, decibels: float) -> Samples:
    """Louder or softer, clipped at full scale, and rounded to 16 bits as a sound card rounds."""
    scaled = np.clip(samples * 10 ** (decibels / 20), -1, 1 - 2**-15)
    return (np.round(scaled * 32768) / 32768).astype(np.float32)


def telephone(samples: Samples) -> tuple[Samples, int]:
    """300 to 3400 Hz at 8 kHz in the mu-law of ITU-T G.711, as libsndfile encodes it: samples and their rate."""
    narrow = soxr.resample(samples, RATE, 8000, quality="VHQ")
    spectrum = np.fft.rfft(narrow)
    hertz = np.fft.rfftfreq(len(narrow), 1 / 8000)
    # Butterworth-like flanks
    spectrum *= 1 / (1 + (300 / np.maximum(hertz, 1)) ** 8) / (1 + (hertz / 3400) ** 24)
    narrow = np.fft.irfft(spectrum, len(narrow))
    file = io.BytesIO()
    soundfile.write(file, np.clip(narrow, -1, 1), 8000, format="WAV", subtype="ULAW")
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return decoded, rate


def codec(samples: Samples, name: str, container: str, bits: int) -> tuple[Samples, int]:
    """Through a lossy codec of FFmpeg at `bits` a second: samples and their rate."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(name, rate=RATE, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(
            np.clip(samples * 32768, -32768, 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = RATE
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", RATE, stream.codec_context.frame_size
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return decoded, rate


def room_response(decay_seconds: float, distance: float, rng: Generator) -> Samples:
    """The impulse response of a box-shaped room, by the image-source method (Allen & Berkley 1979).

    A room of 4 to 8 by 3 to 6 by 2.5 to 3.5 metres, all walls alike, talker and microphone at least half a metre from
    them. The direct sound is at sample 0 with amplitude 1.

    Args:
        decay_seconds: T60, from which Eyring's formula gives the walls' absorption.
        distance: from talker to microphone in metres, as far as the room has place for it.
    """
    size = np.array([rng.uniform(4, 8), rng.uniform(3, 6), rng.uniform(2.5, 3.5)])
    source = rng.uniform(0.5, size - 0.5)
    while True:
        direction = rng.normal(size=3) * [1, 1, 0.3]
        microphone = source + distance * direction / np.linalg.norm(direction)
        if np.all((microphone > 0.4) & (microphone < size - 0.4)):
            break
        source = rng.uniform(0.5, size - 0.5)
    volume = float(np.prod(size))
    surface = 2 * float(size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    absorption = 1 - np.exp(-0.161 * volume / (surface * decay_seconds))
    reflection = np.sqrt(1 - absorption)

    reach = decay_seconds * SOUND  # metres that sound goes before it is 60 dB down
    orders = [np.arange(-int(reach / (2 * side)) - 1, int(reach / (2 * side)) + 2) for side in size]
    # Along each axis an image lies at 2 n L + x or 2 n L - x, after |2 n| or |2 n - 1| reflections.
    places, bounces = [], []
    for axis, order in enumerate(orders):
        same, mirrored = 2 * order * size[axis] + source[axis], 2 * order * size[axis] - source[axis]
        places.append(np.concatenate([same, mirrored]) - microphone[axis])
        bounces.append(np.concatenate([np.abs(2 * order), np.abs(2 * order - 1)]))
    flat = places[1][:, None] ** 2 + places[2][None] ** 2
    count = bounces[1][:, None] + bounces[2][None]
    direct = float(np.linalg.norm(source - microphone))
    response = np.zeros(int(decay_seconds * RATE) + 2)
    for x, bounced in zip(places[0], bounces[0], strict=True):
        away = np.sqrt(x**2 + flat)
        delay = (away - direct) / SOUND * RATE
        heard = delay < len(response) - 1
        first = delay[heard].astype(int)
        amplitude = direct / away[heard] * reflection ** (bounced + count[heard])
        share = delay[heard] - first
        np.add.at(response, first, amplitude * (1 - share))  # linear interpolation: 1 dB or so off at 4 kHz
        np.add.at(response, first + 1, amplitude * share)
    return response.astype(np.float32)


def in_room(samples: Samples, response: Samples) -> Samples:
    """`samples` convolved with a room's response, at the power that they had.

    Below 50 Hz, where images of one sign add up to what no room does, it is cut off, as Allen & Berkley do.
    """
    size = 1 << (len(samples) + len(response)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    spectrum /= 1 + (50 / np.maximum(np.fft.rfftfreq(size, 1 / RATE), 1e-3)) ** 4
    heard = np.fft.irfft(spectrum, size)[: len(samples)]
    return (heard * np.sqrt(np.mean(samples**2) / (np.mean(heard**2) + 1e-20))).astype(np.float32)


def music(seconds: float, rng: Generator) -> Samples:
    """[n] of chords of plucked strings (Karplus & Strong 1983) over a bass and a drum, four to a bar."""
    length = int(seconds * RATE)
    out = np.zeros(length + 3 * RATE)
    beat = int(0.5 * RATE)
    chords = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))
    for number, at in enumerate(range(0, length, beat)):
        chord = chords[number // 4 % len(chords)]
        notes = [48 + chord[0] - 12] if number % 4 == 0 else []
        notes += [60 + chord[int(rng.integers(3))], 60 + chord[number % 3]]
        for note in notes:
            tone = _pluck(440 * 2 ** ((note - 69) / 12), 2.0, rng)
            out[at : at + len(tone)] += 0.2 * tone
        drum = rng.normal(size=beat // 4) * np.exp(-np.arange(beat // 4) / (0.02 * RATE))
        out[at : at + len(drum)] += 0.08 * drum
    return (0.3 * out[:length] / np.abs(out).max()).astype(np.float32)


def _pluck(hertz: float, seconds: float, rng: Generator) -> NDArray[np.float64]:
    period = int(RATE / hertz)
    ring = rng.uniform(-1, 1, period)
    rounds = []
    for _ in range(int(seconds * RATE / period)):
        rounds.append(ring)
        ring = 0.498 * (ring + np.roll(ring, -1))
    return np.concatenate(rounds)
