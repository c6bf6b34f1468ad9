"""`phonestream phone-lm`: a language model of phones for beam search, learnt from a corpus.

It needs the extra `train`, and `beam` to measure.
"""

from pathlib import Path
from typing import Annotated

import typer

from .output import complain, write
from .training import Data


def phone_lm(
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The ARPA file to write; compressed if it ends in .gz.")
    ],
    data: Data = None,
    split: Annotated[str, typer.Option(help="Which split of the data to learn from.")] = "train",
    order: Annotated[int, typer.Option(min=2, max=6, help="n: how many phones an n-gram has.")] = 6,
    prune: Annotated[
        float,
        typer.Option(min=0, max=1, help="Larger is smaller: nats of entropy that an n-gram must be worth."),
    ] = 1e-6,
    measure: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Say how well the model foretells this split.")
    ] = None,
) -> None:
    """Learn which phones follow which, for transcribe --decoder beam --lm FILE."""
    from ..asr.corpora.corpus import read_split, reference_phones, speech_root
    from ..asr.phone_lm.estimate import estimate, perplexity, save

    source = data or speech_root()
    cuts, problems = read_split(source, split)
    model = estimate((reference_phones(cut) for cut in cuts), order=order, prune=prune)
    held_out = None if measure is None else read_split(source, measure)[0]
    save(model, output)
    counts = " + ".join(f"{count:,}" for count in model.counts)
    write(f"{output}: {counts} n-grams of {model.sentences:,} sentences, {output.stat().st_size:,} bytes")
    if held_out is not None:
        value = perplexity(output, (reference_phones(cut) for cut in held_out))
        write(f"{measure}: perplexity {value:.2f} a phone")
    for problem in problems:
        complain(f"{problem.where}: {problem.reason}")
    if problems:
        raise typer.Exit(1)
