"""Log-mel features as Kaldi computes them, in the form that training, streaming and the ONNX graph all share.

Two facts make them cheap. The povey window is 0 at both ends of a frame, so that pre-emphasis may run over the whole
signal instead of each frame. And only the power of the DFT counts, which does not change when time is counted from the
frame's centre: there the window is even, so cosines need only the even part of a frame and sines only the odd part,
half the products of a plain DFT.

The products and a frame's mean are in float64. Audio that came from 8 kHz has next to nothing above 4 kHz, 90 dB below
the rest; float32 sums would round there by as much as shows in the logarithm, and differently in torch and in ONNX
Runtime.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...streaming.audio.samples import SAMPLE_RATE

WINDOW = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
CARRY = WINDOW - HOP  # samples before a block that its first frame still covers
FFT = 512  # points
TURN = 2 * FFT  # steps of one turn, in which half a sample's angles at every bin are whole numbers
TO_SINE = 3 * TURN // 4  # steps from a sine to the cosine that it is
PRE_EMPHASIS = 0.97
LOWEST_HZ = 20.0
FLOOR = 1.1920928955078125e-07  # of a filter's energy, before the logarithm: float32 epsilon, as in Kaldi
AUDIBLE = 55.0  # lowest energy that the model sees: about what rounding to 16 bits leaves in a filter
WARPED_BELOW = 4800.0  # Hz, about where a vocal tract's resonances end
FULL_SCALE = 32768.0  # Kaldi's samples are 16-bit integers


class HalfBases(NamedTuple):
    """Window times cosine and window times sine of half a frame, `[200, used bins]`, as what they are made of.

    Row `m` belongs to the two samples `m + 1/2` to either side of the frame's centre, so that all angles are whole
    multiples `(2 m + 1) bin` of a 1024th of a turn: one short table has all their cosines, and a quarter of a turn on
    their sines. A model file keeps these parts in place of the products, which are a hundred times their size.
    """

    table: Tensor  # float64 [1024]: cosines of one turn
    odd: Tensor  # int64 [200, 1]: 2 m + 1
    bins: Tensor  # int64 [1, used bins]
    window: Tensor  # float64 [200, 1], times full scale

    @classmethod
    def of(cls, used: Tensor) -> "HalfBases":
        """Those of the bins that `used`, bool `[257]`, names."""
        odd = 2 * torch.arange(WINDOW // 2) + 1
        window = (0.5 + 0.5 * torch.cos(math.pi * odd.double() / (WINDOW - 1))).pow(0.85)  # povey
        return cls(
            table=torch.cos(math.pi / FFT * torch.arange(TURN, dtype=torch.float64)),
            odd=odd[:, None],
            bins=used.nonzero().T,
            window=FULL_SCALE * window[:, None],
        )

    def cosines(self) -> Tensor:
        return self.window * self.table[self.odd * self.bins % TURN]

    def sines(self) -> Tensor:
        return self.window * self.table[(self.odd * self.bins + TO_SINE) % TURN]


class LogMel(nn.Module):
    """Samples to normalised log-mel features.

    Feature frame `i` covers samples `160 i - 240 … 160 i + 159`. Before normalisation the features equal Kaldi's
    `compute-fbank-feats` (snip-edges, no dither, povey window) on the signal with 240 zeros in front.
    """

    cosines: Tensor
    sines: Tensor
    filters: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, mels: int = 40) -> None:
        super().__init__()
        filters = mel_filters(mels)
        used = (filters > 0).any(dim=0)  # bins that no filter looks at need not be computed
        self.bases = HalfBases.of(used)
        self._used = used
        self.register_buffer("cosines", self.bases.cosines(), persistent=False)
        self.register_buffer("sines", self.bases.sines(), persistent=False)
        self.register_buffer("filters", filters[:, used].T.float().contiguous(), persistent=False)
        self.register_buffer("mean", torch.zeros(mels, 1))
        self.register_buffer("scale", torch.ones(mels, 1))

    def warped(self, factor: float) -> Tensor:
        """Filters float32 `[bins, mels]` that scale a voice's resonances as if they were `factor` times as high."""
        return mel_filters(self.filters.shape[1], factor)[:, self._used].T.float()

    def energies(self, audio: Tensor, filters: Tensor | None = None) -> Tensor:
        """Audio `[batch, 240 + 160 n]` in [-1, 1], the carried samples first, to filter energies `[batch, n, mels]`.

        `filters`, `[batch, bins, mels]`, take the place of this front end's own.
        """
        before = torch.cat([audio[:, :1], audio[:, :-1]], dim=1)
        frames = _frames(audio - PRE_EMPHASIS * before)
        after_centre, before_centre = frames[..., WINDOW // 2 :], frames[..., : WINDOW // 2].flip(-1)
        # Kaldi removes a frame's mean before pre-emphasis: 1 - 0.97 of it is left in each of a pair's two samples.
        mean = _frame_sums(audio.double()).unsqueeze(2) / WINDOW
        even = (after_centre + before_centre).double() - 2 * (1 - PRE_EMPHASIS) * mean
        odd = (after_centre - before_centre).double()
        real, imaginary = (even @ self.cosines).float(), (odd @ self.sines).float()
        return (real * real + imaginary * imaginary) @ (self.filters if filters is None else filters)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Kaldi's features `[batch, mels, n]`, from audio as for `energies`."""
        return self.energies(audio).clamp(min=FLOOR).log().transpose(1, 2)

    def forward(self, audio: Tensor, filters: Tensor | None = None) -> Tensor:
        """Like `log_mel`, but no lower than `AUDIBLE`, and normalised to mean 0 and variance 1 over the training set.

        Band-limited audio has filters with nothing in them, where Kaldi's floor is lower than in any training
        recording: normalisation would amplify rounding errors.
        """
        energies = self.energies(audio, filters).clamp(min=AUDIBLE)
        return ((energies.log() - self.mean.T) * self.scale.T).transpose(1, 2)


def mel_filters(mels: int, warp: float = 1.0) -> Tensor:
    """Kaldi's triangular filters on the mel scale `1127 ln(1 + f / 700)`, 20 Hz to 8 kHz: float64 `[mels, 257]`.

    With `warp` they take a frequency for one `warp` times as high, up to where 4800 Hz are either of the two; from
    there to 8 kHz in a straight line, so that nothing leaves the band (Jaitly and Hinton 2013, vocal tract length
    perturbation).
    """
    lowest, highest = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (LOWEST_HZ, SAMPLE_RATE / 2))
    edges = torch.linspace(lowest, highest, mels + 2, dtype=torch.float64)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64) * (SAMPLE_RATE / FFT)
    if warp != 1.0:
        nyquist, bend = SAMPLE_RATE / 2, WARPED_BELOW / max(warp, 1.0)
        above = nyquist - (nyquist - warp * bend) / (nyquist - bend) * (nyquist - bins)
        bins = torch.where(bins <= bend, warp * bins, above)
    position = 1127.0 * torch.log1p(bins / 700.0)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (position - left) / (centre - left)
    falling = (right - position) / (right - centre)
    filters = torch.minimum(rising, falling).clamp(min=0.0)
    filters[:, -1] = 0.0  # Kaldi leaves the Nyquist bin out
    return filters


def _frame_sums(signal: Tensor) -> Tensor:
    """Signal `[batch, 240 + 160 n]` to the sums over its frames `[batch, n]`, five pieces of 80 samples each."""
    pieces = signal.reshape(signal.shape[0], -1, HOP // 2).sum(dim=2)
    last = pieces.shape[1] - WINDOW // (HOP // 2)
    return sum((pieces[:, first : last + first + 1 : 2] for first in range(1, 5)), pieces[:, : last + 1 : 2])


def _frames(signal: Tensor) -> Tensor:
    """Signal `[batch, 240 + 160 n]` to overlapping frames `[batch, n, 400]`, in operations that ONNX has."""
    batch = signal.shape[0]
    first, last = signal[:, :-CARRY].reshape(batch, -1, HOP), signal[:, CARRY:].reshape(batch, -1, HOP)
    middle = signal[:, HOP // 2 : -HOP].reshape(batch, -1, HOP)[..., HOP // 2 :]
    return torch.cat([first, middle, last], dim=2)
