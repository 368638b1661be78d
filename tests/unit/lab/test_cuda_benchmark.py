"""The CUDA benchmark as far as a machine without a GPU reaches: all of it runs, and it says what it found."""

import json
import math
import runpy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from stillwing_lab.speed.scale import SMALL

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "cuda.py"


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARK))


def test_all_of_it_runs_without_a_gpu(
    benchmark: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark["main"](["--cpu-check", "--out", str(tmp_path / "found")]) == 0
    results = json.loads((tmp_path / "found.json").read_text())
    assert (tmp_path / "found.png").stat().st_size > 10_000
    assert results["model"]["decoding"] == "static"
    assert min(results["measured"].values()) > 0
    for budget in SMALL.budgets:
        found = results["budgets"][str(budget)]
        times = {name: value for name, value in found.items() if name.endswith("_ms") and name != "floor_ms"}
        wanted = {"append", "token", "first_token", "step_of_branches", "evict", "compact", "fork", "generate_floor"}
        wanted |= {f"dynamic_cache_{part}" for part in ("append", "token", "first_token")} | {"generate_first_token"}
        assert {name.removesuffix("_ms") for name in times} == wanted
        assert all(math.isfinite(value) for value in times.values())
        assert all(share < 1 for share in found["share_of_floor"].values()), "faster than possible"
        assert budget * 0.7 < found["tokens"] <= budget and found["frames_per_s"] > 0
    assert len(results["soak"]["append_ms"]) == SMALL.soak_chunks
    assert set(results["sessions"]) == {str(count) for count in SMALL.sessions}
    assert set(results["eight_bits"]) == {"8-bit cache", "8-bit weights", "both"}
    for ways in results["eight_bits"].values():
        for budget in SMALL.eight_bit_budgets:
            assert ways[str(budget)]["append_ms"] > ways[str(budget)]["floor_ms"]["append"] > 0
            assert ways[str(budget)]["tokens"] == results["budgets"][str(budget)]["tokens"]
    assert results["about"]["commit"] and results["about"]["versions"]["torch"] == version("torch")
    printed = capsys.readouterr().out
    assert "token, ms" in printed and "8-bit cache: token, ms" in printed and "Next:" in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_it_says_what_to_do_where_there_is_none(
    benchmark: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark["main"](["--out", str(tmp_path / "found")]) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_promises_are_held_against_what_was_measured(benchmark: dict[str, Any]) -> None:
    fast = {"append_ms": 9.0, "token_ms": 2.0, "fork_ms": 0.05, "evict_ms": 0.2, "dynamic_cache_token_ms": 30.0}
    long = {"append_ms": 31.0, "token_ms": 2.9, "first_token_ms": 5.0, "fork_ms": 0.05, "evict_ms": 0.05}
    long |= {"peak_bytes": 12.9e9, "generate_first_token_ms": 6000.0}
    results = {"budgets": {"16384": fast, "100000": long}, "soak": {"last_tenth_to_first": 1.01}}
    found = {each["name"]: each["kept"] for each in benchmark["promises"](results)}
    assert [name for name, kept in found.items() if not kept] == [
        "append_ms at 100,000 tokens, H200",
        "eviction at 16,384 tokens, ms",
    ]
    assert found["token at 16K, times faster than transformers"] and len(found) == 13
