"""The encoders of the speech table: ours with another attention, or with a Bi-LSTM in the place of its blocks."""

from collections.abc import Callable

from lsh import Lsh
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from phonestream.asr.model.blocks import Block
from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import Encoder
from phonestream.kernels import State, causal_linear_attention, feature_map

Build = Callable[[EncoderConfig], Encoder]


class WholeRecordings(Encoder):
    """Ours, but every recording is run in one piece, so that all rows of the table are evaluated alike."""

    @property
    def streams(self) -> bool:
        return False


def with_blocks(make: Callable[[EncoderConfig], nn.Module]) -> Build:
    """Ours with blocks that `make` makes."""

    def build(config: EncoderConfig) -> Encoder:
        encoder = WholeRecordings(config)
        encoder.blocks = nn.ModuleList(make(config) for _ in range(config.layers))
        return encoder

    return build


class LshBlock(Block):
    """A block with LSH attention. It has no use for keys of their own, whose projection stays as it was drawn."""

    def __init__(self, config: EncoderConfig, rounds: int) -> None:
        super().__init__(config)
        self.lsh = Lsh(rounds, causal=False)

    def _attend(
        self, qk: Tensor, v: Tensor, state: State, frames: Tensor | None, backend: str | None
    ) -> tuple[Tensor, State]:
        q, _ = self._heads(qk).chunk(2, dim=1)
        return self.lsh(q, self._heads(v), frames).transpose(1, 2).flatten(2), state


class ForgetfulBlock(Block):
    """A block of causal linear attention whose `s` and `z` are zeroed before every `chunk` frames."""

    def __init__(self, config: EncoderConfig, chunk: int) -> None:
        super().__init__(config)
        self.chunk = chunk

    def _attend(
        self, qk: Tensor, v: Tensor, state: State, frames: Tensor | None, backend: str | None
    ) -> tuple[Tensor, State]:
        batch, time = v.shape[:2]
        qk, v = (
            functional.pad(part, (0, 0, 0, -time % self.chunk)).reshape(-1, self.chunk, part.shape[-1])
            for part in (feature_map(qk), v)
        )
        q, k = self._heads(qk).chunk(2, dim=1)
        y = causal_linear_attention(q, k, self._heads(v), decay=self.decay(), backend=backend)[0]
        return y.transpose(1, 2).reshape(batch, -1, self.inner)[:, :time], state


class Lstm(nn.Module):
    """A bidirectional LSTM layer in the place of a block; both directions' outputs are projected to the width."""

    def __init__(self, config: EncoderConfig, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.lstm = nn.LSTM(config.width, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, config.width)

    def forward(
        self,
        x: Tensor,
        state: State,
        tail: Tensor | None,
        *,
        frames: Tensor | None = None,
        dropout: float = 0.0,
        backend: str | None = None,
    ) -> tuple[Tensor, State, Tensor | None]:
        """As `Block.forward`; frames beyond a recording's own are zeros and reach no other."""
        hidden = self.norm(x)
        if frames is None:
            y = self.lstm(hidden)[0]
        else:
            packed = pack_padded_sequence(hidden, frames.cpu(), batch_first=True, enforce_sorted=False)
            y = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return x + functional.dropout(self.out(y), dropout, training=dropout > 0), state, tail


def bi_lstm(hidden: int) -> Build:
    """Our front end, subsampling and head, with layers of `hidden` units in each direction between them."""
    return with_blocks(lambda config: Lstm(config, hidden))


def lsh(rounds: int) -> Build:
    """Reformer's attention over the full context."""
    return with_blocks(lambda config: LshBlock(config, rounds))


def forgetful(chunk: int) -> Build:
    """Ours, forgetting all that the attention remembers at every chunk."""
    return with_blocks(lambda config: ForgetfulBlock(config, chunk))


def parameters(encoder: nn.Module) -> int:
    """How many weights are learnt."""
    return sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad)
