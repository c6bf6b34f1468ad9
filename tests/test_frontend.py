"""The front end is Kaldi's filter bank, frame by frame and block by block."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from phonestream.asr.model.frontend import CARRY, HOP, LogMel


def speech(path: Path) -> torch.Tensor:
    samples, _ = soundfile.read(path, dtype="float32")
    return torch.from_numpy(samples[: len(samples) // HOP * HOP])[None]


@pytest.mark.parametrize("signal", ["speech", "quiet speech", "noise", "silence", "offset"])
def test_equals_torchaudios_kaldi_fbank(signal: str, recordings: list[Path]) -> None:
    audio = {
        "speech": lambda: speech(recordings[0]),
        "quiet speech": lambda: speech(recordings[1]) * 10 ** (-30 / 20),
        "noise": lambda: 0.5 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)),
        "silence": lambda: torch.zeros(1, 16000),
        "offset": lambda: speech(recordings[2]) * 0.5 + 0.25,
    }[signal]()
    audio = torch.nn.functional.pad(audio, (CARRY, 0))
    ours = LogMel().log_mel(audio)[0].T
    theirs = torchaudio.compliance.kaldi.fbank(audio * 32768, num_mel_bins=40, dither=0.0)
    assert ours.shape == theirs.shape
    if signal == "offset":  # torchaudio removes a large mean from float32 samples, we from a float64 basis
        assert (ours - theirs).abs().quantile(0.999) < 1e-3
    else:
        assert (ours - theirs).abs().max() < 1e-3


@pytest.mark.parametrize("mels", [23, 40, 80])
def test_frames_do_not_depend_on_the_block_they_came_in(mels: int) -> None:
    audio = torch.from_numpy(
        np.random.default_rng(1).normal(0, 0.1, (2, CARRY + 40 * HOP)).astype(np.float32)
    )
    frontend = LogMel(mels)
    whole = frontend(audio)
    assert whole.shape == (2, mels, 40)
    parts = [frontend(audio[:, first * HOP : CARRY + (first + 8) * HOP]) for first in range(0, 40, 8)]
    torch.testing.assert_close(torch.cat(parts, dim=2), whole, atol=1e-4, rtol=0)
