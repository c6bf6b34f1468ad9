"""Recordings that only FFmpeg reads: all of their audio at the player's times, and an error for what is missing."""

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from missing_modules import BLOCKING
from toy_model import toy_model

from phonestream.errors import AudioError
from phonestream.streaming.audio.files import open_audio
from phonestream.streaming.audio.media import MediaFile

DATA = Path(__file__).parent / "data" / "audio"
RATE = 48_000
CODECS = {
    "m4a": "aac",
    "mp4": "aac",
    "mov": "alac",
    "webm": "libopus",
    "mkv": "flac",
    "wma": "wmav2",
    "aac": "aac",
}


def encode(
    path: Path,
    samples: np.ndarray,
    *,
    codec: str,
    video: bool = False,
    delay: float = 0.0,
    hole: range = range(0),
) -> Path:
    """Write `samples` [n, channels], the sound `delay` seconds after the picture, without the frames in `hole`."""
    options = {"movflags": "faststart"} if path.suffix in (".m4a", ".mp4", ".mov") else {}
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(path, "w", options=options) as container:
        if video:
            pictures = container.add_stream("mpeg4", rate=10, width=16, height=16, pix_fmt="yuv420p")
        stream = container.add_stream(codec, rate=RATE, layout=layout, bit_rate=96_000)
        if video:
            for index in range(10):
                picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
                picture.pts, picture.time_base = index, Fraction(1, 10)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        for number, first in enumerate(range(0, len(samples), 1024)):
            if number in hole:
                continue
            block = np.ascontiguousarray(samples[first : first + 1024].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.pts = RATE, first + round(delay * RATE)
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def speech(recordings: list[Path]) -> np.ndarray:
    """Three seconds, [n, 1] at 48 kHz."""
    samples, _ = soundfile.read(recordings[0], dtype="int16")
    return np.repeat(samples[: 3 * 16_000], 3)[:, None]


@pytest.fixture(scope="module")
def whole(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("media")

    def make(ending: str) -> Path:
        path = folder / f"speech.{ending}"
        return path if path.exists() else encode(path, speech, codec=CODECS[ending])

    return make


def read(path: Path) -> np.ndarray:
    audio = open_audio(path)
    assert isinstance(audio, MediaFile)
    blocks = list(audio.blocks())
    audio.close()
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    return np.concatenate(blocks)


@pytest.mark.parametrize("ending", CODECS)
def test_the_audio_is_what_was_written(ending: str, whole: Callable[[str], Path], speech: np.ndarray) -> None:
    samples, expected = read(whole(ending))[:, 0], speech[:, 0] / np.float32(32768)
    assert abs(len(samples) - len(expected)) <= 2 * 2048  # a codec's padding, in front and behind
    window = slice(RATE, 2 * RATE)
    shifts = (
        range(0, 4096, 32) if ending in ("wma", "aac") else [0]
    )  # these do not say what they put in front
    best = max(
        np.corrcoef(samples[RATE + shift : 2 * RATE + shift], expected[window])[0, 1] for shift in shifts
    )
    assert best > (0.999999 if ending in ("mov", "mkv") else 0.95)


def test_channels_and_parts(speech: np.ndarray, tmp_path: Path) -> None:
    stereo = np.concatenate([speech, np.flip(speech, 0)], axis=1)
    path = encode(tmp_path / "stereo.mkv", np.ascontiguousarray(stereo), codec="flac")
    audio = open_audio(path)
    assert (audio.sample_rate, audio.channels) == (RATE, 2)
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), stereo / np.float32(32768))
    part = np.concatenate(list(audio.blocks(50_001, 100_003)))
    np.testing.assert_array_equal(part, stereo[50_001:100_003] / np.float32(32768))
    audio.close()


