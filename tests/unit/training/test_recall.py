"""python -m pytest tests/unit/lab/test_recall.py -v

The recall task has right answers, its trunks are the engine's, and the trained model remembers through the real engine.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from stillwing_common.errors import InvalidInput
from stillwing_lab.ablation import run as ablation
from stillwing_lab.ablation.grid import Rate, Score, Setting, settings
from stillwing_lab.ablation.plot import draw
from stillwing_training.pilot.model import think
from stillwing_training.recall.catalog import recall_directory
from stillwing_training.recall.model import export_recall, patches_of, see_pairs
from stillwing_training.recall.sample import LAYOUTS, Layout, Teacher, lay_out
from stillwing_training.recall.signs import COLOUR_NAMES, KEYS, NOT_SEEN, SYSTEM_TEXT, draw_signs, render
from stillwing_training.recall.task import Asked, SignStream, play
from stillwing_training.recall.train import FIRST_UNSEEN_SEED, RecallPlan, RecallTrainer
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.inputs.images import to_patches
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest, Eviction, EvictionLevel


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load(ModelSource(str(recall_directory()), device="cpu", threads=1))


def test_no_key_comes_twice_within_all_keys() -> None:
    keys = draw_signs(200, np.random.default_rng(0)).keys
    assert all(len(set(keys[at : at + len(KEYS)])) == len(KEYS) for at in range(200 - len(KEYS)))


def test_signs_look_different() -> None:
    rng = np.random.default_rng(0)
    signs = draw_signs(len(KEYS), rng)
    frames = render(signs, rng).astype(np.float32)
    assert frames.shape == (36, 56, 56, 3) and frames.std(axis=(1, 2, 3)).min() > 15
    apart = np.abs(frames[:, None] - frames[None]).mean(axis=(2, 3, 4)) + np.eye(36) * 255
    assert apart.min() > 5


def test_patches_are_the_engines(engine: LocalEngine) -> None:
    rng = np.random.default_rng(1)
    frames = render(draw_signs(2, rng), rng)
    theirs = to_patches(list(frames), engine.loaded.backend.preprocessing).patches
    ours = patches_of(torch.from_numpy(frames[None]))[0].numpy()
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("layout", [Layout(1, 1), Layout(2, 2), Layout(4, 4)])
def test_a_training_trunk_is_the_engines_cache(engine: LocalEngine, layout: Layout, tmp_path: Path) -> None:
    """The training's forward and the engine's give the same logits after the same chunks and question."""
    trainer = RecallTrainer(RecallPlan(), 3, tmp_path)
    model = trainer.model.eval()
    loaded = engine.loaded
    teacher = Teacher(loaded.text, np.random.default_rng(5))
    trunk = teacher.trunk(5, layout, 1)
    after, asked, _, _ = trunk.branches[0]
    batch = lay_out([trunk], teacher.opening, loaded.text)
    with torch.no_grad():
        hidden = think(
            model,
            torch.from_numpy(batch.ids),
            see_pairs(model, torch.from_numpy(batch.pairs)),
            torch.from_numpy(batch.positions),
            torch.from_numpy(batch.mask),
        )
        # The last id is the answer itself.
        ours = model.lm_head(hidden[0, -2])
    export_recall(model, trainer.tokenizer, tmp_path / "model")
    fresh = LocalEngine.load(ModelSource(str(tmp_path / "model"), device="cpu", threads=1))
    session = fresh.open(SYSTEM_TEXT, 4000)
    stream = SignStream(layout, 0)
    frames = trunk.pairs.reshape(-1, *trunk.pairs.shape[2:])
    frames = frames[:: 2 if layout.chunk_frames == 1 else 1]
    for chunk in range(after + 1):
        named = stream.next_chunk()
        shown = frames[chunk * layout.chunk_frames : (chunk + 1) * layout.chunk_frames]
        pictures = zip(named, shown, strict=True)
        session.append(*(replace(f, image=replace(f.image, data=pixels.tobytes())) for f, pixels in pictures))
    text = loaded.text.decode(asked).split("assistant")[0].strip()
    branch = session.fork(AskRequest(text))
    (theirs,) = fresh.loaded.backend.step(branch.rows())
    session.video.release(branch)
    # Weights went through float16.
    assert (ours - theirs).abs().max() < 0.02 * theirs.std()


def test_two_steps_of_training_learn_and_repeat(tmp_path: Path) -> None:
    plan = RecallPlan(dense_steps=12, dense_grids=32, words_steps=3, batch_grids=24, longest_chunks=6, questions=4)
    curves = []
    for name in ("one", "two"):
        trainer = RecallTrainer(plan, 7, tmp_path / name)
        with Progress(disable=True) as bar:
            trainer.run(bar)
        curves.append((tmp_path / name / "model.safetensors").read_bytes())
    assert curves[0] == curves[1]


def test_the_trained_model_remembers_through_the_engine_until_signs_leave(engine: LocalEngine) -> None:
    opening = len(engine.loaded.preparer.opening(SYSTEM_TEXT))
    score = Score(Setting(60, 1, 0.5, "oldest", "contiguous"), {})
    budget = opening + 6 + 60
    score.add(play(engine, Layout(1, 1), budget, Eviction(), seed=FIRST_UNSEEN_SEED, chunks=100, ask_every=8))
    assert (score.visible.share or 0) > 0.9
    assert (score.first.share or 0) > 0.9
    # Ten chunks of window: what is older has left, and the model mostly says so instead of naming a colour.
    assert score.reach_signs in (6, 8)
    assert (score.by_age[16].share or 0) < 0.3
    assert (score.honest.share or 0) > 0.6


def test_subsampling_gives_recent_signs_for_old_ones(engine: LocalEngine) -> None:
    """Half of its window is thinned: fewer of the newest signs, and some that are long gone elsewhere."""
    budget = len(engine.loaded.preparer.opening(SYSTEM_TEXT)) + 6 + 60
    visible = {}
    for level in EvictionLevel:
        asked = play(
            engine, Layout(1, 1), budget, Eviction(level), seed=1, chunks=30, ask_every=30, ages=range(29)
        )  # fmt: skip
        visible[level] = {answer.age for answer in asked if answer.visible and answer.age >= 0}
    # Age 29 would be the sink's.
    assert visible[EvictionLevel.OLDEST] == set(range(10))
    assert max(visible[EvictionLevel.SUBSAMPLED]) > 10
    assert len(visible[EvictionLevel.SUBSAMPLED]) <= 10


def test_the_grid_covers_every_choice_and_scores_survive_storage() -> None:
    grid = settings()
    assert len({setting.key for setting in grid}) == len(grid) == 3 * 3 * 3 * 4
    score = Score(grid[0], {})
    score.add([Asked(0, True, True, False), Asked(8, False, False, True), Asked(-1, True, True, False)])
    again = Score.from_json(score.to_json())
    assert again == score and again.honest == Rate(1, 1) and again.reach_signs == 0


def test_an_ablation_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(quick=True)[:2]
    played: list[str] = []
    real = ablation.score

    def spied(engine: LocalEngine, setting: Setting, stream: int) -> list[Asked]:
        played.append(f"{setting.key}/{stream}")
        return real(engine, setting, stream)

    monkeypatch.setattr(ablation, "settings", lambda quick: chosen)
    monkeypatch.setattr(ablation, "score", spied)
    ablation.main(streams=1, out=tmp_path, as_json=True)
    assert len(played) == 2
    ablation.main(streams=1, out=tmp_path, as_json=True)
    assert len(played) == 2
    ablation.main(streams=2, out=tmp_path, as_json=True)
    assert sorted(played) == sorted(f"{setting.key}/{stream}" for setting in chosen for stream in (0, 1))
    assert {path.name for path in tmp_path.iterdir()} == {"ablation.json", "ablation.md", "ablation.png"}
    stored = (tmp_path / "ablation.json").read_text().replace('"model": "recall"', '"model": "other"')
    (tmp_path / "ablation.json").write_text(stored)
    with pytest.raises(InvalidInput, match="another model"):
        ablation.main(streams=1, out=tmp_path)


def test_plots_have_a_line_for_every_level() -> None:
    scores = [Score(setting, {0: Rate(3, 4), 8: Rate(1, 4)}) for setting in settings()]
    panels = draw(scores).axes
    assert [len(panel.get_lines()) - 1 for panel in panels] == [4, 3, 3, 3]


def test_words_of_the_task_are_one_token(engine: LocalEngine) -> None:
    text = engine.loaded.text
    assert all(len(text.encode(word)) == 1 for word in (*COLOUR_NAMES, NOT_SEEN))
    assert len(LAYOUTS) == 9
