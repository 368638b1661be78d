"""The engine on a CUDA device with the sizes of Qwen2.5-VL-3B and random weights: `python benchmarks/cuda.py`.

First the device's copy bandwidth and matrix rate are measured; then, for trunks of 16K, 32K, 100K and 150K tokens of
640x480 video, two frames a chunk: append, frames a second, token latency, time to first token, fork, eviction,
compaction and peak memory, each beside the least time the device could take, beside transformers' DynamicCache as a
stream and beside transformers' generate over everything; then 2,000 chunks one after another, and 1, 4 and 8 sessions;
and the engine's own parts once more with its cache, its weights and both kept in 8 bits. A few minutes on one GPU.
Leaves `OUT.json`, `OUT.png` and a table.

`--cpu-check` measures a tiny model on the CPU, in a minute, to see that all of it runs; its figures mean nothing.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from rich.console import Console
from rich.table import Table

from stillwing_common.conditions import commit, hardware
from stillwing_lab.experiments.report import COLOURS
from stillwing_lab.speed.device import measure_device
from stillwing_lab.speed.engine import Speed
from stillwing_lab.speed.real_sizes import write_real_sizes
from stillwing_lab.speed.roofline import Roofline, sizes_of
from stillwing_lab.speed.scale import SMALL, Scale
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.core.catalog import AttentionKind, Decoding, KvCacheDtype, ModelSource, WeightDtype, load_engine
from stillwing_vlm.core.planner import SLAB_SLACK

_err = Console(stderr=True, highlight=False)

PARTS = ("append", "token", "first_token", "step_of_branches", "evict", "compact")
"""What has a least time."""


EIGHT_BITS: dict[str, dict[str, Any]] = {
    "8-bit cache": {"kv_cache_dtype": KvCacheDtype.FP8},
    "8-bit weights": {"weight_dtype": WeightDtype.INT8},
    "both": {"kv_cache_dtype": KvCacheDtype.FP8, "weight_dtype": WeightDtype.INT8},
}


def floors_ms(roofline: Roofline, found: dict[str, float], speed: Speed, scale: Scale) -> dict[str, float]:
    """Least milliseconds of each part behind the trunk that was measured."""
    cached = int(found["tokens"])
    seconds = {
        "append": roofline.append_s(speed.chunk_tokens, speed.patches, cached),
        "token": roofline.step_s(1, cached),
        "first_token": roofline.step_s(scale.question_tokens, cached),
        "step_of_branches": roofline.step_s(scale.branches, cached, answered=scale.branches),
        "evict": roofline.evict_s(int(found["sink_tokens"])),
        "compact": roofline.compact_s(cached),
    }
    return {name: 1e3 * value for name, value in seconds.items()}


def promises(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wanted of an H200-class device, and of any; those whose budget was measured."""
    budgets = {int(name): each for name, each in results["budgets"].items()}
    found: list[dict[str, Any]] = []

    def most(name: str, measured: float | None, wanted: float) -> None:
        if measured is not None:
            found.append({"name": name, "measured": measured, "at_most": wanted, "kept": measured <= wanted})

    def least(name: str, over: float | None, under: float | None, wanted: float) -> None:
        if over is not None and under:
            found.append({"name": name, "measured": over / under, "at_least": wanted, "kept": over / under >= wanted})

    for budget, wanted in {
        16_384: {"append_ms": 10, "token_ms": 2.1},
        100_000: {"append_ms": 30, "token_ms": 3, "first_token_ms": 6, "peak_bytes": 13e9},
        150_000: {"peak_bytes": 15e9},
    }.items():
        for name, limit in wanted.items():
            most(f"{name} at {budget:,} tokens, H200", budgets.get(budget, {}).get(name), limit)
    for budget, each in budgets.items():
        most(f"fork and drop at {budget:,} tokens, ms", each["fork_ms"], 0.1)
        most(f"eviction at {budget:,} tokens, ms", each["evict_ms"], 0.1)
    short, long = budgets.get(16_384, {}), budgets.get(100_000, {})
    token, asked = "token_ms", "first_token_ms"
    least("token at 16K, times faster than transformers", short.get(f"dynamic_cache_{token}"), short.get(token), 5)
    least("ask at 100K, times faster than re-prefilling", long.get(f"generate_{asked}"), long.get(asked), 10)
    most("append of the soak, last tenth to first", results["soak"]["last_tenth_to_first"], 1.02)
    return found


