"""python -m pytest tests/unit/training/test_pilot_training.py

A few steps of the whole training, from recorded flights to a folder that transformers loads; labels that follow goals.
"""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from stillwing_airfield.scenes.maze import MISSION
from stillwing_common.errors import InvalidInput
from stillwing_training.pilot.config import (
    ACTIONS,
    CELL_COLUMNS,
    CELL_ROWS,
    COLOURS,
    GOALS,
    IMAGE_TOKENS,
    SIGN,
    TrainingPlan,
)
from stillwing_training.pilot.dense import DenseHeads, _mirrored_where
from stillwing_training.pilot.evaluate import FIRST_REPORTED_SEED, Flyer, evaluate, pilot_flyer
from stillwing_training.pilot.expert import FORWARD, LEFT, RIGHT, Pose
from stillwing_training.pilot.export import export_pilot
from stillwing_training.pilot.flights import expert_policy, fly, wandering_policy
from stillwing_training.pilot.labels import Labels, Trunk
from stillwing_training.pilot.model import make_model
from stillwing_training.pilot.model_card import closed_loop_table
from stillwing_training.pilot.objective import Objective
from stillwing_training.pilot.optimizer import orthogonalise, schedule
from stillwing_training.pilot.policy import load_pilot
from stillwing_training.pilot.recorded_frames import IN_VIEW_PX, Frames
from stillwing_training.pilot.recorder import Recorder
from stillwing_training.pilot.sample import Sampler
from stillwing_training.pilot.sequence import Words
from stillwing_training.pilot.start import start_from
from stillwing_training.pilot.tokenizer import SIGN_QUESTION, build_tokenizer
from stillwing_training.pilot.train import NotResumable, Trainer, main
from stillwing_training.pilot.trunks import seen_through

TINY = TrainingPlan(
    scenes={"meadow": 2, "street": 1, "orchard": 1, "maze": 1},
    headlong_scenes={"meadow": 1},
    wandering_scenes={"meadow": 1},
    dagger_at=(),
    dense_steps=3,
    dense_batch=4,
    grounding_steps=2,
    grounding_batch=2,
    joint_steps=2,
    joint_frames=8,
    longest_trunk=4,
    checkpoint_s=0.0,
    longest_flight=3,
)


@pytest.fixture(scope="module")
def frames() -> Frames:
    recorder = Recorder()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        fly(recorder, "meadow", seed, rng, expert_policy(rng), decisions=12)
    taken = recorder.take()
    recorder.close()
    return taken


def test_a_training_leaves_a_pilot_that_flies_and_can_be_gone_on_from(tmp_path: Path) -> None:
    out, work = tmp_path / "pilot", tmp_path / "work"
    main(out=out, work=work, plan=TINY, threads=1, workers=1, episodes=1)
    pilot = load_pilot(out)
    pilot.observe(np.zeros((112, 140, 3), np.uint8))
    action, chances = pilot.decide("red")
    assert action in range(len(ACTIONS))
    assert chances.sum() == pytest.approx(1)
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"} <= {
        path.name for path in out.iterdir()
    }
    card = (out / "README.md").read_text()
    assert "stillwing train-pilot --seed 0\n" in card
    assert "5 scenes flown by the expert, 1 flown straight at the goal" in card
    assert [row["episodes"] for row in json.loads((out / "evaluation.json").read_text())] == [1, 1, 1, 1]
    before = torch.load(work / "checkpoint.pt", weights_only=True)
    assert before["at"]["stage"] == 3
    again = Trainer(TINY, 0, work, out, "cpu", None, 1)
    again.resume()
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in before["model"].items())
    with pytest.raises(NotResumable):
        main(out=out, work=tmp_path / "elsewhere", plan=TINY, threads=1, resume=True)


