"""Phone error rates of a model on the splits of the speech folder, by each decoder; its file's size and state.

    PHONESTREAM_SPEECH=DIR python benchmarks/accuracy.py --record

Settings are chosen on dev and dev-cv; the other splits are only reported. Prints Markdown.
"""

import argparse
import json
from typing import Literal

import tables

from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.evaluation.report import format_json
from phonestream.commands.info import describe

DECODERS: tuple[Literal["beam", "greedy"], ...] = ("beam", "greedy")
SPLITS = ("dev", "dev-cv", "test", "test-cv", "test-l2")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS))
    parser.add_argument("--limit", type=int, help="recordings of a split at most, evenly spread over it")
    tables.add_option(parser)
    options = parser.parse_args()

    facts = describe(options.model)
    report = tables.Report(options)
    report.note(f"{facts['file_mib']:.2f} MiB; state of a stream {facts['state_kib']:.0f} KiB.")
    errors = ("substitutions, %", "insertions, %", "deletions, %")
    columns = (("split", ""), ("recordings", ""), ("phones", ""), ("decoder", ""), ("PER %", ".2f"))
    table = report.table(*columns, *((name, ".2f") for name in errors))
    for split in options.splits:
        for decoder in DECODERS:
            evaluated = evaluate(options.model, split=split, limit=options.limit, decoder=decoder)
            found = json.loads(format_json(evaluated))
            phones = found["reference_length"]
            parts = (found[name] for name in ("substitutions", "insertions", "deletions"))
            of_phones = (100 * count / phones for count in parts)
            table.add(split, len(found["recordings"]), phones, decoder, 100 * found["per"], *of_phones)
    report.save()


if __name__ == "__main__":
    main()
