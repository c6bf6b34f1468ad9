"""Digits of 28 x 28 pixels, a transformer that draws them pixel by pixel, and how many bits it needs for a pixel.

The digits are the 1,797 of 8 x 8 that scikit-learn brings (Alpaydin and Kaynak 1998), enlarged; those that are learnt
from are turned, shifted and scaled a little, anew each time. Every fifth is kept for measuring. Pixels have 16 levels.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import records
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformer import Kind, Transformer

SIDE = 28  # pixels
MARGIN = 2  # pixels around a digit that is neither shifted nor scaled
PIXELS = SIDE * SIDE
LEVELS = 16
START = LEVELS  # the symbol before the first pixel
SAMPLES = 12  # images drawn for the picture


def small_digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Images `[count, 8, 8]` in [0, 1]: those to learn from, and those to measure on.

    Raises:
        ModuleNotFoundError: `pip install scikit-learn`.
    """
    from sklearn.datasets import load_digits

    images = load_digits().images / 16
    kept = np.arange(len(images)) % 5 == 4
    return images[~kept], images[kept]


def enlarge(image: NDArray[np.float64], rng: np.random.Generator | None) -> NDArray[np.int64]:
    """An image `[8, 8]` as levels `[784]`: cubic splines; with `rng` turned, shifted and scaled a little."""
    from scipy.ndimage import affine_transform

    angle, scale, shift = 0.0, 1.0, np.zeros(2)
    if rng is not None:
        angle, scale = math.radians(rng.uniform(-8, 8)), rng.uniform(0.9, 1.15)
        shift = rng.uniform(-0.5, 0.5, 2)  # in pixels of the small image
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = turn * scale * 8 / (SIDE - 2 * MARGIN)
    offset = 3.5 - matrix @ np.full(2, (SIDE - 1) / 2) + shift
    large = affine_transform(image, matrix, offset, (SIDE, SIDE), order=3, mode="grid-constant")
    return (large.clip(0, 1) * (LEVELS - 1)).round().astype(np.int64).ravel()


def shifted(pixels: Tensor) -> Tensor:
    """What the model sees when it is asked for each pixel `[batch, 784]`: the one before."""
    return functional.pad(pixels[:, :-1], (1, 0), value=START)


def build(kind: Kind, width: int, layers: int, heads: int) -> Transformer:
    """An untrained model of digits."""
    return Transformer(
        symbols=LEVELS + 1,
        outputs=LEVELS,
        length=PIXELS,
        width=width,
        layers=layers,
        heads=heads,
        kind=kind,
        columns=SIDE,
    )


def bits(model: Transformer, images: Tensor) -> float:
    """Bits for each pixel of `[count, 784]`."""
    total = 0.0
    with torch.no_grad():
        for batch in images.split(16):
            logits = model(shifted(batch))
            total += functional.cross_entropy(logits.flatten(0, 1), batch.flatten(), reduction="sum").item()
    return total / images.numel() / math.log(2)


@torch.no_grad()
def draw_samples(model: Transformer, count: int, pixels: int = PIXELS) -> Tensor:
    """The first `pixels` pixels of `count` images, `[count, pixels]`, one after another by the recurrent form."""
    past = model.start(count)
    symbols = torch.full((count,), START)
    drawn = []
    for position in range(pixels):
        logits, past = model.step(symbols, position, past)
        symbols = torch.multinomial(logits.softmax(dim=-1), 1)[:, 0]
        drawn.append(symbols)
    return torch.stack(drawn, dim=1)


def learn(kind: Kind, settings: dict[str, Any]) -> records.Row:
    """Train a model; its bits a pixel on what was kept, and images that it drew."""
    torch.manual_seed(1)
    model = build(kind, settings["width"], settings["layers"], settings["heads"])
    learnt, kept = small_digits()
    held_out = torch.from_numpy(np.stack([enlarge(image, None) for image in kept[: settings["held_out"]]]))
    steps = settings["steps"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps + 1, pct_start=0.1)
    rng = np.random.default_rng(1)
    smooth = None
    began = time.process_time()
    for step in range(steps):
        chosen = rng.integers(0, len(learnt), settings["batch"])
        pixels = torch.from_numpy(np.stack([enlarge(learnt[index], rng) for index in chosen]))
        loss = functional.cross_entropy(model(shifted(pixels)).flatten(0, 1), pixels.flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        now = loss.item() / math.log(2)
        smooth = now if smooth is None else 0.95 * smooth + 0.05 * now
        if (step + 1) % max(1, steps // 10) == 0:
            print(f"{kind}: step {step + 1}/{steps}, {smooth:.3f} bits a pixel", flush=True)
    seconds = time.process_time() - began
    model.eval()
    found = bits(model, held_out)
    drawn = draw_samples(model, SAMPLES, settings["drawn_pixels"])
    return {
        "kind": kind,
        "bits": found,
        "training_seconds": seconds,
        "samples": ["".join(f"{level:x}" for level in image) for image in drawn.tolist()],
    }


def table(rows: Sequence[records.Row]) -> str:
    """Markdown."""
    return records.markdown(
        rows,
        {
            "": lambda row: row["kind"],
            "bits for a pixel": lambda row: f"{row['bits']:.3f}",
            "s to train": lambda row: f"{row['training_seconds']:.0f}",
        },
    )


def picture(rows: Sequence[records.Row], path: Path) -> None:
    """Digits that were kept, then what each model drew."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kept = small_digits()[1][:SAMPLES]
    lines = [("kept digits", [enlarge(image, None) for image in kept])]
    for row in rows:
        images = [np.array([int(level, 16) for level in text]) for text in row["samples"]]
        lines.append(
            (f"drawn by {row['kind']}", [np.pad(image, (0, PIXELS - len(image))) for image in images])
        )
    figure, axes = pyplot.subplots(len(lines), 1, figsize=(8, 0.95 * len(lines)), layout="constrained")
    for axis, (name, images) in zip(np.atleast_1d(axes), lines, strict=True):
        tiles = [np.pad(image.reshape(SIDE, SIDE), 1) for image in images]
        axis.imshow(np.concatenate(tiles, axis=1), cmap="gray_r", vmin=0, vmax=LEVELS - 1)
        axis.set_axis_off()
        axis.set_title(name, fontsize=8, loc="left")
    records.save(figure, path)
