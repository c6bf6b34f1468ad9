"""Stages are one run: what each hands on is its int8 model, and a stop costs nothing, wherever it comes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, losses, stopped, write_toml

from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.checkpoint import expand_weights, load_checkpoint, load_encoder
from phonestream.asr.training.config import TrainConfig, load_recipe
from phonestream.asr.training.distributed import SINGLE_PROCESS
from phonestream.asr.training.process import SETTINGS
from phonestream.asr.training.train import train
from phonestream.cli import main
from phonestream.errors import ConfigError
from phonestream.export import read_weights, rounded
from phonestream.export.stages import assign_teachers, train_stages

MODEL = dataclasses.replace(CONFIG.model, layers=1)
FIRST = dataclasses.replace(CONFIG, name="first", steps=14, evaluate_every=14, model=MODEL)
SECOND = dataclasses.replace(FIRST, name="second", seed=2, model=dataclasses.replace(MODEL, rows_per_frame=2))


pytestmark = pytest.mark.usefixtures("one_thread")


def stages(run: Path, small_corpus: Path, *configs: TrainConfig, resume: bool = False) -> bool:
    return train_stages(
        configs,
        run,
        small_corpus,
        resume=resume,
        threads=None,
        initial=None,
        teachers=(),
        processes=SINGLE_PROCESS,
    )


def test_a_chain_is_its_stages_run_by_hand_and_goes_on_where_it_stopped(
    small_corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    stopped(lambda: stages(run, small_corpus, FIRST, SECOND), run / "1", 3)
    assert not (run / "2").exists()
    with pytest.raises(ConfigError, match="1: holds a run already; go on with --resume"):
        stages(run, small_corpus, FIRST, SECOND)
    stopped(lambda: stages(run, small_corpus, FIRST, SECOND, resume=True), run / "2", 3)
    with pytest.raises(ConfigError, match="1: its checkpoint was made with another configuration: seed"):
        stages(run, small_corpus, dataclasses.replace(FIRST, seed=9), SECOND, resume=True)
    assert stages(run, small_corpus, FIRST, SECOND, resume=True)

    first, by_hand = tmp_path / "first", tmp_path / "by-hand"
    train(FIRST, first, small_corpus)
    assert losses(first) == pytest.approx(losses(run / "1"), abs=1e-4)
    weights = load_encoder(run / "1")
    export_stage = read_weights(run / "1" / "model.onnx")
    for name, weight in rounded(weights).state_dict().items():
        assert torch.equal(export_stage[name], weight), name
    train(SECOND, by_hand, small_corpus, initial=export_stage)
    assert losses(by_hand) == pytest.approx(losses(run / "2"), abs=1e-4)


def test_one_command_trains_all(small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():  # or the command would start itself again
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "phonestream.export.stages.export_stage",
        lambda folder: expand_weights(load_checkpoint(folder).averaged, Encoder(FIRST.model)),
    )
    short = [dataclasses.replace(config, steps=2, cooldown_steps=0) for config in (FIRST, SECOND)]
    recipes = [str(write_toml(tmp_path / f"{config.name}.toml", config)) for config in short]
    recipe = tmp_path / "recipe.toml"
    own = "\n[[stage]]\n[[stage]]\nname = 'second'\nseed = 2\nmodel.rows_per_frame = 2\n"
    recipe.write_text(Path(recipes[0]).read_text("utf-8") + own, encoding="utf-8")
    assert load_recipe(recipe) == tuple(short)

    def command(run: Path, *arguments: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["train", *arguments, "--run", str(run), "--data", str(small_corpus), "--threads", "1"])
        assert ended.value.code == 0

    for chain in ([str(recipe)], recipes):
        run = tmp_path / f"run of {len(chain)}"
        command(run, *chain)
        assert [load_checkpoint(run / number).config for number in "12"] == short
    command(tmp_path / "second", str(recipe), "--stage", "2")
    assert load_checkpoint(tmp_path / "second").config == short[1]


def test_what_cannot_work_is_refused_before_the_first_step(small_corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    wider = dataclasses.replace(FIRST, model=dataclasses.replace(CONFIG.model, width=24))
    with pytest.raises(ConfigError, match="stage 1, from which stage 2 starts: is of another configuration"):
        stages(run, small_corpus, FIRST, wider)
    whole = dataclasses.replace(FIRST, model=dataclasses.replace(CONFIG.model, attention="softmax"))
    with pytest.raises(ConfigError, match="no state to stream with"):
        stages(run, small_corpus, whole, whole)
    with pytest.raises(ConfigError, match="no teacher"):
        stages(run, small_corpus, FIRST, dataclasses.replace(FIRST, distillation=0.5))
    with pytest.raises(ConfigError, match="2 teachers but 1 stages with distillation"):
        assign_teachers([FIRST, dataclasses.replace(FIRST, distillation=0.5)], [Encoder(FIRST.model)] * 2)
    with pytest.raises(ConfigError, match=r"1: has no checkpoint\.pt"):
        stages(run, small_corpus, FIRST, FIRST, resume=True)
    assert not run.exists()
    train(dataclasses.replace(FIRST, steps=1), run, small_corpus)
    with pytest.raises(ConfigError, match="holds a run of one configuration"):
        stages(run, small_corpus, FIRST, FIRST)


def test_each_taught_stage_has_its_teacher() -> None:
    one, other = Encoder(FIRST.model), Encoder(SECOND.model)
    taught = [dataclasses.replace(config, distillation=0.5) for config in (FIRST, SECOND)]
    chain = [taught[0], SECOND, taught[1]]
    assert assign_teachers(chain, [one, other]) == [one, None, other]
    assert assign_teachers([taught[0], FIRST, taught[0]], [one]) == [one, None, one]
    with pytest.raises(ConfigError, match="rows_per_frame is 1, the student's 2"):
        assign_teachers(chain, [one])
    with pytest.raises(ConfigError, match="distillation is 0, so nothing would be learnt"):
        assign_teachers([FIRST, SECOND], [one])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[stage]]\n[[stage]]\nsteps = 0", "stage 2: steps is 0"),
        ("[[stage]]\nmodel.widht = 3", r"stage 1: unknown key model\.widht"),
        ("[augment]\n[[stage]]\naugment = 3", "stage 1: augment is 3: expected a table"),
        ("[[stage]]\n[[stage.stage]]", "stage 1: unknown key stage"),
        ("stage = 2", "stage is 2: write each stage as a table"),
        ("stage = []", "write each stage as a table"),
    ],
)
def test_a_wrong_stage_is_named_by_its_number(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(path)
    assert str(error.value).startswith(str(path))
