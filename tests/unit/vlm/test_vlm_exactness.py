"""python -m pytest tests/unit/vlm/test_vlm_exactness.py -v

What "correct" means for the engine: the same numbers, up to rounding, as one offline pass in which each token attends
sink, memory and window as they were when it arrived.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from run_profile import sized
from transformers import Qwen2_5_VLForConditionalGeneration

from stillwing_common.errors import FrameNotKept, InvalidInput
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.backend import Row
from stillwing_vlm.core.catalog import ModelSource
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest, Eviction, EvictionLevel, EvictionPositions, SessionConfig, View

TOLERANCE = 1e-4
WAYS = [Eviction(level, positions) for level in EvictionLevel for positions in EvictionPositions]
SIZES = [(56, 84), (84, 84), (56, 112), (112, 56), (140, 84)]


def test_attention_is_far_from_uniform(make_pair: Any) -> None:
    """Otherwise every other test here would pass with a broken cache."""
    pair = make_pair(2000)
    for _ in range(8):
        pair.append(pair.frame())
    pair.oracle.ask("Next action?")
    # 1 would be uniform; the share counts layers' means over heads.
    assert np.mean(pair.oracle.entropies) < 0.75


ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
CONFIGS: list[dict[str, Any]] = [
    {"num_hidden_layers": 1, "num_key_value_heads": 1, "initializer_range": 0.35},
    # Sharper attention over as many layers makes rounding alone larger than the tolerance.
    {"num_hidden_layers": 6, "num_key_value_heads": 4, "initializer_range": 0.2},
    {
        "hidden_size": 96,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "initializer_range": 0.25,
        "rope_parameters": {**ROPE, "rope_theta": 1e6},
    },
    {"num_attention_heads": 2, "num_key_value_heads": 1, "rope_parameters": {**ROPE, "mrope_section": [4, 6, 6]}},
]


@pytest.mark.parametrize("seed", range(len(CONFIGS)))
def test_other_random_models_equal_the_oracle(pair_of: Any, tmp_path: Path, run_seed: int, seed: int) -> None:
    """Other numbers of layers and heads, other rotations, other weights; attention far from uniform in each."""
    directory = write_tiny_model(tmp_path / "model", seed + 100, max_position_embeddings=320, **CONFIGS[seed])
    engine = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval().double()
    pair = pair_of(engine, model, 160, (run_seed, seed))
    errors = []
    for index in range(90):
        pair.append(pair.frame(*SIZES[(index // 4) % len(SIZES)]))
        if index % 30 == 20:
            pair.recall(pair.frame(), pair.frame())
        if index % 5 == 0:
            errors += pair.errors("Where is it?")
        if index % 10 == 9:
            errors.append(pair.logits_error("Only the newest?", recent=1))
    assert pair.oracle.evicted > 40
    assert pair.session.video.trunk.rebases > 0
    assert max(errors) < TOLERANCE
    # 1 would be uniform.
    assert np.mean(pair.oracle.entropies) < 0.75


def test_append_only_equals_one_offline_forward(engine: LocalEngine, hf_model: Any, logits_of: Any) -> None:
    rng = np.random.default_rng(1)
    session = engine.open("You fly.", 2000)
    loaded = engine.loaded
    ids, types = list(loaded.preparer.opening("You fly.")), []
    types += [0] * len(ids)
    patches, grids = [], []
    for rows_px, columns_px in [*SIZES, *SIZES]:
        pixels = rng.integers(0, 256, (rows_px, columns_px, 3), dtype=np.uint8)
        session.append(pixels)
        chunk = loaded.preparer.pixels(("",), [pixels], 1.0).patches
        count = chunk.grid.merged_tokens(2)
        ids += [loaded.text.vision_start, *[hf_model.config.image_token_id] * count, loaded.text.vision_end]
        types += [0, *[1] * count, 0]
        patches.append(torch.from_numpy(chunk.patches))
        grids.append(list(chunk.grid))
    question = loaded.text.question("Where is the red beacon?")
    with torch.no_grad():
        whole = hf_model(
            input_ids=torch.tensor([ids + question]),
            mm_token_type_ids=torch.tensor([types + [0] * len(question)]),
            pixel_values=torch.cat(patches),
            image_grid_thw=torch.tensor(grids),
        )
    error = (logits_of(session, "Where is the red beacon?") - whole.logits[0, -1]).abs().max()
    assert error < TOLERANCE


def test_a_chunk_of_frames_equals_one_video(engine: LocalEngine, hf_model: Any, logits_of: Any) -> None:
    rng = np.random.default_rng(2)
    session = engine.open("You fly.", 2000)
    pixels = [rng.integers(0, 256, (56, 84, 3), dtype=np.uint8) for _ in range(4)]
    frames = [
        Frame(f"v/c/{i}", "c", Stamp(i * 1_000_000_000, "k"), None, Image(ImageEncoding.RGB8, 84, 56, p.tobytes()))
        for i, p in enumerate(pixels)
    ]
    session.append(*frames)
    loaded = engine.loaded
    chunk = loaded.preparer.chunk(frames)
    assert chunk.seconds_per_grid == 2.0
    count = chunk.patches.grid.merged_tokens(2)
    opening, question = loaded.preparer.opening("You fly."), loaded.text.question("What moved?")
    ids = [*opening, loaded.text.vision_start, *[hf_model.config.video_token_id] * count, loaded.text.vision_end]
    types = [0] * (len(opening) + 1) + [2] * count + [0] * (1 + len(question))
    hf_model.model.rope_deltas = None
    with torch.no_grad():
        whole = hf_model(
            input_ids=torch.tensor([ids + question]),
            mm_token_type_ids=torch.tensor([types]),
            pixel_values_videos=torch.from_numpy(chunk.patches.patches),
            video_grid_thw=torch.tensor([list(chunk.patches.grid)]),
            second_per_grid_ts=torch.tensor([0.5]),
        )
        slower = logits_of(session, "What moved?")
    # At two grids one second apart in rate 2 the library's cursor rule and ours agree only while time stays the
    # shortest
    # axis, so the frames are stamped to make it so.
    quick = engine.open("You fly.", 2000)
    quick.append(*[_restamped(frame, i * 250_000_000) for i, frame in enumerate(frames)])
    assert (logits_of(quick, "What moved?") - whole.logits[0, -1]).abs().max() < TOLERANCE
    assert (slower - whole.logits[0, -1]).abs().max() > TOLERANCE


def _restamped(frame: Frame, time_ns: int) -> Frame:
    return Frame(frame.frame_id, frame.camera_id, Stamp(time_ns, "k"), None, frame.image)


def test_two_hundred_evictions_equal_the_oracle(make_pair: Any) -> None:
    pair = make_pair(160, seed=3)
    worst = 0.0
    for index in range(300):
        pair.append(pair.frame(*SIZES[(index // 7) % len(SIZES)]))
        if index % 10 == 0:
            worst = max(worst, *pair.errors(f"Question {index}?"))
        if index % 25 == 0 and index:
            worst = max(worst, pair.logits_error("Only the newest?", recent=2))
    trunk = pair.session.video.trunk
    assert pair.oracle.evicted >= 200
    assert trunk.moves >= 5
    assert trunk.evicted_frames == pair.oracle.evicted
    assert worst < TOLERANCE


@pytest.mark.parametrize("eviction", WAYS[1:], ids=lambda way: f"{way.level.value} {way.positions.value}")
def test_other_ways_to_let_go_equal_the_oracle(make_pair: Any, eviction: Eviction) -> None:
    pair = make_pair(200, seed=11, eviction=eviction)
    errors = []
    for index in range(150):
        pair.append(pair.frame(*SIZES[(index // 7) % len(SIZES)]))
        if index % 30 == 15:
            pair.recall(*[pair.frame(*SIZES[i]) for i in range(index // 30 % 3)])
        if index % 6 == 0:
            errors += pair.errors(f"Question {index}?")
        if index % 25 == 24:
            errors.append(pair.logits_error("Only the newest?", recent=2))
    trunk = pair.session.video.trunk
    assert pair.oracle.evicted >= 100
    assert trunk.moves >= 5
    assert pair.session.info().eviction == eviction
    assert max(errors) < TOLERANCE


def test_ways_to_let_go_answer_differently(engine: LocalEngine, logits_of: Any) -> None:
    """Otherwise comparing them would compare nothing."""
    found = []
    for level in EvictionLevel:
        for positions in EvictionPositions:
            rng = np.random.default_rng(12)
            session = engine.open("You fly.", 160, eviction=Eviction(level, positions))
            for _ in range(40):
                session.append(rng.integers(0, 256, (56, 84, 3), dtype=np.uint8))
            found.append(logits_of(session, "What is it?"))
    distances = torch.cdist(torch.stack(found), torch.stack(found))
    assert distances[~torch.eye(len(found), dtype=torch.bool)].min() > 0.1


@pytest.mark.parametrize("level", list(EvictionLevel))
def test_positions_begin_anew_and_nothing_changes(make_pair: Any, level: EvictionLevel) -> None:
    """With asks that wait while it happens, in both views, and a memory in front of the window."""
    pair = make_pair(160, seed=13, eviction=Eviction(level), short=True)
    trunk, backend = pair.session.video.trunk, pair.session._engine.backend
    errors = []
    waiting: list[tuple[Any, ...]] = []
    spanned = 0
    for index in range(240):
        pair.append(pair.frame(*SIZES[(index // 7) % len(SIZES)]))
        assert trunk.cursor <= backend.figures.max_positions * 3 // 4
        spanned += trunk.window[-1].span if trunk.window else 0
        if index % 80 == 30:
            pair.recall(pair.frame(), pair.frame(84, 84))
        if index % sized(ci=12, nightly=4) == 0:
            errors.append(pair.logits_error(f"Question {index}?"))
        if index % 20 == 0:
            errors.append(pair.values_error())
        if index % 10 == 9:
            recent = 2 if index % 20 == 9 else None
            prompt = "What was seen when this was asked, a good while ago?"
            branch = pair.session.fork(AskRequest(prompt, view=View(recent)))
            # Half the question is fed now, so that the branch has keys of its own to be turned.
            rows = branch.rows()
            early, late = rows[0].token_ids[:12], rows[0].token_ids[12:]
            backend.step([Row(rows[0].branch, early, rows[0].positions[:, :12])])
            waiting.append((branch, rows[0].branch, late, pair.oracle.ask(prompt, recent)))
        if len(waiting) > 4:
            branch, store, late, wanted = waiting.pop(0)
            positions, _ = text_positions(branch.view.cursor - len(late), len(late))
            (logits,) = backend.step([Row(store, late, positions)])
            pair.session.video.release(branch)
            errors.append(float((logits - wanted).abs().max() / wanted.std()))
    assert trunk.rebases >= 4
    assert spanned > 3 * backend.figures.max_positions
    assert max(errors) < TOLERANCE


def test_recalled_memory_equals_the_oracle(make_pair: Any) -> None:
    pair = make_pair(220, seed=4)
    errors = []
    for index in range(120):
        pair.append(pair.frame(*SIZES[index % len(SIZES)]))
        if index % 20 == 10:
            pair.recall(*[pair.frame(*SIZES[i]) for i in range(1 + index // 20 % 3)])
        if index % 20 == 19:
            pair.recall()
        if index % 5 == 0:
            errors += pair.errors("And before?")
    assert pair.oracle.evicted > 20
    assert max(errors) < TOLERANCE


@pytest.mark.parametrize("eviction", WAYS, ids=lambda way: f"{way.level.value} {way.positions.value}")
def test_frames_recalled_as_they_were_equal_the_oracle(make_pair: Any, eviction: Eviction) -> None:
    """Over evictions, compactions and new beginnings of positions, in turn with frames that are encoded again."""
    pair = make_pair(180, seed=14, eviction=eviction, short=True, kept_kv_bytes=1 << 20)
    errors, gone = [], []
    for index in range(120):
        pair.append(pair.frame(*SIZES[(index // 7) % len(SIZES)]))
        gone = [frame_id for evicted in pair.session.evicted for frame_id in evicted.frame_ids]
        if index % 10 == 5 and len(gone) > 3:
            pair.recall_kept(gone[-1], gone[len(gone) // 2], gone[-3])
            errors += pair.errors("Seen before?")
        if index % 30 == 29:
            pair.recall(pair.frame())
        if index % 30 == 19:
            pair.recall_kept()
        if index % 5 == 0:
            errors += pair.errors("And now?")
    assert len(gone) > 60
    assert eviction.positions is EvictionPositions.GAP or pair.session.video.trunk.rebases > 0
    assert max(errors) < TOLERANCE


def test_what_is_kept_of_evicted_frames_is_bounded(make_pair: Any) -> None:
    one = make_pair(160, kept_kv_bytes=1 << 20)
    for _ in range(30):
        one.append(one.frame())
    info = one.session.info()
    assert info.recallable_frames == info.evicted_frames > 10
    size = one.session.video.slab.kept_frames.size_bytes // info.recallable_frames
    pair = make_pair(160, kept_kv_bytes=5 * size + 1)
    for _ in range(30):
        pair.append(pair.frame())
    gone = [frame_id for evicted in pair.session.evicted for frame_id in evicted.frame_ids]
    assert pair.session.info().recallable_frames == 5
    pair.recall_kept(gone[-1])
    digest = pair.session.video.slab.digest()
    for refused in ([gone[0]], [gone[-1], "v/c/unknown"], ["local/0"], ["local/29"]):
        with pytest.raises(FrameNotKept):
            pair.session.recall_kept(*refused)
    with pytest.raises(InvalidInput):
        pair.session.recall_kept(*gone[-4:])
    assert pair.session.video.slab.digest() == digest
    without = make_pair(160)
    without.append(without.frame())
    with pytest.raises(FrameNotKept):
        without.session.recall_kept("local/0")
    too_little = make_pair(160, kept_kv_bytes=size - 1)
    for _ in range(30):
        too_little.append(too_little.frame())
    assert too_little.session.info().recallable_frames == 0


def test_keeping_evicted_frames_changes_nothing_else(make_pair: Any) -> None:
    plain, keeping = make_pair(160), make_pair(160, kept_kv_bytes=1 << 20)
    for _ in range(40):
        plain.session.append(plain.frame())
        keeping.session.append(keeping.frame())
    assert plain.session.video.slab.digest() == keeping.session.video.slab.digest()


def test_an_ask_leaves_no_trace(engine: LocalEngine) -> None:
    plain, asked = (engine.open("You fly.", 160) for _ in range(2))
    rng = np.random.default_rng(5)
    for index in range(60):
        pixels = rng.integers(0, 256, (*SIZES[index % len(SIZES)], 3), dtype=np.uint8)
        plain.append(pixels)
        asked.append(pixels)
        before = asked.video.slab.digest()
        asked.ask(f"What is it, number {index}?", max_tokens=5)
        asked.ask_choice("Which way?", ["left", "right", "straight ahead"])
        assert asked.video.slab.digest() == before
        assert before == plain.video.slab.digest()


def test_a_far_offset_changes_nothing(engine: LocalEngine, logits_of: Any) -> None:
    config = SessionConfig("You fly.", 160)
    near = LocalSession(engine.loaded, config)
    far = LocalSession(engine.loaded, config, first_position=100_000_000, rebases=False)
    rng = np.random.default_rng(6)
    for index in range(40):
        pixels = rng.integers(0, 256, (*SIZES[index % len(SIZES)], 3), dtype=np.uint8)
        near.append(pixels)
        far.append(pixels)
    assert far.video.trunk.cursor > 100_000_000
    assert (logits_of(near, "Where?") - logits_of(far, "Where?")).abs().max() < TOLERANCE


def test_appends_during_an_answer_change_nothing_of_it(engine: LocalEngine) -> None:
    """Through evictions, compaction and a recall, with two answers decoded side by side and each as if alone."""
    quiet, busy = (engine.open("You fly.", 160) for _ in range(2))
    rng = np.random.default_rng(7)

    def frame() -> np.ndarray:
        return rng.integers(0, 256, (56, 84, 3), dtype=np.uint8)

    for _ in range(30):
        pixels = frame()
        quiet.append(pixels)
        busy.append(pixels)
    alone = [quiet.ask(prompt, max_tokens=30, view=view).text for prompt, view in QUESTIONS]
    branches = [busy.fork(AskRequest(prompt, max_tokens=30, view=view)) for prompt, view in QUESTIONS]
    undisturbed = engine.open("You fly.", 160)
    step = 0
    while not all(branch.finished for branch in branches):
        live = [branch for branch in branches if not branch.finished]
        rows = [branch.rows() for branch in live]
        outcomes = engine.loaded.backend.advance([row for part in rows for row in part])
        for branch, found in zip(live, outcomes, strict=True):
            branch.accept([found])
        busy.append(frame())
        if step == 12:
            busy.recall(frame())
        step += 1
    for branch in branches:
        busy.video.release(branch)
    assert busy.video.trunk.moves > quiet.video.trunk.moves
    assert [branch.done.text for branch in branches if branch.done] == alone
    assert undisturbed.info().live_asks == busy.info().live_asks == 0


QUESTIONS = [("What is it?", View()), ("And now?", View(recent_chunks=2)), ("Which way?", View())]


def test_an_answer_outlives_a_rewind(make_pair: Any, engine: LocalEngine) -> None:
    """What it sees beyond the restored end is written over while it waits."""
    pair = make_pair(2000, seed=8)
    pair.append(pair.frame())
    snapshot = pair.session.take_snapshot()
    for _ in range(4):
        pair.append(pair.frame())
    branch = pair.session.fork(AskRequest("What was it?"))
    wanted = pair.oracle.ask("What was it?")
    pair.session.restore_snapshot(snapshot.snapshot_id)
    for _ in range(4):
        pair.session.append(pair.frame(84, 84))
    (logits,) = engine.loaded.backend.step(branch.rows())
    pair.session.video.release(branch)
    assert (logits - wanted).abs().max() < TOLERANCE * wanted.std()


def test_a_rewind_before_the_first_frame_gives_another_sink(make_pair: Any) -> None:
    pair = make_pair(160, seed=9)
    opening = list(pair.oracle.sink)
    snapshot = pair.session.take_snapshot()
    pair.append(pair.frame(84, 84))
    assert pair.session.restore_snapshot(snapshot.snapshot_id) == ""
    pair.oracle.sink = opening
    for _ in range(40):
        pair.append(pair.frame())
    assert pair.oracle.evicted > 5
    assert max(pair.logits_error("What is it?"), pair.values_error()) < TOLERANCE
