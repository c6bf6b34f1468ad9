"""Tables 1 and 2 of Katharopoulos et al. (2020): images drawn pixel by pixel, and a model that was taught to do so.

    python benchmarks/paper/generation.py

Speed, of untrained models of the paper's size (784 pixels: 8 layers, 3072: 16 layers; 8 heads of 32): what a pixel
takes is measured at positions spread evenly over the image, and the image's time is their mean times its pixels, since
softmax recomputed for every pixel of a large image would take an hour. With `--positions 3072` every pixel is measured.
LSH has nothing to carry from one pixel to the next, so that it is recomputed too. Memory is the most that a process
grows by while it draws the last pixel, what is carried there included, divided by the images; the carried part is given
apart.

Digits, by `digits.py`: a small model is taught with linear and one with softmax attention; bits for a pixel, and
samples.

`--only speed` and `--only digits` do one of the two; the first needs a quiet machine.
"""

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import digits
import records
import torch
from memory import peak_bytes
from transformer import Cache, Kind, Transformer

from phonestream.kernels import State

LEVELS = 256  # of a pixel
LAYERS = {784: 8, 3072: 16}  # by an image's pixels
LEAST_SECONDS = 0.1  # for which a position is measured


class Method(NamedTuple):
    """A way to draw: with which attention, and whether its past is carried from pixel to pixel."""

    kind: Kind
    carried: bool


METHODS = {
    "linear, recurrent (ours)": Method("linear", True),
    "softmax, keys and values cached": Method("softmax", True),
    "softmax, recomputed": Method("softmax", False),
    "LSH-1, recomputed": Method("lsh-1", False),
    "LSH-4, recomputed": Method("lsh-4", False),
}


class Shape(NamedTuple):
    """Size of a model and of the images that it draws."""

    pixels: int
    layers: int
    width: int
    heads: int
    batch: int


class Painter:
    """Draws any one pixel of a batch of images, as if all before it had been drawn."""

    def __init__(self, method: Method, shape: Shape) -> None:
        torch.manual_seed(1)
        self.method = method
        self.model = Transformer(
            symbols=LEVELS,
            outputs=LEVELS,
            length=shape.pixels,
            width=shape.width,
            layers=shape.layers,
            heads=shape.heads,
            kind=method.kind,
        ).eval()
        self.drawn = torch.randint(LEVELS, (shape.batch, shape.pixels))
        self.batch = shape.batch
        self.past: list[State | Cache] = []
        self.remember()

    @torch.inference_mode()
    def remember(self) -> None:
        """Put something in the place of what the pixels before would have left: all ones."""
        self.past = self.model.start(self.batch) if self.method.carried else []
        for layer in self.past:
            for part in layer:
                part.fill_(1.0)

    @torch.inference_mode()
    def draw(self, position: int) -> None:
        """The pixel at `position`."""
        if self.method.carried:
            logits, self.past = self.model.step(self.drawn[:, position], position, self.past)
        else:
            logits = self.model(self.drawn[:, : position + 1])[:, -1]
        torch.multinomial(logits.softmax(dim=-1), 1)

    def carried_bytes(self) -> int:
        """Size of what is carried from pixel to pixel, beside the pixels."""
        return sum(part.nbytes for layer in self.past for part in layer)


def last_pixel(method: Method, shape: Shape) -> Callable[[], object]:
    """For `peak_bytes`: what is carried, and the last pixel, of a model that is there already."""
    painter = Painter(method, shape)
    painter.draw(0)
    painter.past = []

    def run() -> None:
        painter.remember()
        painter.draw(shape.pixels - 1)

    return run


def measure(method: Method, shape: Shape, positions: int) -> dict[str, float]:
    """Images a second, and bytes for an image."""
    painter = Painter(method, shape)
    painter.draw(0)
    count = min(positions, shape.pixels)
    taken = []
    for index in range(count):
        position = int((index + 0.5) * shape.pixels / count)
        repeated, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < LEAST_SECONDS or repeated == 0:
            painter.draw(position)
            repeated += 1
        taken.append(elapsed / repeated)
    return {
        "images_per_second": shape.batch / (shape.pixels * statistics.fmean(taken)),
        "carried_bytes": painter.carried_bytes() / shape.batch,
        "peak_bytes": peak_bytes(last_pixel, method, shape) / shape.batch,
    }


def speed_table(rows: Sequence[records.Row]) -> str:
    """Markdown."""

    def faster(row: records.Row) -> str:
        wanted = {**row, "method": "softmax, recomputed"}
        base = [r for r in rows if all(r[key] == wanted[key] for key in ("method", "pixels", "batch"))]
        return f"{row['images_per_second'] / base[0]['images_per_second']:.1f} x" if base else ""

    return records.markdown(
        sorted(rows, key=lambda row: (row["pixels"], row["batch"])),
        {
            "pixels": lambda row: f"{row['pixels']}",
            "images at once": lambda row: f"{row['batch']}",
            "": lambda row: row["method"],
            "images/s": lambda row: f"{row['images_per_second']:.3g}",
            "against softmax, recomputed": faster,
            "carried, MiB/image": lambda row: f"{row['carried_bytes'] / 2**20:.2f}",
            "peak, MiB/image": lambda row: f"{row['peak_bytes'] / 2**20:.1f}",
        },
    )


