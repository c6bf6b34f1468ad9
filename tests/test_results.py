"""The pages of results are what the records give, say of which file each table is, and stay short."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
