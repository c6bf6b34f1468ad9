"""The encoder gives one answer, however its audio is cut, and looks no further ahead than it says."""

import dataclasses
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from phonestream.asr.model.config import EncoderConfig
from phonestream.asr.model.encoder import FRAME, Encoder, check_streams, pad
from phonestream.asr.training.checkpoint import expand_weights, load_weights
from phonestream.errors import ConfigError

SMALL = EncoderConfig(
    mels=20, subsampling_width=12, width=16, layers=2, heads=2, head_width=8, feed_forward=24, convolution=3
)
VARIANTS = {
    "default": SMALL,
    "paper": dataclasses.replace(SMALL, convolution=0, decay="none"),
    "learnt-decay": dataclasses.replace(SMALL, decay="learnt"),
    "two-rows": dataclasses.replace(SMALL, rows_per_frame=2),
    "look-ahead-convolution": dataclasses.replace(SMALL, look_ahead_convolution=2),
    "self-conditioned": dataclasses.replace(SMALL, rows_per_frame=2, self_condition_after=1),
}


def make(config: EncoderConfig) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(config)
    if encoder.look_ahead is not None:  # as made it is a mere delay
        torch.nn.init.normal_(encoder.look_ahead.convolution.weight, std=0.1)
    if encoder.conditioning is not None:  # as made it tells nothing
        torch.nn.init.normal_(encoder.conditioning.back.weight, std=0.1)
    return encoder.eval()


def noise(batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(seed).normal(0, 0.1, (batch, frames * FRAME)).astype(np.float32)
    )


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
@given(cuts=st.lists(st.integers(1, 29), max_size=6))
@settings(max_examples=20, deadline=None)
@torch.no_grad()
def test_streaming_equals_offline(config: EncoderConfig, cuts: list[int]) -> None:
    encoder, audio = make(config), noise(2, 30)
    whole, end = encoder(audio)
    state, rows = None, []
    edges = sorted({0, *cuts, 30})
    for first, last in pairwise(edges):
        log_probs, state = encoder(audio[:, first * FRAME : last * FRAME], state)
        rows.append(log_probs)
    torch.testing.assert_close(torch.cat(rows, dim=1), whole, atol=1e-5, rtol=0)
    assert state is not None
    for name, value in end.items():
        torch.testing.assert_close(state[name], value, atol=1e-4, rtol=1e-5, msg=name)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
@torch.no_grad()
def test_a_row_depends_on_no_later_audio(config: EncoderConfig) -> None:
    encoder, audio = make(config), noise(1, 20)
    changed = audio.clone()
    changed[:, 10 * FRAME :] = 0.5
    before, after = encoder(audio)[0], encoder(changed)[0]
    kept = 10 * config.rows_per_frame
    torch.testing.assert_close(before[:, :kept], after[:, :kept], atol=0, rtol=0)
    assert not torch.equal(before[:, kept:], after[:, kept:])


@torch.no_grad()
def test_a_look_ahead_convolution_lets_rows_hear_later_frames_and_starts_as_a_delay() -> None:
    plain, audio = make(SMALL), noise(1, 30)
    late = dataclasses.replace(SMALL, look_ahead_convolution=2)
    delayed = Encoder(late).eval()
    load_weights(delayed, expand_weights(plain.state_dict(), delayed), "plain")
    ahead = delayed(audio)[0][:, 2:]
    far = (ahead - plain(audio)[0][:, :-2]).abs().amax(dim=(0, 2))
    assert far[-1] < 0.05  # the two frames of zeros before the first fade from attention's sums
    assert far[-1] < far[0]
    hears = make(late)
    changed = audio.clone()
    changed[:, 11 * FRAME : 12 * FRAME] = 0.5
    held_back = torch.cat([hears(sound)[0] for sound in (audio, changed)])[:, 2:]
    assert (held_back[0] != held_back[1]).any(dim=1).nonzero()[0] == 9


@pytest.mark.parametrize(("layers", "after"), [(2, 3), (2, 5), (3, 4), (6, 7), (6, 12)])
@torch.no_grad()
def test_new_blocks_change_no_output_until_they_are_trained(layers: int, after: int) -> None:
    shallow = dataclasses.replace(
        SMALL,
        layers=layers,
        look_ahead_frames=2,
        look_ahead_convolution=2,
        self_condition_after=layers - 1,
    )
    plain, audio = make(shallow), noise(2, 30)
    for part in (plain.look_ahead, plain.conditioning):
        for weight in part.parameters():
            weight.normal_(std=0.2)
    late = layers - 1 + after - layers
    deep = Encoder(dataclasses.replace(shallow, layers=after, self_condition_after=late)).eval()
    load_weights(deep, expand_weights(plain.state_dict(), deep), "plain")
    torch.testing.assert_close(deep(audio)[0], plain(audio)[0])
    for block in deep.blocks:
        block.feed_out.weight.normal_(std=0.2)
    assert (deep(audio)[0] - plain(audio)[0]).abs().max() > 0.01


