"""`precision = "auto"` is bfloat16 where the processor multiplies it, and says so; only the products are affected."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, losses, stopped

from phonestream.asr.training import precision
from phonestream.asr.training.checkpoint import load_checkpoint
from phonestream.asr.training.config import TrainConfig
from phonestream.asr.training.distributed import SINGLE_PROCESS
from phonestream.asr.training.precision import choose_precision, cpu_flags, has_bfloat16
from phonestream.asr.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

ZEN_4 = "flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni\n"
SAPPHIRE_RAPIDS = "flags\t\t: fpu avx512f amx_bf16 amx_tile\n"
ZEN_3 = "flags\t\t: fpu avx2 fma\nbugs\t\t: avx512_bf16\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (ZEN_4, "bfloat16"),
        (SAPPHIRE_RAPIDS, "bfloat16"),
        (ZEN_3, "float32"),
        (ZEN_4 + ZEN_3, "float32"),  # every core must have it: a thread may run on any
        ("", "float32"),
    ],
    ids=["zen 4", "sapphire rapids", "zen 3", "mixed", "unknown"],
)
def test_the_processor_decides(
    cpuinfo: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo, encoding="utf-8")
    monkeypatch.setattr(precision, "cpu_flags", lambda: cpu_flags(path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_precision("auto", SINGLE_PROCESS) == expected
    assert choose_precision("float32", SINGLE_PROCESS) == "float32"
    assert choose_precision("bfloat16", SINGLE_PROCESS) == "bfloat16"


def test_this_processor_is_asked() -> None:
    """As torch does, which looks at the processor itself."""
    seen = torch.cpu._is_avx512_bf16_supported()
    assert ("avx512_bf16" in cpu_flags()) == seen
    assert has_bfloat16(torch.device("cpu")) >= seen
    assert TrainConfig().precision == "auto"
    assert cpu_flags(Path("/nowhere")) == frozenset()


@pytest.mark.parametrize("has", [False, True])
def test_what_was_chosen_is_said_and_recorded(
    has: bool,
    small_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has)
    chosen = "bfloat16" if has else "float32"
    config = dataclasses.replace(CONFIG, precision="auto", optimiser="muon", steps=3, layer_drop=0.0)
    train(config, tmp_path / "auto", small_corpus)
    assert f"precision of matrix products: {chosen}" in capsys.readouterr().err
    train(dataclasses.replace(config, precision=chosen), tmp_path / chosen, small_corpus)
    assert losses(tmp_path / "auto") == losses(tmp_path / chosen)
    record = json.loads((tmp_path / "auto" / "config.json").read_text(encoding="utf-8"))
    assert record["config"]["precision"] == "auto"
    assert record["precision_from_step"] == {"0": chosen}
    checkpoint = load_checkpoint(tmp_path / "auto")
    tensors = [*checkpoint.encoder.values(), *checkpoint.averaged.values()]
    for optimiser in checkpoint.optimisers:
        for state in optimiser["state"].values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_a_run_goes_on_where_there_is_no_bfloat16_and_says_from_which_step(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = dataclasses.replace(CONFIG, precision="auto", steps=12), tmp_path / "run"
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    stopped(lambda: train(config, run, small_corpus), run, 3)
    step = load_checkpoint(run).step
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert train(config, run, small_corpus, resume=True)
    record = json.loads((run / "config.json").read_text(encoding="utf-8"))
    assert record["precision_from_step"] == {"0": "bfloat16", str(step): "float32"}