def test_a_training_begins_from_an_earlier_pilot_whatever_the_order_of_its_words(tmp_path: Path) -> None:
    earlier, tokenizer = tmp_path / "earlier", build_tokenizer()
    torch.manual_seed(11)
    old = make_model(len(tokenizer))
    export_pilot(old, tokenizer, earlier)
    # The earlier vocabulary: two words changed places, and one was called something else.
    words = json.loads((earlier / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary["ahead"], vocabulary["left"] = vocabulary["left"], vocabulary["ahead"]
    vocabulary["forgotten"] = vocabulary.pop("none")
    words["model"]["merges"] = [pair for pair in words["model"]["merges"] if "none" not in ("".join(pair), *pair)]
    (earlier / "tokenizer.json").write_text(json.dumps(words))
    torch.manual_seed(12)
    new = make_model(len(tokenizer))
    drawn = new.model.language_model.embed_tokens.weight.detach().clone()
    shared = start_from(new, tokenizer, earlier)
    assert shared == len(tokenizer) - 1
    place = tokenizer.get_vocab()
    was, now = (m.model.language_model.embed_tokens.weight for m in (old, new))
    assert torch.equal(now[place["ahead"]], was[place["left"]])
    assert torch.equal(now[place["left"]], was[place["ahead"]])
    assert torch.equal(now[place["right"]], was[place["right"]])
    assert torch.equal(now[place["none"]], drawn[place["none"]]), "a word that is new keeps what it was drawn with"
    assert torch.equal(new.model.visual.merger.ln_q.weight, old.model.visual.merger.ln_q.weight)
    assert torch.equal(
        new.model.language_model.layers[2].mlp.up_proj.weight, old.model.language_model.layers[2].mlp.up_proj.weight
    )


def test_a_training_does_not_begin_from_what_is_no_pilot_of_its_size(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    with pytest.raises(InvalidInput, match="no pilot"):
        Trainer(TINY, 0, tmp_path, tmp_path / "out", "cpu", None, 1, start_from=tmp_path / "nowhere")
    export_pilot(make_model(len(tokenizer)), tokenizer, tmp_path / "deep")
    config = json.loads((tmp_path / "deep" / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 256
    shallow = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config))
    export_pilot(shallow, tokenizer, tmp_path / "shallow")
    model = make_model(len(tokenizer))
    before = model.model.language_model.norm.weight.detach().clone()
    with pytest.raises(InvalidInput, match="other sizes"):
        start_from(model, tokenizer, tmp_path / "shallow")
    assert torch.equal(model.model.language_model.norm.weight, before)


def test_labels_follow_the_goal_and_what_was_seen(frames: Frames) -> None:
    words = Words(build_tokenizer())
    sampler = Sampler(frames, words, np.random.default_rng(5))
    differing = 0
    for _ in range(60):
        sequence, trunk = sampler.joint(8)
        assert sequence.frames == len(trunk.rows)
        shown = {}
        for branch in sequence.branches:
            question = words._tokenizer.decode(branch.ids).partition("<|im_end|>")[0]
            answer = words._tokenizer.decode([target for target in branch.targets if target >= 0])
            colour = next(c for c, name in enumerate(COLOURS) if name in question)
            window = trunk.rows[min(trunk.separate, branch.frame) : branch.frame + 1]
            if frames.visible_px[window, colour].max() < IN_VIEW_PX and "Where" not in question:
                assert ACTIONS[RIGHT] in answer
            shown.setdefault(branch.frame, set()).add(answer)
        differing += sum(len(answers) > 1 for answers in shown.values())
    assert differing > 20, "one picture, several goals, several answers"


@pytest.fixture(scope="module")
def maze_frames() -> Frames:
    recorder = Recorder()
    for seed in (7, 8, 9):
        rng = np.random.default_rng([9, seed])
        fly(recorder, "maze", seed, rng, expert_policy(rng))
    taken = recorder.take()
    recorder.close()
    return taken


def test_a_sign_forgotten_is_looked_for_unless_a_beacon_is_in_view(maze_frames: Frames) -> None:
    words = Words(build_tokenizer())
    sampler = Sampler(maze_frames, words, np.random.default_rng(6))
    sign, told, by_pixels, from_before, forgotten = GOALS.index(SIGN), set(), 0, 0, 0
    expected = (("move", "forward"), ("left",), ("right",), ("final_answer", "stop"))
    for _ in range(150):
        sequence, trunk = sampler.joint(16)
        assert not trunk.mirrored, "in a mirror the sign would send the other way"
        for branch in sequence.branches:
            question = words._tokenizer.decode(branch.ids).partition("<|im_end|>")[0]
            answer = words._tokenizer.decode([target for target in branch.targets if target >= 0])
            shown_px = maze_frames.visible_px[trunk.rows[: branch.frame + 1], sign]
            if question == SIGN_QUESTION:
                sent = ("left", "right")[maze_frames.sign[trunk.rows[0]]]
                assert answer.startswith(sent if shown_px.max() else "none")
                told.add(answer)
            elif question.startswith(MISSION):
                row = trunk.rows[branch.frame]
                if shown_px.max() < IN_VIEW_PX:
                    window = maze_frames.visible_px[
                        trunk.rows[min(trunk.separate, branch.frame) : branch.frame + 1], : len(COLOURS)
                    ]
                    in_view = window[window.max(axis=1) >= IN_VIEW_PX]
                    if len(in_view) and "Refused" not in question and "fly_towards" not in answer:
                        beacon = int(in_view[-1].argmax())
                        assert any(word in answer for word in expected[maze_frames.action[row, beacon]])
                        forgotten += 1
                    elif not len(in_view):
                        assert ACTIONS[RIGHT] in answer
                elif "fly_towards" in answer:
                    by_pixels += 1
                elif "Refused" not in question:
                    assert any(word in answer for word in expected[maze_frames.action[row, sign]])
                from_before += int(trunk.separate > 0 and shown_px[: trunk.separate].max() >= IN_VIEW_PX)
    assert {"left", "right", "none"} <= {answer.partition("<")[0] for answer in told}
    assert by_pixels > 20
    assert from_before > 20, "signs that only a recalled frame shows"
    assert forgotten > 20, "a beacon in view, and the sign long gone"


def test_where_a_sign_is_follows_the_picture(maze_frames: Frames) -> None:
    words = Words(build_tokenizer())
    sampler = Sampler(maze_frames, words, np.random.default_rng(8))
    visible_px = maze_frames.visible_px[:, GOALS.index(SIGN)]
    told = []
    for _ in range(200):
        sequence, trunk = sampler.grounding()
        row = trunk.rows[0]
        for branch in sequence.branches:
            if not words._tokenizer.decode(branch.ids).startswith("Where is the sign?"):
                continue
            answer = words._tokenizer.decode([target for target in branch.targets if target >= 0]).partition("<")[0]
            assert (answer == "none") == (visible_px[row] == 0)
            told.append(answer)
            picture = maze_frames.pixels[row].astype(int)
            red_or_blue = np.abs(picture[..., 0] - picture[..., 2]) - picture[..., 1] > 20
            if answer != "none" and red_or_blue.sum() > 40:
                column = float(np.nonzero(red_or_blue)[1].mean()) / picture.shape[1] - 0.5
                assert answer == "left" if column < -0.2 else answer == "right" if column > 0.2 else True
    assert {"ahead", "left", "right", "none"} <= set(told)


def test_what_is_recalled_in_a_meadow_was_often_right_before_a_beacon(frames: Frames) -> None:
    visible_px = np.full_like(frames.visible_px, 100)
    for flight in range(2):
        visible_px[np.flatnonzero(frames.flight == flight)[:6]] = 9000
    frames = replace(frames, visible_px=visible_px)
    sampler = Sampler(frames, Words(build_tokenizer()), np.random.default_rng(8))
    recalled = near_then_far = 0
    for _ in range(300):
        _, trunk = sampler.joint(14)
        if trunk.separate > 1:
            recalled += 1
            before = frames.visible_px[trunk.rows[1 : trunk.separate], : len(COLOURS)].max()
            now = frames.visible_px[trunk.rows[trunk.separate :], : len(COLOURS)].max()
            near_then_far += int(before >= 3000 > now)
            assert np.all(np.diff(trunk.rows[1 : trunk.separate]) >= 0), "in the order they were seen"
    assert recalled > 30
    assert near_then_far > 3


def test_flights_off_course_are_drawn_as_often_as_told(frames: Frames) -> None:
    words = Words(build_tokenizer())
    of_student = {
        share: np.mean([frames.flight[sampler.joint(6)[1].rows[-1]] == 1 for _ in range(200)])
        for share in (0.0, 0.8)
        for sampler in [Sampler(frames, words, np.random.default_rng(8), 1, share)]
    }
    assert of_student[0.0] == 0
    assert 0.7 < of_student[0.8] < 0.9
    nobody = Sampler(frames, words, np.random.default_rng(8), 2, 0.8)
    assert {int(frames.flight[nobody.joint(6)[1].rows[-1]]) for _ in range(50)} == {0, 1}


def test_mazes_come_up_more_often_where_the_plan_says_so(frames: Frames, maze_frames: Frames, tmp_path: Path) -> None:
    frames.save(tmp_path / "meadow.npz")
    maze_frames.save(tmp_path / "maze.npz")
    both, words = Frames.load_all([tmp_path / "meadow.npz", tmp_path / "maze.npz"]), Words(build_tokenizer())
    of_mazes = {
        share: np.mean([both.sign[sampler.joint(4)[1].rows[-1]] >= 0 for _ in range(150)])
        for share in (0.0, 0.9)
        for sampler in [Sampler(both, words, np.random.default_rng(3), maze_share=share)]
    }
    assert 0.4 < of_mazes[0.0] < 0.8
    assert of_mazes[0.9] > 0.85
    meadows = Sampler(frames, words, np.random.default_rng(3), maze_share=0.9)
    assert meadows.joint(4)[1].rows.size, "without mazes the share means nothing"


def test_turning_back_to_a_beacon_out_of_view_counts_more_than_looking_round(frames: Frames) -> None:
    # The beacon was in view in the first frame alone; the expert turns back to it, to the left.
    visible_px, action = np.zeros_like(frames.visible_px), np.full_like(frames.action, LEFT)
    visible_px[0, 0] = 900
    # Nothing went round on the way there.
    bearing_deg = np.zeros_like(frames.bearing_deg)
    labels = Labels(
        replace(frames, visible_px=visible_px, action=action, bearing_deg=bearing_deg, still=frames.flight == 5)
    )
    remembered, forgotten = Trunk(np.array([0, 1, 2]), 0, False), Trunk(np.array([1, 2]), 0, False)
    for trunk, answered, counts in ((remembered, LEFT, 1.5), (forgotten, RIGHT, 1.0)):
        last = len(trunk.rows) - 1
        assert labels.right_action(trunk, last, 0, refused=False) == answered
        assert labels.emphasis(trunk, last, 0, answered) == counts


def test_doing_other_than_before_counts_most(frames: Frames) -> None:
    # Everything goes round to the left by fifteen degrees from one decision to the next: two turns to the right.
    rows = np.arange(3)
    went = replace(
        frames,
        flight=np.where(np.arange(len(frames)) < 3, 0, 1).astype(np.int32),
        still=np.ones(len(frames), bool),
        visible_px=np.full_like(frames.visible_px, 900),
        bearing_deg=np.broadcast_to(-15.0 * np.arange(len(frames))[:, None], frames.bearing_deg.shape).astype(
            np.float32
        ),
        action=np.full_like(frames.action, FORWARD),
    )
    labels, straight, mirrored = Labels(went), Trunk(rows, 0, False), Trunk(rows, 0, True)
    assert labels.emphasis(straight, 2, 0, LEFT) == labels.emphasis(straight, 2, 0, FORWARD) == 2.0
    assert labels.emphasis(straight, 2, 0, RIGHT) < 2.0
    assert labels.emphasis(mirrored, 2, 0, RIGHT) == 2.0
    assert labels.emphasis(mirrored, 2, 0, LEFT) < 2.0
    assert labels.emphasis(straight, 0, 0, LEFT) < 2.0, "nothing was done before the first decision"


def test_whoever_wanders_turns_past_every_right_way(tmp_path: Path) -> None:
    recorder = Recorder()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        fly(recorder, "street", seed, rng, wandering_policy(rng), decisions=40)
    taken = recorder.take()
    recorder.close()
    decided = np.flatnonzero(taken.still)
    yaw_deg = np.nancumsum(np.diff(taken.bearing_deg[decided, 0], prepend=taken.bearing_deg[decided[0], 0]))
    turned = (np.abs((np.diff(yaw_deg) + 180) % 360 - 180) > 10).mean()
    goal = taken.goal[decided][:-1]
    wanted = np.isin(taken.action[decided][np.arange(len(goal)), goal], (LEFT, RIGHT)).mean()
    assert turned > wanted, "more turns than the expert asks for"


def test_half_of_the_trunks_are_seen_through_another_camera(frames: Frames) -> None:
    ramp = np.broadcast_to(np.arange(140, dtype=np.uint8)[None, None, :, None], (1, 112, 140, 3))
    assert np.array_equal(seen_through(ramp, 1.0, 0.0), ramp)
    longer = seen_through(ramp, 1.25, 0.0)[0, 0, :, 0].astype(int)
    assert longer[0] == 14 and longer[-1] == 125, "a longer lens shows the middle"
    tall = np.broadcast_to(np.arange(112, dtype=np.uint8)[None, :, None, None], (1, 112, 140, 3))
    assert np.all(seen_through(tall, 1.0, 0.25)[0, :84, 0, 0] == np.arange(28, 112)), "nose down, the lower part"
    marked = np.zeros_like(frames.pixels)
    marked[:, :, 130] = 200
    sampler = Sampler(replace(frames, pixels=marked), Words(build_tokenizer()), np.random.default_rng(8))
    trunk = Trunk(np.array([0]), 0, False)
    at = [int(sampler.trunks.pixels(trunk)[0, :, :, 0].mean(axis=0).argmax()) for _ in range(200)]
    assert 0.3 < np.mean([column != 130 for column in at]) < 0.55


def test_what_is_where_goes_on_being_taught_beside_the_words(frames: Frames) -> None:
    tokenizer = build_tokenizer()
    model, rng = make_model(len(tokenizer)), np.random.default_rng(0)
    for share, taught in ((0.3, True), (0.0, False)):
        heads = DenseHeads(model.config.text_config.hidden_size)
        plan = replace(TINY, truth_share=share)
        objective = Objective(plan, frames, Words(tokenizer), model, heads, rng, torch.device("cpu"))
        loss, readings, samples = objective.loss("joint")
        loss.backward()
        assert samples > 0
        assert ("beacon_f1" in readings) is taught
        assert (heads.truth.weight.grad is not None) is taught
    cells = np.arange(2 * IMAGE_TOKENS).reshape(2, IMAGE_TOKENS)
    turned = _mirrored_where(cells, np.array([True, False]))
    assert np.array_equal(
        turned[0].reshape(CELL_ROWS, CELL_COLUMNS), cells[0].reshape(CELL_ROWS, CELL_COLUMNS)[:, ::-1]
    )
    assert np.array_equal(turned[1], cells[1]), "each picture by itself"


def test_frames_survive_their_file(frames: Frames, tmp_path: Path) -> None:
    frames.save(tmp_path / "some.npz")
    joined = Frames.load_all([tmp_path / "some.npz"] * 2)
    assert len(joined) == 2 * len(frames)
    assert len(np.unique(joined.flight)) == 4
    assert np.array_equal(joined.pixels[: len(frames)], frames.pixels)
    assert frames.cells.sum(-1) == pytest.approx(1, abs=0.01)
    assert np.all(frames.pixels.std(axis=(1, 2, 3)) > 5), "no blank pictures"


def expert_flyer() -> Flyer:
    """The expert, looking round until the beacon was in view."""
    seen: dict[int, bool] = {}

    def choose(recorder: Recorder, pose: Pose, goal: str, refused: bool) -> int:
        flight = recorder.flight
        seen[flight] = seen.get(flight, False) or recorder.in_view(goal)
        return recorder.expert.action(pose, goal, forward_refused=refused) if seen[flight] else RIGHT

    return choose


def forward_flyer() -> Flyer:
    """Always forward."""
    return lambda recorder, pose, goal, refused: FORWARD


@pytest.mark.parametrize("scene", ["meadow", "street", "orchard", "maze"])
def test_the_expert_flies_every_scene(scene: str) -> None:
    assert evaluate(expert_flyer(), 3, guarded=True, scene=scene).row()["reached"] == 1.0


def test_closed_loop_tells_the_expert_from_a_fool() -> None:
    expert = evaluate(expert_flyer(), 3, guarded=False)
    fool = evaluate(forward_flyer(), 3, guarded=True)
    assert expert.row()["reached"] == 1.0
    assert (fool.reached, fool.collided) == (0, 0)
    assert fool.timed_out == 3


def test_the_table_of_a_model_card_counts_in_processes_what_one_would_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    export_pilot(make_model(len(tokenizer)), tokenizer, tmp_path)
    monkeypatch.setattr("stillwing_training.pilot.model_card._CHUNK", 1)
    ended: list[tuple[int, int]] = []
    scenes = {"meadow": 2, "maze": 1}
    table = closed_loop_table(tmp_path, scenes, 5, 1, lambda done, total: ended.append((done, total)))
    assert ended == [(1, 3), (2, 3), (3, 3)]
    pilot = pilot_flyer(load_pilot(tmp_path))
    alone = evaluate(pilot, 2, guarded=True, first_seed=FIRST_REPORTED_SEED, max_decisions=5)
    assert table[0] == {"scene": "meadow", **alone.row(), "reached_interval": ANY, "collided_interval": ANY}
    assert [(row["scene"], row["episodes"]) for row in table] == [("meadow", 2), ("maze", 1)]


def test_orthogonalising_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert ((values > 0.6) & (values < 1.3)).all()


def test_the_schedule_warms_up_stays_and_decays() -> None:
    assert schedule(0.0, 0, 0.5) == pytest.approx(0.05)
    assert schedule(0.3, 100, 0.5) == 1
    assert schedule(0.75, 100, 0.5) == pytest.approx(0.5)
    assert schedule(1.0, 100, 0.5) == pytest.approx(0.02)