@torch.no_grad()
def test_wider_feed_forward_layers_change_no_output_until_they_are_trained() -> None:
    plain, audio = make(SMALL), noise(2, 30)
    wide = Encoder(dataclasses.replace(SMALL, feed_forward=2 * SMALL.feed_forward)).eval()
    load_weights(wide, expand_weights(plain.state_dict(), wide), "plain")
    torch.testing.assert_close(wide(audio)[0], plain(audio)[0])
    for block in wide.blocks:
        block.feed_out.weight.normal_(std=0.2)
    assert (wide(audio)[0] - plain(audio)[0]).abs().max() > 0.01
    with pytest.raises(ConfigError, match=r"wide: is of another configuration: blocks\.0\.feed_in\.bias"):
        load_weights(plain, expand_weights(wide.state_dict(), plain), "wide")


@torch.no_grad()
def test_an_intermediate_head_starts_as_the_last_one_and_untold_then_tells_what_it_hears() -> None:
    plain, audio = make(SMALL), noise(2, 30)
    told = Encoder(dataclasses.replace(SMALL, self_condition_after=1)).eval()
    load_weights(told, expand_weights(plain.state_dict(), told), "plain")
    early: list[torch.Tensor] = []
    untold = told(audio, intermediate=early)[0]
    torch.testing.assert_close(untold, plain(audio)[0])
    assert told.conditioning is not None
    torch.testing.assert_close(told.conditioning.head.weight, told.head.weight)
    (first,) = early
    torch.testing.assert_close(first.exp().sum(dim=-1), torch.ones(2, 30))
    told.conditioning.back.weight.normal_()
    after, later = told(audio, intermediate=early)[0], early[-1]
    assert torch.equal(first, later)
    assert (after - untold).abs().max() > 0.01


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
@torch.no_grad()
def test_batching_changes_nothing(config: EncoderConfig) -> None:
    encoder = make(config)
    recordings = [noise(1, frames, frames)[0][: frames * FRAME - 100] for frames in (3, 11, 7)]
    together = encoder.offline(pad(recordings, config.look_ahead_frames))
    for row, samples in zip(together, recordings, strict=True):
        alone = encoder.offline(pad([samples], config.look_ahead_frames))[0]
        assert len(alone) == encoder.rows(len(samples))
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ["linear", "softmax"])
@torch.no_grad()
def test_full_context_ends_with_the_recording(attention: str) -> None:
    encoder = make(EncoderConfig(**{**dataclasses.asdict(SMALL), "attention": attention}))
    recordings = [noise(1, frames, frames)[0] for frames in (3, 11)]
    look_ahead = SMALL.look_ahead_frames
    together = encoder.offline(pad(recordings, look_ahead), frames=torch.tensor([3, 11]) + look_ahead)
    for row, samples in zip(together, recordings, strict=True):
        alone = encoder.offline(pad([samples], look_ahead))[0]
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_backends_agree() -> None:
    encoder, audio = make(SMALL), noise(1, 70)
    reference, _ = encoder(audio)
    for backend in ("quadratic", "recurrent", "chunked"):
        encoder.backend = backend
        torch.testing.assert_close(encoder(audio)[0], reference, atol=1e-5, rtol=0)


def test_every_weight_learns() -> None:
    encoder = make(
        dataclasses.replace(SMALL, decay="learnt", look_ahead_convolution=2, self_condition_after=1)
    ).train()
    encoder(noise(2, 20))[0][..., 1].sum().backward()
    silent = [
        name for name, weight in encoder.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


@pytest.mark.parametrize("attention", ["linear", "softmax", "softmax-causal"])
def test_other_attentions_train_but_do_not_stream(attention: str) -> None:
    encoder = make(EncoderConfig(**{**dataclasses.asdict(SMALL), "attention": attention}))
    encoder.offline(noise(1, 10)).sum().backward()
    with pytest.raises(ConfigError, match="no state to stream with"):
        check_streams(encoder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers is 0"),
        ({"convolution": 1}, "convolution is 1"),
        ({"longest_half_life": 1.0}, "half_life"),
        ({"self_condition_after": 2}, "self_condition_after is 2: .* below layers, 2"),
        ({"look_ahead_convolution": 4}, "look_ahead_convolution is 4: .* not above look_ahead_frames, 3"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(change: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **change)
