"""The arithmetic of the least times: against counts made by hand, a model's own parameters, and as properties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillwing_lab.speed.real_sizes import real_config
from stillwing_lab.speed.roofline import Device, Roofline, sizes_of
from stillwing_vlm.core.engines.qwen.families import FAMILIES

QWEN_2_5_VL_3B = sizes_of(real_config({}))
H200 = Roofline(QWEN_2_5_VL_3B, Device(4.3e12, 790e12))
CHUNK = {"tokens": 393, "patches": 34 * 46}


def test_the_counts_are_those_of_the_published_model() -> None:
    assert QWEN_2_5_VL_3B.token_bytes == 36_864
    assert QWEN_2_5_VL_3B.layer_weights == pytest.approx(2.775e9, rel=1e-3)
    assert QWEN_2_5_VL_3B.head_weights == pytest.approx(0.311e9, rel=1e-2)
    assert QWEN_2_5_VL_3B.vision_flop(CHUNK["patches"]) == pytest.approx(2.07e12, rel=0.01)
    with torch.device("meta"):
        model = FAMILIES["qwen2_5_vl"].architecture._from_config(real_config({}))
    counted = sum(weight.numel() for weight in model.parameters())
    # Norms and biases are what is left out.
    assert 0.998 * counted < QWEN_2_5_VL_3B.weights < counted


@pytest.mark.parametrize(("cached", "append_ms", "decode_ms"), [(100_000, 20.4, 2.3), (16_000, 7.8, 1.57)])
def test_an_h200_at_two_lengths(cached: int, append_ms: float, decode_ms: float) -> None:
    assert 1e3 * H200.append_s(**CHUNK, cached=cached) == pytest.approx(append_ms, rel=0.03)
    assert 1e3 * H200.step_s(1, cached) == pytest.approx(decode_ms, rel=0.02)


def test_evicting_costs_what_the_sink_holds_and_compacting_what_the_trunk_does() -> None:
    assert 1e3 * H200.evict_s(512) == pytest.approx(2 * 512 * 36_864 / 4.3e12 * 1e3)
    assert 1e3 * H200.compact_s(100_000) == pytest.approx(1.7, rel=0.02)
    assert H200.prefill_s(100_000, 250, CHUNK["patches"]) > 100 * H200.append_s(**CHUNK, cached=100_000)


def test_sessions_share_the_weights_and_not_their_trunks() -> None:
    alone, eight = H200.step_s(1, 16_000), H200.step_s(8, 16_000, trunks=8, answered=8)
    assert alone < eight < 4 * alone
    assert H200.step_s(8, 16_000, trunks=1, answered=8) == alone, "branches of one trunk read it once"


@given(st.integers(1, 600), st.integers(0, 200_000), st.floats(1e11, 1e13), st.floats(1e13, 1e16))
def test_more_work_never_takes_less_and_a_faster_device_never_more(
    fed: int, cached: int, bytes_per_s: float, flop_per_s: float
) -> None:
    slow = Roofline(QWEN_2_5_VL_3B, Device(bytes_per_s, flop_per_s))
    fast = Roofline(QWEN_2_5_VL_3B, Device(2 * bytes_per_s, 2 * flop_per_s))
    assert 0 < fast.step_s(fed, cached) <= slow.step_s(fed, cached) <= slow.step_s(fed + 1, cached + 1)
    assert fast.append_s(fed, 4 * fed, cached) <= slow.append_s(fed, 4 * fed, cached)
