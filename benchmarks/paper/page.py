"""Writes RESULTS.md of this folder from the rows that the experiments have kept in measured/.

python benchmarks/paper/page.py            # after an experiment
python benchmarks/paper/page.py --check    # status 1 if the page is not what the rows give
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import copy_task
import digits
import figure1
import generation
import records
import speech
from transformer import Kind

PAGE = records.HERE / "RESULTS.md"

HEAD = """\
# The paper's experiments

Katharopoulos et al. (2020), *Transformers are RNNs*, run again on this code. Written by
`python benchmarks/paper/page.py` from the rows in [measured](measured), not by hand.
"""


class Section(NamedTuple):
    """One experiment."""

    title: str
    command: str
    rows: str  # name of their file
    table: Callable[[dict[str, Any], list[records.Row]], str]
    before: str
    after: str


def _copied(settings: dict[str, Any], rows: list[records.Row]) -> str:
    return copy_task.table(settings, sorted(rows, key=lambda row: get_args(Kind).index(row["kind"])))


SECTIONS = (
    Section(
        "Figure 1: time and memory against length",
        "python benchmarks/paper/figure1.py --rounds 3 --patience 8",
        "figure1",
        lambda _, rows: figure1.table(rows),
        """\
What an element takes, forward and backward, with attention over the full context, 8 heads of 64, one thread of a
quiet machine; medians of 3 rounds. A method leaves off after a step of more than 8 s. `softmax, matrix` keeps the
matrix of all weights, as the paper's did; `softmax` is torch's, which never has it whole; LSH is
reformer-pytorch's. Memory is with glibc's defaults, which from 16384 elements on give a block back as soon as it is
free.""",
        """\
Linear attention's time of an element is the same from 512 elements to 32768, its memory 16 to 35 KiB. Softmax takes
3.4 times as long at 512 and 52 times at 8192, LSH-1 2.6 to 4.5 times, LSH-4 ten to thirty times. Torch's softmax
needs the least memory.""",
    ),
    Section(
        "Figure 2: copying",
        "python benchmarks/paper/copy_task.py",
        "copy",
        _copied,
        """\
Sequences 0 w 0 w with w of 15 symbols out of ten, 2 layers, 4 heads of 16, 600 batches of 32, one seed;
cross-entropy of the second w in nats a symbol. The paper's sequences are longer and its words of any length: with
both, 600 steps were not enough here for any row.""",
        """\
Linear attention leaves the plateau later than softmax and then falls smoothly to nearly the same loss; LSH-1 stays
an order of magnitude above both.""",
    ),
    Section(
        "Tables 1 and 2: images drawn pixel by pixel",
        "python benchmarks/paper/generation.py --only speed --positions 3",
        "generation",
        lambda _, rows: generation.speed_table(rows),
        """\
Untrained models of the paper's size, 8 layers for 784 pixels and 16 for 3072, 8 heads of 32, one thread of a quiet
machine (but for the last row, beside a training). The time of an image is that of its pixels at three positions,
spread evenly, times their number. *Carried* is what goes from pixel to pixel, *peak* what a process takes at most
for the last pixel, with that.""",
        """\
The paper has linear attention 317 times (784 pixels) and 4462 times (3072) as fast as softmax recomputed, on a GPU
and with as many images at once as it holds. Here it is 17 and 106 times with one image, where a small step's fixed
costs are what it takes, 149 and 738 times with 16. Against a cache of keys and values it is 1.1 to 3.8 times as
fast, and carries 47 and 186 times less. LSH has nothing to carry.""",
    ),
    Section(
        "Bits a pixel",
        "python benchmarks/paper/generation.py --only digits",
        "digits",
        lambda _, rows: digits.table(rows),
        """\
scikit-learn's digits enlarged to 28 x 28 pixels of 16 levels, 3 layers of width 96, 4 heads, 800 steps of 4 images;
bits for each pixel of the 359 digits that were kept back, and processor time.""",
        """\
At this budget linear attention is well behind; the streaks in its samples look as if it had yet to learn to look up
the pixel above. Its loss was still falling. The paper's models, trained far longer on MNIST in 256 levels, have
0.644 for linear and 0.621 for softmax.""",
    ),
    Section(
        "Table 3: phones from speech",
        "python benchmarks/paper/speech.py",
        "speech",
        speech.table,
        """\
3 hours of LibriSpeech, one pass, 4 layers of width 128 with a short causal convolution each, which tells rows that
see the whole context the order of frames; only the attention differs, but for the Bi-LSTM, three layers of 128
units in each direction. PER on 200 recordings each of dev and test. At this budget no row is near its end: it
compares how fast they learn, not how good they get. Seconds are processor time of one thread beside other work, the
Bi-LSTM's on another day.""",
        """\
The full context is worth 2 to 3 points here, softmax 0.5 to 1 over linear, and the state carried from chunk to
chunk (640 ms) 1.8. The Bi-LSTM learns fastest from so little, in four times the time, and can neither stream nor be
trained in parallel over time.""",
    ),
)


def page() -> str:
    """All sections."""
    parts = [HEAD]
    for section in SECTIONS:
        settings, rows = records.read(records.HERE / "measured" / f"{section.rows}.json")
        dates = " and ".join(sorted({row["date"] for row in rows}))
        machines = " and ".join(sorted({row["machine"] for row in rows}))
        parts += [
            f"## {section.title}\n",
            f"`{section.command}`, {dates}, {machines}.\n",
            f"{section.before}\n",
            f"{section.table(settings, rows)}\n",
            f"![{section.title}](../pictures/paper-{section.rows}.png)\n",
            f"{section.after}\n",
        ]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say whether the page is up to date"
    )
    options = parser.parse_args()
    content = page()
    if not options.check:
        PAGE.write_text(content, encoding="utf-8")
        print(f"{PAGE}: {len(content.splitlines())} lines")
    elif PAGE.read_text(encoding="utf-8") != content:
        sys.exit(f"{PAGE}: is not what the rows give; run python benchmarks/paper/page.py")


if __name__ == "__main__":
    main()
