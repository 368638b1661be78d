"""python -m pytest tests/unit/vlm/test_vlm_families.py -v

Every model family equals transformers: one pass over text, images and video, and the stream with all it may meet.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from stillwing_common.errors import ModelNotUsable
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import ModelSource, load_engine
from stillwing_vlm.core.engines.qwen.families import FAMILIES, rotary_axes
from stillwing_vlm.core.engines.tensors.rotary import Rotary
from stillwing_vlm.core.inputs.chunk_tokens import time_labels
from stillwing_vlm.core.inputs.positions import Grid
from stillwing_vlm.core.local import LocalEngine

TOLERANCE = 1e-4
SIZES = [(56, 84), (84, 84), (64, 128), (112, 56), (140, 84)]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("family") / request.param, family=request.param)


@pytest.fixture(scope="module")
def engine(family_dir: Path) -> LocalEngine:
    return LocalEngine.load(ModelSource(str(family_dir), device="cpu", threads=1))


@pytest.fixture(scope="module")
def hf_model(family_dir: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(family_dir, dtype=torch.float32).eval()


def frames(count: int, first_ns: int = 0, period_ns: int = 250_000_000) -> list[Frame]:
    rng = np.random.default_rng(count)
    return [
        Frame(
            f"v/c/{first_ns}/{index}",
            "c",
            Stamp(first_ns + index * period_ns, "k"),
            None,
            Image(ImageEncoding.RGB8, 96, 64, rng.integers(0, 256, (64, 96, 3), dtype=np.uint8).tobytes()),
        )
        for index in range(count)
    ]


def whole_pass(engine: LocalEngine, hf_model: Any, chunks: list[list[Frame]], labels: list[list[str]], ask: str) -> Any:
    """Logits of transformers itself over one text with all chunks as videos, laid out as the family wants."""
    loaded, timed = engine.loaded, engine.info().engine == "qwen3_vl"
    ids = list(loaded.preparer.opening("You fly."))
    kinds = [0] * len(ids)
    pixels, grids, seconds = [], [], []
    for chunk, words in zip(chunks, labels, strict=True):
        prepared = loaded.preparer.chunk(chunk)
        grid = prepared.patches.grid
        pixels.append(torch.from_numpy(prepared.patches.patches))
        grids.append(list(grid))
        seconds.append(prepared.seconds_per_grid)
        blocks = (
            [(word, grid.merged_tokens(2) // grid.time) for word in words] if timed else [("", grid.merged_tokens(2))]
        )
        for word, tokens in blocks:
            before = [*loaded.text.encode(word), loaded.text.vision_start]
            ids += [*before, *[hf_model.config.video_token_id] * tokens, loaded.text.vision_end]
            kinds += [0] * len(before) + [2] * tokens + [0]
    question = loaded.text.question(ask)
    extra = {"second_per_grid_ts": torch.tensor(seconds)} if engine.info().engine == "qwen2_5_vl" else {}
    hf_model.model.rope_deltas = None
    with torch.no_grad():
        found = hf_model(
            input_ids=torch.tensor([ids + question]),
            mm_token_type_ids=torch.tensor([kinds + [0] * len(question)]),
            pixel_values_videos=torch.cat(pixels),
            video_grid_thw=torch.tensor(grids),
            **extra,
        )
    return found.logits[0, -1]


def test_the_stream_equals_one_pass_over_text_and_video(engine: LocalEngine, hf_model: Any, logits_of: Any) -> None:
    """Chunks of one, two and four frames; four are two grids in time."""
    half_s = 500_000_000
    chunks = [frames(1), frames(4, 2_000_000_000, half_s), frames(2, 4_000_000_000), frames(4, 6_000_000_000, half_s)]
    # The family's own processor gives each pair of frames the middle of their times, to a tenth, halves to even.
    words = [
        ["<0.0 seconds>"],
        ["<2.2 seconds>", "<3.2 seconds>"],
        ["<4.1 seconds>"],
        ["<6.2 seconds>", "<7.2 seconds>"],
    ]
    session = engine.open("You fly.", 2000)
    for chunk in chunks:
        session.append(*chunk)
    wanted = whole_pass(engine, hf_model, chunks, words, "What moved?")
    assert (logits_of(session, "What moved?") - wanted).abs().max() < TOLERANCE * wanted.std()


def test_the_stream_equals_the_oracle(make_pair: Any) -> None:
    """Through evictions, compactions, recalls and narrowed views; deepstack features must outlive each of them."""
    pair = make_pair(260, seed=3)
    worst = 0.0
    for index in range(90):
        pair.append(pair.frame(*SIZES[(index // 7) % len(SIZES)]))
        if index % 30 == 20:
            pair.recall(*[pair.frame(*SIZES[at]) for at in range(1 + index // 30)])
        if index % 6 == 0:
            worst = max(worst, *pair.errors(f"Question {index}?"))
        if index % 30 == 5:
            worst = max(worst, pair.logits_error("Only the newest?", recent=2))
    trunk = pair.session.video.trunk
    assert pair.oracle.evicted >= 40
    assert trunk.moves >= 3
    assert worst < TOLERANCE
    # A test that passes with uniform attention (1 here) proves nothing.
    assert np.mean(pair.oracle.entropies) < 0.75


@pytest.mark.parametrize("grid", [Grid(1, 4, 6), Grid(1, 10, 8), Grid(3, 6, 4)])
def test_the_vision_encoder_is_the_published_one(engine: LocalEngine, hf_model: Any, grid: Grid) -> None:
    rng = np.random.default_rng(0)
    how = engine.loaded.backend.preprocessing
    shape = (grid.time * grid.rows * grid.columns, 3 * how.temporal_patch * how.patch_px**2)
    patches = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
    with torch.inference_mode():
        ours = engine.loaded.backend._vision(patches, grid)  # type: ignore[attr-defined]
        theirs = hf_model.model.visual(patches, grid_thw=torch.tensor([grid]))
    pairs = [(ours.merged, theirs.pooler_output)]
    pairs += list(zip(ours.deep, getattr(theirs, "deepstack_features", None) or [], strict=True))
    assert len(pairs) == (3 if engine.info().engine == "qwen3_vl" else 1)
    for found, wanted in pairs:
        assert (found - wanted).abs().max() < TOLERANCE * wanted.std()


def test_deepstack_features_matter(make_pair: Any, engine: LocalEngine) -> None:
    """The tests above would not see them lost if they changed nothing."""
    pixels = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    pair = make_pair(500)
    pair.append(pixels)
    assert bool(pair.oracle.sink[1].deep) == (engine.info().engine == "qwen3_vl")
    if not pair.oracle.sink[1].deep:
        return
    with_them = pair.oracle.ask("What is it?")
    pair.oracle.sink[1].deep = []
    pair.oracle._run(pair.oracle.sink[1], pair.oracle.sink[:1])
    assert (pair.oracle.ask("What is it?") - with_them).abs().max() > 100 * TOLERANCE * with_them.std()


def test_times_count_from_the_first_frame_of_its_clock() -> None:
    origin = Stamp(5_000_000_000, "sim")
    times = [origin, Stamp(17_460_000_000, "sim"), Stamp(4_000_000_000, "sim"), Stamp(17_000_000_000, "wall")]
    assert time_labels(times, origin) == ["<0.0 seconds>", "<12.5 seconds>", "", ""]


def test_the_engine_is_called_by_its_family(engine: LocalEngine, family_dir: Path) -> None:
    assert engine.info().engine == json.loads((family_dir / "config.json").read_text())["model_type"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "qwen3_vl_moe"}, "supported are qwen2_5_vl, qwen2_vl, qwen3_vl"),
        ({"model_type": ["a"]}, "supported are"),
        ({"rope_type": "yarn"}, "rope_type is 'yarn'"),
        ({"patch_size": 12}, "patch_size is 14 in preprocessor_config.json, 12 in config.json"),
        ({"use_sliding_window": True}, "sliding window"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    directory = write_tiny_model(tmp_path / "model")
    path = directory / "config.json"
    config = json.loads(path.read_text())
    if "rope_type" in change:
        config["text_config"]["rope_parameters"] |= {**change, "factor": 2.0}
    elif "patch_size" in change:
        config["vision_config"] |= change
    elif "use_sliding_window" in change:
        config["text_config"] |= {**change, "sliding_window": 64, "max_window_layers": 1, "layer_types": None}
    else:
        config |= change
    path.write_text(json.dumps(config))
    with pytest.raises(ModelNotUsable, match=words):
        load_engine(ModelSource(str(directory), device="cpu", random_weights=True))


HUB_VISION = {
    "qwen2_vl": {"in_chans": 3, "spatial_patch_size": 14, "hidden_act": "quick_gelu"},
    "qwen2_5_vl": {"in_chans": 3, "spatial_patch_size": 14, "hidden_act": "silu"},
    "qwen3_vl": {"in_channels": 3, "hidden_act": "gelu_pytorch_tanh", "model_type": "qwen3_vl"},
}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_directories_as_they_were_published_load(tmp_path: Path, family: str) -> None:
    """Older layouts: a flat config.json, rotary figures under their old names, tensors under their old keys."""
    directory = write_tiny_model(tmp_path / family, family=family)
    now = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    path, weights = directory / "config.json", directory / "model.safetensors"
    config = json.loads(path.read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope["rope_theta"]
    config["vision_config"] |= HUB_VISION[family]
    if family == "qwen3_vl":
        text["rope_scaling"] = {
            "mrope_interleaved": True,
            "mrope_section": rope["mrope_section"],
            "rope_type": "default",
        }
        config["text_config"] = text
    else:
        text["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
        for name in ("model_type", "layer_types", "dtype"):
            text.pop(name, None)
        config = {**text, **config}
        tensors = {
            name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): tensor
            for name, tensor in load_file(weights).items()
        }
        save_file(tensors, weights, {"format": "pt"})
    path.write_text(json.dumps(config))
    then = LocalEngine.load(ModelSource(str(directory), device="cpu", threads=1))
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    answers = []
    for engine in (now, then):
        session = engine.open("You fly.", 500)
        session.append(picture)
        session.append(picture[::-1])
        answers.append(session.ask_choice("Which way?", ["left", "right", "ahead"]).probabilities)
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("family", "sections"),
    [("qwen2_vl", [16, 24, 24]), ("qwen2_5_vl", [16, 24, 24]), ("qwen3_vl", [24, 20, 20])],
)
def test_rotation_is_the_published_one_at_its_real_size(family: str, sections: list[int]) -> None:
    rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 1e6}
    sizes = {"hidden_size": 256, "num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
    extra = {"head_dim": 128} if family == "qwen3_vl" else {}
    text = FAMILIES[family].config(text_config={**sizes, **extra, "rope_parameters": rope}).text_config
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    (name,) = [
        name
        for name in vars(module)
        if name.endswith(("VLRotaryEmbedding", "VLTextRotaryEmbedding")) and "Vision" not in name
    ]
    positions = np.random.default_rng(0).integers(0, 300, (3, 40))
    cos, sin = getattr(module, name)(text)(torch.zeros(1, dtype=torch.float32), torch.from_numpy(positions)[:, None])
    inverse = 1e6 ** -(np.arange(0, 128, 2, dtype=np.float64) / 128)
    rotary = Rotary(inverse, rotary_axes(FAMILIES[family], sections), torch.device("cpu"))
    ours = rotary.cos_sin(positions)
    for found, wanted in zip(ours, (cos, sin), strict=True):
        # Theirs are angles in float32, good to 1e-5 at these positions.
        assert (found - wanted[0, :, :64]).abs().max() < 1e-4
    # A card works its angles out itself, as exactly, wherever the stream is by now.
    for offset in (0, 10**8):
        there = rotary.cos_sin_there(torch.from_numpy(positions.T + offset))
        for found, wanted in zip(there, rotary.cos_sin(positions + offset), strict=True):
            assert found.is_contiguous()
            assert (found - wanted).abs().max() < 1e-7
