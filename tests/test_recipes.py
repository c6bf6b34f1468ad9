"""Every recipe trains on a corpus in the layout it is for; only its size is made smaller here."""

import dataclasses
import shutil
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from corpus_layouts import librispeech, wsj
from small_training import losses, write_corpus
from teacher_rows import even_rows

from phonestream.asr.corpora.corpus import prepare
from phonestream.asr.evaluation.evaluate import evaluate
from phonestream.asr.model.encoder import Encoder
from phonestream.asr.training.config import TrainConfig, load_recipe
from phonestream.asr.training.train import train
from phonestream.errors import ConfigError
from phonestream.export.stages import check_stages

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.toml"))
STAGES = [
    pytest.param(path, config, id=f"{path.stem}-{number}")
    for path in RECIPES
    for number, config in enumerate(load_recipe(path), start=1)
]


pytestmark = pytest.mark.usefixtures("one_thread")


def corpus_for(recipe: Path, folder: Path, speech_dir: Path) -> Path:
    """A miniature of the corpus that a recipe trains on, prepared as its first lines say."""
    layouts: dict[str, Callable[[Path], Path]] = {
        "librispeech.toml": librispeech,
        "wsj.toml": wsj,
        "paper-wsj.toml": wsj,
    }
    if recipe.name in layouts:
        prepared = prepare(layouts[recipe.name](folder / "discs"), folder / "data")
        assert prepared.problems == ()
        return folder / "data"
    write_corpus(folder, speech_dir)
    (folder / "noise").mkdir()
    shutil.copy(next(speech_dir.glob("dev/*.opus")), folder / "noise")
    return folder


def smaller(config: TrainConfig) -> TrainConfig:
    """Fewer steps on less audio, fewer and narrower layers; all else as it is."""
    model = config.model
    narrow = dataclasses.replace(
        model,
        subsampling_width=16,
        width=16,
        layers=2,
        heads=2,
        head_width=8,
        feed_forward=32,
        self_condition_after=min(model.self_condition_after, 1),
    )
    # The corpora that a stage has a share of are not all among so few recordings.
    return dataclasses.replace(
        config, steps=2, batch_seconds=20.0, evaluate_recordings=1, corpus_shares={}, model=narrow
    )


@pytest.mark.parametrize(("recipe", "stage"), STAGES)
def test_a_recipe_trains_a_model_that_can_be_measured(
    recipe: Path, stage: TrainConfig, speech_dir: Path, tmp_path: Path
) -> None:
    config = smaller(stage)
    data = corpus_for(recipe, tmp_path, speech_dir)
    rows = (
        even_rows(data, tmp_path / "rows.npz")
        if config.augment.pause_probability or config.word_steps
        else None
    )
    teacher = Encoder(config.model) if config.distillation and rows is None else None
    assert train(config, tmp_path / "run", data, teacher=teacher, teacher_rows=rows)
    assert len(losses(tmp_path / "run")) == 2
    report = evaluate(str(tmp_path / "run"), split="dev", data=data, limit=1)
    assert report.problems == ()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_how_to_run_it(recipe: Path) -> None:
    comment = "\n".join(line for line in recipe.read_text("utf-8").splitlines() if line.startswith("#"))
    assert f"train recipes/{recipe.name} --run RUN" in comment
    stages = load_recipe(recipe)
    taught = sum(config.distillation > 0 for config in stages)
    # A teacher's rows serve all stages; a model is named for each.
    assert comment.count("--teacher-rows") == (taught > 0) or comment.count("--teacher ") == taught
    assert ("torchrun" in comment) <= all(config.precision == "bfloat16" for config in stages)


def test_the_readme_says_in_how_many_stages_the_bundled_model_is_trained() -> None:
    recipes = RECIPES[0].parent
    stages = len(load_recipe(recipes / "default.toml"))
    assert f"in its {stages} stages" in (recipes.parent / "README.md").read_text("utf-8")
    assert f"in {stages} stages." in (recipes / "default.toml").read_text("utf-8")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_stage_of_a_recipe_can_start_from_the_one_before_it(recipe: Path) -> None:
    check_stages([smaller(config) for config in load_recipe(recipe)])


def numbers(kind: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys of a recipe that are numbers or lists of them, and a value of their kind to fill in, with `%s`."""
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            yield from numbers(cast(type, hint), f"{prefix}{name}.")
        elif hint is float:
            yield prefix + name, "%s"
        elif typing.get_origin(hint) is tuple and typing.get_args(hint)[0] is float:
            yield prefix + name, "[%s]" if Ellipsis in typing.get_args(hint) else "[0.5, %s]"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_is_finite(value: str, tmp_path: Path) -> None:
    path, found = tmp_path / "wrong.toml", list(numbers(TrainConfig))
    assert len(found) > 30
    for key, shape in [*found, ("corpus_shares.some", "%s")]:
        path.write_text(f"{key} = {shape % value}", encoding="utf-8")
        with pytest.raises(ConfigError, match=rf"{key} is {value}: expected a finite number"):
            load_recipe(path)


@pytest.mark.parametrize(
    "line",
    [
        "seed = -1",
        "weight_decay = -0.1",
        "evaluate_recordings = -1",
        "matrix_learning_rate = 0.0",
        "betas = [0.9, 1.0]",
        "augment.gain_db = [-1e9, 0.0]",
        "augment.noise_snr_db = [0.0, 1e9]",
        "augment.room_direct_db = [0.0, 1e9]",
        "augment.gain_db = [3.0, -3.0]",
        "augment.lead_seconds = [30.0, 1.0]",
        "augment.microphone_deviation_db = -1.0",
        "augment.time_mask_share = 1.1",
        "augment.frequency_masks = -1",
        "augment.frequency_mask_mels = -1",
        "augment.time_masks_per_second = -0.5",
        "augment.time_mask_frames = -1",
    ],
)
def test_a_number_is_within_its_range(line: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=rf"wrong.toml: {line.split(' = ')[0]} is .*(must be|must not be|give a)"
    ):
        load_recipe(path)