def test_times_are_the_player_s_where_the_sound_begins_late(speech: np.ndarray, tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", speech, codec="flac", video=True, delay=0.5)
    samples = read(path)
    assert not samples[: round(0.499 * RATE)].any()
    assert abs(len(samples) - len(speech) - RATE // 2) <= RATE // 1000


def test_what_is_missing_in_the_middle_is_silence_and_the_clock_stays_right(
    speech: np.ndarray, tmp_path: Path
) -> None:
    path = encode(tmp_path / "hole.mkv", speech, codec="pcm_s16le", hole=range(40, 60))
    with closing(open_audio(path)) as audio:
        samples = np.concatenate([*audio.blocks()])
        assert audio.remarks == ("lacks 0.43 s of audio from 0.85 s on; silence stands for it",)
        assert [(round(start, 2), round(seconds, 2)) for start, seconds in audio.lost] == [(0.85, 0.43)]
    assert abs(len(samples) - len(speech)) <= RATE // 1000
    assert not samples[41 * 1024 : 59 * 1024].any()
    np.testing.assert_allclose(samples[-1024:], speech[-1024:] / 32768, atol=1e-7)


@pytest.mark.parametrize("ending", ["m4a", "mov", "webm", "mkv", "wma"])
@pytest.mark.parametrize("share", [0.02, 0.4, 0.8])
def test_a_file_that_breaks_off_is_an_error(
    ending: str, share: float, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole(ending).read_bytes()
    path = tmp_path / f"cut.{ending}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    with av.open(tmp_path / "silent.mp4", "w") as container:
        stream = container.add_stream("mpeg4", rate=10, width=16, height=16, pix_fmt="yuv420p")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))))
        container.mux(stream.encode(None))
    (tmp_path / "text.mp4").write_text("no film\n" * 1000)
    (tmp_path / "noise.webm").write_bytes(np.random.default_rng(1).bytes(100_000))
    for name, words in [
        ("silent.mp4", "no audio, only pictures"), ("text.mp4", "not audio of a kind"), ("noise.webm", "not audio")
    ]:  # fmt: skip
        with pytest.raises(AudioError, match=words) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_without_the_extra_the_error_names_it(whole: Callable[[str], Path], tmp_path: Path) -> None:
    model = toy_model(tmp_path / "toy.onnx")
    code = BLOCKING.format(absent=["av"])
    command = [sys.executable, "-c", code, "transcribe", "--model", str(model), str(whole("m4a"))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(f"phonestream: {whole('m4a')}: is not audio of a kind")
    assert result.stderr.endswith("pip install 'phonestream[media]'\n")


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_matroska_file_without_its_last_bytes_is_refused(
    share: float, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole("mkv").read_bytes()
    path = tmp_path / "cut.mka"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioError, match="breaks off"):
        read(path)


def test_a_tag_that_is_not_utf_8_is_no_reason_to_hear_nothing(
    whole: Callable[[str], Path], speech: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "tagged.mka"
    with av.open(whole("mkv")) as source, av.open(path, "w", format="matroska") as copy:
        copy.metadata["TITLE"] = "Hoeren"
        stream = copy.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    content = path.read_bytes()
    assert content.count(b"Hoeren") == 1
    path.write_bytes(content.replace(b"Hoeren", b"H\xf6\xf6ren"))
    assert abs(len(read(path)) - len(speech)) <= 2048


@pytest.mark.parametrize(
    ("ending", "codec", "container"),
    [("wav", "adpcm_g722", "wav"), ("wav", "mp2", "wav"), ("caf", "alac", "caf")],
)
def test_codecs_that_libsndfile_lacks_are_heard(
    ending: str, codec: str, container: str, tmp_path: Path, recordings: list[Path]
) -> None:
    path = tmp_path / f"speech.{ending}"
    samples, rate = soundfile.read(recordings[0], dtype="int16")
    with av.open(path, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 1024)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    heard = read(path)
    assert len(heard) / open_audio(path).sample_rate == pytest.approx(len(samples) / rate, abs=0.1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(AudioError, match=f"^{path}: "):
        read(path)


@pytest.mark.parametrize("name", ["speex.spx", "flac.oga", "wma.wav", "opus.caf"])
def test_codecs_that_libsndfile_lacks_in_files_that_ffmpeg_wrote(name: str, tmp_path: Path) -> None:
    content = (DATA / name).read_bytes()
    audio = open_audio(DATA / name)
    assert len(read(DATA / name)) / audio.sample_rate == pytest.approx(0.6, abs=0.06)
    path = tmp_path / name
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(AudioError, match=f"^{path}: "):
        read(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "x.wav",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n",
        ),
        ("x.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{other}\n#EXT-X-ENDLIST\n"),
        (
            "x.mp3",
            "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        ),
        ("x.txt", "ffconcat version 1.0\nfile '{other}'\n"),
    ],
)
def test_no_file_opens_another_or_an_address(
    name: str, text: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        path = tmp_path / name
        path.write_text(text.format(port=server.getsockname()[1], other=whole("aac")))
        with pytest.raises(AudioError, match="not audio of a kind"):
            read(path)
        with pytest.raises(BlockingIOError):
            server.accept()
