"""Audio files: every sample of a whole file, and an error for any other."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phonestream import AudioError
from phonestream.streaming.audio import files
from phonestream.streaming.audio.files import AudioFile

RATE = 16_000
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@pytest.fixture(scope="module")
def speech(recordings: list[Path]) -> np.ndarray:
    return soundfile.read(recordings[0], dtype="float32")[0][: 3 * RATE]


@pytest.fixture(scope="module")
def whole(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The same three seconds in any of FORMATS."""
    folder = tmp_path_factory.mktemp("whole")

    def make(ending: str) -> Path:
        path = folder / f"speech.{ending}"
        if not path.exists():
            container, subtype = FORMATS[ending]
            soundfile.write(path, speech, RATE, format=container, subtype=subtype)
        return path

    return make


def read(path: Path | str) -> np.ndarray:
    with AudioFile(path) as audio:
        return np.concatenate(list(audio.blocks()))


def rejected(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("ending", FORMATS)
def test_all_samples_come_however_they_are_cut_into_blocks(
    ending: str, whole: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, rate = soundfile.read(whole(ending), dtype="float32", always_2d=True)
    np.testing.assert_allclose(read(whole(ending)), expected, atol=1e-7)  # MP3 differs in the last bit
    expected = read(whole(ending))
    for values in (3_943, 1_000, 576):
        monkeypatch.setattr(files, "BLOCK_VALUES", values)
        with AudioFile(whole(ending)) as audio:
            assert (audio.sample_rate, audio.channels, audio.frames) == (rate, 1, len(expected))
            assert audio.seconds == len(expected) / rate
            blocks = list(audio.blocks())
        assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
        assert max(map(len, blocks)) <= values
        np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_blocks_begin_again_at_the_beginning(whole: Callable[[str], Path]) -> None:
    with AudioFile(whole("flac")) as audio:
        np.testing.assert_array_equal(next(audio.blocks()), next(audio.blocks()))


def test_a_block_is_bounded_whatever_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.zeros((100, 1000), np.float32), 2_000_000_000)
    with AudioFile(path) as audio:
        assert all(block.size <= files.BLOCK_VALUES for block in audio.blocks())


@pytest.mark.parametrize("ending", FORMATS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_anywhere_is_an_error_or_lacks_nothing(
    ending: str, share: float, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole(ending).read_bytes()
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(content[: int(share * len(content))])
    expected = soundfile.read(whole(ending), dtype="float32", always_2d=True)[0]
    try:
        samples = read(cut)
    except AudioError as error:
        assert str(error).startswith(f"{cut}: ")  # noqa: PT017
        return
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("ending", ["wav", "aiff", "flac", "opus", "mp3"])
def test_the_error_says_after_how_many_seconds(
    ending: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole(ending).read_bytes()
    message = rejected(tmp_path / "half", content[: len(content) // 2])
    seconds = float(message.partition(" after ")[2].split()[0])
    assert 0.5 < seconds < 2.5, message


@pytest.mark.parametrize("ending", ["ogg", "opus", "flac"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_byte_is_noticed(
    ending: str, data: st.DataObject, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = bytearray(whole(ending).read_bytes())
    first = 8_192 if ending == "flac" else 0  # before a FLAC file's frames stand tags and tables of no matter
    content[data.draw(st.integers(first, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    rejected(tmp_path / f"damaged.{ending}", bytes(content))


@pytest.mark.parametrize("ending", ["ogg", "opus", "flac"])
def test_a_second_recording_behind_the_first_is_not_left_out(
    ending: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole(ending).read_bytes()
    assert "ffmpeg" in rejected(tmp_path / "joined", content + content)


def test_missing_pages_of_an_ogg_file_are_noticed(whole: Callable[[str], Path], tmp_path: Path) -> None:
    content = whole("opus").read_bytes()
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    assert len(pages) >= 5
    assert "lacks audio" in rejected(tmp_path / "hole.opus", b"".join(pages[:3] + pages[4:]))


@pytest.mark.parametrize("ending", ["ogg", "opus"])
def test_an_ogg_file_without_a_mark_of_its_end_is_heard_as_far_as_it_goes(
    ending: str, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole(ending).read_bytes()
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    path = tmp_path / f"unmarked.{ending}"
    path.write_bytes(b"".join(pages[:-1]))
    with AudioFile(path) as audio:
        samples = np.concatenate(list(audio.blocks()))
        (remark,) = audio.remarks
    assert "no mark of its end" in remark
    assert len(samples) > RATE
    np.testing.assert_allclose(samples[:-4000], read(whole(ending))[: len(samples)][:-4000], atol=1e-4)
    with AudioFile(whole(ending)) as audio:
        assert audio.remarks == ()


def without_length_header(mp3: bytes) -> bytes:
    """The first MPEG frame, which holds the length, left out."""
    return mp3[mp3.index(mp3[:2], 4) :]


ID3 = b"ID3\x04\0\0" + bytes([0, 0, 2, 0]) + bytes(256)


@pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
@pytest.mark.parametrize("front", [b"", ID3], ids=["bare", "tagged"])
def test_an_mp3_that_does_not_say_its_length_is_heard_to_its_end(
    mode: str, front: bytes, speech: np.ndarray, tmp_path: Path
) -> None:
    path, bare = tmp_path / "whole.mp3", tmp_path / "bare.mp3"
    soundfile.write(path, speech, RATE, bitrate_mode=mode, compression_level=0.5)
    bare.write_bytes(front + without_length_header(path.read_bytes()))
    samples, expected = read(bare), read(path)
    assert len(samples) >= len(speech)
    shift = 576  # one frame of the encoder's delay, which only a length header tells of
    np.testing.assert_allclose(samples[shift : shift + 40_000], expected[:40_000], atol=1e-4)


@pytest.mark.parametrize("behind", [b"\xaa" * 64, b"\r\n", bytes(4096), b"TAG" + bytes(125)])
def test_padding_behind_an_mp3_is_no_damage(
    behind: bytes, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "padded.mp3"
    path.write_bytes(whole("mp3").read_bytes() + behind)
    assert len(read(path)) >= len(read(whole("mp3")))


@pytest.mark.parametrize("between", [b"", ID3, b"TAG" + bytes(125) + ID3], ids=["none", "id3", "both"])
def test_joined_mp3s_are_heard_whole(between: bytes, whole: Callable[[str], Path], tmp_path: Path) -> None:
    content, path = whole("mp3").read_bytes(), tmp_path / "joined.mp3"
    path.write_bytes(content + between + content)
    once, twice = read(whole("mp3")), read(path)
    assert len(twice) >= 2 * len(once)
    second = twice[len(twice) // 2 :]
    assert np.abs(second).max() > 0.5 * np.abs(once).max()


def test_joined_mp3s_of_different_rates_are_refused(whole: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "other.mp3"
    soundfile.write(path, np.zeros(44_100, np.float32), 44_100)
    message = rejected(tmp_path / "joined.mp3", whole("mp3").read_bytes() + path.read_bytes())
    assert "changes its sample rate" in message


def test_bytes_that_are_no_frames_within_an_mp3_are_damage(
    whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = whole("mp3").read_bytes()
    half = content.index(content[:2], len(content) // 2)
    assert "is damaged" in rejected(tmp_path / "damaged.mp3", content[:half] + b"\xaa" * 64 + content[half:])


def test_one_frame_that_is_missing_from_an_mp3_is_told(whole: Callable[[str], Path], tmp_path: Path) -> None:
    content = whole("mp3").read_bytes()
    second, third = (content.index(content[:2], at) for at in (4, 300))
    for cut in (slice(second + 40, second + 200), slice(second, third), slice(second + 8, len(content))):
        rejected(tmp_path / "cut.mp3", content[: cut.start] + content[cut.stop :])


def test_chance_bytes_of_a_flac_are_not_held_against_mpeg(tmp_path: Path) -> None:
    with AudioFile(Path(__file__).parent / "data" / "audio" / "mpeg-like.flac") as audio:
        assert audio.format == "FLAC"
        assert sum(map(len, audio.blocks())) == audio.frames


def test_tags_around_an_mp3_are_no_damage(whole: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "tagged.mp3"
    content = whole("mp3").read_bytes()
    front = b"ID3\x04\0\0" + bytes([0, 0, 2, 0]) + bytes(256)
    path.write_bytes(front + content + b"TAG" + bytes(125))
    np.testing.assert_array_equal(read(path), read(whole("mp3")))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000], ids=["ffmpeg", "sox"])
def test_a_wav_written_into_a_pipe_is_read_to_its_end(
    size: int, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = bytearray(whole("wav").read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path), read(whole("wav")))


def test_a_flac_that_does_not_say_how_long_it_is_is_read_to_its_end(
    whole: Callable[[str], Path], tmp_path: Path
) -> None:
    content = bytearray(whole("flac").read_bytes())
    content[21] &= 0xF0  # the number of samples, 36 bits of STREAMINFO
    content[22:26] = bytes(4)
    path = tmp_path / "piped.flac"
    path.write_bytes(content)
    with AudioFile(path) as audio:
        assert audio.frames is None
        assert audio.seconds is None
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), read(whole("flac")))


def test_a_pipe_is_read_like_the_file_that_went_into_it(whole: Callable[[str], Path]) -> None:
    reading, writing = os.pipe()
    os.write(writing, whole("opus").read_bytes()[:60_000])
    os.close(writing)
    np.testing.assert_array_equal(read(f"/dev/fd/{reading}"), read(whole("opus")))
    os.close(reading)


def test_channels_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    expected = np.stack([np.full(1000, 0.25, np.float32), np.full(1000, -0.5, np.float32)], axis=1)
    soundfile.write(path, expected, 44_100, subtype="FLOAT")
    np.testing.assert_array_equal(read(path), expected)


def test_a_name_that_is_not_utf_8_can_be_opened(whole: Callable[[str], Path], tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.wav")
    Path(path).write_bytes(whole("wav").read_bytes())
    np.testing.assert_array_equal(read(path), read(whole("wav")))


def test_what_is_no_audio_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(path: Path | str) -> str:
        with pytest.raises(AudioError) as caught:
            AudioFile(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        return text

    assert "no such file" in message(tmp_path / "missing.wav")
    assert "no such file" in message("")
    assert "folder" in message(tmp_path)
    assert "device" in message("/dev/null")
    assert "cannot be opened" in message("null\0character")
    assert "ffmpeg" in rejected(tmp_path / "text.wav", b"this is no audio at all\n" * 20)
    assert "ffmpeg" in rejected(tmp_path / "noise.mp3", np.random.default_rng(1).bytes(100_000))
    assert "empty" in rejected(tmp_path / "empty.wav", b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    assert "no samples" in message(tmp_path / "none.wav")
    header = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 0, RATE, 0, 0, 16)
    assert "hannel count is zero" in rejected(tmp_path / "no.wav", header + b"data" + struct.pack("<I", 0))

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbidden)
    assert "permissions" in message(tmp_path / "private.wav")


def test_a_file_that_is_refused_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("no audio")
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with pytest.raises(AudioError):
            AudioFile(path)
    assert len(os.listdir("/dev/fd")) == before
