"""The pages of results are what the records give, say of which file each table is, and stay short."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
LONGEST = 250  # lines that a page may have


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("script", ["results.py", "paper/page.py"])
def test_the_pages_are_what_the_records_give(script: str) -> None:
    command = [sys.executable, BENCHMARKS / script, "--check"]
    result = subprocess.run(command, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["RESULTS.md", "COMPONENTS.md", "paper/RESULTS.md"])
def test_a_page_is_short(page: str) -> None:
    assert len((BENCHMARKS / page).read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_every_record_is_in_a_page() -> None:
    from results_sections import COMPONENTS, RESULTS
    from tables import MEASURED

    patterns = [pattern for section in (*RESULTS, *COMPONENTS) for pattern in section.records]
    shown = {path for pattern in patterns for path in MEASURED.glob(f"{pattern}.json")}
    assert shown == set(MEASURED.glob("*"))


def test_rates_in_the_readme_and_the_model_card_are_those_of_the_record() -> None:
    """Whose file the record is, `test_the_pages_are_what_the_records_give` sees to."""
    root = BENCHMARKS.parent
    record = json.loads((BENCHMARKS / "measured" / "accuracy.json").read_text(encoding="utf-8"))
    (table,) = record["tables"]
    names = [name for name, _ in table["columns"]]
    rates = {
        (row[names.index("split")], row[names.index("decoder")]): row[names.index("PER %")]
        for row in table["rows"]
    }
    card = (root / "src/phonestream/models/default.md").read_text(encoding="utf-8")
    for split in {split for split, _ in rates}:
        (line,) = (line for line in card.splitlines() if line.startswith(f"| {split} |"))
        assert line.endswith(f"| {rates[split, 'beam']:.2f} | {rates[split, 'greedy']:.2f} |"), line
    readme = (root / "README.md").read_text(encoding="utf-8")
    for split in ("test", "test-cv", "test-l2"):
        (line,) = (line for line in readme.splitlines() if f"evaluate default --split {split}`" in line)
        assert f"| {rates[split, 'beam']:.1f} %; {rates[split, 'greedy']:.1f} % |" in line, line


def rows(record: str, table: int = 0) -> list[dict[str, Any]]:
    """The rows of a record's table, cells by the columns' names."""
    found = json.loads((BENCHMARKS / "measured" / f"{record}.json").read_text(encoding="utf-8"))["tables"][
        table
    ]
    names = [name for name, _ in found["columns"]]
    return [dict(zip(names, row, strict=True)) for row in found["rows"]]


def test_figures_of_spotting_and_times_in_the_docs_are_those_of_the_records() -> None:
    read, volunteers = rows("spotting-dev")[0], rows("spotting-dev-cv")[0]
    half, nine = "false alarms an hour at 0.5", "at 0.9"
    found = "detected at 1, %"
    (tiled, *_) = rows("tiling-dev")
    aligned = {(row[""], row["time shifts"]): row for row in rows("alignment-dev")}
    learners = {(row[""], row["time shifts"]): row for row in rows("alignment-test-l2")}["word starts", 4]
    within = "half within, ms", "90 % within, ms"
    (fits,), (learners_fit,) = (rows(f"alignment-{split}", 1) for split in ("dev", "test-l2"))
    own, others = "own text refused, %", "another's accepted, %"
    put_in, kept, area = "words put in, said to be missing, %", "of the others, %", "area under the curve"
    expected = {
        "spotting.md": [
            f"were {read[half]:.2f} false alarms of each an hour at 0.5 and {read[nine]:.2f} at 0.9 in the read part",
            f"{volunteers[half]:.2f} and {volunteers[nine]:.2f} in that of volunteers",
            f"Of what was said {read[found]:.0f} % was found at one false alarm per keyword and hour in the read part, "
            f"and {volunteers[found]:.0f} % in the volunteers'",
        ],
        "formats.md": [
            f"half of the boundaries are within {tiled['half within']:.0f} ms "
            f"and 90 % within {tiled['90 % within']:.0f} ms"
        ],
        "alignment.md": [
            f"| {name}{', `--time-shifts 1`' * (shifts == 1)} | "
            + " | ".join(f"{aligned[row, shifts][column]:.0f} ms" for column in within)
            + " |"
            for name, row in (
                ("boundaries between phones", "boundaries"),
                ("starts of words", "word starts"),
                ("ends of words", "word ends"),
            )
            for shifts in (4, 1)
        ]
        + [
            f"words start within {learners[within[0]]:.0f} ms in half of all cases "
            f"and within {learners[within[1]]:.0f} ms in 90 %",
            f"Of learners of English {learners_fit[own]:.1f} % are refused with their own "
            f"and {learners_fit[others]:.1f} % accepted with another's",
            f"not found in {fits[put_in]:.1f} % of cases (learners: {learners_fit[put_in]:.1f} %), "
            f"and of the other words {fits[kept]:.1f} % are ({learners_fit[kept]:.1f} %)",
            f"in {100 * fits[area]:.1f} % of pairs on dev and in {100 * learners_fit[area]:.1f} % on learners",
        ],
    }
    for page, claims in expected.items():
        text = " ".join((BENCHMARKS.parent / "docs" / page).read_text(encoding="utf-8").split())
        assert [claim for claim in claims if claim not in text] == [], page


def test_a_table_of_another_file_is_marked(tmp_path: Path) -> None:
    from results import MARK, page
    from results_sections import RESULTS
    from tables import MEASURED

    content = json.loads((MEASURED / "confidence-test.json").read_text(encoding="utf-8"))
    shipped = BENCHMARKS.parent / "src/phonestream/models/default.onnx"
    for sha256, marked in (
        (subprocess.run(["sha256sum", shipped], text=True, capture_output=True).stdout[:64], False),
        ("0" * 64, True),
    ):
        content["model"]["sha256"] = sha256
        (tmp_path / "confidence-test.json").write_text(json.dumps(content), encoding="utf-8")
        assert (MARK in page("", RESULTS, tmp_path)) == marked


cells = st.none() | st.text("ab|%", max_size=3) | st.integers() | st.floats(allow_infinity=False)
columns = st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["", "g"])), min_size=1, max_size=4)


@given(
    data=st.data(), named=columns, title=st.text(max_size=3), notes=st.lists(st.text(max_size=3), max_size=2)
)
def test_a_record_is_read_as_it_was_written(
    data: st.DataObject,
    named: list[tuple[str, str]],
    title: str,
    notes: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from tables import Record, Table, read, write

    table = Table(tuple(named), title=title)
    for row in data.draw(st.lists(st.tuples(*[cells] * len(named)), max_size=3)):
        table.add(*row)
    record = Record("python x.py", "2026-11-28", "a machine", 0.5, None, {"split": "dev"}, notes, [table])
    path = tmp_path_factory.mktemp("record") / "x.json"
    write(record, path)
    assert read(path) == record


def test_what_is_no_record_is_told(tmp_path: Path) -> None:
    from tables import read

    (tmp_path / "x.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"x\.json: is not a benchmark's record .* with --record"):
        read(tmp_path / "x.json")


def test_a_recorded_command_holds_no_path_of_this_machine() -> None:
    from tables import command

    call = ["/home/me/benchmarks/blank.py", "--record", "--model", "/tmp/new.onnx", "--split", "dev"]
    assert command(call) == "python benchmarks/blank.py --model new.onnx --split dev"
    assert (
        command([*call[:1], "--split", "dev", "--record", "x.json"])
        == "python benchmarks/blank.py --split dev"
    )
