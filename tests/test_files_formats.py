"""Formats beyond the usual: read to their end, and never shortened in silence where a header states a length."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonestream import AudioError
from phonestream.streaming.audio.files import AudioFile, open_audio
from phonestream.streaming.audio.media import MediaFile

DATA = Path(__file__).parent / "data" / "audio"
RATE = 8_000
NO_SEEK = [
    ("WAV", "GSM610"), ("WAV", "G721_32"), ("WAV", "NMS_ADPCM_16"), ("AIFF", "GSM610"), ("W64", "GSM610"),
    ("AU", "G723_24"), ("XI", "DPCM_16"), ("XI", "DPCM_8"),
]  # fmt: skip
STATE_THEIR_LENGTH = [
    ("VOC", "PCM_16"), ("VOC", "ULAW"), ("SVX", "PCM_16"), ("SVX", "PCM_S8"), ("AVR", "PCM_16"), ("AVR", "PCM_U8"),
    ("WVE", "ALAW"), ("MPC2K", "PCM_16"), ("MAT4", "FLOAT"), ("MAT4", "PCM_16"), ("MAT5", "DOUBLE"),
    ("MAT5", "PCM_16"), ("NIST", "PCM_16"), ("NIST", "ULAW"), ("NIST", "ALAW"), ("NIST", "PCM_24"),
    ("SDS", "PCM_16"), ("RF64", "PCM_16"), ("W64", "FLOAT"), ("CAF", "ALAC_16"), ("AU", "ULAW"),
]  # fmt: skip
"""As docs/command-line.md lists them."""


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, RATE).astype(np.float32)


def read(path: Path) -> np.ndarray:
    audio = open_audio(path)
    try:
        return np.concatenate(list(audio.blocks()))
    finally:
        audio.close()


@pytest.mark.parametrize(("container", "subtype"), NO_SEEK)
def test_codecs_in_which_nothing_can_seek_are_read_twice_from_the_beginning(
    container: str, subtype: str, noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "speech"
    rate = 44_100 if container == "XI" else RATE
    soundfile.write(path, noise, rate, format=container, subtype=subtype)
    with AudioFile(path) as audio:
        once = np.concatenate(list(audio.blocks()))
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), once)
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks(1000, 2000))), once[1000:2000])
    assert len(once) >= len(noise)


@pytest.mark.parametrize(("container", "subtype"), STATE_THEIR_LENGTH)
def test_a_whole_file_is_read_and_a_cut_one_refused(
    container: str, subtype: str, noise: np.ndarray, tmp_path: Path
) -> None:
    path, cut = tmp_path / "whole", tmp_path / "cut"
    soundfile.write(path, noise, RATE, format=container, subtype=subtype)
    assert len(read(path)) >= len(noise)
    content = path.read_bytes()
    for size in (len(content) - 200, len(content) // 2, len(content) // 10):
        cut.write_bytes(content[:size])
        with pytest.raises(AudioError, match="^" + str(cut)):
            read(cut)


def test_a_wav_whose_header_was_never_brought_up_to_date_is_heard_whole(
    noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "grown.wav"
    soundfile.write(path, noise, RATE)
    whole, content = read(path), bytearray(path.read_bytes())
    for stated in (0, RATE, 2 * RATE - 2000):
        content[4:8], content[40:44] = struct.pack("<I", stated + 36), struct.pack("<I", stated)
        path.write_bytes(content)
        with AudioFile(path) as audio:
            np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), whole)
            (remark,) = audio.remarks
        assert "not brought up to date" in remark


@pytest.mark.parametrize(
    "behind", [b"LIST\4\0\0\0INFO", b"TAG" + bytes(125), bytes(1000), b"\n", b"id3 \2\0\0\0ab"]
)
def test_chunks_tags_and_padding_behind_a_wav_are_no_audio(
    behind: bytes, noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "tagged.wav"
    soundfile.write(path, noise, RATE)
    whole = read(path)
    path.write_bytes(path.read_bytes() + behind)
    with AudioFile(path) as audio:
        np.testing.assert_array_equal(np.concatenate(list(audio.blocks())), whole)
        assert audio.remarks == ()


def test_a_second_part_of_a_wav_is_not_left_out(noise: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "parts.wav"
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes() + b"data" + struct.pack("<I", 2000) + b"\1\2" * 1000)
    with pytest.raises(AudioError, match="second part"):
        read(path)


@pytest.mark.parametrize("behind", [b"TAG" + bytes(125), bytes(512), b"APETAGEX" + bytes(24)])
def test_a_tag_behind_a_flac_is_no_damage(behind: bytes, noise: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "tagged.flac"
    soundfile.write(path, noise, RATE)
    whole = read(path)
    path.write_bytes(path.read_bytes() + behind)
    np.testing.assert_array_equal(read(path), whole)


def test_mp3_in_a_wav_is_heard_to_its_end(noise: np.ndarray, tmp_path: Path) -> None:
    path, wav = tmp_path / "speech.mp3", tmp_path / "speech.wav"
    soundfile.write(path, noise, 16_000, bitrate_mode="CONSTANT")
    frames = path.read_bytes()
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 16_000, 4000, 1, 0, 12, 1, 2, 576, 1, 0)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"fact" + struct.pack("<II", 4, 99_999)
    data = b"data" + struct.pack("<I", len(frames)) + frames
    wav.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(data)) + b"WAVE" + chunks + data)
    np.testing.assert_array_equal(read(wav), read(path))
    wav.write_bytes(wav.read_bytes()[: len(frames) // 2])
    with pytest.raises(AudioError, match="breaks off"):
        read(wav)


def test_an_mp3_cut_within_its_first_frames_is_refused(noise: np.ndarray, tmp_path: Path) -> None:
    path, cut = tmp_path / "speech.mp3", tmp_path / "cut.mp3"
    soundfile.write(path, noise, 16_000)
    content = path.read_bytes()
    for size in (10, 100, 300, 450, 600):
        cut.write_bytes(content[:size])
        with pytest.raises(AudioError, match="^" + str(cut)):
            read(cut)


def test_ogg_whose_clock_jumps_is_heard_to_its_end() -> None:
    path = DATA / "clock-jumps.opus"
    with pytest.raises(AudioError, match=r"clock jumps.*ffmpeg"):
        AudioFile(path)
    audio = open_audio(path)
    assert isinstance(audio, MediaFile)
    assert sum(map(len, audio.blocks())) / audio.sample_rate == pytest.approx(5.0, abs=0.02)
    audio.close()


def test_numbers_that_no_file_has_are_an_error_or_nothing(tmp_path: Path) -> None:
    header = b"NIST_1A\n   1024\nsample_count -i %s\nchannel_count -i 1\nsample_rate -i 16000\n"
    header += b"sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_coding -s3 pcm\nend_head\n"
    path = tmp_path / "crafted.sph"
    for count in (b"9" * 18, b"9" * 400):
        path.write_bytes((header % count).ljust(1024, b" ") + bytes(2000))
        try:
            assert len(read(path)) == 1000
        except AudioError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017


def test_nothing_is_printed_about_a_damaged_dump(tmp_path: Path) -> None:
    """By libsndfile, in the midst of the results on standard output, or after them."""
    path = tmp_path / "a.sds"
    soundfile.write(path, np.zeros(4000, np.int16), 8000, format="SDS")
    content = bytearray(path.read_bytes())
    content[21 + 2 * 127] = 0
    path.write_bytes(content)
    program = "import sys; from phonestream.streaming.audio.files import AudioFile; AudioFile(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert result.stdout == ""
    assert "is damaged in packet 3 of 100" in result.stderr