def draw(rows: Sequence[records.Row], path: Path) -> None:
    """Images a second of every method, a panel for each number of pixels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = sorted({row["pixels"] for row in rows})
    batches = sorted({row["batch"] for row in rows})
    names = [name for name in METHODS if any(row["method"] == name for row in rows)]
    figure, axes = pyplot.subplots(
        1, len(sizes), figsize=(4.8 * len(sizes), 3.2), squeeze=False, sharey=True, layout="constrained"
    )
    for axis, pixels in zip(axes[0], sizes, strict=True):
        for index, batch in enumerate(batches):
            found = [row for row in rows if row["pixels"] == pixels and row["batch"] == batch]
            lines = [names.index(row["method"]) + 0.38 * index for row in found]
            speeds = [row["images_per_second"] for row in found]
            axis.barh(lines, speeds, height=0.36, label=f"{batch} at once")
        axis.set(xscale="log", xlabel="images a second, one thread", title=f"{pixels} pixels")
        axis.set_yticks([index + 0.19 for index in range(len(names))], names, fontsize=8)
        axis.grid(alpha=0.3, axis="x")
    axes[0][0].invert_yaxis()
    axes[0][-1].legend(frameon=False, fontsize=8, loc="lower right")
    records.save(figure, path)


def speed(options: argparse.Namespace) -> None:
    """Measure what is missing; print the table."""
    place = records.places("generation", options)
    if not options.table:
        settings = {name: getattr(options, name) for name in ("width", "heads", "layers", "positions")}
        record = records.Record(place.rows, settings, ["method", "pixels", "batch"], again=options.again)
        for pixels in options.pixels:
            for batch in options.batches:
                for name, method in METHODS.items():
                    key = {"method": name, "pixels": pixels, "batch": batch}
                    if record.find(**key) is not None:
                        continue
                    layers = options.layers or LAYERS[pixels]
                    found = measure(
                        method, Shape(pixels, layers, options.width, options.heads, batch), options.positions
                    )
                    record.add(key | found)
                    print(
                        f"{pixels} pixels, {batch} at once, {name}: {found['images_per_second']:.3g} images/s"
                    )
    settings, rows = records.read(place.rows)
    print(f"\nwidth {settings['width']}, {settings['positions']} positions\n\n{speed_table(rows)}")
    draw(rows, place.picture)


def teach(options: argparse.Namespace) -> None:
    """Train the models that are missing; print the table."""
    place = records.places("digits", options)
    if not options.table:
        settings: dict[str, Any] = {
            "width": options.digits_width,
            "layers": options.digits_layers,
            "heads": options.digits_heads,
            "batch": options.digits_batch,
            "steps": options.steps,
            "held_out": options.held_out,
            "drawn_pixels": options.drawn_pixels,
        }
        record = records.Record(place.rows, settings, ["kind"], again=options.again)
        kinds: tuple[Kind, ...] = ("linear", "softmax")
        for kind in kinds:
            if record.find(kind=kind) is None:
                record.add(digits.learn(kind, settings))
    settings, rows = records.read(place.rows)
    print(f"\n{settings['layers']} layers of {settings['width']}, {settings['steps']} steps\n")
    print(digits.table(rows))
    digits.picture(rows, place.picture)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--only", choices=["speed", "digits"], help="one of the two parts")
    parser.add_argument("--full", action="store_true", help="larger batches and models; days on a CPU")
    parser.add_argument("--pixels", type=int, nargs="+", choices=list(LAYERS), default=list(LAYERS))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="images drawn at once")
    parser.add_argument("--positions", type=int, default=6, help="at which a pixel is measured")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--layers", type=int, help="in place of 8 for 784 pixels and 16 for 3072")
    parser.add_argument("--digits-width", type=int, default=96)
    parser.add_argument("--digits-layers", type=int, default=3)
    parser.add_argument("--digits-heads", type=int, default=4)
    parser.add_argument("--digits-batch", type=int, default=4, help="images in a step")
    parser.add_argument("--steps", type=int, default=800, help="for which digits are learnt")
    parser.set_defaults(held_out=10_000, drawn_pixels=digits.PIXELS)
    options = parser.parse_args()
    if options.full:
        parser.set_defaults(batches=[1, 256], positions=3072, steps=50_000)
        parser.set_defaults(digits_width=256, digits_layers=8, digits_heads=8, digits_batch=16)
    if options.quick:
        parser.set_defaults(pixels=[784], batches=[1], positions=2, width=16, heads=1, layers=1)
        parser.set_defaults(digits_width=16, digits_layers=1, digits_heads=1, digits_batch=1, steps=2)
        parser.set_defaults(held_out=2, drawn_pixels=56)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only != "digits":
        speed(options)
    if options.only != "speed":
        teach(options)


if __name__ == "__main__":
    main()
