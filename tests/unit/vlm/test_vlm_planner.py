"""python -m pytest tests/unit/vlm/test_vlm_planner.py -v

What a card holds beside the weights, against the measurements of a real one and against what tensors really take.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2_5_VLConfig

from stillwing_lab.speed.real_sizes import real_config
from stillwing_vlm.core.catalog import ModelSource, load_engine, planned_use
from stillwing_vlm.core.engines.attention.plain import held_bytes
from stillwing_vlm.core.engines.passes.static_step import scratch_bytes
from stillwing_vlm.core.engines.qwen.families import FAMILIES
from stillwing_vlm.core.engines.qwen.figures import model_figures
from stillwing_vlm.core.engines.qwen.host_memory import free_host_bytes
from stillwing_vlm.core.inputs.images import Preprocessing
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.planner import BudgetPolicy, ModelFigures, PlannedUse, peak_bytes, plan_budget
from stillwing_vlm.core.requests import Eviction, EvictionLevel

QWEN_3B = Qwen2_5_VLConfig(
    text_config={
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128_000,
    },
    vision_config={"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
)
QWEN_PIXELS = Preprocessing(14, 2, 2, 56 * 56, 14 * 14 * 4 * 16384, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RTX_4090_FREE = 24_564 * 2**20 - 2**29 - 7_100_000_000
"""24 GB, less what a CUDA context takes, less the weights in bfloat16."""


def reference(free_bytes: int = RTX_4090_FREE, **changes: Any) -> Any:
    use = replace(planned_use(QWEN_PIXELS, Limits(), (480, 640)), scratch_bytes=held_bytes(2))
    return plan_budget(model_figures(QWEN_3B, 2), use, free_bytes=free_bytes, usable_share=0.95, **changes)


def test_figures_of_the_published_model() -> None:
    figures = model_figures(QWEN_3B, 2)
    assert figures.cache_bytes == 36_864
    assert figures.pristine_bytes == 36 * 2 * 128 * (2 + 2)
    assert (figures.patches_per_token, figures.heads, figures.max_positions) == (4, 16, 128_000)


def test_one_640x480_chunk_is_the_known_size() -> None:
    use = planned_use(QWEN_PIXELS, Limits(), (480, 640), chunk_frames=2)
    assert (use.chunk_tokens, use.chunk_positions) == (391 + 2, 23 + 2)
    # Two temporal grids of full HD: 69 columns of tokens, 39 rows.
    assert planned_use(QWEN_PIXELS, Limits(), (1080, 1920), 4).chunk_tokens == 2 * 39 * 69 + 2


def test_a_24_gb_card_holds_what_it_was_measured_to_hold() -> None:
    safe, aggressive = reference(), reference(policy=BudgetPolicy.AGGRESSIVE)
    assert safe.memory_tokens == pytest.approx(100_000, rel=0.05)
    assert aggressive.memory_tokens == pytest.approx(150_000, rel=0.05)
    assert safe.fitting_tokens == aggressive.fitting_tokens == (safe.memory_tokens, aggressive.memory_tokens)
    assert "safe" in safe.reason and "aggressive" in aggressive.reason and "16.9 GiB free" in safe.reason


def test_full_hd_chunks_of_four_frames_leave_less() -> None:
    use = planned_use(QWEN_PIXELS, Limits(), (1080, 1920), 4)
    plan = plan_budget(model_figures(QWEN_3B, 2), use, free_bytes=RTX_4090_FREE, usable_share=0.95)
    assert 0.8 * reference().memory_tokens < plan.memory_tokens < 0.95 * reference().memory_tokens
    assert plan.reserved_bytes > 2 * reference().reserved_bytes


@pytest.mark.parametrize(("tokens", "most"), [(100_000, 13e9), (150_000, 15e9)])
def test_one_session_of_the_published_model_stays_within(tokens: int, most: float) -> None:
    """Weights, slab, a chunk under way, the sink's kept keys, four asks; on the kernels, with their scratch on a
    card with 132 multiprocessors.
    """
    figures = model_figures(QWEN_3B, 2)
    use = replace(
        planned_use(QWEN_PIXELS, Limits(), (480, 640), chunk_frames=2),
        sessions=1,
        asks=4,
        scratch_bytes=scratch_bytes((16, 2, 128), 2, figures.append_bytes, 151_936, 393, 132),
        holds_scores=False,
    )
    assert use.scratch_bytes > 200e6
    with torch.device("meta"):
        model = FAMILIES["qwen2_5_vl"].architecture._from_config(real_config({}))
    weights = sum(2 * weight.numel() for weight in model.parameters())
    assert figures == model_figures(real_config({}), 2)
    slab = int(1.25 * tokens) * 36_864
    assert weights + slab < peak_bytes(figures, use, tokens, weights) <= most


def test_the_budget_really_fits() -> None:
    """Slabs, kept-aside copies and all that is reserved come to no more than what is free."""
    figures, use = model_figures(QWEN_3B, 2), planned_use(QWEN_PIXELS, Limits(), (480, 640))
    for policy in BudgetPolicy:
        plan = reference(policy=policy)
        trunks = use.sessions * plan.memory_tokens * (1.25 + policy.value) * figures.cache_bytes
        mask = use.chunk_tokens * plan.memory_tokens
        assert trunks + mask + plan.reserved_bytes <= 0.95 * RTX_4090_FREE


def test_positions_limit_a_large_card_only_beyond_what_video_takes_of_them() -> None:
    """A chunk takes far fewer positions than tokens; an H200 is not cut to 128,000 tokens."""
    plan = reference(free_bytes=130 * 2**30)
    assert plan.memory_tokens == plan.fitting_tokens[0] > 700_000
    short = ModelFigures(1, 1, 1, 1, 1, 1, 4, 1, max_positions=1000)
    cut = plan_budget(short, PlannedUse(chunk_tokens=100, chunk_positions=20), free_bytes=2**40)
    # Nine sixteenths of them: three quarters of what a stream runs through, which is three quarters of all.
    assert cut.memory_tokens == 562 * 100 // 20
    assert "1000 positions 562 are a trunk's, which hold 2810 tokens" in cut.reason


def test_the_window_a_model_was_trained_for_caps_the_rest() -> None:
    plan = reference(window_frames=24)
    assert plan.budget(40) == 40 + 25 * plan.frame_tokens < plan.memory_tokens
    assert "24 frames" in plan.reason


@given(st.integers(0, 2**40), st.sampled_from(BudgetPolicy), st.integers(1, 8), st.integers(1, 6000))
def test_more_memory_never_means_less(free: int, policy: BudgetPolicy, sessions: int, chunk: int) -> None:
    figures = model_figures(QWEN_3B, 2)
    use = PlannedUse(chunk, chunk, sessions=sessions)
    less, more = (plan_budget(figures, use, free_bytes=size, policy=policy) for size in (free, 2 * free))
    assert 1 <= less.memory_tokens <= more.memory_tokens
    assert less.fitting_tokens[0] <= less.fitting_tokens[1]


def test_what_tensors_really_take_is_what_was_reckoned(engine: LocalEngine) -> None:
    backend = engine.loaded.backend
    session = engine.open("You fly.", 400)
    session.append(np.zeros((56, 84, 3), np.uint8))
    trunk = session.video.trunk
    pristine = trunk.sink_tokens * backend.figures.pristine_bytes
    assert session.video.slab.size_bytes == trunk.capacity * backend.figures.cache_bytes + pristine


def test_the_operators_word_stands_and_is_measured_against_the_plan(tiny_dir: Path) -> None:
    info = load_engine(ModelSource(str(tiny_dir), device="cpu"), max_context_tokens=10**9).info()
    assert info.default_max_context_tokens == 10**9
    assert "set by the operator" in info.budget_reason and "out of memory" in info.budget_reason
    assert info.budget_plan is not None and 0 < info.budget_plan.fitting_tokens[0] < 10**9


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 16000 kB\nMemAvailable:    8000 kB\n")
    assert free_host_bytes(proc, groups) == 8000 * 1024
    (proc / "self" / "cgroup").write_text("0::/pod/engine\n")
    own = groups / "pod" / "engine"
    own.mkdir(parents=True)
    (own / "memory.max").write_text("max\n")
    (own / "memory.current").write_text("1024\n")
    assert free_host_bytes(proc, groups) == 8000 * 1024
    (own.parent / "memory.max").write_text(f"{5000 * 1024}\n")
    (own.parent / "memory.current").write_text(f"{3000 * 1024}\n")
    (own.parent / "memory.stat").write_text(f"anon 1\ninactive_file {500 * 1024}\nactive_file 0\n")
    assert free_host_bytes(proc, groups) == 2500 * 1024


def test_what_is_kept_beside_the_slab_is_reckoned_with() -> None:
    """Subsampling keeps a window a second time, recalling as it was keeps its keys, and a sum of its own."""
    how = Preprocessing(14, 2, 2, 28 * 28 * 4, 28 * 28 * 1280, (0.5,) * 3, (0.5,) * 3)
    plain, keeping = planned_use(how, Limits()), planned_use(how, Limits(kept_kv_bytes=2**30))
    subsampled = planned_use(how, Limits(), eviction=Eviction(EvictionLevel.SUBSAMPLED))
    assert [use.keeps_keys for use in (plain, keeping, subsampled)] == [False, True, False]
    assert [use.rewrites_window for use in (plain, keeping, subsampled)] == [False, False, True]
    figures = ModelFigures(1000, 1000, 1000, 500, 1, 1, 4, 1, max_positions=10**9)
    tokens = [plan_budget(figures, use, free_bytes=2**34).memory_tokens for use in (plain, keeping, subsampled)]
    assert tokens[0] > tokens[1]
    assert tokens[0] * (2.25 * 2 * 1000) == pytest.approx(tokens[2] * (3.25 * 2 * 1000), rel=0.2)
    assert plan_budget(figures, keeping, free_bytes=2**34).reserved_bytes > 2 * 2**30
