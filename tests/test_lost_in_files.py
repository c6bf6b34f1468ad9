"""Audio that is missing in the middle of a file: counted and placed, whichever format numbers its pieces."""

import io
import itertools
import json
import re
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_model import toy_model
from typer.testing import CliRunner

from phonestream import AudioError
from phonestream.asr.align.alignment import Alignment
from phonestream.cli import app
from phonestream.commands.align_output import as_fields
from phonestream.formats.options import Options
from phonestream.formats.spotted import COMMAND_FORMATS, SPOT_FORMATS, Spots, Told
from phonestream.streaming.audio.containers.flac import _crc8, _read_header
from phonestream.streaming.audio.containers.ogg import _checksum, _page, opus_samples
from phonestream.streaming.audio.files import open_audio
from phonestream.streaming.audio.recording import Lost, lost_within
from phonestream.streaming.spotting.commands import CommandResult

DATA = Path(__file__).parent / "data" / "audio"
RATE = 16_000
FRAME = 4096  # samples of FLAC, libsndfile's choice


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(3).integers(-9000, 9000, 8 * RATE).astype(np.int16)


@pytest.fixture(scope="module")
def flac(noise: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What stands before the frames, and each of them."""
    path = tmp_path_factory.mktemp("flac") / "noise.flac"
    soundfile.write(path, noise, RATE)
    content = path.read_bytes()
    found, number = [], 0
    for match in re.finditer(rb"\xff\xf8", content):
        header = _read_header(content[match.start() : match.start() + 17], FRAME)
        if header is not None and header[0] == number * FRAME:
            found.append(match.start())
            number += 1
    assert number == -(-len(noise) // FRAME)
    return [content[a:b] for a, b in itertools.pairwise([0, *found, len(content)])]


def unknown_length(head: bytes) -> bytes:
    """As FLAC is written into a pipe."""
    return head[:21] + bytes([head[21] & 0xF0]) + bytes(4) + head[26:]


def heard(path: Path) -> tuple[np.ndarray, tuple[Lost, ...], tuple[str, ...], int]:
    with closing(open_audio(path)) as audio:
        samples = np.concatenate([*audio.blocks()])[:, 0]
        return samples, audio.lost, audio.remarks, audio.sample_rate


@pytest.mark.parametrize(
    ("gone", "known"),
    [([1], True), ([1], False), ([3, 4], True), ([5, 9, 10], True), ([5, 9, 10], False), ([30], True)],
)
def test_frames_of_flac_that_are_missing_are_counted_and_placed(
    gone: list[int], known: bool, flac: list[bytes], noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "hole.flac"
    head = flac[0] if known else unknown_length(flac[0])
    path.write_bytes(head + b"".join(frame for i, frame in enumerate(flac[1:]) if i not in gone))
    samples, lost, remarks, _ = heard(path)
    expected = noise / np.float32(32768)
    for frame in gone:
        expected[frame * FRAME : (frame + 1) * FRAME] = 0
    np.testing.assert_array_equal(samples, expected)
    told = np.zeros(len(noise), bool)
    for start, seconds in lost:
        told[round(start * RATE) : round((start + seconds) * RATE)] = True
    np.testing.assert_array_equal(told, np.isin(np.arange(len(noise)) // FRAME, gone))
    assert len(remarks) == 1
    assert remarks[0].startswith(
        f"lacks {len(gone) * FRAME / RATE:.2f} s of audio from {gone[0] * FRAME / RATE:.2f} s"
    )
    assert remarks[0].endswith("; silence stands for it")


@pytest.mark.parametrize("known", [True, False], ids=["length", "no-length"])
def test_flac_that_lacks_more_than_its_decoder_fills_is_refused(
    known: bool, flac: list[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "hole.flac"
    head = flac[0] if known else unknown_length(flac[0])
    path.write_bytes(head + b"".join(flac[1:4] + flac[23:]))
    with pytest.raises(AudioError, match=r"lacks 4.86 s of audio after 0.77 s, at byte \d+; copy"):
        heard(path)


def constant_frame(start: int, samples: int) -> bytes:
    """FLAC whose frames differ in size: one of `samples` of the same value, RFC 9639 section 9."""
    number = bytes([0xF0 | start >> 18, *(0x80 | start >> shift & 0x3F for shift in (12, 6, 0))])
    frame = b"\xff\xf9\x75\x08" + number + struct.pack(">H", samples - 1)
    frame += bytes([_crc8(frame), 0, 16, 0])
    crc = 0
    for byte in frame:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x18005) if crc & 0x8000 else crc << 1
    return frame + struct.pack(">H", crc)


@pytest.mark.parametrize(("last", "filled"), [(256, False), (512, True)])
def test_how_much_flac_may_lack_depends_on_the_last_frame_s_size(
    last: int, filled: bool, flac: list[bytes], tmp_path: Path
) -> None:
    """libFLAC puts zeros in the place of at most 50 frames of that size; here 15,000 samples are missing."""
    first = 1 << 16  # numbers from here on take as many bytes
    starts = [*range(first, first + 20_480, 512)]
    ends = first + 20_480 + last
    frames = [constant_frame(start, 512) for start in starts] + [constant_frame(first + 20_480, last)]
    frames += [constant_frame(start, 512) for start in range(ends + 15_000, ends + 15_000 + 20_480, 512)]
    path = tmp_path / "sizes.flac"
    head = unknown_length(flac[0])[:8] + struct.pack(">HH", 256, 512) + unknown_length(flac[0])[12:42]
    path.write_bytes(head[:4] + b"\x80" + head[5:] + b"".join(frames))
    if not filled:
        with pytest.raises(AudioError, match=r"lacks 0.94 s of audio after"):
            heard(path)
        return
    samples, lost, _, _ = heard(path)
    assert [round(seconds * RATE) for _, seconds in lost] == [15_000]
    assert len(samples) == 2 * 20_480 + last + 15_000


def test_whole_flac_lacks_nothing_whatever_bytes_are_in_it(
    flac: list[bytes], noise: np.ndarray, tmp_path: Path
) -> None:
    """A header of another frame within a frame is no frame: here one in a tag behind the audio."""
    tag = b"TAG" + flac[9][:17] + bytes(108)
    for content in (b"".join(flac), b"".join(flac) + tag, b"ID3\4\0\0\0\0\0\12" + bytes(10) + b"".join(flac)):
        path = tmp_path / "whole.flac"
        path.write_bytes(content)
        samples, lost, remarks, _ = heard(path)
        np.testing.assert_array_equal(samples, noise / np.float32(32768))
        assert (lost, remarks) == ((), ())


def pages(content: bytes) -> Iterator[bytes]:
    while content:
        size = 27 + content[26] + sum(content[27 : 27 + content[26]])
        yield content[:size]
        content = content[size:]


def moved(page: bytes, samples: int) -> bytes:
    """A page of Ogg that ends `samples` later."""
    (granule,) = struct.unpack_from("<q", page, 6)
    page = page[:6] + struct.pack("<q", granule + samples) + page[14:22] + bytes(4) + page[26:]
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


@pytest.mark.parametrize("samples", [300, 480, 2000, 4800])
@pytest.mark.parametrize("lasting", [True, False], ids=["lasting", "taken-back"])
def test_a_jump_of_ogg_s_positions_is_counted_and_placed(
    samples: int, lasting: bool, recordings: list[Path], tmp_path: Path
) -> None:
    path, content = tmp_path / "jump.opus", recordings[0].read_bytes()
    later = range(4, 1000) if lasting else [4]
    path.write_bytes(
        b"".join(moved(page, samples if i in later else 0) for i, page in enumerate(pages(content)))
    )
    whole, _, remarks, rate = heard(recordings[0])
    assert remarks == ()
    jumped, lost, remarks, new_rate = heard(path)
    ((start, seconds),) = lost
    assert seconds == pytest.approx(samples / 48_000)
    assert 1.9 < start < 3.1  # within the page
    filled = samples > 2400
    assert len(jumped) / new_rate - len(whole) / rate == pytest.approx(filled * samples / 48_000, abs=0.01)
    (remark,) = remarks
    assert remark.startswith(f"lacks {seconds:.2f} s of audio from {start:.2f} s on")
    assert remark.endswith("silence stands for it") == filled


@pytest.mark.parametrize("samples", [129, 480, 48_000])
def test_a_last_position_a_little_behind_what_the_last_page_holds_is_no_damage(
    samples: int, recordings: list[Path], tmp_path: Path
) -> None:
    """As in a recording that an encoder wrote whole; the decoder of libsndfile gives less than it states there."""
    path, whole = tmp_path / "last.opus", [*pages(recordings[0].read_bytes())]
    last, before = (struct.unpack_from("<q", page, 6)[0] for page in (whole[-1], whole[-2]))
    page = _page(whole[-1][:27], io.BytesIO(whole[-1][27:]))
    assert page is not None
    held = opus_samples(page)
    assert held is not None
    path.write_bytes(b"".join([*whole[:-1], moved(whole[-1], before + held - last + samples)]))
    if samples > 240:
        with pytest.raises(AudioError, match="breaks off after"):
            heard(path)
        return
    expected, _, _, rate = heard(recordings[0])
    samples_heard, lost, remarks, new_rate = heard(path)
    assert len(samples_heard) / new_rate > len(expected) / rate - 0.01
    assert (lost, remarks) == ((), ())


@pytest.mark.parametrize(
    ("sway", "expected"), [(100, 0), (480, 480), (1200, 1200)], ids=["unheard", "small", "large"]
)
def test_positions_that_sway_are_lost_audio_no_more_than_once(
    sway: int, expected: int, recordings: list[Path], tmp_path: Path
) -> None:
    """As where a recorder's time stamps were copied into Ogg: what is ahead on one page is taken back on the next."""
    path, content = tmp_path / "sway.opus", recordings[0].read_bytes()
    whole = [*pages(content)]
    assert len(whole) > 9
    between = range(3, len(whole) - 1)
    path.write_bytes(
        b"".join(moved(page, sway if i in between and i % 2 else 0) for i, page in enumerate(whole))
    )
    _, lost, remarks, _ = heard(path)
    assert sum(seconds for _, seconds in lost) == pytest.approx(expected / 48_000)
    assert len(lost) == len(remarks) == bool(expected)


@pytest.mark.parametrize("known", [True, False], ids=["length", "no-length"])
def test_frames_of_flac_behind_its_end_are_no_part_of_it(
    known: bool, flac: list[bytes], noise: np.ndarray, tmp_path: Path
) -> None:
    """Two frames of another file behind the end, and numbers that begin anew where frames of files were joined."""
    path = tmp_path / "behind.flac"
    if known:
        total = 20 * FRAME
        head = flac[0][:21] + bytes([flac[0][21] & 0xF0]) + total.to_bytes(4, "big") + flac[0][26:]
        path.write_bytes(head + b"".join(flac[1:21] + flac[29:31]))
        expected = noise[:total]
    else:
        path.write_bytes(unknown_length(flac[0]) + b"".join(flac[1:4] + flac[1:]))
        expected = np.concatenate([noise[: 3 * FRAME], noise])
    samples, lost, remarks, _ = heard(path)
    np.testing.assert_array_equal(samples, expected / np.float32(32768))
    assert (lost, remarks) == ((), ())


def test_what_joined_flac_lacks_is_placed_on_the_clock_of_what_is_heard(
    flac: list[bytes], noise: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "joined.flac"
    path.write_bytes(unknown_length(flac[0]) + b"".join(flac[1:7] + flac[1:3] + flac[4:]))
    samples, lost, _, _ = heard(path)
    ((start, seconds),) = lost
    assert (start * RATE, seconds * RATE) == (8 * FRAME, FRAME)
    expected = np.concatenate([noise[: 6 * FRAME], noise]) / np.float32(32768)
    expected[8 * FRAME : 9 * FRAME] = 0
    np.testing.assert_array_equal(samples, expected)


def test_lost_audio_is_in_the_json(flac: list[bytes], tmp_path: Path) -> None:
    model = toy_model(tmp_path / "toy.onnx")
    hole = tmp_path / "hole.flac"
    hole.write_bytes(b"".join(flac[:6] + flac[7:]))
    whole = tmp_path / "whole.flac"
    whole.write_bytes(b"".join(flac))
    files = [str(file) for file in (DATA / "clock-jumps.opus", hole, whole)]
    run = CliRunner().invoke(app, ["transcribe", "--format", "json", "--model", str(model), *files])
    assert run.exit_code == 0
    jump, missing, nothing = map(json.loads, run.stdout.splitlines())
    assert jump["lost"] == [{"start": 1.014, "seconds": 0.01}]
    assert jump["seconds"] == 5.001
    assert missing["lost"] == [{"start": 1.28, "seconds": 0.256}]
    assert missing["seconds"] == nothing["seconds"] == 8
    assert "lost" not in nothing


def test_lost_audio_is_in_the_json_of_spot_and_align() -> None:
    lost = (Lost(1.0, 0.25),)
    said = CommandResult("stop", 0.5, "stop", None, 0.1, 0.9)
    for form, found in (
        (SPOT_FORMATS, Spots("a", 2.0, (), lost=lost)),
        (COMMAND_FORMATS, Told("a", said, lost=lost)),
    ):
        assert json.loads(form["json"].write(found))["lost"] == [{"start": 1.0, "seconds": 0.25}]
    alignment = Alignment((), (), 0.0, 2.0, lost=lost)
    assert as_fields(alignment, "a", Options())["lost"] == [{"start": 1.0, "seconds": 0.25}]


def test_of_a_part_what_is_lost_within_it_is_told_on_its_own_clock() -> None:
    lost = (Lost(1.0, 0.5), Lost(3.0, 1.0))
    assert lost_within(lost, 0, float("inf")) == lost
    assert lost_within(lost, 1.25, 3.5) == (Lost(0, 0.25), Lost(1.75, 0.5))
    assert lost_within(lost, 1.5, 3.0) == ()
