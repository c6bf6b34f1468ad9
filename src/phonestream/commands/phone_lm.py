"""`phonestream phone-lm`: a phone language model for beam search, from text, a corpus or an ARPA file.

A corpus needs the extra `train`; text and ARPA files need nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError
from .existing import check_new
from .output import write
from .training import Data, end_with

if TYPE_CHECKING:
    from ..asr.corpora.corpus import Problem
    from ..asr.phone_lm.text import Sentences


def phone_lm(
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The model to write; an ARPA file, without word boundaries, if it ends in .arpa or .arpa.gz.",
        ),
    ],
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="UTF-8 text to learn from, a sentence a line, .xz and .gz too; may be repeated.",
        ),
    ] = None,
    data: Data = None,
    split: Annotated[str, typer.Option(help="Which split of the data to learn from.")] = "train",
    arpa: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Learn nothing: pack this ARPA file of phones.")
    ] = None,
    order: Annotated[int, typer.Option(min=2, max=9, help="n: how many phones an n-gram has.")] = 8,
    prune: Annotated[
        float,
        typer.Option(min=0, max=1, help="Larger is smaller: nats of entropy that an n-gram must be worth."),
    ] = 1e-7,
    size: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="BYTES", help="Prune until the file is at most so large; --prune is not used then."
        ),
    ] = None,
    rare: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Skip lines of the text with a word that no dictionary has and that occurs at most N times.",
        ),
    ] = 0,
    measure: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Say how well the model foretells this split.")
    ] = None,
) -> None:
    """Learn which phones follow which, for --lm FILE of transcribe, listen and serve.

    Without --text and --data it learns from the corpus that PHONESTREAM_SPEECH names.
    """
    check_new(output, True, [*(text or []), arpa])
    from ..asr.lexicon.ngram import BOUNDARY
    from ..asr.phone_lm import estimate
    from ..asr.phone_lm.text import join, pronounce, read_lines

    if arpa is not None:
        if text or data:
            raise typer.BadParameter("learns nothing: leave --text and --data out", param_hint="--arpa")
        estimate.save(estimate.pack_arpa(arpa), output)
        write(f"{output}: {output.stat().st_size:,} bytes")
        return
    problems: list[Problem] = []
    parts: list[Sentences] = []
    if text:
        from ..asr.lexicon.lexicon import Lexicon

        lexicon = Lexicon()
        for path in text:
            found = pronounce(read_lines(path), lexicon, rare, source=str(path))
            if not found.words:
                raise DataError(f"{path}: no words to learn from; give text with a sentence a line")
            write(f"{path}: {found.words:,} words, {found.skipped:,} lines skipped")
            parts.append(found)
    if data or not text:
        corpus, problems = _corpus(data, split)
        parts.append(corpus)
    held_out = None if measure is None else _corpus(data, measure)[0]
    sentences = join(parts)
    word_marks = not estimate.is_arpa(output)
    model = estimate.learn(sentences.stream, order=order, prune=prune, size=size, word_marks=word_marks)
    estimate.save(model.data, output)
    count = int((sentences.stream == BOUNDARY).sum())
    write(
        f"{output}: {model.ngrams:,} n-grams of 1 to {model.order} phones from {count:,} sentences, "
        f"pruned at {model.prune:.3g}, {output.stat().st_size:,} bytes"
    )
    if held_out is not None:
        write(f"{measure}: perplexity {estimate.perplexity(model.data, [held_out.stream]):.2f} a phone")
    end_with(problems)


def _corpus(data: Path | None, split: str) -> "tuple[Sentences, list[Problem]]":
    """The different sentences of a split, and what is wrong with others."""
    from ..asr.corpora.corpus import read_split, reference_phones, speech_root
    from ..asr.lexicon.lexicon import Lexicon
    from ..asr.phone_lm.text import segment

    cuts, problems = read_split(data or speech_root(), split)
    spoken = ((reference_phones(cut), cut.supervisions[0].text or "") for cut in cuts)
    return segment(spoken, Lexicon()), problems
