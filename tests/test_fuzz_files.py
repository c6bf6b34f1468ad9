"""Files changed at random are heard or refused in one line; `benchmarks/fuzz_files.py` does many."""

from pathlib import Path

from fuzzing import mutated, originals, read


def test_mutated_files_are_heard_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "mutated"
    heard = 0
    for data in mutated(originals(tmp_path), 400, seed=1):
        path.write_bytes(data)
        heard += read(path)
    assert 0 < heard < 400
