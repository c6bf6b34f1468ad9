"""Phone error rates of a model on the splits of the speech folder, decoded greedily; its file's size and state.

    PHONESTREAM_SPEECH=DIR python benchmarks/accuracy.py --record
    python benchmarks/accuracy.py --reports dev.json test.json --record

The second form takes what `phonestream evaluate --json` has written, and evaluates nothing. Settings are chosen on dev
and dev-cv; the other splits are only reported. Prints Markdown.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import tables

from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.evaluation.report import format_json
from phonestream.commands.info import describe

SPLITS = ("dev", "dev-cv", "test", "test-cv", "test-l2")


def read(path: Path, model: str, sha256: str) -> dict[str, Any]:
    """A report of `phonestream evaluate --json`.

    Raises:
        SystemExit: it is not one, or of another model file.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = report["model_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path}: is not a report of phonestream evaluate --json ({error!r})") from None
    if found != sha256:
        raise SystemExit(
            f"{path}: is of the model file {found}, and {model} is {sha256}; give that one's --model"
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default", help="path of a model file or name of a bundled model")
    parser.add_argument("--splits", nargs="+", default=list(SPLITS))
    parser.add_argument("--limit", type=int, help="recordings of a split at most, evenly spread over it")
    parser.add_argument(
        "--reports", nargs="+", type=Path, metavar="FILE", help="reports of phonestream evaluate --json"
    )
    tables.add_option(parser)
    options = parser.parse_args()

    facts = describe(options.model)
    report = tables.Report(options)
    report.note(f"{facts['file_mib']:.2f} MiB; state of a stream {facts['state_kib']:.0f} KiB.")
    errors = ("substitutions, %", "insertions, %", "deletions, %")
    columns = (("split", ""), ("recordings", ""), ("phones", ""), ("PER %", ".2f"))
    table = report.table(*columns, *((name, ".2f") for name in errors))
    for source in options.reports or options.splits:
        if isinstance(source, Path):
            found = read(source, options.model, facts["sha256"])
        else:
            found = json.loads(format_json(evaluate(options.model, split=source, limit=options.limit)))
        phones = found["reference_length"]
        parts = (found[name] for name in ("substitutions", "insertions", "deletions"))
        of_phones = (100 * count / phones for count in parts)
        table.add(found["split"], len(found["recordings"]), phones, 100 * found["per"], *of_phones)
    report.save()


if __name__ == "__main__":
    main()