def measure(scale: Scale, source: ModelSource, tell: Any) -> dict[str, Any]:
    """Everything, as plain JSON values."""
    began_s = time.monotonic()
    tell("loading")
    loaded = load_engine(source)
    backend: Any = loaded.backend
    device, dtype = torch.device(backend.device), getattr(torch, backend.dtype)
    tell("the device")
    measured = measure_device(device, dtype, scale)
    roofline = Roofline(sizes_of(backend.published.config), measured)
    speed = Speed(loaded, backend.published, scale, tell)
    budgets = {}
    for budget in scale.budgets:
        found = speed.budget(budget)
        floors = floors_ms(roofline, found, speed, scale)
        shares = {name: floors[name] / found[f"{name}_ms"] for name in PARTS if f"{name}_ms" in found}
        budgets[str(budget)] = found | {
            "floor_ms": floors,
            "share_of_floor": shares,
            "floor_bytes": roofline.peak_bytes(budget, SLAB_SLACK),
            "generate_floor_ms": 1e3
            * roofline.prefill_s(int(found["tokens"]), int(found["tokens"]) // speed.chunk_tokens, speed.patches),
        }
    results: dict[str, Any] = {
        "measured": asdict(measured),
        "model": asdict(roofline.sizes) | {"attention": backend.attention, "decoding": backend.decoding},
        "scale": asdict(scale) | {"chunk_tokens": speed.chunk_tokens, "patches": speed.patches},
        "budgets": budgets,
        "soak": speed.soak(),
        "sessions": {str(count): speed.sessions(count) for count in scale.sessions},
    }
    # What is measured next must not find the memory taken.
    del loaded, backend, speed
    results["eight_bits"] = {
        name: eight_bits(scale, replace(source, **how), roofline, name, tell) for name, how in EIGHT_BITS.items()
    }
    return results | {"promises": promises(results), "seconds": time.monotonic() - began_s}


def eight_bits(scale: Scale, source: ModelSource, own: Roofline, name: str, tell: Any) -> dict[str, Any]:
    """The engine's own parts with something kept in 8 bits; by budget. One that does not fit is left out."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    tell(f"{name}: loading")
    loaded = load_engine(source)
    backend: Any = loaded.backend
    dtype: torch.dtype = getattr(torch, backend.dtype)
    roofline = replace(
        own,
        layer_bytes=1 if backend.weight_dtype == "int8" else own.layer_bytes,
        cached_share=backend.figures.cache_bytes / (own.sizes.token_bytes * dtype.itemsize / 2),
    )
    speed = Speed(loaded, backend.published, scale, lambda text: tell(f"{name}: {text}"))
    found: dict[str, Any] = {}
    for budget in scale.eight_bit_budgets:
        try:
            measured = speed.engine_alone(budget)
        except torch.OutOfMemoryError:
            continue
        floors = floors_ms(roofline, measured, speed, scale)
        shares = {part: floors[part] / measured[f"{part}_ms"] for part in PARTS if f"{part}_ms" in measured}
        found[str(budget)] = measured | {"floor_ms": floors, "share_of_floor": shares}
    return found


def about(device: str) -> dict[str, Any]:
    """Where it was measured and with what."""
    packages: dict[str, str | None] = {}
    for name in ("torch", "triton", "transformers", "flash-attn", "stillwing"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    on_cuda = device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name(device) if on_cuda else hardware(),
        "driver": _told("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if on_cuda else None,
        "cuda": torch.version.cuda,
        "versions": packages,
        "commit": commit(),
        "command": " ".join(["python", *sys.argv]),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _told(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def draw(results: dict[str, Any]) -> Figure:
    """Append, token and first token over the budget, with what they are compared with; and the soak."""
    budgets = results["budgets"]
    tokens = [int(name) for name in budgets]
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2)
    for axis, part in zip(axes.flat, ("append", "token", "first_token"), strict=False):
        lines = {"engine": f"{part}_ms", "DynamicCache": f"dynamic_cache_{part}_ms", "generate": f"generate_{part}_ms"}
        for colour, (label, name) in zip(COLOURS, lines.items(), strict=False):
            points = [(at, each[name]) for at, each in zip(tokens, budgets.values(), strict=True) if name in each]
            if points:
                axis.plot(*zip(*points, strict=True), "o-", color=colour, label=label)
        axis.plot(tokens, [each["floor_ms"][part] for each in budgets.values()], "k--", lw=1, label="least possible")
        axis.set(title=part.replace("_", " "), xlabel="tokens in the trunk", ylabel="ms", yscale="log")
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.legend(fontsize=8)
    soak = results["soak"]["append_ms"]
    axes.flat[3].plot(soak, ".", ms=1.5, color=COLOURS[0])
    axes.flat[3].set(title="appends one after another", xlabel="chunk", ylabel="ms", ylim=(0, None))
    figure.suptitle(f"{results['about']['device']}: {results['about']['commit'] or ''}"[:90], fontsize=10)
    return figure


def table(results: dict[str, Any]) -> Table:
    """Milliseconds, and in brackets the share of the least possible that is reached."""
    budgets = results["budgets"]
    found = Table("", *(f"{int(name):,}" for name in budgets), title=results["about"]["device"])
    for part in PARTS:
        cells = [
            f"{each[f'{part}_ms']:.3f} ({each['share_of_floor'][part]:.0%})" if f"{part}_ms" in each else "–"
            for each in budgets.values()
        ]
        found.add_row(f"{part.replace('_', ' ')}, ms", *cells)
    plain = {
        "fork_ms": "fork and drop, ms",
        "frames_per_s": "frames a second",
        "dynamic_cache_append_ms": "DynamicCache: append, ms",
        "dynamic_cache_token_ms": "DynamicCache: token, ms",
        "dynamic_cache_first_token_ms": "DynamicCache: first token, ms",
        "generate_first_token_ms": "generate: first token, ms",
    }
    for name, label in plain.items():
        found.add_row(label, *(f"{each[name]:.3f}" if name in each else "–" for each in budgets.values()))
    for name, ways in results["eight_bits"].items():
        for part in ("append", "token"):
            cells = [
                f"{ways[at][f'{part}_ms']:.3f} ({ways[at]['share_of_floor'][part]:.0%})" if at in ways else "–"
                for at in budgets
            ]
            found.add_row(f"{name}: {part}, ms", *cells)
    peaks = [f"{each['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in each else "–" for each in budgets.values()]
    found.add_row("peak memory, GB", *peaks)
    for name, ways in results["eight_bits"].items():
        peaks = [f"{ways[at]['peak_bytes'] / 1e9:.2f}" if "peak_bytes" in ways.get(at, {}) else "–" for at in budgets]
        found.add_row(f"{name}: peak memory, GB", *peaks)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and leave the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(Scale().budgets), help="tokens")
    parser.add_argument("--decoding", type=Decoding, default=Decoding.GRAPHS, help="eager, static or graphs")
    parser.add_argument("--attention", type=AttentionKind, default=AttentionKind.TRITON, help="sdpa, triton or flash")
    parser.add_argument("--cpu-check", action="store_true", help="a tiny model on the CPU, to see that all of it runs")
    parser.add_argument("--out", type=Path, default=Path("results/cuda"), help="files to write, without their endings")
    flags = parser.parse_args(arguments)
    if not flags.cpu_check and not torch.cuda.is_available():
        _err.print("This machine shows no CUDA device, and this measures one.")
        _err.print("Next: python benchmarks/cuda.py --cpu-check --out runs/cuda-check   see that it runs")
        return 2
    with tempfile.TemporaryDirectory() as folder, _err.status("starting") as status:
        if flags.cpu_check:
            scale, source = SMALL, ModelSource(
                str(write_tiny_model(Path(folder))), random_weights=True, device="cpu", threads=1,
                decoding=Decoding.STATIC,
            )  # fmt: skip
        else:
            shared = tuple(budget for budget in Scale().eight_bit_budgets if budget in flags.budgets)
            scale = Scale(budgets=tuple(flags.budgets), eight_bit_budgets=shared or tuple(flags.budgets[:1]))
            source = ModelSource(
                str(write_real_sizes(Path(folder))), random_weights=True, device=flags.device, decoding=flags.decoding,
                attention=flags.attention,
            )  # fmt: skip
        results = measure(scale, source, status.update)
    results["about"] = about("cpu" if flags.cpu_check else flags.device)
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        draw(results).savefig(flags.out.with_suffix(".png"), dpi=130)
    Console().print(table(results))
    for each in results["promises"]:
        limit = f"at most {each['at_most']:g}" if "at_most" in each else f"at least {each['at_least']:g}"
        print(f"[{'ok' if each['kept'] else 'NO'}] {each['name']}: {each['measured']:.4g}, {limit}")
    print(f"\n{results['seconds']:.0f} s; {flags.out.with_suffix('.json')}, {flags.out.with_suffix('.png')}")
    print("Next: docs/performance.md says how to read them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
