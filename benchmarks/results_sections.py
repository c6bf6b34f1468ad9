"""The sections of RESULTS.md and COMPONENTS.md: what each is about, whose records it shows and how."""

from collections.abc import Callable
from itertools import groupby
from typing import NamedTuple

from tables import Table, formatted


class Section(NamedTuple):
    """One section. It stands in the page once one of its records exists."""

    title: str
    records: tuple[str, ...]  # names of files in measured/, as patterns
    about: str = ""
    join: str = ""  # an option of the command: runs that differ in it share their tables
    form: Callable[[Table], Table] = lambda table: table  # how the page shows a table
    picture: str = ""


def short(table: Table) -> Table:
    """Robustness: conditions of a kind beside each other with their error rates; what has no kinds in one row."""
    if len(table.columns) == 2:
        (what, _), (figure, form) = table.columns
        columns = ((what, ""), *((str(name), form) for name, _ in table.rows))
        return Table(columns, [[figure, *(value for _, value in table.rows)]])
    found = Table((("", ""), ("PER %", "")))
    for kind, group in groupby(table.rows, key=lambda row: row[0]):
        found.add(kind, "; ".join(f"{condition}: {per:.2f}" for _, condition, per, *_ in group))
    return found


def transposed(table: Table) -> Table:
    """Columns as rows, headed by the first one."""
    (first, form), *others = table.columns
    lead, *values = zip(*table.rows, strict=True)
    columns = ((first, ""), *((formatted(value, form), "") for value in lead))
    rows = [
        [name, *(formatted(cell, form) for cell in cells)]
        for (name, form), cells in zip(others, values, strict=True)
    ]
    return Table(columns, rows)


def delays(table: Table) -> Table:
    """Hostile clients: of each attack what honest streams have of it."""
    wanted = ("attack", "latency p50, s", "p95, s", "p95 / undisturbed", "memory, MiB")
    places = [[name for name, _ in table.columns].index(name) for name in wanted]
    columns = tuple(table.columns[place] for place in places)
    return transposed(Table(columns, [[row[place] for place in places] for row in table.rows]))


RESULTS = (
    Section(
        "Phone error rate",
        ("accuracy", "accuracy-*"),
        "Every phone counted; by beam search, as users decode, and greedily.",
        join="model",
    ),
    Section("Confusions", ("confusions-*",), "The commonest errors.", picture="confusions.png"),
    Section(
        "Blank penalty",
        ("blank-*",),
        "`phonestream export --data` lowers blank; this takes more off, or gives it back. *By frames* reads a frame of "
        "blank rows as a phone where one is likelier than none.",
        form=transposed,
    ),
    Section(
        "Confidence",
        ("confidence-*",),
        "A phone is right when the edit-distance alignment pairs it with its like. ECE is the expected calibration "
        "error; the first temperature is the file's, fitted on dev.",
        picture="confidence.png",
    ),
    Section(
        "Decoding",
        ("decoding-*",),
        "One thread; the delay is from a phone's end to the row with which it is final.",
        join="split",
    ),
    Section("Spotting", ("spotting-dev*",), join="split"),
    Section(
        "Alignment",
        ("alignment-*",),
        "`phonestream align` beside pocketsphinx's forced alignment of the same text, which has errors of its own and "
        "frames of 10 ms.",
        join="split",
    ),
    Section(
        "Times",
        ("timing-*", "tiling-*"),
        "Middles of phones, then boundaries between them, beside pocketsphinx's forced alignment, its frames 10 ms.",
    ),
    Section(
        "Robustness",
        ("robustness-*",),
        "Rooms (image sources), codecs and mu-law that training did not use; recorded noise is from its folder.",
        form=short,
        picture="robustness.png",
    ),
    Section(
        "Long streams",
        ("longform-*",),
        "Each recording alone, then all in one stream with pauses and noise between: as it is, without the rule on "
        "silence, with `s` and `z`, and with the whole state reset at pauses.",
        form=transposed,
        picture="longform.png",
    ),
    Section(
        "After silence",
        ("pauses-*",),
        "Phones heard in the lead or pause itself are not scored; the last column counts them, over ten minutes.",
    ),
    Section("Speed and memory", ("streaming", "streaming-*")),
    Section(
        "Streams to a server",
        ("server", "server-*"),
        "WebSocket streams in real time from a second process, messages of 40 ms. Whole: the phones are those of one "
        "stream alone, nothing lost. Latency: from the moment when a phone's audio had been sent, look-ahead included.",
    ),
    Section(
        "Hostile input and clients",
        ("fuzz", "hostile"),
        "Input changed at random: taken, or refused in one line. Attacks: beside four streams in real time.",
        form=delays,
    ),
    Section(
        "Streams on one core",
        ("load", "load-*"),
        "How many live streams one thread carries with the 99th percentile of a tick below the chunk.",
    ),
    Section(
        "An endless stream",
        ("endurance", "endurance-*"),
        "The test split over and over in chunks of 40 ms.",
    ),
    Section(
        "Many files, long files", ("batch", "batch-*"), "Starting processes and loading the model included."
    ),
)

COMPONENTS = (
    Section(
        "Attention on a CPU",
        ("attention-cpu", "attention-profile"),
        "fast-transformers is the kernel of the paper's authors, softmax torch's causal scaled_dot_product_attention.",
        picture="attention.png",
    ),
    Section("Attention on a GPU", ("attention-cuda",)),
    Section(
        "CUDA kernels",
        ("kernels_aot",),
        "Compiled ahead of time by Triton and ptxas; the record has every dtype and head size.",
    ),
    Section(
        "Products of a live chunk",
        ("weights",),
        "As many weights as the bundled model has, in several forms: int8 weights save memory and file size, not time.",
    ),
    Section(
        "Cost of keywords",
        ("spotting-cost",),
        "Of one stream on one thread, in time of the thread; snapshots and memory of a stream, the model's aside.",
    ),
    Section("Words without a dictionary entry", ("g2p",)),
    Section("Training", ("learning",), "The stages of the default.", form=transposed, picture="learning.png"),
)
